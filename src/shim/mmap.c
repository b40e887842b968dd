/* SPDX-License-Identifier: MIT */
/*
 * mmap: of files of ours; and shared anonymous memory, which is made from a memfd that the daemon
 * gets too where it could not open the program's mapping by itself. What else changes mappings:
 * where stores are trapped they stay trapped.
 */
#include "shim/shim.h"

#include <sys/resource.h>
#include <stdarg.h>
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

static bool any_traps(void)
{
	return atomic_load_explicit(&shim.nr_traps, memory_order_relaxed);
}

static u64 end_of(const void *at, size_t len)
{
	return (uintptr_t)at + align_up(len, PAGE_SIZE);
}

/* What the kernel is told about a trapped page: no stores. A page that may be stored to can be
 * loaded from, whether or not that was asked for. */
static int trapped_prot(int prot)
{
	return prot & PROT_WRITE ? (prot & ~PROT_WRITE) | PROT_READ : prot;
}

/* A mapping that may replace trapped ones: those end where it is. @add: one more, if it is made. */
static long map_over(void *at, size_t len, int prot, int flags, int fd, off_t pos, struct trap *add)
{
	sigset_t before;
	long rc = -ENOMEM;

	traps_lock(&before);
	/* The start and the end of it may cut one each. */
	if (traps_room(add ? 3 : 2))
		rc = real_mmap(at, len, prot, flags, fd, pos);
	if (rc >= 0 || rc < -4095) {
		traps_cut((u64)rc, end_of((void *)rc, len));
		if (add) {
			add->start = (u64)rc;
			add->len = align_up(len, PAGE_SIZE);
			traps_insert(add);
		}
	}
	traps_unlock(&before);
	return rc;
}

static long map_file(int fd, void *at, size_t len, int prot, int flags, off_t pos)
{
	u32 handle = fd_handle(fd);
	struct call c = CALL(CHAN_MMAP, handle);
	long rc;

	c.req.pos = (u64)pos;
	c.req.len = len;
	c.req.prot = (u32)prot;
	c.req.flags = (u32)flags;
	c.cloexec = true;
	rc = shim_call(&c);
	if (!rc) {
		struct trap t = {.pos = (u64)pos,
				 .handle = handle,
				 .stores = prot & PROT_WRITE,
				 .may_store = fd_mode(fd) == O_RDWR};
		bool trapped = c.reply.flags & CHAN_TRAPPED;

		rc = map_over(at, len, trapped ? trapped_prot(prot) : (int)c.reply.prot,
			      flags & ~MAP_ANONYMOUS, c.fd, (off_t)c.reply.pos,
			      trapped ? &t : NULL);
	}
	if (c.fd >= 0)
		REAL.close(c.fd);
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
	struct rlimit lim;
	char name[64];
	int made, fd;

	if (flags & MAP_HUGETLB) {
		u32 lg2 = (u32)flags >> MAP_HUGE_SHIFT & 63;

		mflags |= MFD_HUGETLB | lg2 << MAP_HUGE_SHIFT;
		size = align_up(len, lg2 ? 1ull << lg2 : 2ull << 20);
	}
	/* A file past this limit would kill the program; anonymous memory knows no such limit. */
	if (getrlimit(RLIMIT_FSIZE, &lim) || size > lim.rlim_cur)
		return -1;
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
		rc = map_over(at, len, prot,
			      flags & ~(MAP_ANONYMOUS | MAP_HUGETLB | 63 << MAP_HUGE_SHIFT),
			      c.send_fd, 0, NULL);
	REAL.close(c.send_fd);
	errno = err;
	return rc < 0 && rc >= -4095 ? -1 : rc;
}

EXPORT void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos)
{
	long rc;

	if (!shim_active() || !len)
		return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, pos);
	if (!(flags & MAP_ANONYMOUS)) {
		if (fd_handle(fd))
			return map_return(map_file(fd, at, len, prot, flags, pos));
	} else if (is_shared_anon(flags)) {
		rc = map_shared(at, len, prot, flags);
		if (rc != -1)
			return (void *)rc;
	}
	if (flags & MAP_FIXED && any_traps())
		return map_return(map_over(at, len, prot, flags, fd, pos, NULL));
	return REAL.mmap(at, len, prot, flags, fd, pos);
}
EXPORT_ALIAS(mmap64, mmap);

