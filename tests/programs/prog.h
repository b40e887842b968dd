/* SPDX-License-Identifier: MIT */
/* What the programs under `ioasis run` share: /dev/iommu in a line, and the daemon's own view. */
#ifndef IOASIS_TESTS_PROG_H
#define IOASIS_TESTS_PROG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "../unit/unit.h"

static inline int dev_iommu(int flags)
{
	return open("/dev/iommu", O_RDWR | flags);
}

/* Return: the new IOAS's id; -errno. */
static inline int ioas_alloc(int fd)
{
	struct iommu_ioas_alloc cmd = {.size = sizeof(cmd)};

	return ioctl(fd, IOMMU_IOAS_ALLOC, &cmd) ? -errno : (int)cmd.out_ioas_id;
}

static inline int destroy(int fd, u32 id)
{
	struct iommu_destroy cmd = {.size = sizeof(cmd), .id = id};

	return ioctl(fd, IOMMU_DESTROY, &cmd) ? -errno : 0;
}

static inline int control_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", getenv("IOASIS_DIR"));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What `ioasis show --json` shows. */
static inline json_t *describe_on(int control)
{
	static const char ask[] = "{\"op\":\"describe\"}";
	static char text[1 << 20];
	size_t len = 0;

	if (control < 0 || send(control, ask, sizeof(ask) - 1, 0) < 0)
		return NULL;
	while (len < sizeof(text) && (!len || text[len - 1] != '\n')) {
		ssize_t n = recv(control, text + len, sizeof(text) - len, 0);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return json_loadb(text, len, 0, NULL);
}

static inline json_t *describe(void)
{
	int fd = control_socket();
	json_t *tree = describe_on(fd);

	if (fd >= 0)
		close(fd);
	return tree;
}

/* How many /dev/iommu are open, as the daemon sees it. */
static inline int open_contexts(void)
{
	json_t *tree = describe();
	int nr = tree ? (int)json_array_size(json_object_get(tree, "contexts")) : -1;

	json_decref(tree);
	return nr;
}

/* The exit code of a child. */
static inline int reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
