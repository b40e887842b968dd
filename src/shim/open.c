/* SPDX-License-Identifier: MIT */
/* The open, opendir and fopen families. */
#include "shim/shim.h"

#include <stdarg.h>

static bool needs_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

/* A node of ours, by the real path of its stand-in. Return: its descriptor, -errno, or INT_MIN. */
static int open_if_node(const char *real_path, int flags)
{
	struct node_look look;

	if (flags & (O_PATH | O_DIRECTORY) || !node_look_at(real_path, &look))
		return INT_MIN;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return node_open(path_node(real_path), flags);
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
	char buf[PATH_MAX];
	const char *real = path_real(dirfd, path, buf);
	int fd;

	if (shim.active && real != path) {
		fd = open_if_node(real, flags);
		if (fd != INT_MIN)
			return (int)shim_return(fd);
	} else if (shim.active) {
		fd = proc_status_open(path, flags);
		if (fd >= 0)
			return fd;
	}
	fd = REAL.openat(dirfd, real, flags, mode);
	fd_forget(fd);
	return fd;
}

#define MODE_ARG(mode, flags)                                                                      \
	do {                                                                                       \
		va_list ap;                                                                        \
		if (!needs_mode(flags))                                                            \
			break;                                                                     \
		va_start(ap, flags);                                                               \
		mode = va_arg(ap, mode_t);                                                         \
		va_end(ap);                                                                        \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(mode, flags);
	return open_at(AT_FDCWD, path, flags, mode);
}
EXPORT_ALIAS(open64, open);

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(mode, flags);
	return open_at(dirfd, path, flags, mode);
}
EXPORT_ALIAS(openat64, openat);

/* What a program built with fortification calls. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags, 0);
}
EXPORT_ALIAS(__open64_2, __open_2);

EXPORT int __openat_2(int dirfd, const char *path, int flags);
EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
	return open_at(dirfd, path, flags, 0);
}
EXPORT_ALIAS(__openat64_2, __openat_2);

EXPORT int creat(const char *path, mode_t mode)
{
	return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
EXPORT_ALIAS(creat64, creat);

EXPORT DIR *opendir(const char *path)
{
	char buf[PATH_MAX];
	DIR *dir = NULL;

	if (!shim_active())
		return REAL.opendir(path);
	dir = REAL.opendir(path_real(AT_FDCWD, path, buf));
	if (dir)
		fd_forget(dirfd(dir));
	return dir;
}

static bool is_dev_dir(int fd)
{
	struct stat st;

	if (REAL.fstat(fd, &st) || st.st_dev != shim.dev_dirs_dev)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(shim.dev_dirs); i++)
		if (st.st_ino == shim.dev_dirs[i])
			return true;
	return false;
}

/* `find -type c` believes what the directory says. */
EXPORT struct dirent *readdir(DIR *dir)
{
	struct dirent *e;

	if (!shim_active())
		return REAL.readdir(dir);
	e = REAL.readdir(dir);
	if (e && e->d_type == DT_REG && is_dev_dir(dirfd(dir)))
		e->d_type = DT_CHR;
	return e;
}
EXPORT_ALIAS(readdir64, readdir);

EXPORT int scandir(const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
		   int (*compare)(const struct dirent **, const struct dirent **))
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);

	return REAL.scandir(real, list, filter, compare);
}
EXPORT_ALIAS(scandir64, scandir);

EXPORT int scandirat(int dirfd, const char *path, struct dirent ***list,
		     int (*filter)(const struct dirent *),
		     int (*compare)(const struct dirent **, const struct dirent **))
{
	char buf[PATH_MAX];
	const char *real = path_real(dirfd, path, buf);

	return REAL.scandirat(dirfd, real, list, filter, compare);
}
EXPORT_ALIAS(scandirat64, scandirat);

static int fopen_flags(const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;

	return flags | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	char buf[PATH_MAX];
	const char *real = path_real(AT_FDCWD, path, buf);
	int fd = INT_MIN;
	FILE *f;

	if (!shim.active || !path || !mode)
		return REAL.fopen(path, mode);
	if (real != path)
		fd = open_if_node(real, fopen_flags(mode));
	else if (mode[0] == 'r')
		fd = proc_status_open(path, fopen_flags(mode));
	if (fd == INT_MIN || (real == path && fd < 0)) {
		f = REAL.fopen(real, mode);
		if (f)
			fd_forget(fileno(f));
		return f;
	}
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	f = fdopen(fd, mode);
	if (!f)
		close(fd);
	return f;
}
EXPORT_ALIAS(fopen64, fopen);

EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
	char buf[PATH_MAX];

	if (!shim_active())
		return REAL.freopen(path, mode, f);
	fd_forget(fileno(f));
	return REAL.freopen(path ? path_real(AT_FDCWD, path, buf) : NULL, mode, f);
}
EXPORT_ALIAS(freopen64, freopen);

static void *glob_opendir(const char *path)
{
	return opendir(path);
}

static struct dirent *glob_readdir(void *dir)
{
	return readdir(dir);
}

static void glob_closedir(void *dir)
{
	closedir(dir);
}

static int glob_lstat(const char *path, struct stat *st)
{
	return lstat(path, st);
}

static int glob_stat(const char *path, struct stat *st)
{
	return stat(path, st);
}

/* The C library's glob() calls its own opendir(); it lets us name another. */
EXPORT int glob(const char *pattern, int flags, int (*on_error)(const char *, int), glob_t *g)
{
	if (!shim_active() || flags & GLOB_ALTDIRFUNC)
		return REAL.glob(pattern, flags, on_error, g);
	g->gl_opendir = glob_opendir;
	g->gl_readdir = glob_readdir;
	g->gl_closedir = glob_closedir;
	g->gl_lstat = glob_lstat;
	g->gl_stat = glob_stat;
	return REAL.glob(pattern, flags | GLOB_ALTDIRFUNC, on_error, g);
}
EXPORT_ALIAS(glob64, glob);
