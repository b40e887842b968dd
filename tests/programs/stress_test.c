/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, for two seconds, as a program sees it: a device copies without a pause while
 * threads map and unmap its targets and another attaches, replaces and detaches its address space.
 *
 * What arrived is compared. What was unmapped, or belongs to an address space that was replaced, is
 * filled with another pattern and may not change any more, however long the device goes on.
 */
#include "prog.h"

#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define RING	 0x1000000ull
#define SRC	 0x1100000ull
#define STABLE	 0x1200000ull
#define SLOTS	 0x1300000ull
#define SLOT_GAP 0x100000ull
#define LEN	 (64u << 10)
#define NR_SLOTS 3u
#define NR_DESCS 64u
#define RUN_S	 2

#define CHANCTRL  0x80
#define CHANCMD	  0x84
#define DMACOUNT  0x86
#define CHANSTS	  0x88
#define CHAINADDR 0x90
#define CHANCMP	  0x98

struct desc {
	u32 size, ctl;
	u64 src, dst, next, unused[4];
};

struct stress {
	int fd, dev;
	u32 ioas[2];
	u8 *ring, *src, *stable[2];
	volatile u8 *regs;
	u16 count; /* descriptors of this chain so far */
	_Atomic bool stop;
	_Atomic u64 nr_copies, nr_arrived, nr_halts, nr_unmaps, nr_switches;
	/* Odd while the attachment changes. */
	_Atomic u64 attachment;
	_Atomic int attached; /* index of the IOAS; -1: none */
	_Atomic u32 bad;      /* the line of the first thing that was wrong */
};

struct slot {
	struct stress *s;
	unsigned idx;
};

static bool expect_at(struct stress *s, bool ok, u32 line)
{
	u32 none = 0;

	if (!ok) {
		atomic_compare_exchange_strong(&s->bad, &none, line);
		atomic_store(&s->stop, true);
	}
	return ok;
}
#define EXPECT(_s, _ok) expect_at(_s, _ok, __LINE__)

static bool is_all(const u8 *p, u8 v)
{
	for (unsigned i = 0; i < LEN; i++)
		if (*(const volatile u8 *)(p + i) != v)
			return false;
	return true;
}

static int map_at(struct stress *s, unsigned as, void *at, u64 len, u64 iova)
{
	struct iommu_ioas_map cmd = {.size = sizeof(cmd),
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
					      IOMMU_IOAS_MAP_FIXED_IOVA,
				     .ioas_id = s->ioas[as],
				     .user_va = (uintptr_t)at,
				     .length = len,
				     .iova = iova};

	return ioctl(s->fd, IOMMU_IOAS_MAP, &cmd);
}

static int unmap_at(struct stress *s, unsigned as, u64 iova)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd), .ioas_id = s->ioas[as], .iova = iova, .length = LEN};

	return ioctl(s->fd, IOMMU_IOAS_UNMAP, &cmd);
}

/* --- the device, driven by the main thread ----------------------------------------------------- */
static void reset_channel(struct stress *s)
{
	s->regs[CHANCMD] = 0x20;
	*(volatile u16 *)(s->regs + CHANCTRL) = 0x1d;
	*(volatile u64 *)(s->regs + CHANCMP) = RING + 8192;
	*(volatile u64 *)(s->regs + CHAINADDR) = RING;
	s->count = 0;
}

/* Return: did the device say that all of it arrived? */
static bool copy_to(struct stress *s, u64 iova)
{
	struct desc *d = (struct desc *)s->ring + s->count % NR_DESCS;
	u64 last = RING + s->count % NR_DESCS * sizeof(*d), sts;

	d->size = LEN;
	d->ctl = 8;
	d->src = SRC;
	d->dst = iova;
	atomic_thread_fence(memory_order_release);
	*(volatile u16 *)(s->regs + DMACOUNT) = ++s->count;
	for (;;) {
		sts = *(volatile u64 *)(s->regs + CHANSTS);
		if ((sts & 7) == 3)
			break;
		if ((sts & ~0x3full) == last && (sts & 7) != 0) {
			atomic_fetch_add(&s->nr_copies, 1);
			return true;
		}
	}
	atomic_fetch_add(&s->nr_halts, 1);
	atomic_fetch_add(&s->nr_copies, 1);
	reset_channel(s);
	return false;
}

/* One copy to where both address spaces have memory of their own. */
static void checked_copy(struct stress *s, u8 fill)
{
	u64 before = atomic_load(&s->attachment);
	int as = atomic_load(&s->attached);
	bool arrived;

	memset(s->src, fill, LEN);
	if (!copy_to(s, STABLE) || before & 1 || as < 0)
		return;
	arrived = is_all(s->stable[as], fill);
	/* The memory is another thread's again as soon as that one changes the attachment. */
	if (atomic_load(&s->attachment) == before && EXPECT(s, arrived))
		atomic_fetch_add(&s->nr_arrived, 1);
}

