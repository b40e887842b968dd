/* SPDX-License-Identifier: MIT */
/*
 * Device nodes: a regular file in our tree stands for each, with its numbers in it.
 */
#include "shim/shim.h"

#include <sys/sysmacros.h>

bool node_look_at(const char *real_path, struct node_look *out)
{
	char text[32] = "";
	struct stat st;
	ssize_t len;
	int fd;

	if (!path_node(real_path) || REAL.lstat(real_path, &st) || !S_ISREG(st.st_mode))
		return false;
	out->mode = st.st_mode & 0777;
	fd = REAL.openat(AT_FDCWD, real_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = REAL.read(fd, text, sizeof(text) - 1);
	REAL.close(fd);
	return len > 0 && sscanf(text, "%u %u", &out->major, &out->minor) == 2;
}

bool node_look_fd(u32 handle, struct node_look *out, char *path64)
{
	struct call c = CALL(CHAN_STAT, handle);

	if (shim_call(&c))
		return false;
	*out = (struct node_look){c.reply.node.major, c.reply.node.minor, c.reply.node.mode & 0777};
	if (path64)
		memcpy(path64, c.reply.node.path, sizeof(c.reply.node.path));
	return true;
}

void node_patch_stat(struct stat *st, const struct node_look *n)
{
	bool anonymous = !n->major && !n->minor; /* Linux's anon_inode files have no type */

	st->st_mode = (anonymous ? 0 : S_IFCHR) | n->mode;
	st->st_rdev = makedev(n->major, n->minor);
	st->st_size = 0;
	st->st_blocks = 0;
}

int node_open(const char *path, int flags)
{
	struct call c = CALL(CHAN_OPEN, 0);
	size_t len = strlen(path);
	long rc;

	if (len >= CHAN_PATH_LEN)
		return -ENAMETOOLONG;
	c.inline_from = path;
	c.req.inline_len = (u32)len;
	c.req.flags = (u32)flags;
	c.cloexec = flags & O_CLOEXEC;
	rc = shim_call(&c);
	if (rc < 0) {
		if (c.fd >= 0)
			REAL.close(c.fd);
		return (int)rc;
	}
	fd_set_handle(c.fd, c.reply.handle);
	fd_opened(c.fd, flags);
	return c.fd;
}