EXPORT int munmap(void *at, size_t len)
{
	sigset_t before;
	int rc = -1;

	if (!shim_active())
		return (int)syscall(SYS_munmap, at, len);
	if (!any_traps() || end_of(at, len) <= (uintptr_t)at)
		return REAL.munmap(at, len);
	traps_lock(&before);
	if (!traps_room(2)) {
		errno = ENOMEM;
	} else {
		rc = REAL.munmap(at, len);
		if (!rc)
			traps_cut((uintptr_t)at, end_of(at, len));
	}
	traps_unlock(&before);
	return rc;
}

static int real_protect(u64 start, u64 end, int prot, int pkey)
{
	if (pkey == -1)
		return REAL.mprotect((void *)start, end - start, prot);
	return REAL.pkey_mprotect((void *)start, end - start, prot, pkey);
}

/* From start to end, as far as it goes, like Linux: trapped parts keep the kernel's word that
 * nobody stores there. */
static int protect_parts(u64 start, u64 end, int prot, int pkey)
{
	bool stores = prot & PROT_WRITE;
	u64 part_end;

	for (; start < end; start = part_end) {
		const struct trap *t = traps_first(start, end);
		bool trapped = t && t->start <= start;

		part_end = !t ? end : trapped ? min(end, t->start + t->len) : t->start;
		if (trapped && stores && !t->may_store) {
			errno = EACCES;
			return -1;
		}
		if (real_protect(start, part_end, trapped ? trapped_prot(prot) : prot, pkey))
			return -1;
		if (trapped)
			traps_protect(start, part_end, stores);
	}
	return 0;
}

static int protect(void *at, size_t len, int prot, int pkey)
{
	u64 start = (uintptr_t)at, end = end_of(at, len);
	bool plain = start % PAGE_SIZE || end <= start || prot & (PROT_GROWSDOWN | PROT_GROWSUP);
	sigset_t before;
	int rc = -1;

	if (plain || !any_traps())
		return pkey == -1 ? REAL.mprotect(at, len, prot)
				  : REAL.pkey_mprotect(at, len, prot, pkey);
	traps_lock(&before);
	if (traps_room(2))
		rc = protect_parts(start, end, prot, pkey);
	else
		errno = ENOMEM;
	traps_unlock(&before);
	return rc;
}

EXPORT int mprotect(void *at, size_t len, int prot)
{
	if (!shim_active())
		return (int)syscall(SYS_mprotect, at, len, prot);
	return protect(at, len, prot, -1);
}

EXPORT int pkey_mprotect(void *at, size_t len, int prot, int pkey)
{
	if (!shim_active())
		return (int)syscall(SYS_pkey_mprotect, at, len, prot, pkey);
	return protect(at, len, prot, pkey);
}

static long real_mremap(u64 start, size_t old_len, size_t len, int flags, void *to)
{
	return syscall(SYS_mremap, start, old_len, len, flags, to);
}

/* A device's memory can be moved and cut, but neither grow nor be left behind (VM_DONTEXPAND). */
static long remap(u64 start, size_t old_len, size_t len, int flags, void *to)
{
	u64 old_end = start + align_up(old_len, PAGE_SIZE);
	u64 kept = min(align_up(len, PAGE_SIZE), old_end - start);
	bool ours = traps_first(start, max(old_end, start + 1));
	long rc;

	if (!traps_room(4)) {
		errno = ENOMEM;
		return -1;
	}
	if (ours && len && !(flags & MREMAP_DONTUNMAP) &&
	    align_up(len, PAGE_SIZE) > old_end - start) {
		errno = EFAULT;
		return -1;
	}
	if (ours && flags & MREMAP_DONTUNMAP) {
		errno = EINVAL;
		return -1;
	}
	rc = real_mremap(start, old_len, len, flags, to);
	if (rc == -1)
		return rc;
	traps_cut(start + kept, old_end);
	if ((u64)rc != start) {
		traps_cut((u64)rc, end_of((void *)rc, len));
		traps_move(start, start + kept, (u64)rc);
	}
	return rc;
}

EXPORT void *mremap(void *at, size_t old_len, size_t len, int flags, ...)
{
	u64 start = (uintptr_t)at;
	void *to = NULL;
	sigset_t before;
	va_list ap;
	long rc;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	if (!shim_active() || !any_traps() || start % PAGE_SIZE || start + old_len < start)
		return (void *)real_mremap(start, old_len, len, flags, to);
	traps_lock(&before);
	rc = remap(start, old_len, len, flags, to);
	traps_unlock(&before);
	return (void *)rc;
}
