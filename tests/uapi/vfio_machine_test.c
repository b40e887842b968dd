/* SPDX-License-Identifier: MIT */
/*
 * A device behind a real IOMMU, driven as a program drives it: what is mapped it reaches, what is
 * not it does not, and what goes away under it is safe.
 */
#include "fake_caller.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "device/ioat_regs.h"

/* Pages of b->buf. */
#define RING	0
#define COMPL	1
#define SRC	4
#define DST	20
#define NR_DATA 16u
#define BASE	0x1000000ull /* IOVA of b->buf, in the mock's aperture */

struct rig {
	struct bench b;
	const char *machine;
	struct file *vfio;
	struct pci_dev *dev;
	u32 ioas;
};

static u8 *page(struct rig *r, unsigned n)
{
	return r->b.buf + n * PAGE_SIZE;
}

static u64 iova(unsigned n)
{
	return BASE + n * PAGE_SIZE;
}

static long vcall(struct rig *r, unsigned nr, void *cmd, size_t len)
{
	struct file *iommufd = r->b.file;
	long rc;

	r->b.file = r->vfio;
	rc = call(&r->b, nr, cmd, len);
	r->b.file = iommufd;
	return rc;
}

static long bind(struct rig *r)
{
	struct vfio_device_bind_iommufd cmd = {.argsz = sizeof(cmd), .iommufd = FD_OURS};

	return vcall(r, VFIO_DEVICE_BIND_IOMMUFD, &cmd, sizeof(cmd));
}

static long attach(struct rig *r, u32 pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {.argsz = sizeof(cmd), .pt_id = pt};

	return vcall(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd, sizeof(cmd));
}

static void detach(struct rig *r)
{
	struct vfio_device_detach_iommufd_pt cmd = {.argsz = sizeof(cmd)};

	assert_int_equal(vcall(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd, sizeof(cmd)), 0);
}

static void open_vfio(struct rig *r)
{
	assert_int_equal(
		uapi_open(r->b.ioasis, &r->b.f->c, "/dev/vfio/devices/vfio0", O_RDWR, &r->vfio), 0);
}

static void store(struct rig *r, u64 off, u64 v, unsigned len)
{
	assert_int_equal(r->vfio->ops->store_trap(r->vfio, off, v, len), 0);
}

static u64 load(struct rig *r, u32 off, unsigned len)
{
	u64 v = 0;

	assert_int_equal(pci_bar_read(r->dev, 0, off, &v, len), 0);
	return v;
}

static void enable(struct rig *r)
{
	u16 command = 6;

	pci_config_write(r->dev, 4, &command, 2);
}

static struct ioat_desc *descs(struct rig *r)
{
	return (struct ioat_desc *)page(r, RING);
}

static void arm(struct rig *r)
{
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	store(r, IOAT_CHANCTRL, IOAT_CHANCTRL_ERR_COMPL_EN, 2);
	store(r, IOAT_CHANCMP, iova(COMPL), 8);
	store(r, IOAT_CHAINADDR, iova(RING), 8);
}

/* Submit one copy and wait until it is over. Return: CHANERR. */
static u32 copy(struct rig *r, u64 src, u64 dst, u32 len)
{
	u64 sts;

	arm(r);
	*descs(r) = (struct ioat_desc){.size = len, .src = src, .dst = dst, .next = iova(RING)};
	store(r, IOAT_DMACOUNT, 1, 2);
	do {
		sched_yield();
		sts = load(r, IOAT_CHANSTS, 8) & IOAT_STS_MASK;
	} while (sts != IOAT_STS_DONE && sts != IOAT_STS_HALTED);
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND,
	      1); /* it has written its completion back, or failed to */
	return (u32)load(r, IOAT_CHANERR, 4);
}

