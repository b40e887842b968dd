/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors are ours: a cache over what the kernel knows, and the calls that make and close
 * them.
 *
 * Nothing is ever wrong about an unknown descriptor: it is looked at when it is used. So whatever
 * may have changed one (a close, a dup over it, a child that shares our memory) only has to forget
 * it.
 */
#include "shim/shim.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

bool fd_hidden(int fd)
{
	return fd >= 0 && (unsigned)fd < FD_TABLE_LEN &&
	       atomic_load_explicit(&shim.hidden[fd / 64], memory_order_relaxed) >> (fd % 64) & 1;
}

/* Out of the way of programs that count descriptors, close them all, or expect the lowest number.
 */
int fd_hide(int fd)
{
	struct rlimit lim;
	int high = -1;

	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		rlim_t top = min(lim.rlim_cur, (rlim_t)FD_TABLE_LEN);

		if (top > 256)
			high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)top - 128);
	}
	if (high >= 0) {
		syscall(SYS_close, fd);
		fd = high;
	}
	if ((unsigned)fd < FD_TABLE_LEN)
		atomic_fetch_or(&shim.hidden[fd / 64], 1ull << (fd % 64));
	return fd;
}

void fd_unhide_close(int fd)
{
	if ((unsigned)fd < FD_TABLE_LEN)
		atomic_fetch_and(&shim.hidden[fd / 64], ~(1ull << (fd % 64)));
	syscall(SYS_close, fd);
}

/* In a child: the links' sockets are the parent's. */
void fds_forked(bool handles_known)
{
	for (unsigned i = 0; i < FD_TABLE_LEN / 64; i++) {
		u64 bits = atomic_load_explicit(&shim.hidden[i], memory_order_relaxed);

		for (; bits; bits &= bits - 1)
			syscall(SYS_close, i * 64 + (unsigned)__builtin_ctzll(bits));
		if (atomic_load_explicit(&shim.hidden[i], memory_order_relaxed))
			atomic_store(&shim.hidden[i], 0);
	}
	for (unsigned i = 0; i < FD_TABLE_LEN && !handles_known; i++)
		if (fd_cached((int)i) > FD_FOREIGN)
			fd_forget((int)i);
}

/* A child made by vfork() shares our memory but not our descriptors. */
static bool own_table(void)
{
	return !shim.pid || getpid() == shim.pid;
}

void fd_set_handle(int fd, u32 handle)
{
	if (fd >= 0 && (unsigned)fd < FD_TABLE_LEN && handle && own_table())
		atomic_store_explicit(&shim.fds[fd], handle, memory_order_relaxed);
}

static void set_foreign(int fd)
{
	if ((unsigned)fd < FD_TABLE_LEN && own_table())
		atomic_store_explicit(&shim.fds[fd], FD_FOREIGN, memory_order_relaxed);
}

/* A socket that the daemon made: only then is it worth asking. */
static bool made_by_daemon(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int type;
	socklen_t type_len = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) && type == SOCK_SEQPACKET &&
	       !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && cred.pid == shim.daemon_pid;
}

static u32 identify(int fd)
{
	struct call c = CALL(CHAN_IDENTIFY, 0);
	int err = errno;
	struct stat st;
	u32 handle = 0;

	if (REAL.fstat(fd, &st)) {
		errno = err;
		return 0;
	}
	if (!S_ISSOCK(st.st_mode) || fd_hidden(fd) || !made_by_daemon(fd)) {
		set_foreign(fd);
		errno = err;
		return 0;
	}
	c.send_fd = fd;
	if (!shim_call(&c)) {
		handle = c.reply.handle;
		fd_set_handle(fd, handle);
	}
	errno = err;
	return handle;
}

u32 fd_handle(int fd)
{
	u32 known;

	if (!shim_active() || fd < 0)
		return 0;
	if (unlikely(shim.wiped && !*shim.wiped))
		shim_forked_unseen();
	known = fd_cached(fd);
	if (likely(known == FD_FOREIGN))
		return 0;
	return known ? known : identify(fd);
}

/*
 * What open() was asked for belongs to the open file and goes wherever a descriptor of it goes. The
 * socket that stands for it keeps O_NONBLOCK by itself; how it was opened is kept where a socket
 * has a number that means nothing to us: its priority, 0 (O_RDWR) when nobody opened it.
 */
static const int mode_of_priority[] = {O_RDWR, O_RDONLY, O_WRONLY, O_RDWR};
#define OPENED_BASE 1 /* + O_RDONLY, O_WRONLY, O_RDWR */

void fd_opened(int fd, int flags)
{
	int priority = OPENED_BASE + (flags & O_ACCMODE), err = errno;

	if ((flags & O_ACCMODE) != O_ACCMODE)
		setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	if (flags & (O_NONBLOCK | O_APPEND))
		REAL.fcntl(fd, F_SETFL, flags & (O_NONBLOCK | O_APPEND));
	errno = err;
}

