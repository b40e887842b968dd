/* SPDX-License-Identifier: MIT */
/*
 * A VFIO device as an unmodified program uses it: trapped registers from any thread and by any kind
 * of store, signals of its own, interrupts in epoll, and the end of its process at a bad moment.
 */
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "prog.h"

#define CHANCMD	 0x84
#define CHANCMP	 0x98
#define CHANERRM 0xac
#define DCACTRL	 0xb0
#define RESET	 0x20

struct vfio {
	int iommufd, fd;
	volatile u8 *regs;
};

static int open_bound(struct vfio *v)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};

	v->iommufd = dev_iommu(O_CLOEXEC);
	v->fd = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	if (v->iommufd < 0 || v->fd < 0)
		return -errno;
	bind.iommufd = v->iommufd;
	return ioctl(v->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) ? -errno : 0;
}

static void up(struct vfio *v)
{
	assert_int_equal(open_bound(v), 0);
	v->regs = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	assert_ptr_not_equal(v->regs, MAP_FAILED);
}

static void down(struct vfio *v)
{
	munmap((void *)v->regs, 0x4000);
	close(v->fd);
	close(v->iommufd);
}

static u32 device_says(struct vfio *v, u32 reg)
{
	u32 value = 0;

	assert_int_equal(pread(v->fd, &value, 4, reg), 4);
	return value;
}

/* A register as its owner stores it shows the value at once, whatever the width. */
static void widths(void **state)
{
	struct vfio v;
	volatile u8 *at;

	up(&v);
	at = v.regs + CHANCMP;
	assert_int_equal(v.regs[8], 0x33);
	*(volatile u64 *)at = 0x1122334455667788;
	assert_int_equal(*(volatile u64 *)at, 0x1122334455667788);
	*(volatile u32 *)(at + 4) = 0xaabbccdd;
	assert_int_equal(*(volatile u64 *)at, 0xaabbccdd55667788);
	*(volatile u16 *)(at + 2) = 0x1234;
	at[7] = 0x5a;
	assert_int_equal(*(volatile u64 *)at, 0x5abbccdd12347788);
	*(volatile u32 *)(v.regs + DCACTRL) = 0xf0;
	*(volatile u32 *)(v.regs + DCACTRL) |= 0x0f;
	__atomic_fetch_add((u32 *)(v.regs + DCACTRL), 1, __ATOMIC_SEQ_CST);
	assert_int_equal(*(volatile u32 *)(v.regs + DCACTRL), 0x100);
	memcpy((void *)(at), "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	assert_int_equal(*(volatile u64 *)at, 0x0102030405060708);
	memset((void *)(at + 4), 0xee, 4);
	assert_int_equal(*(volatile u64 *)at, 0xeeeeeeee05060708);
	v.regs[CHANCMD] = RESET;
	assert_int_equal(v.regs[CHANCMD], 0);
	assert_int_equal(*(volatile u64 *)at, 0);
	down(&v);
}

static void *store_own_byte(void *arg)
{
	volatile u8 *at = arg;

	for (int i = 0; i < 2000; i++) {
		*at = (u8)i;
		if (*at != (u8)i)
			return arg;
	}
	return NULL;
}

/* Threads that store to neighbouring bytes do not lose each other's. */
static void threads(void **state)
{
	pthread_t t[4];
	struct vfio v;
	void *bad;

	up(&v);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, store_own_byte, (void *)(v.regs + DCACTRL + i)),
			0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	down(&v);
}

static sigjmp_buf jump;
static void *seen_addr;

static void on_segv(int sig, siginfo_t *si, void *arg)
{
	seen_addr = si->si_addr;
	siglongjmp(jump, 1);
}