static void map_data(struct rig *r)
{
	assert_int_equal(map_fixed(&r->b, r->ioas, page(r, RING), 2 * PAGE_SIZE, iova(RING)), 0);
	assert_int_equal(map_fixed(&r->b, r->ioas, page(r, SRC), NR_DATA * PAGE_SIZE, iova(SRC)),
			 0);
	assert_int_equal(map_fixed(&r->b, r->ioas, page(r, DST), NR_DATA * PAGE_SIZE, iova(DST)),
			 0);
}

static void fill(struct rig *r)
{
	u64 seed = 3;

	for (unsigned i = 0; i < NR_DATA * PAGE_SIZE; i++)
		page(r, SRC)[i] = (u8)rnd(&seed);
	memset(page(r, DST), 0xee, NR_DATA * PAGE_SIZE);
}

static int up(void **state, const char *machine)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->machine = machine;
	bench_start(&r->b, machine);
	r->b.f->fds[0] = file_get(r->b.file);
	r->dev = machine_pci_dev(r->b.ioasis, NULL, 0);
	r->ioas = mk_ioas(&r->b);
	open_vfio(r);
	assert_int_equal(bind(r), 0);
	enable(r);
	fill(r);
	*state = r;
	return 0;
}

static int up_intel(void **state)
{
	return up(state, "intel");
}

static int up_mock(void **state)
{
	return up(state, "mock");
}

static int down(void **state)
{
	struct rig *r = *state;

	file_put(r->vfio);
	bench_stop(&r->b);
	free(r);
	return 0;
}

static void moves_bytes(void **state)
{
	struct rig *r = *state;

	map_data(r);
	assert_int_equal(attach(r, r->ioas), 0);
	assert_int_equal(copy(r, iova(SRC) + 5, iova(DST) + 7, 60001), 0);
	assert_memory_equal(page(r, DST) + 7, page(r, SRC) + 5, 60001);
	assert_int_equal(page(r, DST)[6], 0xee);
	assert_int_equal(page(r, DST)[7 + 60001], 0xee);
}

/* The last fault of the machine's log. */
static struct xlate_fault last_fault(struct rig *r)
{
	struct dma_fault f[16];
	u64 seq = 1;
	unsigned nr;
	struct xlate_fault last = {.perm = 0};

	while ((nr = fault_log_read(&r->b.ioasis->log, &seq, f, ARRAY_SIZE(f))))
		last = f[nr - 1].f;
	return last;
}

static void check_untouched(struct rig *r)
{
	for (unsigned i = 0; i < NR_DATA * PAGE_SIZE; i++)
		assert_int_equal(page(r, DST)[i], 0xee);
}

/* Neither the descriptor can be fetched nor the error be told. */
#define NOTHING (IOAT_ERR_CHAIN_ADDR | IOAT_ERR_COMPL_ADDR)

static void blocked_unless_attached(void **state)
{
	struct rig *r = *state;

	map_data(r);
	assert_int_equal(copy(r, iova(SRC), iova(DST), 64), NOTHING);
	assert_int_equal(last_fault(r).reason, XLATE_BLOCKED);
	assert_int_equal(last_fault(r).iova.v, iova(COMPL));
	assert_int_equal(attach(r, r->ioas), 0);
	assert_int_equal(copy(r, iova(SRC), iova(DST), 64), 0);
	memset(page(r, DST), 0xee, 64);
	detach(r);
	assert_int_equal(copy(r, iova(SRC), iova(DST), 64), NOTHING);
	check_untouched(r);
	assert_int_equal(attach(r, r->ioas), 0);
	assert_int_equal(attach(r, mk_ioas(&r->b)), 0); /* replaced by an empty one */
	assert_int_equal(copy(r, iova(SRC), iova(DST), 64), NOTHING);
	assert_int_equal(last_fault(r).reason, XLATE_NOT_PRESENT);
	check_untouched(r);
}

