/* SPDX-License-Identifier: MIT */
/* The stat, access, readlink and realpath families, chdir and getcwd. */
#include "shim/shim.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static int patch(const char *real, int rc, struct stat *st)
{
	struct node_look look;

	if (!rc && node_look_at(real, &look))
		node_patch_stat(st, &look);
	return rc;
}

/* "" names the descriptor itself. A program may pass NULL, whatever the header promises the
 * compiler. */
static bool is_empty(const char *volatile path)
{
	return path && !*path;
}

EXPORT int stat(const char *path, struct stat *st)
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);
	int rc = REAL.stat(real, st);

	return real == path ? rc : patch(real, rc, st);
}
EXPORT_ALIAS(stat64, stat);

EXPORT int lstat(const char *path, struct stat *st)
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);
	int rc = REAL.lstat(real, st);

	return real == path ? rc : patch(real, rc, st);
}
EXPORT_ALIAS(lstat64, lstat);

EXPORT int fstat(int fd, struct stat *st)
{
	struct node_look look;
	u32 handle;
	int rc;

	if (!shim_active())
		return REAL.fstat(fd, st);
	rc = REAL.fstat(fd, st);
	if (rc || !S_ISSOCK(st->st_mode))
		return rc;
	handle = fd_handle(fd);
	if (handle && node_look_fd(handle, &look, NULL))
		node_patch_stat(st, &look);
	return rc;
}
EXPORT_ALIAS(fstat64, fstat);

EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	char buf[PATH_MAX];
	const char *real;
	int rc;

	if (shim_active() && is_empty(path) && flags & AT_EMPTY_PATH && dirfd >= 0)
		return fstat(dirfd, st);
	real = path_real(dirfd, path, buf);
	rc = REAL.fstatat(dirfd, real, st, flags);
	return real == path ? rc : patch(real, rc, st);
}
EXPORT_ALIAS(fstatat64, fstatat);

static void patch_statx(struct statx *sx, const struct node_look *n)
{
	struct stat st = {0};

	node_patch_stat(&st, n);
	sx->stx_mode = (u16)st.st_mode;
	sx->stx_rdev_major = n->major;
	sx->stx_rdev_minor = n->minor;
	sx->stx_size = 0;
	sx->stx_blocks = 0;
}

EXPORT int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *sx)
{
	char buf[PATH_MAX];
	const char *real = path_real(dirfd, path, buf);
	struct node_look look;
	u32 handle;
	int rc = REAL.statx(dirfd, real, flags, mask, sx);

	if (rc || !shim.active)
		return rc;
	if (real != path) {
		if (node_look_at(real, &look))
			patch_statx(sx, &look);
		return rc;
	}
	if (!S_ISSOCK(sx->stx_mode) || !is_empty(path) || dirfd < 0)
		return rc;
	handle = fd_handle(dirfd);
	if (handle && node_look_fd(handle, &look, NULL))
		patch_statx(sx, &look);
	return rc;
}

/* What programs built against an older C library call. */
#define OLD_STAT(name, call, ...)                                                                  \
	EXPORT int name(int version, __VA_ARGS__, struct stat *st);                                \
	EXPORT int name(int version, __VA_ARGS__, struct stat *st)                                 \
	{                                                                                          \
		return call;                                                                       \
	}
OLD_STAT(__xstat, stat(path, st), const char *path)
OLD_STAT(__xstat64, stat(path, st), const char *path)
OLD_STAT(__lxstat, lstat(path, st), const char *path)
OLD_STAT(__lxstat64, lstat(path, st), const char *path)
OLD_STAT(__fxstat, fstat(fd, st), int fd)
OLD_STAT(__fxstat64, fstat(fd, st), int fd)

EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	return fstatat(dirfd, path, st, flags);
}
EXPORT_ALIAS(__fxstatat64, __fxstatat);

EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
	char buf[PATH_MAX];
	const char *real = path_real(dirfd, path, buf);

	return REAL.faccessat(dirfd, real, mode, flags);
}

EXPORT int access(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, 0);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}
EXPORT_ALIAS(eaccess, euidaccess);