/* The program's own SIGSEGV handler, set before or after, gets its own faults and none of ours. */
static void own_handler(void **state)
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, old, now;
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio v;

	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	up(&v);
	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(jump, 1)) {
			*(volatile u8 *)hole = 1;
			fail();
		}
		assert_ptr_equal(seen_addr, hole);
		seen_addr = NULL;
		*(volatile u32 *)(v.regs + DCACTRL) = 0x1000u + (u32)i;
		assert_null(seen_addr);
		assert_int_equal(*(volatile u32 *)(v.regs + DCACTRL), 0x1000 + i);
		assert_int_equal(sigaction(SIGSEGV, NULL, &now), 0);
		assert_ptr_equal(now.sa_sigaction, on_segv);
		assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	}
	down(&v);
	/* What was the device's memory is no more: an ordinary fault. */
	if (!sigsetjmp(jump, 1)) {
		*v.regs = 1;
		fail();
	}
	assert_ptr_equal(seen_addr, (void *)v.regs);
	munmap(hole, 4096);
	sigaction(SIGSEGV, &old, NULL);
}

/* A blocked SIGSEGV does not make a store to a register deadly. */
static void blocked_signal(void **state)
{
	sigset_t all, old;
	struct vfio v;

	up(&v);
	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
	*(volatile u32 *)(v.regs + CHANERRM) = 0x42;
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	assert_int_equal(*(volatile u32 *)(v.regs + CHANERRM), 0x42);
	down(&v);
}

static void interrupts_in_epoll(void **state)
{
	struct {
		struct vfio_irq_set set;
		s32 fd;
	} irq = {.set = {sizeof(irq), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			 VFIO_PCI_MSIX_IRQ_INDEX, 0, 1}};
	struct vfio_irq_set test = {sizeof(test),
				    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    VFIO_PCI_MSIX_IRQ_INDEX, 0, 1};
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct vfio v;
	u64 n;

	up(&v);
	irq.fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, irq.fd, &ev), 0);
	assert_int_equal(ioctl(v.fd, VFIO_DEVICE_SET_IRQS, &irq), 0);
	assert_int_equal(epoll_wait(ep, &ev, 1, 0), 0);
	assert_int_equal(ioctl(v.fd, VFIO_DEVICE_SET_IRQS, &test), 0);
	assert_int_equal(epoll_wait(ep, &ev, 1, 10000), 1);
	assert_int_equal(read(irq.fd, &n, 8), 8);
	assert_int_equal(n, 1);
	close(irq.fd);
	close(ep);
	down(&v);
}

/* Always ready, as files without a poll operation are; the others in a set are still seen. */
static void poll_and_select(void **state)
{
	struct pollfd p[3];
	struct timeval limit = {60, 0};
	fd_set in, out, ex;
	int pipes[2];
	struct vfio v;

	up(&v);
	assert_int_equal(pipe(pipes), 0);
	p[0] = (struct pollfd){.fd = v.fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDNORM};
	p[1] = (struct pollfd){.fd = pipes[0], .events = POLLIN, .revents = 77};
	p[2] = (struct pollfd){.fd = v.iommufd, .events = 0, .revents = 77};
	assert_int_equal(poll(p, 3, -1), 1);
	assert_int_equal(p[0].revents, POLLIN | POLLOUT | POLLRDNORM);
	assert_int_equal(p[1].revents, 0);
	assert_int_equal(p[2].revents, 0);
	assert_int_equal(p[0].fd, v.fd);
	assert_int_equal(poll(p + 1, 2, 0), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(poll(p + 1, 2, -1), 1);
	assert_int_equal(ppoll(p, 3, NULL, NULL), 2);
	assert_int_equal(p[1].revents, POLLIN);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	FD_SET(v.fd, &in);
	FD_SET(pipes[0], &in);
	FD_SET(v.iommufd, &out);
	FD_SET(v.fd, &ex);
	assert_int_equal(select(1000, &in, &out, &ex, &limit), 3);
	assert_true(FD_ISSET(v.fd, &in) && FD_ISSET(pipes[0], &in) && FD_ISSET(v.iommufd, &out));
	assert_false(FD_ISSET(v.fd, &ex));
	FD_SET(v.fd, &ex);
	FD_CLR(pipes[0], &in);
	assert_int_equal(pselect(1000, &in, NULL, &ex, NULL, NULL), 1);
	assert_false(FD_ISSET(v.fd, &ex));
	close(pipes[0]);
	close(pipes[1]);
	down(&v);
}

static void no_epoll(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct vfio v;

	up(&v);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, v.fd, &ev), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, v.iommufd, &ev), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(epoll_ctl(-1, EPOLL_CTL_ADD, v.fd, &ev), -1);
	assert_int_equal(errno, EBADF);
	close(ep);
	down(&v);
}

