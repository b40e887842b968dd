// SPDX-License-Identifier: MIT
/* Numbers, sizes and tails of every request, by the dispatcher's own table. */
#include "fake_caller.h"

#include "uapi/iommufd.h"

#define GUARD 0x77

/* One request of @size bytes' claim, all other bytes zero up to @room_len, then guard bytes. */
static long sized_call(struct bench *b, unsigned num, u32 size, size_t room_len, int dirty_at)
{
	size_t mark = b->f->used;
	u8 *p = room(b, room_len);
	long rc;

	memcpy(p, &size, sizeof(size));
	if (dirty_at >= 0)
		p[dirty_at] = 1;
	rc = fake_ioctl(b->f, b->file, num, p);
	b->f->used = mark;
	return rc;
}

static void table_is_whole(void **state)
{
	unsigned i, rows = 0;

	for (i = 0; i < nr_cmd_ops; i++) {
		if (!cmd_ops[i].num)
			continue;
		rows++;
		assert_int_equal(_IOC_NR(cmd_ops[i].num) - IOMMUFD_CMD_BASE, i);
		assert_true(cmd_ops[i].min_size >= 8 && cmd_ops[i].min_size <= cmd_ops[i].size);
		assert_true(cmd_ops[i].size <= sizeof(union cmd_buffer));
		assert_non_null(cmd_ops[i].execute);
	}
	assert_int_equal(rows, 22);
}

static void cmd_length(void **state)
{
	struct bench *b = *state;
	const struct cmd_op *op;
	long exact;
	unsigned i;

	for (i = 0; i < nr_cmd_ops; i++) {
		op = &cmd_ops[i];
		if (!op->num)
			continue;
		assert_int_equal(sized_call(b, op->num, op->min_size - 1, op->size, -1), -EINVAL);
		assert_int_equal(sized_call(b, op->num, 0, op->size, -1), -EINVAL);
		assert_int_equal(sized_call(b, op->num, op->size + 1, op->size + 1, op->size),
				 -E2BIG);
		exact = sized_call(b, op->num, op->size, op->size, -1);
		assert_int_not_equal(exact, -E2BIG);
		assert_int_equal(sized_call(b, op->num, op->size + 1, op->size + 1, -1), exact);
		assert_int_equal(sized_call(b, op->num, op->size + 9000, op->size + 9000, -1),
				 exact);
		assert_int_equal(sized_call(b, op->num, op->min_size, op->size, -1), exact);
	}
}

/* What lies in the program beyond a short struct is not looked at and not written. */
static void short_struct(void **state)
{
	struct bench *b = *state;
	u8 *p = room(b, sizeof(struct iommu_hwpt_alloc));
	struct iommu_hwpt_alloc *cmd = (void *)p;
	u32 ioas = mk_ioas(b), idev, min_size = offsetofend(struct iommu_hwpt_alloc, __reserved);

	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, &idev), 0);
	memset(p, GUARD, sizeof(*cmd));
	*cmd = (struct iommu_hwpt_alloc){.size = min_size, .dev_id = idev, .pt_id = ioas};
	memset(p + min_size, GUARD, sizeof(*cmd) - min_size);
	fake_hole(b->f, p + min_size, sizeof(*cmd) - min_size, true, true);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_HWPT_ALLOC, p), 0);
	assert_int_not_equal(cmd->out_hwpt_id, 0);
	assert_int_equal(p[min_size], GUARD);
	reset(b);
}

static void order_of_size_checks(void **state)
{
	struct bench *b = *state;
	u32 *p = room(b, 16384);
	u8 *page;

	/* The size word itself. */
	fake_hole(b->f, p, 4, true, false);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EFAULT);
	fake_heal(b->f);
	/* Too small comes before the rest is read. */
	p[0] = 8;
	fake_hole(b->f, p + 1, 8, true, false);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EINVAL);
	p[0] = 12;
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EFAULT);
	/* The tail is looked at before the body. */
	p[0] = 16;
	p[3] = 1;
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -E2BIG);
	p[3] = 0;
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EFAULT);
	fake_heal(b->f);
	/* A byte before a hole in the tail counts before the hole does, and the other way round. */
	page = (u8 *)align_up((u64)p + 12, 4096);
	p[0] = 12288;
	fake_hole(b->f, page + 4096, 4096, true, false);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EFAULT);
	page[100] = 1;
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -E2BIG);
	page[100] = 0;
	fake_heal(b->f);
	/* A struct that runs off the end of what the program has. */
	p[0] = UINT32_MAX;
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_ALLOC, p), -EFAULT);
	reset(b);
}

static void numbers(void **state)
{
	struct bench *b = *state;
	u32 *p = room(b, 64);
	unsigned nr;

	p[0] = 64;
	for (nr = 0; nr < 256; nr++) {
		unsigned num = _IO(IOMMUFD_TYPE, nr);
		bool inside = nr >= 0x80 && nr <= 0xa0;
		bool row = inside && cmd_ops[nr - 0x80].num;

		/* Only numbers of the table cost a fetch: the others never see the memory. */
		fake_hole(b->f, p, 4, true, false);
		assert_int_equal(fake_ioctl(b->f, b->file, num, p), inside ? -EFAULT : -ENOTTY);
		fake_heal(b->f);
		if (!row)
			assert_int_equal(fake_ioctl(b->f, b->file, num, p), -ENOTTY);
		/* Direction, size and type bits are part of the number. */
		assert_int_equal(fake_ioctl(b->f, b->file, _IOWR(IOMMUFD_TYPE, nr, u64), p),
				 -ENOTTY);
		assert_int_equal(fake_ioctl(b->f, b->file, _IO('x', nr), p), -ENOTTY);
	}
	reset(b);
}

static void no_test_ops_elsewhere(void **state)
{
	struct bench b;
	struct iommu_test_cmd cmd = {.size = sizeof(cmd), .op = IOMMU_TEST_OP_MOCK_DOMAIN};
	u32 *p;

	bench_start(&b, "intel");
	assert_int_equal(test_cmd(&b, &cmd), -ENOTTY);
	p = room(&b, 8);
	fake_hole(b.f, p, 8, true, false);
	assert_int_equal(fake_ioctl(b.f, b.file, _IO(IOMMUFD_TYPE, 0x95), p), -ENOTTY);
	assert_int_equal(fake_ioctl(b.f, b.file, IOMMU_TEST_CMD, p), -ENOTTY);
	assert_int_equal(fake_ioctl(b.f, b.file, IOMMU_HW_QUEUE_ALLOC, p), -EFAULT);
	reset(&b);
	mk_ioas(&b);
	bench_stop(&b);
}

static void later_commands(void **state)
{
	static const unsigned nums[] = {IOMMU_VFIO_IOAS, IOMMU_HWPT_INVALIDATE,
					IOMMU_FAULT_QUEUE_ALLOC, IOMMU_VIOMMU_ALLOC,
					IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC,
					IOMMU_HW_QUEUE_ALLOC};
	struct bench *b = *state;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(nums); i++)
		assert_int_equal(sized_call(b, nums[i], 64, 64, -1), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_whole),
		cmocka_unit_test_setup_teardown(cmd_length, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(short_struct, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(order_of_size_checks, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(numbers, bench_up, bench_down),
		cmocka_unit_test(no_test_ops_elsewhere),
		cmocka_unit_test_setup_teardown(later_commands, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