/* "socket:[INO]" is how the kernel shows a token of ours: name it as Linux would. */
static ssize_t name_token(const char *path, char *out, size_t size, ssize_t len)
{
	char name[96], *end;
	struct node_look look;
	const char *number;
	u32 handle;
	long fd;

	if (len < 8 || strncmp(out, "socket:[", 8) || strncmp(path, "/proc/self/fd/", 14))
		return len;
	number = path + 14;
	fd = strtol(number, &end, 10);
	if (end == number || *end || fd > INT_MAX)
		return len;
	handle = fd_handle((int)fd);
	if (!handle || !node_look_fd(handle, &look, name))
		return len;
	if (!name[0])
		strcpy(name, "anon_inode:[ioasis]");
	len = (ssize_t)min(strlen(name), size);
	memcpy(out, name, (size_t)len);
	return len;
}

EXPORT ssize_t readlinkat(int dirfd, const char *path, char *out, size_t size)
{
	char buf[PATH_MAX], whole[PATH_MAX];
	const char *real = path_real(dirfd, path, buf);
	ssize_t len;

	if (!shim.active)
		return REAL.readlinkat(dirfd, real, out, size);
	len = REAL.readlinkat(dirfd, real, whole, sizeof(whole));
	if (len < 0)
		return len;
	len = (ssize_t)path_back(whole, (size_t)len);
	len = name_token(path, whole, sizeof(whole), len);
	len = (ssize_t)min((size_t)len, size);
	memcpy(out, whole, (size_t)len);
	return len;
}

EXPORT ssize_t readlink(const char *path, char *out, size_t size)
{
	return readlinkat(AT_FDCWD, path, out, size);
}

EXPORT ssize_t __readlink_chk(const char *path, char *out, size_t size, size_t room);
EXPORT ssize_t __readlink_chk(const char *path, char *out, size_t size, size_t room)
{
	return readlinkat(AT_FDCWD, path, out, size);
}

EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *out, size_t size, size_t room);
EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *out, size_t size, size_t room)
{
	return readlinkat(dirfd, path, out, size);
}

EXPORT char *realpath(const char *path, char *out)
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);
	char *found = REAL.realpath(real, out);
	size_t len;

	if (!found || !shim.active)
		return found;
	len = path_back(found, strlen(found));
	found[len] = 0;
	return found;
}

EXPORT char *__realpath_chk(const char *path, char *out, size_t room);
EXPORT char *__realpath_chk(const char *path, char *out, size_t room)
{
	return realpath(path, out);
}

EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

EXPORT int chdir(const char *path)
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);
	int rc = REAL.chdir(real);

	if (!rc && shim.active)
		path_cwd_changed();
	return rc;
}

EXPORT int fchdir(int fd)
{
	char link[64];

	/* By name, so that there is one way in. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!shim_active())
		return REAL.chdir(link);
	if (REAL.chdir(link)) {
		errno = errno == ENOENT ? EBADF : errno;
		return -1;
	}
	path_cwd_changed();
	return 0;
}

EXPORT char *getcwd(char *out, size_t size)
{
	char whole[PATH_MAX];
	size_t len;

	if (!shim_active())
		return REAL.getcwd(out, size);
	if (!REAL.getcwd(whole, sizeof(whole)))
		return NULL;
	if (strncmp(whole, shim.root, shim.root_len))
		return REAL.getcwd(out, size);
	len = path_back(whole, strlen(whole));
	whole[len] = 0;
	if (!out)
		return strdup(whole);
	if (len >= size) {
		errno = size ? ERANGE : EINVAL;
		return NULL;
	}
	return memcpy(out, whole, len + 1);
}

/* `ls -l` asks for access control lists: by the path of the stand-in, which has none. */
#define XATTR_PATH(name)                                                                           \
	EXPORT ssize_t name(const char *path, const char *key, void *value, size_t size)           \
	{                                                                                          \
		char buf[PATH_MAX];                                                                \
		const char *real = path_real(AT_FDCWD, path, buf);                                 \
                                                                                                   \
		return REAL.name(real, key, value, size);                                          \
	}
XATTR_PATH(getxattr)
XATTR_PATH(lgetxattr)

#define XATTR_LIST(name)                                                                           \
	EXPORT ssize_t name(const char *path, char *list, size_t size)                             \
	{                                                                                          \
		char buf[PATH_MAX];                                                                \
		const char *real = path_real(AT_FDCWD, path, buf);                                 \
                                                                                                   \
		return REAL.name(real, list, size);                                                \
	}
XATTR_LIST(listxattr)
XATTR_LIST(llistxattr)