/* A list of pieces is read and written like one piece after the other. */
static void vectors(void **state)
{
	static struct iovec many[1025];
	u16 id[2] = {0};
	u32 word = 0x12345000, zero = 0;
	struct iovec ids[2] = {{&id[0], 2}, {&id[1], 2}}, words[2] = {{&word, 4}, {&zero, 4}};
	off_t config = 7ll << 40;
	struct vfio v;

	up(&v);
	assert_int_equal(preadv(v.fd, ids, 2, config), 4);
	assert_int_equal(id[0], 0x8086);
	assert_int_not_equal(id[1], 0);
	id[0] = id[1] = 0;
	assert_int_equal(preadv2(v.fd, ids, 2, config, 0), 4);
	assert_int_equal(id[0], 0x8086);
	assert_int_equal(preadv2(v.fd, ids, 2, config, 2 /* RWF_DSYNC */), -1);
	assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(pwritev(v.fd, words, 2, CHANCMP), 8);
	assert_int_equal(device_says(&v, CHANCMP), 0x12345000);
	assert_int_equal(preadv(v.fd, ids, 2, -5), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(preadv(v.fd, many, 1025, config), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(preadv(v.iommufd, ids, 2, 0), -1);
	assert_int_equal(errno, EINVAL);
	down(&v);
}

/* Have the device copy from and to this process's memory without an end. */
static void start_endless_dma(struct vfio *v, int sharing)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map), .flags = 7, .iova = 0x100000, .length = 3 << 20};
	struct vfio_device_attach_iommufd_pt at = {.argsz = sizeof(at)};
	u8 *mem = mmap(NULL, 3 << 20, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
	struct {
		u32 size, ctl;
		u64 src, dst, next, unused[4];
	} *d = (void *)mem;
	u16 command = 6;

	assert_ptr_not_equal(mem, MAP_FAILED);
	map.ioas_id = at.pt_id = (u32)ioas_alloc(v->iommufd);
	map.user_va = (u64)mem;
	assert_int_equal(ioctl(v->iommufd, IOMMU_IOAS_MAP, &map), 0);
	assert_int_equal(ioctl(v->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0);
	assert_int_equal(pwrite(v->fd, &command, 2, (7ll << 40) + 4), 2);
	d->size = 1 << 20;
	d->src = 0x200000;
	d->dst = 0x300000;
	d->next = 0x100000;
	v->regs[CHANCMD] = RESET;
	*(volatile u64 *)(v->regs + 0x90) = 0x100000;
	*(volatile u16 *)(v->regs + 0x86) = 65535;
	/* It is under way when a descriptor is done. */
	while (!(*(volatile u64 *)(v->regs + 0x88) & ~7ull))
		sched_yield();
}

/* The process that has the device dies by SIGKILL; the next one finds it free and reset. */
static void killed(int sharing)
{
	struct vfio v;
	int ready[2], rc;
	pid_t pid;
	u8 byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		up(&v);
		*(volatile u64 *)(v.regs + CHANCMP) = 0x1000;
		start_endless_dma(&v, sharing);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(open_bound(&v), -EINVAL); /* taken */
	close(v.fd);
	close(v.iommufd);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* The daemon learns of the death by itself; the test's time limit is the only clock. */
	while ((rc = open_bound(&v)) == -EINVAL) {
		close(v.fd);
		close(v.iommufd);
		sched_yield();
	}
	assert_int_equal(rc, 0);
	v.regs = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
	assert_int_equal(*(volatile u64 *)(v.regs + CHANCMP), 0);
	down(&v);
	close(ready[0]);
	close(ready[1]);
}

static void killed_owner(void **state)
{
	killed(MAP_SHARED);
	killed(MAP_PRIVATE);
}

/* pread and pwrite reach what the mapping shows. */
static void file_access(void **state)
{
	u64 config = 7ull << 40, value = 0x7000;
	struct vfio v;
	u16 id;

	up(&v);
	assert_int_equal(pread(v.fd, &id, 2, (off_t)config), 2);
	assert_int_equal(id, 0x8086);
	assert_int_equal(pwrite(v.fd, &value, 8, CHANCMP), 8);
	assert_int_equal(*(volatile u64 *)(v.regs + CHANCMP), 0x7000);
	assert_int_equal(lseek(v.fd, (off_t)config + 2, SEEK_SET), -1); /* it has no position */
	assert_int_equal(pread(v.fd, &id, 2, (off_t)config + 4096), -1);
	assert_int_equal(errno, EFAULT);
	down(&v);
}

/* A store that the program has no right to is its fault, and nothing the device sees. */
static void store_refused(struct vfio *v, u32 reg)
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, old;
	u32 before = device_says(v, reg);

	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	if (!sigsetjmp(jump, 1)) {
		*(volatile u32 *)(v->regs + reg) = ~before;
		fail();
	}
	assert_ptr_equal(seen_addr, (void *)(v->regs + reg));
	assert_int_equal(device_says(v, reg), before);
	sigaction(SIGSEGV, &old, NULL);
}