static void refused_accesses(void **state)
{
	struct rig *r = *state;
	u64 at = iova(40), len = PAGE_SIZE;

	map_data(r);
	assert_int_equal(attach(r, r->ioas), 0);
	assert_int_equal(copy(r, iova(SRC), iova(60), 64), IOAT_ERR_DST_ADDR);
	assert_int_equal(last_fault(r).iova.v, iova(60));
	assert_int_equal(last_fault(r).perm, PERM_W);
	assert_int_equal(last_fault(r).rid.v, 0x100);
	assert_int_equal(copy(r, iova(60), iova(DST), 64), IOAT_ERR_SRC_ADDR);
	assert_int_equal(last_fault(r).perm, PERM_R);
	check_untouched(r);
	/* A page for reading: what it shows can be copied, nothing can be stored to it. */
	memset(page(r, 40), 0x77, PAGE_SIZE);
	assert_int_equal(map(&r->b, r->ioas, page(r, 40), PAGE_SIZE, &at,
			     IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA),
			 0);
	assert_int_equal(copy(r, iova(SRC), at, 64), IOAT_ERR_DST_ADDR);
	assert_int_equal(last_fault(r).reason, XLATE_PERM);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(page(r, 40)[i], 0x77);
	assert_int_equal(copy(r, at, iova(DST), 64), 0);
	assert_memory_equal(page(r, DST), page(r, 40), 64);
	assert_int_equal(unmap(&r->b, r->ioas, at, &len), 0);
	assert_int_equal(copy(r, at, iova(DST) + 64, 64), IOAT_ERR_SRC_ADDR);
	assert_int_equal(page(r, DST)[64], 0xee);
}

/* While the device writes without end, its target is unmapped: not a byte comes after that. */
static void unmap_under_load(void **state)
{
	struct rig *r = *state;
	u64 len = NR_DATA * PAGE_SIZE;

	assert_int_equal(map_fixed(&r->b, r->ioas, page(r, RING), 2 * PAGE_SIZE, iova(RING)), 0);
	assert_int_equal(map_fixed(&r->b, r->ioas, page(r, SRC), len, iova(SRC)), 0);
	assert_int_equal(attach(r, r->ioas), 0);
	for (int round = 0; round < 200; round++) {
		assert_int_equal(map_fixed(&r->b, r->ioas, page(r, DST), len, iova(DST)), 0);
		arm(r);
		*descs(r) = (struct ioat_desc){
			.size = (u32)len, .src = iova(SRC), .dst = iova(DST), .next = iova(RING)};
		store(r, IOAT_DMACOUNT, 65535, 2);
		while (!(load(r, IOAT_CHANSTS, 8) & ~7ull))
			sched_yield(); /* at least once around */
		assert_int_equal(unmap(&r->b, r->ioas, iova(DST), &len), 0);
		memset(page(r, DST), 0xee, len);
		while ((load(r, IOAT_CHANSTS, 8) & IOAT_STS_MASK) != IOAT_STS_HALTED)
			sched_yield();
		assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_DST_ADDR);
		check_untouched(r);
	}
}

static void lifetimes(void **state)
{
	struct rig *r = *state;
	u32 objs;

	map_data(r);
	assert_int_equal(attach(r, r->ioas), 0);
	objs = nr_objs(&r->b);
	assert_int_equal(destroy(&r->b, r->ioas), -EBUSY);
	/* Closing stops the device, detaches it and leaves only the IOAS. */
	arm(r);
	*descs(r) = (struct ioat_desc){
		.size = PAGE_SIZE, .src = iova(SRC), .dst = iova(DST), .next = iova(RING)};
	store(r, IOAT_DMACOUNT, 65535, 2);
	file_put(r->vfio);
	memset(page(r, DST), 0xee, PAGE_SIZE);
	assert_int_equal(nr_objs(&r->b), objs - 2); /* the device, the page table made for it */
	assert_int_equal(destroy(&r->b, r->ioas), 0);
	check_untouched(r);
	open_vfio(r);
	assert_int_equal(bind(r), 0);
}