static void drive(struct stress *s)
{
	struct timespec t, end;
	u64 seed = 88172645463325252ull;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += RUN_S;
	do {
		if (rnd(&seed) & 1)
			checked_copy(s, (u8)(1 + rnd(&seed) % 100));
		else
			copy_to(s, SLOTS + rnd(&seed) % NR_SLOTS * SLOT_GAP);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (!atomic_load(&s->stop) &&
		 (t.tv_sec < end.tv_sec || (t.tv_sec == end.tv_sec && t.tv_nsec < end.tv_nsec)));
	atomic_store(&s->stop, true);
}

/* --- the others -------------------------------------------------------------------------------- */
static void wait_copies(struct stress *s, u64 nr)
{
	u64 from = atomic_load(&s->nr_copies);

	while (atomic_load(&s->nr_copies) - from < nr && !atomic_load(&s->stop))
		sched_yield();
}

static void *map_and_unmap(void *arg)
{
	struct slot *slot = arg;
	struct stress *s = slot->s;
	u64 iova = SLOTS + slot->idx * SLOT_GAP;
	/* One each of shared and private memory, mapped anew and kept. */
	u8 *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
		     MAP_ANONYMOUS | (slot->idx & 1 ? MAP_PRIVATE : MAP_SHARED), -1, 0);

	while (!atomic_load(&s->stop)) {
		memset(p, 0x99, LEN);
		EXPECT(s, !map_at(s, 0, p, LEN, iova) && !map_at(s, 1, p, LEN, iova));
		wait_copies(s, 3);
		EXPECT(s, !unmap_at(s, 0, iova) && !unmap_at(s, 1, iova));
		memset(p, 0xa0 + (int)slot->idx, LEN);
		wait_copies(s, 3);
		EXPECT(s, is_all(p, (u8)(0xa0 + slot->idx)));
		atomic_fetch_add(&s->nr_unmaps, 1);
	}
	munmap(p, LEN);
	return NULL;
}

static int attach(struct stress *s, unsigned as)
{
	struct vfio_device_attach_iommufd_pt a = {.argsz = sizeof(a), .pt_id = s->ioas[as]};

	return ioctl(s->dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static void *change_attachment(void *arg)
{
	struct vfio_device_detach_iommufd_pt d = {.argsz = sizeof(d)};
	struct stress *s = arg;
	unsigned as = 0;

	for (u64 n = 0; !atomic_load(&s->stop); n++) {
		bool off = n % 4 == 3;
		unsigned old = as;

		atomic_fetch_add(&s->attachment, 1);
		if (off)
			EXPECT(s, !ioctl(s->dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d));
		else
			EXPECT(s, !attach(s, as ^= 1));
		atomic_store(&s->attached, off ? -1 : (int)as);
		atomic_fetch_add(&s->attachment, 1);
		/* What the device could reach before is out of its reach. */
		memset(s->stable[old], 0xe1, LEN);
		wait_copies(s, 4);
		EXPECT(s, is_all(s->stable[old], 0xe1));
		atomic_fetch_add(&s->nr_switches, 1);
	}
	return NULL;
}

static void *memory(u64 len, int kind)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
}

static void up(struct stress *s)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	struct vfio_region_info cfg = {.argsz = sizeof(cfg), .index = VFIO_PCI_CONFIG_REGION_INDEX};
	u16 command = 6;
	struct desc *d;

	s->fd = dev_iommu(O_CLOEXEC);
	s->dev = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	bind.iommufd = s->fd;
	assert_int_equal(ioctl(s->dev, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	assert_int_equal(ioctl(s->dev, VFIO_DEVICE_GET_REGION_INFO, &cfg), 0);
	assert_int_equal(pwrite(s->dev, &command, 2, (off_t)cfg.offset + 4), 2);
	s->regs = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, s->dev, 0);
	assert_ptr_not_equal(s->regs, MAP_FAILED);
	s->ring = memory(16384, MAP_SHARED);
	s->src = memory(LEN, MAP_PRIVATE);
	d = (struct desc *)s->ring;
	for (unsigned i = 0; i < NR_DESCS; i++)
		d[i].next = RING + (i + 1) % NR_DESCS * sizeof(*d);
	for (unsigned as = 0; as < 2; as++) {
		s->ioas[as] = (u32)ioas_alloc(s->fd);
		s->stable[as] = memory(LEN, as ? MAP_SHARED : MAP_PRIVATE);
		assert_int_equal(map_at(s, as, s->ring, 16384, RING), 0);
		assert_int_equal(map_at(s, as, s->src, LEN, SRC), 0);
		assert_int_equal(map_at(s, as, s->stable[as], LEN, STABLE), 0);
	}
	assert_int_equal(attach(s, 0), 0);
	reset_channel(s);
}

static void test_stress(void **state)
{
	struct stress s = {0};
	struct slot slots[NR_SLOTS];
	pthread_t t[NR_SLOTS + 1];

	up(&s);
	for (unsigned i = 0; i < NR_SLOTS; i++) {
		slots[i] = (struct slot){&s, i};
		assert_int_equal(pthread_create(&t[i], NULL, map_and_unmap, &slots[i]), 0);
	}
	assert_int_equal(pthread_create(&t[NR_SLOTS], NULL, change_attachment, &s), 0);
	drive(&s);
	for (unsigned i = 0; i < NR_SLOTS + 1; i++)
		pthread_join(t[i], NULL);
	print_message("%lu copies, %lu compared, %lu blocked; %lu unmaps, %lu switches\n",
		      (long)s.nr_copies, (long)s.nr_arrived, (long)s.nr_halts, (long)s.nr_unmaps,
		      (long)s.nr_switches);
	if (s.bad)
		fail_msg("wrong at %s:%u", __FILE__, s.bad);
	assert_true(s.nr_arrived && s.nr_halts && s.nr_unmaps && s.nr_switches);
	close(s.dev);
	close(s.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_stress)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
