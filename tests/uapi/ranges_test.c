// SPDX-License-Identifier: MIT
/* IOMMU_IOAS_IOVA_RANGES and IOMMU_IOAS_ALLOW_IOVAS. */
#include "fake_caller.h"

static long ranges(struct bench *b, struct iommu_ioas_iova_ranges *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_IOAS_IOVA_RANGES, cmd, sizeof(*cmd));
}

static long allow(struct bench *b, u32 ioas, const struct iommu_iova_range *v, u32 nr)
{
	struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .ioas_id = ioas, .num_iovas = nr,
					     .allowed_iovas = (u64)v};

	return call(b, IOMMU_IOAS_ALLOW_IOVAS, &cmd, sizeof(cmd));
}

static long reserve(struct bench *b, u32 ioas, u64 start, u64 len)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ADD_RESERVED, .id = ioas,
				     .add_reserved = {.start = start, .length = len}};

	return test_cmd(b, &cmd);
}

static void ranges_shape(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_iova_ranges cmd = {.__reserved = 1};

	assert_int_equal(ranges(b, &cmd), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(ranges(b, &cmd), -ENOENT);
}

static void ranges_count(void **state)
{
	struct bench *b = *state;
	struct iommu_iova_range *v = room(b, 4 * sizeof(*v));
	u32 ioas = mk_ioas(b);
	struct iommu_ioas_iova_ranges cmd = {.ioas_id = ioas, .allowed_iovas = (u64)v,
					     .num_iovas = 4};

	assert_int_equal(ranges(b, &cmd), 0);
	assert_int_equal(cmd.num_iovas, 1);
	assert_int_equal(cmd.out_iova_alignment, 1);
	assert_int_equal(v[0].start, 0);
	assert_int_equal(v[0].last, UINT64_MAX);

	assert_int_equal(reserve(b, ioas, 4096, 4096), 0);
	memset(v, 0x11, 4 * sizeof(*v));
	cmd.num_iovas = 1;
	cmd.out_iova_alignment = 0;
	assert_int_equal(ranges(b, &cmd), -EMSGSIZE);
	assert_int_equal(cmd.num_iovas, 2);
	assert_int_equal(cmd.out_iova_alignment, 1);
	assert_int_equal(v[0].start, 0);
	assert_int_equal(v[0].last, 4095);
	assert_int_equal(v[1].start, 0x1111111111111111);
	/* No room at all: the count comes back, the array is not touched. */
	cmd.num_iovas = 0;
	cmd.allowed_iovas = 0;
	assert_int_equal(ranges(b, &cmd), -EMSGSIZE);
	assert_int_equal(cmd.num_iovas, 2);
	cmd.allowed_iovas = (u64)v;
	assert_int_equal(ranges(b, &cmd), 0);
	assert_int_equal(v[1].start, 8192);
	assert_int_equal(v[1].last, UINT64_MAX);
}

static void ranges_faults(void **state)
{
	struct bench *b = *state;
	struct iommu_iova_range *v = room(b, sizeof(*v));
	struct iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd), .ioas_id = mk_ioas(b),
					     .allowed_iovas = (u64)v, .num_iovas = 1};

	fake_hole(b->f, v, sizeof(*v), false, true);
	assert_int_equal(ranges(b, &cmd), -EFAULT);
	assert_int_equal(cmd.num_iovas, 1);
	fake_heal(b->f);
	check_reply_fault(b, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof(cmd));
	/* Where the count would be -EMSGSIZE, a reply that does not arrive is -EFAULT all the same. */
	cmd.num_iovas = 0;
	check_reply_fault(b, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof(cmd));
	reset(b);
}

static void allow_errnos(void **state)
{
	struct bench *b = *state;
	struct iommu_iova_range *v = room(b, 600 * sizeof(*v));
	struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .__reserved = 1};
	u32 ioas, i;

	assert_int_equal(call(b, IOMMU_IOAS_ALLOW_IOVAS, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(call(b, IOMMU_IOAS_ALLOW_IOVAS, &cmd, sizeof(cmd)), -ENOENT);
	ioas = mk_ioas(b);
	v[0] = (struct iommu_iova_range){8192, 8192};
	assert_int_equal(allow(b, ioas, v, 1), -EINVAL);
	v[0] = (struct iommu_iova_range){8192, 4096};
	assert_int_equal(allow(b, ioas, v, 1), -EINVAL);
	v[0] = (struct iommu_iova_range){4096, 8191};
	v[1] = (struct iommu_iova_range){8191, 12287};
	assert_int_equal(allow(b, ioas, v, 2), -EINVAL);
	v[1].start = 8192;
	assert_int_equal(allow(b, ioas, v, 2), 0);
	/* Reserving what is allowed, and allowing what is reserved. */
	assert_int_equal(reserve(b, ioas, 4096, 4096), -EADDRINUSE);
	assert_int_equal(reserve(b, ioas, 0, 4096), 0);
	v[2] = (struct iommu_iova_range){0, 4095};
	assert_int_equal(allow(b, ioas, v, 3), -EADDRINUSE);
	/* The old set stands after a refusal; an empty set replaces it. */
	assert_int_equal(reserve(b, ioas, 8192, 4096), -EADDRINUSE);
	assert_int_equal(allow(b, ioas, NULL, 0), 0);
	assert_int_equal(reserve(b, ioas, 8192, 4096), 0);
	/* More than a page of them. */
	for (i = 0; i < 600; i++)
		v[i] = (struct iommu_iova_range){0x100000 + i * 4096, 0x100000 + i * 4096 + 4095};
	assert_int_equal(allow(b, ioas, v, 600), 0);
	reset(b);
}

/* A bad range before a hole is what counts; after it, the hole is. */
static void allow_faults(void **state)
{
	struct bench *b = *state;
	static const struct iommu_iova_range pair[] = {{0x10000, 0x10fff}, {0x20000, 0x20fff}};
	u32 ioas = mk_ioas(b), i;
	struct iommu_iova_range *v;
	u8 *page;

	room(b, 64);
	page = (u8 *)align_up((u64)room(b, 16384), 4096) + 4096;
	v = (void *)(page - 2 * sizeof(*v));
	v[0] = (struct iommu_iova_range){0, 4095};
	v[1] = (struct iommu_iova_range){1, 1};
	fake_hole(b->f, page, 4096, true, false);
	assert_int_equal(allow(b, ioas, v, 3), -EINVAL);
	v[1] = (struct iommu_iova_range){4096, 8191};
	assert_int_equal(allow(b, ioas, v, 3), -EFAULT);
	fake_heal(b->f);
	/* Nothing of a set that could not be read is in force. */
	assert_int_equal(reserve(b, ioas, 0, 4096), 0);
	/* Every place a range can lie across the end of a page. */
	for (i = 1; i < 16; i++) {
		memcpy(page - i, pair, sizeof(pair));
		assert_int_equal(allow(b, ioas, (void *)(page - i), 2), 0);
	}
	reset(b);
}

static void reserve_errnos(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b);

	assert_int_equal(reserve(b, 777, 0, 0), -EINVAL);
	assert_int_equal(reserve(b, 777, UINT64_MAX, 2), -EOVERFLOW);
	assert_int_equal(reserve(b, 777, 0, 4096), -ENOENT);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x10000), 0);
	assert_int_equal(reserve(b, ioas, 0x10000, 1), -EADDRINUSE);
	assert_int_equal(reserve(b, ioas, 0x11000, 0x1000), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x11000), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ranges_shape, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(ranges_count, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(ranges_faults, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(allow_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(allow_faults, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(reserve_errnos, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