/* Every allocation and look-up of open, bind and attach fails once; nothing is left behind. */
static void out_of_memory(void **state)
{
	struct rig *r = *state;
	struct fault *fault = &r->b.ioasis->env.fault;
	u64 allocs, fired;
	u32 objs;

	map_data(r);
	assert_int_equal(attach(r, r->ioas), 0);
	file_put(r->vfio);
	allocs = r->b.ioasis->env.nr_allocs;
	objs = nr_objs(&r->b);
	for (s64 nth = 1;; nth++) {
		int rc;

		assert_true(nth < 200);
		fired = fault->fired;
		fault_arm(fault, nth);
		rc = uapi_open(r->b.ioasis, &r->b.f->c, "/dev/vfio/devices/vfio0", O_RDWR,
			       &r->vfio);
		if (!rc) {
			if (!bind(r))
				(void)!attach(r, r->ioas);
			file_put(r->vfio);
		}
		fault_arm(fault, 0);
		assert_int_equal(nr_objs(&r->b), objs);
		assert_int_equal(r->b.ioasis->env.nr_allocs, allocs);
		assert_false(r->dev->claimed);
		if (fault->fired == fired)
			break;
	}
	open_vfio(r);
}

/* One of several threads of the program, each with a channel of its own. */
struct hammer {
	struct rig r; /* the rig's files, its own caller */
	pthread_t thread;
	u64 seed;
};

static void one_blow(struct rig *r, u64 what)
{
	struct vfio_irq_set irq = {sizeof(irq), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				   VFIO_PCI_MSIX_IRQ_INDEX, 0, (u32)(what >> 8 & 1)};
	struct vfio_device_detach_iommufd_pt d = {.argsz = sizeof(d)};
	u16 command = 6;

	switch (what % 8) {
	case 0:
		(void)!attach(r, r->ioas);
		break;
	case 1:
		(void)!vcall(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d, sizeof(d));
		break;
	case 2:
		(void)!vcall(r, VFIO_DEVICE_SET_IRQS, &irq, sizeof(irq));
		break;
	case 3:
		(void)!vcall(r, VFIO_DEVICE_RESET, &irq, 0);
		break;
	case 4:
		pci_config_write(r->dev, 4, &command, 2);
		break;
	case 5:
		arm(r);
		break;
	default:
		store(r, IOAT_DMACOUNT, what >> 16 & 0xffff, 2);
		break;
	}
}

static void *hammer_thread(void *arg)
{
	struct hammer *h = arg;

	for (int i = 0; i < 400; i++)
		one_blow(&h->r, rnd(&h->seed));
	return NULL;
}

static void many_threads(void **state)
{
	struct rig *r = *state;
	struct hammer h[3];

	map_data(r);
	*descs(r) = (struct ioat_desc){.size = 4096, .ctl = IOAT_DESC_COMPL | IOAT_DESC_INT,
				       .src = iova(SRC), .dst = iova(DST), .next = iova(RING)};
	for (unsigned i = 0; i < ARRAY_SIZE(h); i++) {
		h[i] = (struct hammer){.r = *r, .seed = i + 1};
		h[i].r.b.f = calloc(1, sizeof(*h[i].r.b.f));
		fake_init(h[i].r.b.f, r->b.f->c.mm);
		assert_int_equal(pthread_create(&h[i].thread, NULL, hammer_thread, &h[i]), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(h); i++) {
		pthread_join(h[i].thread, NULL);
		fake_fini(h[i].r.b.f);
		free(h[i].r.b.f);
	}
	/* And all is well. */
	enable(r);
	assert_int_equal(attach(r, r->ioas), 0);
	memset(page(r, DST), 0xee, 64);
	assert_int_equal(copy(r, iova(SRC), iova(DST), 64), 0);
	assert_memory_equal(page(r, DST), page(r, SRC), 64);
}

#define T(f)                                                                                       \
	cmocka_unit_test_setup_teardown(f, up_intel, down),                                        \
		cmocka_unit_test_setup_teardown(f, up_mock, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(moves_bytes),	     T(blocked_unless_attached),
		T(refused_accesses), T(unmap_under_load),
		T(lifetimes),	     T(out_of_memory),
		T(many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
