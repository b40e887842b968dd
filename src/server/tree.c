/* SPDX-License-Identifier: MIT */
/*
 * The machine's /dev and /sys as files under DIR/root, where the shim finds them. A device node is
 * a regular file here, with "MAJOR MINOR" in it; the shim shows it as the character device it
 * stands for.
 */
#include "server/daemon.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir_at(int dirfd, const char *path)
{
	return mkdirat(dirfd, path, 0755) && errno != EEXIST ? -errno : 0;
}

/* Every directory above the last component of @path. */
static int parents_at(int dirfd, const char *path)
{
	char part[PATH_MAX];
	int rc = 0;

	for (const char *p = strchr(path, '/'); p && !rc; p = strchr(p + 1, '/')) {
		memcpy(part, path, (size_t)(p - path));
		part[p - path] = 0;
		rc = dir_at(dirfd, part);
	}
	return rc;
}

static int write_node(int rootfd, const struct uapi_node *node)
{
	const char *path = node->path + 1; /* without the slash */
	char text[32];
	int len = snprintf(text, sizeof(text), "%u %u\n", node->major, node->minor);
	int rc = parents_at(rootfd, path), fd;

	if (rc)
		return rc;
	fd = openat(rootfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = write(fd, text, (size_t)len) == len && !fchmod(fd, node->mode & 0777) ? 0 : -EIO;
	close(fd);
	return rc;
}

unsigned nodes_list(struct server *s, struct uapi_node *out)
{
	unsigned nr = uapi_nodes(s->ioasis, out, MAX_NODES);

	/* Every kind has one node, or one per device: a kind that breaks this needs room. */
	assert(nr <= MAX_NODES);
	return min(nr, MAX_NODES);
}

static int write_nodes(struct server *s, int rootfd)
{
	struct uapi_node nodes[MAX_NODES];
	unsigned nr = nodes_list(s, nodes);
	int rc = dir_at(rootfd, "dev");

	for (unsigned i = 0; i < nr && !rc; i++)
		rc = write_node(rootfd, &nodes[i]);
	return rc;
}

static int write_sys(struct server *s, int rootfd)
{
	int rc = dir_at(rootfd, "sys"), fd;

	if (rc)
		return rc;
	fd = openat(rootfd, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = machine_sysfs_write(s->ioasis, fd);
	close(fd);
	return rc;
}

int tree_write(struct server *s)
{
	int dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rootfd = -1, rc;

	if (dirfd < 0)
		return -errno;
	rc = dir_at(dirfd, CHAN_ROOT);
	if (!rc) {
		rootfd = openat(dirfd, CHAN_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = rootfd < 0 ? -errno : 0;
	}
	if (!rc)
		rc = write_nodes(s, rootfd);
	if (!rc)
		rc = write_sys(s, rootfd);
	if (rootfd >= 0)
		close(rootfd);
	close(dirfd);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) && false;
}

/* `ioasis run` does it too; one of the two may have been killed. */
void tree_remove(struct server *s)
{
	nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