static unsigned opened_as(int fd)
{
	int priority = 0, err = errno;
	socklen_t len = sizeof(priority);

	getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, &len);
	errno = err;
	return (unsigned)priority < ARRAY_SIZE(mode_of_priority) ? (unsigned)priority : 0;
}

int fd_mode(int fd)
{
	return mode_of_priority[opened_as(fd)];
}

/* F_GETFL of a file of ours, from its socket's. */
static int file_flags(int fd, int flags)
{
	const int large = 0100000; /* what Linux shows for every file that was opened by name */
	unsigned as = opened_as(fd);

	return (flags & ~O_ACCMODE) | mode_of_priority[as] | (as ? large : 0);
}

/* Tell the daemon: before, that the program closes it and does not die with it; afterwards, so that
 * the file is released when close() returns, as in a kernel. */
static void closing(u32 handle)
{
	struct call c = CALL(CHAN_CLOSING, handle);

	if (handle > FD_FOREIGN)
		shim_call(&c);
}

static void closed(u32 handle)
{
	struct call c = CALL(CHAN_CLOSED, handle);

	if (handle > FD_FOREIGN)
		shim_call(&c);
}

EXPORT int close(int fd)
{
	u32 known;
	int rc;

	if (!shim_active())
		return REAL.close(fd);
	if (fd_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	known = fd_cached(fd);
	fd_forget(fd);
	closing(known);
	rc = REAL.close(fd);
	closed(known);
	return rc;
}

static int close_between(unsigned first, unsigned last)
{
	return first <= last ? (int)syscall(SYS_close_range, first, last, 0) : 0;
}

/* Forget what is in the range. Return: whether files of ours are among it. */
static bool forget_range(unsigned first, unsigned last)
{
	bool ours = false;

	for (unsigned fd = first; fd <= last && fd < FD_TABLE_LEN; fd++) {
		ours |= fd_cached((int)fd) > FD_FOREIGN;
		fd_forget((int)fd);
	}
	return ours;
}

static int close_but_hidden(unsigned first, unsigned last)
{
	int rc = 0;

	for (unsigned fd = first; fd <= last && fd < FD_TABLE_LEN; fd++) {
		if (!fd_hidden((int)fd))
			continue;
		rc |= fd ? close_between(first, fd - 1) : 0;
		first = fd + 1;
	}
	return rc | close_between(first, last);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	struct call before = CALL(CHAN_CLOSING, 0), after = CALL(CHAN_CLOSED, 0);
	bool ours;
	int rc;

	if (!shim_active() || flags || first > last)
		return (int)syscall(SYS_close_range, first, last, flags);
	ours = forget_range(first, last);
	if (ours)
		shim_call(&before);
	rc = close_but_hidden(first, last);
	if (ours)
		shim_call(&after);
	return rc ? -1 : 0;
}

EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

static int copied(int from, int to)
{
	u32 known = fd_cached(from);

	if (to < 0)
		return to;
	fd_forget(to);
	if (known > FD_FOREIGN)
		fd_set_handle(to, known);
	return to;
}

EXPORT int dup(int fd)
{
	if (!shim_active())
		return REAL.dup(fd);
	return copied(fd, REAL.dup(fd));
}

/* A dup over a descriptor closes what was there. */
static int dup_over(int from, int to, int flags)
{
	u32 before = fd_cached(to);
	int rc;

	if (fd_hidden(to) || fd_hidden(from)) {
		errno = EBADF;
		return -1;
	}
	if (from == to)
		before = FD_UNKNOWN;
	closing(before);
	if (flags < 0)
		rc = REAL.dup2(from, to);
	else
		rc = REAL.dup3(from, to, flags);
	if (rc >= 0)
		copied(from, to);
	closed(before);
	return rc;
}

EXPORT int dup2(int from, int to)
{
	return shim_active() ? dup_over(from, to, -1) : REAL.dup2(from, to);
}

EXPORT int dup3(int from, int to, int flags)
{
	return shim_active() ? dup_over(from, to, flags) : REAL.dup3(from, to, flags);
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;
	int rc;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (!shim_active())
		return REAL.fcntl(fd, cmd, arg);
	rc = REAL.fcntl(fd, cmd, arg);
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		copied(fd, rc);
	if (cmd == F_GETFL && rc >= 0 && fd_handle(fd))
		rc = file_flags(fd, rc);
	return rc;
}
EXPORT_ALIAS(fcntl64, fcntl);

EXPORT int fclose(FILE *f)
{
	u32 known;
	int fd, rc;

	if (!shim_active())
		return REAL.fclose(f);
	fd = fileno(f);
	known = fd_cached(fd);
	fd_forget(fd);
	closing(known);
	rc = REAL.fclose(f);
	closed(known);
	return rc;
}
