/* SPDX-License-Identifier: MIT */
/* Calls on an open file of ours: ioctl, read, write and their kin. */
#include "shim/shim.h"

#include <stdarg.h>

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	struct call c;
	va_list ap;
	void *arg;
	u32 handle;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	handle = fd_handle(fd);
	/* A number that was closed and came back where we do not look (recvmsg, closedir): a request that
	 * can only be meant for one of ours is worth a second look. */
	if (!handle && _IOC_TYPE(cmd) == ';' && shim_active()) {
		fd_forget(fd);
		handle = fd_handle(fd);
	}
	if (!handle)
		return REAL.ioctl(fd, cmd, arg);
	c = CALL(CHAN_IOCTL, handle);
	c.req.cmd = (u32)cmd;
	c.req.arg = (u64)(uintptr_t)arg;
	c.inline_from = arg;
	return (int)shim_return(shim_call(&c));
}

/* A read or write of a file of ours at @pos; streams have none (UINT64_MAX). */
static ssize_t transfer(u32 op, u32 handle, const void *buf, size_t len, u64 pos)
{
	struct call c = CALL(op, handle);

	c.req.arg = (u64)(uintptr_t)buf;
	c.req.len = min(len, (size_t)0x7ffff000); /* the most Linux takes at once */
	c.req.pos = pos;
	if (op == CHAN_PWRITE && len)
		c.inline_from = buf;
	return shim_return(shim_call(&c));
}

/* read() and write() take the file's position, which a device or a context does not have. */
#define STREAM UINT64_MAX

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer(CHAN_PREAD, handle, buf, len, STREAM) : REAL.read(fd, buf, len);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer(CHAN_PWRITE, handle, buf, len, STREAM) : REAL.write(fd, buf, len);
}

EXPORT ssize_t pread(int fd, void *buf, size_t len, off_t pos)
{
	u32 handle = fd_handle(fd);

	if (!handle)
		return REAL.pread(fd, buf, len, pos);
	if (pos < 0)
		return shim_return(-EINVAL);
	return transfer(CHAN_PREAD, handle, buf, len, (u64)pos);
}
EXPORT_ALIAS(pread64, pread);

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t pos)
{
	u32 handle = fd_handle(fd);

	if (!handle)
		return REAL.pwrite(fd, buf, len, pos);
	if (pos < 0)
		return shim_return(-EINVAL);
	return transfer(CHAN_PWRITE, handle, buf, len, (u64)pos);
}
EXPORT_ALIAS(pwrite64, pwrite);

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	return read(fd, buf, len);
}

EXPORT ssize_t __pread_chk(int fd, void *buf, size_t len, off_t pos, size_t room);
EXPORT ssize_t __pread_chk(int fd, void *buf, size_t len, off_t pos, size_t room)
{
	return pread(fd, buf, len, pos);
}
EXPORT_ALIAS(__pread64_chk, __pread_chk);

#define MAX_PIECES 1024 /* UIO_MAXIOV */

/* Check the whole list before the first piece, as Linux does. Return: the bytes in all; -errno. */
static ssize_t check_pieces(const struct iovec *v, int nr)
{
	size_t sum = 0;
	struct iovec one;

	if (nr < 0 || nr > MAX_PIECES)
		return -EINVAL;
	for (int i = 0; i < nr; i++) {
		if (shim_copy(&one, &v[i], sizeof(one)))
			return -EFAULT;
		if ((ssize_t)one.iov_len < 0)
			return -EINVAL;
		sum = min(sum + one.iov_len, (size_t)0x7ffff000);
	}
	return (ssize_t)sum;
}

/* Piece by piece, as files without an own readv are read in Linux. */
static ssize_t transfer_v(u32 op, u32 handle, const struct iovec *v, int nr, u64 pos)
{
	ssize_t done = 0, n = check_pieces(v, nr);

	if (n <= 0)
		return n ? shim_return(n) : transfer(op, handle, NULL, 0, pos);
	for (int i = 0; i < nr; i++) {
		u64 at = pos == STREAM ? STREAM : pos + (u64)done;

		if (!v[i].iov_len)
			continue;
		n = transfer(op, handle, v[i].iov_base, v[i].iov_len, at);
		if (n < 0)
			return done ? done : n;
		done += n;
		if ((size_t)n < v[i].iov_len)
			break;
	}
	return done;
}

EXPORT ssize_t readv(int fd, const struct iovec *v, int nr)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer_v(CHAN_PREAD, handle, v, nr, STREAM) : REAL.readv(fd, v, nr);
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int nr)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer_v(CHAN_PWRITE, handle, v, nr, STREAM) : REAL.writev(fd, v, nr);
}

static ssize_t transfer_at(u32 op, u32 handle, const struct iovec *v, int nr, off_t pos)
{
	return pos < 0 ? shim_return(-EINVAL) : transfer_v(op, handle, v, nr, (u64)pos);
}

EXPORT ssize_t preadv(int fd, const struct iovec *v, int nr, off_t pos)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer_at(CHAN_PREAD, handle, v, nr, pos) : REAL.preadv(fd, v, nr, pos);
}
EXPORT_ALIAS(preadv64, preadv);

EXPORT ssize_t pwritev(int fd, const struct iovec *v, int nr, off_t pos)
{
	u32 handle = fd_handle(fd);

	return handle ? transfer_at(CHAN_PWRITE, handle, v, nr, pos) : REAL.pwritev(fd, v, nr, pos);
}
EXPORT_ALIAS(pwritev64, pwritev);

/* A position of -1 is the file's own; of the flags such files know the one that changes nothing. */
static ssize_t transfer_v2(u32 op, u32 handle, const struct iovec *v, int nr, off_t pos, int flags)
{
	if (flags & ~RWF_HIPRI)
		return shim_return(-EOPNOTSUPP);
	return pos == -1 ? transfer_v(op, handle, v, nr, STREAM)
			 : transfer_at(op, handle, v, nr, pos);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *v, int nr, off_t pos, int flags)
{
	u32 handle = fd_handle(fd);

	if (!handle)
		return REAL.preadv2(fd, v, nr, pos, flags);
	return transfer_v2(CHAN_PREAD, handle, v, nr, pos, flags);
}
EXPORT_ALIAS(preadv64v2, preadv2);

EXPORT ssize_t pwritev2(int fd, const struct iovec *v, int nr, off_t pos, int flags)
{
	u32 handle = fd_handle(fd);

	if (!handle)
		return REAL.pwritev2(fd, v, nr, pos, flags);
	return transfer_v2(CHAN_PWRITE, handle, v, nr, pos, flags);
}
EXPORT_ALIAS(pwritev64v2, pwritev2);