/* mprotect() gives a mapping no way around the device. */
static void protection(void **state)
{
	volatile u32 *cmp;
	struct vfio v;
	void *regs;

	up(&v);
	cmp = (volatile u32 *)(v.regs + CHANCMP);
	regs = (void *)v.regs;
	*cmp = 0x1000;
	assert_int_equal(mprotect(regs, 0x1000, PROT_READ | PROT_WRITE), 0);
	*cmp = 0x2000;
	assert_int_equal(device_says(&v, CHANCMP), 0x2000);
	assert_int_equal(mprotect(regs, 0x1000, PROT_READ), 0);
	store_refused(&v, CHANCMP);
	assert_int_equal(mprotect(regs, 0x4000, PROT_WRITE), 0);
	*cmp = 0x3000;
	assert_int_equal(*cmp, 0x3000); /* what can be stored to can be loaded */
	munmap(regs, 0x4000);
	/* Mapped for loads, made writable later; between two pages that are not the device's. */
	v.regs = mmap(NULL, 0x6000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	v.regs = mmap((u8 *)v.regs + 0x1000, 0x4000, PROT_READ, MAP_SHARED | MAP_FIXED, v.fd, 0);
	assert_ptr_not_equal(v.regs, MAP_FAILED);
	store_refused(&v, CHANCMP);
	assert_int_equal(mprotect((u8 *)v.regs - 0x1000, 0x6000, PROT_READ | PROT_WRITE), 0);
	*(volatile u32 *)(v.regs + CHANCMP) = 0x4000;
	assert_int_equal(device_says(&v, CHANCMP), 0x4000);
	v.regs[-1] = v.regs[0x4000] = 1;
	munmap((u8 *)v.regs - 0x1000, 0x6000);
	close(v.fd);
	close(v.iommufd);
}

static void read_only_file(void **state)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	int fd = open("/dev/vfio/devices/vfio0", O_RDONLY | O_CLOEXEC);
	void *regs;

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	bind.iommufd = dev_iommu(O_CLOEXEC);
	assert_int_equal(ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	regs = mmap(NULL, 0x4000, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(regs, MAP_FAILED);
	assert_int_equal(mprotect(regs, 0x4000, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	munmap(regs, 0x4000);
	close(fd);
	close(bind.iommufd);
}

/* A mapping is moved, cut and unmapped in parts; it never grows. */
static void moved(void **state)
{
	u8 *place = mmap(NULL, 0x4000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio v;
	u8 *old;

	up(&v);
	old = (u8 *)v.regs;
	assert_ptr_equal(mremap(old, 0x4000, 0x8000, MREMAP_MAYMOVE), MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	v.regs = mremap(old, 0x4000, 0x4000, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	assert_ptr_equal(v.regs, place);
	*(volatile u32 *)(v.regs + CHANCMP) = 0x5000;
	assert_int_equal(device_says(&v, CHANCMP), 0x5000);
	assert_ptr_equal(mremap(place, 0x4000, 0x3000, 0), place);
	assert_int_equal(munmap(place + 0x1000, 0x1000), 0);
	*(volatile u32 *)(v.regs + CHANCMP) = 0x6000;
	assert_int_equal(device_says(&v, CHANCMP), 0x6000);
	/* What takes the hole is ordinary memory. */
	old = mmap(place + 0x1000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0);
	assert_int_equal(mprotect(old, 0x1000, PROT_READ | PROT_WRITE), 0);
	*old = 1;
	munmap(place, 0x3000);
	close(v.fd);
	close(v.iommufd);
}

/* More trapped mappings than there is room for: the one too many fails, none loses a store. */
static void too_many_mappings(void **state)
{
	volatile u8 *maps[300];
	struct vfio v;
	unsigned nr = 0;

	up(&v);
	for (; nr < ARRAY_SIZE(maps); nr++) {
		maps[nr] = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
		if (maps[nr] == MAP_FAILED)
			break;
		*(volatile u32 *)(maps[nr] + CHANCMP) = nr << 12;
		assert_int_equal(device_says(&v, CHANCMP), nr << 12);
	}
	if (nr < ARRAY_SIZE(maps))
		assert_int_equal(errno, ENOMEM);
	while (nr--)
		assert_int_equal(munmap((void *)maps[nr], 0x4000), 0);
	down(&v);
}

static struct vfio *signalled;
static volatile sig_atomic_t nr_stored;

static void store_in_handler(int sig)
{
	*(volatile u32 *)(signalled->regs + CHANERRM) = (u32)nr_stored++;
}

/* A handler that stores to a register while its own thread maps and unmaps another. */
static void store_amid_change(void **state)
{
	struct sigaction sa = {.sa_handler = store_in_handler, .sa_flags = SA_RESTART}, old;
	const struct itimerval often = {{0, 50}, {0, 50}}, never = {0};
	struct vfio v;

	up(&v);
	signalled = &v;
	nr_stored = 0;
	assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < 3000 || !nr_stored; i++) {
		void *p = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		munmap(p, 0x4000);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	down(&v);
}

static _Atomic bool maps_end;

static void *map_and_unmap(void *arg)
{
	struct vfio *v = arg;

	while (!maps_end) {
		void *p = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);

		if (p != MAP_FAILED)
			munmap(p, 0x4000);
	}
	return NULL;
}

/* A child made while another thread changes the traps can change them and store. */
static void fork_amid_change(void **state)
{
	struct vfio v;
	pthread_t t;

	up(&v);
	maps_end = false;
	assert_int_equal(pthread_create(&t, NULL, map_and_unmap, &v), 0);
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		if (!pid) {
			signal(SIGALRM, SIG_DFL);
			alarm(20); /* a child that hangs ends, and is seen */
			*(volatile u32 *)(v.regs + CHANERRM) = 1;
			munmap((void *)v.regs, 0x4000);
			_exit(0);
		}
		assert_int_equal(reap(pid), 0);
	}
	maps_end = true;
	pthread_join(t, NULL);
	down(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(widths),
		cmocka_unit_test(threads),
		cmocka_unit_test(own_handler),
		cmocka_unit_test(blocked_signal),
		cmocka_unit_test(interrupts_in_epoll),
		cmocka_unit_test(killed_owner),
		cmocka_unit_test(file_access),
		cmocka_unit_test(poll_and_select),
		cmocka_unit_test(no_epoll),
		cmocka_unit_test(vectors),
		cmocka_unit_test(protection),
		cmocka_unit_test(read_only_file),
		cmocka_unit_test(moved),
		cmocka_unit_test(too_many_mappings),
		cmocka_unit_test(store_amid_change),
		cmocka_unit_test(fork_amid_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
