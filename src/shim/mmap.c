/* SPDX-License-Identifier: MIT */
/*
 * mmap: of files of ours; and shared anonymous memory, which is made from a memfd that the daemon
 * gets too where it could not open the program's mapping by itself. Which parts of mappings are
 * trapped.
 */
#include "shim/shim.h"

#include <sys/syscall.h>

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

static long real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos)
{
	void *p = REAL.mmap(at, len, prot, flags, fd, pos);

	return p == MAP_FAILED ? -errno : (long)(uintptr_t)p;
}

static void *map_return(long rc)
{
	if (rc >= 0 || rc < -4095)
		return (void *)(uintptr_t)rc;
	errno = (int)-rc;
	return MAP_FAILED;
}

static void traps_change(void)
{
	atomic_fetch_add(&shim.trap_seq, 1);
}

void trap_add(u64 start, u64 len, u64 pos, u32 handle)
{
	u32 i;

	pthread_mutex_lock(&shim.trap_lock);
	for (i = 0; i < shim.nr_traps && shim.traps[i].used; i++)
		;
	if (i < MAX_TRAPS) {
		traps_change();
		shim.traps[i] = (struct trap){start, len, pos, handle, 1};
		if (i == shim.nr_traps)
			shim.nr_traps = i + 1;
		traps_change();
	}
	pthread_mutex_unlock(&shim.trap_lock);
}

/* Cut [start, start + len) out of @t; a part that is left behind it is returned in @rest. */
static void trap_cut(struct trap *t, u64 start, u64 len, struct trap *rest)
{
	u64 end = start + len, t_end = t->start + t->len;

	*rest = (struct trap){0};
	if (end < t_end && end > t->start) {
		*rest = *t;
		rest->start = end;
		rest->len = t_end - end;
		rest->pos += end - t->start;
	}
	if (start > t->start)
		t->len = start - t->start;
	else
		t->used = 0;
}

void trap_del(u64 start, u64 len)
{
	struct trap rest;

	if (!atomic_load_explicit(&shim.nr_traps, memory_order_relaxed))
		return;
	len = align_up(len, PAGE_SIZE);
	for (u32 i = 0; i < shim.nr_traps; i++) {
		struct trap *t = &shim.traps[i];

		pthread_mutex_lock(&shim.trap_lock);
		rest.used = 0;
		if (t->used && start < t->start + t->len && start + len > t->start) {
			traps_change();
			trap_cut(t, start, len, &rest);
			traps_change();
		}
		pthread_mutex_unlock(&shim.trap_lock);
		if (rest.used)
			trap_add(rest.start, rest.len, rest.pos, rest.handle);
	}
}

static long map_file(u32 handle, void *at, size_t len, int prot, int flags, off_t pos)
{
	struct call c = CALL(CHAN_MMAP, handle);
	long rc;

	c.req.pos = (u64)pos;
	c.req.len = len;
	c.req.prot = (u32)prot;
	c.req.flags = (u32)flags;
	c.cloexec = true;
	rc = shim_call(&c);
	if (!rc) {
		trap_del((uintptr_t)at, flags & MAP_FIXED ? len : 0);
		rc = real_mmap(at, len, (int)c.reply.prot, flags & ~MAP_ANONYMOUS, c.fd,
			       (off_t)c.reply.pos);
	}
	if (c.fd >= 0)
		REAL.close(c.fd);
	if (rc > 0 && c.reply.flags & CHAN_TRAPPED)
		trap_add((u64)rc, len, (u64)pos, handle);
	return rc;
}

static bool is_shared_anon(int flags)
{
	int type = flags & MAP_TYPE;

	return flags & MAP_ANONYMOUS && (type == MAP_SHARED || type == MAP_SHARED_VALIDATE);
}

static int memfd_for(size_t len, int flags)
{
	unsigned mflags = MFD_CLOEXEC;
	u64 size = align_up(len, PAGE_SIZE);
	char name[64];
	int made, fd;

	if (flags & MAP_HUGETLB) {
		u32 lg2 = (u32)flags >> MAP_HUGE_SHIFT & 63;

		mflags |= MFD_HUGETLB | lg2 << MAP_HUGE_SHIFT;
		size = align_up(len, lg2 ? 1ull << lg2 : 2ull << 20);
	}
	made = memfd_create("shared", mflags);
	if (made < 0)
		return -1;
	/* Opened by name: only then the kernel counts who still uses it, and the daemon can forget
	 * it. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", made);
	fd = ftruncate(made, (off_t)size) ? -1 : REAL.openat(AT_FDCWD, name, O_RDWR | O_CLOEXEC);
	REAL.close(made);
	return fd;
}

/* Return: the address; -1: make it the ordinary way. */
static long map_shared(void *at, size_t len, int prot, int flags)
{
	struct call c = CALL(CHAN_SHARED, 0);
	int err = errno;
	long rc = -1;

	/* The first request of a process learns whether the daemon wants such memory at all. */
	if (!shim.cookie && shim_call(&CALL(CHAN_CHARGED, 0)))
		return -1;
	if (!shim.wants_shared)
		return -1;
	c.send_fd = memfd_for(len, flags);
	if (c.send_fd < 0) {
		errno = err;
		return -1;
	}
	if (!shim_call(&c))
		rc = real_mmap(at, len, prot,
			       flags & ~(MAP_ANONYMOUS | MAP_HUGETLB | 63 << MAP_HUGE_SHIFT),
			       c.send_fd, 0);
	REAL.close(c.send_fd);
	errno = err;
	return rc < 0 && rc >= -4095 ? -1 : rc;
}

EXPORT void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos)
{
	u32 handle;
	long rc;

	if (!shim_active() || !len)
		return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, pos);
	if (!(flags & MAP_ANONYMOUS)) {
		handle = fd_handle(fd);
		if (handle)
			return map_return(map_file(handle, at, len, prot, flags, pos));
	} else if (is_shared_anon(flags)) {
		rc = map_shared(at, len, prot, flags);
		if (rc != -1) {
			trap_del((u64)rc, len);
			return (void *)rc;
		}
	}
	if (flags & MAP_FIXED)
		trap_del((uintptr_t)at, len);
	return REAL.mmap(at, len, prot, flags, fd, pos);
}
EXPORT_ALIAS(mmap64, mmap);

EXPORT int munmap(void *at, size_t len)
{
	if (!shim_active())
		return (int)syscall(SYS_munmap, at, len);
	trap_del((uintptr_t)at, len);
	return REAL.munmap(at, len);
}
