/* SPDX-License-Identifier: MIT */
/* Memory that goes away under the device: a client truncates or punches the file it mapped for DMA. */
#include "rig.h"
#include "mem/copy.h"

#include <linux/falloc.h>

const char *rig_machine = "intel";

#define LEN (64 * PAGE_SIZE)

static int memory_file(void)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);

	OK(ftruncate(fd, LEN));
	return fd;
}

static void a_truncated_file_is_a_fault_and_comes_back(void **state)
{
	struct rig *r = *state;
	int fd = memory_file();
	u8 buf[64] = {1};

	rig_map_file(r, BASE, fd, 0, LEN);
	OK(ioasis_dma_write(r->dev, BASE, buf, 64));
	OK(ftruncate(fd, PAGE_SIZE));
	OK(ioasis_dma_read(r->dev, BASE, buf, 64));
	FAILS(ioasis_dma_read(r->dev, BASE + PAGE_SIZE, buf, 64), EFAULT);
	rig_expect_fault(r, BASE + PAGE_SIZE, PERM_R, XLATE_NO_MEMORY);
	FAILS(ioasis_dma_write(r->dev, BASE + 3 * PAGE_SIZE, buf, 4), EFAULT);
	rig_expect_fault(r, BASE + 3 * PAGE_SIZE, PERM_W, XLATE_NO_MEMORY);
	{
		u64 expected = 0;

		FAILS(ioasis_dma_cmpxchg(r->dev, BASE + PAGE_SIZE, &expected, 1, 8), EFAULT);
		rig_expect_fault(r, BASE + PAGE_SIZE, PERM_RW, XLATE_NO_MEMORY);
	}
	OK(ftruncate(fd, LEN));
	OK(ioasis_dma_write(r->dev, BASE + PAGE_SIZE, buf, 64));
	rig_expect_no_fault(r);
	rig_unmap(r, BASE, LEN);
	close(fd);
}

static void a_span_reads_zeros_and_is_recorded(void **state)
{
	struct rig *r = *state;
	int fd = memory_file();
	struct ioasis_span span;
	u8 buf[8] = {1};

	rig_map_file(r, BASE, fd, 0, LEN);
	memset(buf, 0x5a, 8);
	OK(ioasis_dma_write(r->dev, BASE + 7 * PAGE_SIZE, buf, 8));
	OK(ioasis_dma_span(r->dev, BASE + 7 * PAGE_SIZE, 8, IOASIS_DMA_R | IOASIS_DMA_W, &span));
	assert_int_equal(*(volatile u8 *)span.host, 0x5a);
	OK(ftruncate(fd, 0));
	assert_int_equal(*(volatile u8 *)span.host, 0);
	*(volatile u8 *)span.host = 3;
	rig_expect_no_fault(r);
	ioasis_dma_unspan(r->dev, &span);
	rig_expect_fault(r, BASE + 7 * PAGE_SIZE, PERM_RW, XLATE_NO_MEMORY);
	/* The segment is dead: nothing of it is reached any more, cached or not. */
	FAILS(ioasis_dma_read(r->dev, BASE + 7 * PAGE_SIZE, buf, 8), EFAULT);
	rig_expect_fault(r, BASE + 7 * PAGE_SIZE, PERM_R, XLATE_NO_MEMORY);
	/* Mapped again, it is another segment over the same file. */
	rig_unmap(r, BASE, LEN);
	OK(ftruncate(fd, LEN));
	rig_map_file(r, BASE, fd, 0, LEN);
	OK(ioasis_dma_read(r->dev, BASE + 7 * PAGE_SIZE, buf, 8));
	assert_int_equal(buf[0], 0);
	rig_unmap(r, BASE, LEN);
	close(fd);
}

/* The context entry says that faults are not recorded (FPD): this one is not, either. */
static void a_fault_that_nobody_wants_is_not_recorded(void **state)
{
	struct rig *r = *state;
	struct hw_iommu *hw = r->dev->idev.port.hw;
	int fd = memory_file();
	u64 *root, *ctx, expected = 0;
	u8 buf[8];

	if (!strcmp(rig_machine, "mock"))
		skip_because("the mock IOMMU has no bit that turns fault records off");
	root = table_at(hw->mem, OA(align_down(hw->ops->reg_read(hw, VTD_RTADDR, 8), PAGE_SIZE)),
			PAGE_SIZE);
	ctx = table_at(hw->mem, OA(align_down(root[2 * 0x01], PAGE_SIZE)), PAGE_SIZE);
	ctx[2 * 0x08] |= VTD_CTX_FPD;
	rig_map_file(r, BASE, fd, 0, LEN);
	OK(ioasis_dma_read(r->dev, BASE + PAGE_SIZE, buf, 8));
	OK(ftruncate(fd, PAGE_SIZE));
	FAILS(ioasis_dma_read(r->dev, BASE + PAGE_SIZE, buf, 8), EFAULT);
	FAILS(ioasis_dma_cmpxchg(r->dev, BASE + PAGE_SIZE, &expected, 1, 8), EFAULT);
	rig_expect_no_fault(r);
	ctx[2 * 0x08] &= ~VTD_CTX_FPD;
	lock_take(&hw->lock);
	context_drop_all(hw);
	lock_drop(&hw->lock);
	FAILS(ioasis_dma_read(r->dev, BASE + PAGE_SIZE, buf, 8), EFAULT);
	rig_expect_fault(r, BASE + PAGE_SIZE, PERM_R, XLATE_NO_MEMORY);
	rig_unmap(r, BASE, LEN);
	close(fd);
}

struct load {
	struct rig *r;
	_Atomic bool stop;
	_Atomic u64 good, refused;
};

static void *dma_on(void *arg)
{
	struct load *l = arg;
	static _Thread_local u8 buf[3 * PAGE_SIZE];

	for (u64 i = 0; !atomic_load(&l->stop); i++) {
		u64 iova = BASE + i * 7919 % (LEN - sizeof(buf));
		int rc = i % 2 ? ioasis_dma_read(l->r->dev, iova, buf, sizeof(buf))
			       : ioasis_dma_write(l->r->dev, iova, buf, sizeof(buf));

		atomic_fetch_add(rc ? &l->refused : &l->good, 1);
		assert(!rc || rc == -EFAULT);
	}
	return NULL;
}

static void truncating_under_load_is_survived(void **state)
{
	struct load l = {.r = *state};
	int fd = memory_file();
	pthread_t t[2];
	u64 good, refused;

	rig_map_file(l.r, BASE, fd, 0, LEN);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, dma_on, &l);
	for (int i = 0; i < 300; i++) {
		good = atomic_load(&l.good);
		refused = atomic_load(&l.refused);
		OK(ftruncate(fd, 0));
		while (i % 50 == 0 && atomic_load(&l.refused) == refused)
			sched_yield();
		OK(ftruncate(fd, LEN));
		OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE_SIZE, LEN / 2));
		while (i % 50 == 0 && atomic_load(&l.good) == good)
			sched_yield();
	}
	atomic_store(&l.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_true(atomic_load(&l.good) && atomic_load(&l.refused));
	rig_unmap(l.r, BASE, LEN);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_truncated_file_is_a_fault_and_comes_back),
		RIG_TEST(a_span_reads_zeros_and_is_recorded),
		RIG_TEST(a_fault_that_nobody_wants_is_not_recorded),
		RIG_TEST(truncating_under_load_is_survived),
	};

	if (argc > 1)
		rig_machine = argv[1];
	if (!copy_can_guard) {
		print_message("SKIP: copies cannot be guarded on this processor\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
