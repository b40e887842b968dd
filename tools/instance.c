/* SPDX-License-Identifier: MIT */
/*
 * Instances: BASE/NAME/{sock,root}, BASE private to the user.
 */
#include "tool.h"

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/server.h"

#define SOCK_PATH_LEN (sizeof(((struct sockaddr_un *)0)->sun_path))

/* Ours alone, or not to be trusted. */
static bool is_private_dir(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 022);
}

static bool try_base(const char *path, char *out, size_t len)
{
	/* Room for a name and the socket's name in a sun_path. */
	if (strlen(path) + 1 + NAME_LEN + sizeof("/" CHAN_SOCK_NEW) > SOCK_PATH_LEN)
		return false;
	if (mkdir(path, 0700) && errno != EEXIST)
		return false;
	if (!is_private_dir(path) || access(path, W_OK))
		return false;
	return snprintf(out, len, "%s", path) < (int)len;
}

static bool base_dir(char *out, size_t len)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	if (xdg && xdg[0] == '/' && strlen(xdg) < 200) {
		snprintf(path, sizeof(path), "%s/ioasis", xdg);
		if (is_private_dir(xdg) && try_base(path, out, len))
			return true;
	}
	snprintf(path, sizeof(path), "/run/user/%u", (unsigned)geteuid());
	if (is_private_dir(path)) {
		strcat(path, "/ioasis");
		if (try_base(path, out, len))
			return true;
	}
	snprintf(path, sizeof(path), "/tmp/ioasis-%u", (unsigned)geteuid());
	if (try_base(path, out, len))
		return true;
	complain("no private directory for the socket: %s is not ours alone", path);
	return false;
}

static bool name_ok(const char *name)
{
	return *name && *name != '.' && strlen(name) <= NAME_LEN && !strchr(name, '/');
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) && false;
}

void instance_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A connection, or -errno. What a killed instance left behind is removed on the way. */
static int connect_to(const char *base, const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char dir[PATH_MAX];
	int fd, rc = 0;

	if (!name_ok(name) || snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s/" CHAN_SOCK,
				       base, name) >= (int)sizeof(addr.sun_path))
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd < 0 ? -errno : fd;
	rc = -errno;
	close(fd);
	if (rc == -ECONNREFUSED) {
		snprintf(dir, sizeof(dir), "%s/%s", base, name);
		instance_remove(dir);
	}
	return rc;
}

int instance_make(const char *name, char *out_dir, size_t len)
{
	char base[PATH_MAX];
	int fd;

	if (!name_ok(name))
		return -EINVAL;
	if (!base_dir(base, sizeof(base)))
		return -EACCES;
	if (snprintf(out_dir, len, "%s/%s", base, name) >= (int)len)
		return -ENAMETOOLONG;
	if (!mkdir(out_dir, 0700))
		return 0;
	if (errno != EEXIST)
		return -errno;
	fd = connect_to(base, name);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED && !mkdir(out_dir, 0700) ? 0 : -EEXIST;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *list_in(const char *base)
{
	json_t *out = json_array();
	struct dirent *e;
	char *names[256];
	size_t nr = 0;
	DIR *dir = opendir(base);

	while (dir && (e = readdir(dir)) && nr < ARRAY_SIZE(names)) {
		int fd = connect_to(base, e->d_name);

		if (fd < 0)
			continue;
		close(fd);
		names[nr++] = strdup(e->d_name);
	}
	if (dir)
		closedir(dir);
	qsort(names, nr, sizeof(*names), by_name);
	for (size_t i = 0; i < nr; i++) {
		json_array_append_new(out, json_string(names[i]));
		free(names[i]);
	}
	return out;
}

json_t *instance_list(void)
{
	char base[PATH_MAX];

	return base_dir(base, sizeof(base)) ? list_in(base) : json_array();
}

static int connect_only(const char *base)
{
	json_t *names = list_in(base);
	size_t nr = json_array_size(names);
	int fd = -1;

	if (nr == 1) {
		fd = connect_to(base, json_string_value(json_array_get(names, 0)));
	} else if (!nr) {
		complain("nothing is running (`ioasis run` starts something)");
	} else {
		complain("%zu instances are running, name one:", nr);
		for (size_t i = 0; i < nr; i++)
			fprintf(stderr, "  %s\n", json_string_value(json_array_get(names, i)));
	}
	json_decref(names);
	return fd;
}

int instance_connect(const char *name)
{
	char base[PATH_MAX];
	int fd;

	if (!base_dir(base, sizeof(base)))
		return -1;
	if (!name)
		return connect_only(base);
	fd = connect_to(base, name);
	if (fd < 0)
		complain("no instance '%s' is running", name);
	return fd;
}
