// SPDX-License-Identifier: MIT
/* IOMMU_HWPT_ALLOC, GET_HW_INFO, SET_DIRTY_TRACKING, GET_DIRTY_BITMAP. */
#include "fake_caller.h"

#define APERTURE 0x1000000ull

static long hwpt_alloc_cmd(struct bench *b, struct iommu_hwpt_alloc *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_HWPT_ALLOC, cmd, sizeof(*cmd));
}

static void alloc_errnos(void **state)
{
	struct bench *b = *state;
	struct iommu_hwpt_alloc cmd = {.__reserved = 1, .data_len = 4};
	u32 ioas = mk_ioas(b), stdev, idev, plain;

	assert_int_equal(mk_dev(b, ioas, 0, &stdev, NULL, &idev), 0);
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL); /* data without a type */
	cmd.data_len = 0;
	cmd.data_type = IOMMU_HWPT_DATA_SELFTEST;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL); /* a type without data */
	cmd.data_type = 0;
	cmd.flags = 1u << 31;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -ENOENT);
	cmd.dev_id = ioas;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -ENOENT);
	cmd.dev_id = idev;
	cmd.pt_id = 999;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL);
	cmd.pt_id = idev;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL);
	cmd.pt_id = ioas;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP);
	cmd.flags = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_FAULT_ID_VALID;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP);
	cmd.flags = IOMMU_HWPT_ALLOC_NEST_PARENT;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	assert_int_equal(destroy(b, cmd.out_hwpt_id), 0);
	cmd.flags = IOMMU_HWPT_ALLOC_PASID;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	assert_int_equal(destroy(b, cmd.out_hwpt_id), 0);
	cmd.flags = 0;
	check_reply_fault(b, IOMMU_HWPT_ALLOC, &cmd, sizeof(cmd));
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	plain = cmd.out_hwpt_id;
	assert_int_equal(destroy(b, plain), 0);
}

static void alloc_data(void **state)
{
	struct bench *b = *state;
	struct iommu_hwpt_selftest *data = room(b, 64);
	struct iommu_hwpt_alloc cmd = {.data_type = 1, .data_len = 8, .data_uptr = (u64)data};
	u32 ioas = mk_ioas(b), idev, objs;

	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, &idev), 0);
	cmd.dev_id = idev;
	cmd.pt_id = ioas;
	objs = nr_objs(b);
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP); /* another driver's type */
	cmd.data_type = IOMMU_HWPT_DATA_SELFTEST;
	cmd.data_len = 3;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL);
	cmd.data_len = 9;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EINVAL);
	cmd.data_len = 8;
	fake_hole(b->f, data, 8, true, false);
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EFAULT);
	fake_heal(b->f);
	data->pagetable_type = 7;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP);
	/* Only the first member: the second reads as zero. */
	cmd.data_len = 4;
	assert_int_equal(nr_objs(b), objs);
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	data->pagetable_type = MOCK_IOMMUPT_HUGE;
	cmd.data_len = 8;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	reset(b);
}

static void alloc_no_dirty(void **state)
{
	struct bench *b = *state;
	struct iommu_hwpt_alloc cmd = {.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING};
	u32 ioas = mk_ioas(b), idev, with;

	assert_int_equal(mk_dev(b, ioas, MOCK_FLAGS_DEVICE_NO_DIRTY, NULL, NULL, &idev), 0);
	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, &with), 0);
	cmd.pt_id = ioas;
	cmd.dev_id = idev;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), -EOPNOTSUPP);
	cmd.dev_id = with;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	/* A device that cannot track is refused by a table that does. */
	assert_int_equal(mk_dev(b, cmd.out_hwpt_id, MOCK_FLAGS_DEVICE_NO_DIRTY, NULL, NULL, NULL),
			 -EINVAL);
	assert_int_equal(mk_dev(b, cmd.out_hwpt_id, 0, NULL, NULL, NULL), 0);
}

static long hw_info(struct bench *b, struct iommu_hw_info *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_GET_HW_INFO, cmd, sizeof(*cmd));
}

static void info(void **state)
{
	struct bench *b = *state;
	struct iommu_test_hw_info *data = room(b, 64);
	struct iommu_hw_info cmd = {.flags = 2, .data_uptr = (u64)data, .data_len = 64};
	u32 ioas = mk_ioas(b), idev, pasid_dev, i;
	u8 *bytes = (u8 *)data;

	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, &idev), 0);
	assert_int_equal(mk_dev(b, ioas, MOCK_FLAGS_DEVICE_PASID | MOCK_FLAGS_DEVICE_NO_DIRTY, NULL,
				NULL, &pasid_dev), 0);
	assert_int_equal(hw_info(b, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	for (i = 0; i < 3; i++) {
		cmd.__reserved[i] = 1;
		assert_int_equal(hw_info(b, &cmd), -EOPNOTSUPP);
		cmd.__reserved[i] = 0;
	}
	assert_int_equal(hw_info(b, &cmd), -ENOENT);
	cmd.dev_id = idev;
	/* Without the flag what is asked for is not looked at. */
	cmd.in_data_type = 77;
	memset(data, 0x33, 64);
	assert_int_equal(hw_info(b, &cmd), 0);
	assert_int_equal(cmd.out_data_type, IOMMU_HW_INFO_TYPE_SELFTEST);
	assert_int_equal(cmd.data_len, sizeof(*data));
	assert_int_equal(cmd.out_max_pasid_log2, 0);
	assert_int_equal(cmd.out_capabilities,
			 IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	assert_int_equal(data->test_reg, IOMMU_HW_INFO_SELFTEST_REGVAL);
	for (i = sizeof(*data); i < 64; i++)
		assert_int_equal(bytes[i], 0);
	/* Less room than there is: what fits, and the true length. */
	memset(data, 0x33, 64);
	cmd.data_len = 4;
	assert_int_equal(hw_info(b, &cmd), 0);
	assert_int_equal(cmd.data_len, sizeof(*data));
	assert_int_equal(data->test_reg, 0x33333333);
	/* With the flag it is. */
	cmd.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	cmd.in_data_type = 77;
	assert_int_equal(hw_info(b, &cmd), -EOPNOTSUPP);
	cmd.in_data_type = IOMMU_HW_INFO_TYPE_SELFTEST;
	cmd.dev_id = pasid_dev;
	assert_int_equal(hw_info(b, &cmd), 0);
	assert_int_equal(cmd.out_max_pasid_log2, 20);
	assert_int_equal(cmd.out_capabilities, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	reset(b);
}

static void info_faults(void **state)
{
	struct bench *b = *state;
	u8 *data = room(b, 64);
	struct iommu_hw_info cmd = {.size = sizeof(cmd), .data_uptr = (u64)data, .data_len = 64};

	assert_int_equal(mk_dev(b, mk_ioas(b), 0, NULL, NULL, &cmd.dev_id), 0);
	fake_hole(b->f, data, 8, false, true);
	assert_int_equal(hw_info(b, &cmd), -EFAULT);
	fake_heal(b->f);
	fake_hole(b->f, data + 63, 1, false, true);
	assert_int_equal(hw_info(b, &cmd), -EFAULT);
	fake_heal(b->f);
	check_reply_fault(b, IOMMU_GET_HW_INFO, &cmd, sizeof(cmd));
	reset(b);
}

static long track(struct bench *b, u32 hwpt, u32 flags)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {.size = sizeof(cmd), .flags = flags,
						    .hwpt_id = hwpt, .__reserved = 0x55};

	return call(b, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd, sizeof(cmd));
}

static long bitmap(struct bench *b, struct iommu_hwpt_get_dirty_bitmap *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_HWPT_GET_DIRTY_BITMAP, cmd, sizeof(*cmd));
}

static long soil(struct bench *b, u32 hwpt, u64 iova, u64 len, u64 page, const void *bits,
		 u64 *out_nr)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DIRTY, .id = hwpt,
				     .dirty = {.iova = iova, .length = len, .page_size = page,
					       .uptr = (u64)bits}};
	long rc = test_cmd(b, &cmd);

	if (out_nr)
		*out_nr = cmd.dirty.out_nr_dirty;
	return rc;
}

/* A tracking table with BUF_LEN mapped at the aperture's start, in the smallest leaves there are. */
static u32 tracked(struct bench *b, u32 *out_plain)
{
	struct iommu_hwpt_alloc cmd = {.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING};
	u32 ioas = mk_ioas(b);
	struct iommu_option small = {.size = sizeof(small), .option_id = IOMMU_OPTION_HUGE_PAGES,
				     .op = IOMMU_OPTION_OP_SET, .object_id = ioas};

	assert_int_equal(call(b, IOMMU_OPTION, &small, sizeof(small)), 0);

	assert_int_equal(mk_dev(b, ioas, 0, NULL, out_plain, &cmd.dev_id), 0);
	cmd.pt_id = ioas;
	assert_int_equal(hwpt_alloc_cmd(b, &cmd), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, BUF_LEN, APERTURE), 0);
	return cmd.out_hwpt_id;
}

static void dirty_errnos(void **state)
{
	struct bench *b = *state;
	u32 plain, hwpt = tracked(b, &plain);
	u8 *bits = room(b, 4096);
	struct iommu_hwpt_get_dirty_bitmap cmd = {.flags = 2, .data = (u64)bits};

	assert_int_equal(track(b, 999, 2), -EOPNOTSUPP);
	assert_int_equal(track(b, 999, 1), -ENOENT);
	assert_int_equal(track(b, plain, 1), -EOPNOTSUPP);
	assert_int_equal(track(b, hwpt, 1), 0);
	assert_int_equal(track(b, hwpt, 1), 0);

	assert_int_equal(bitmap(b, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	cmd.__reserved = 1;
	assert_int_equal(bitmap(b, &cmd), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(bitmap(b, &cmd), -ENOENT);
	cmd.hwpt_id = hwpt;
	cmd.iova = UINT64_MAX - 2047;
	cmd.length = 4096;
	assert_int_equal(bitmap(b, &cmd), -EOVERFLOW);
	cmd.iova = APERTURE + 1;
	assert_int_equal(bitmap(b, &cmd), -EINVAL);
	cmd.iova = APERTURE;
	assert_int_equal(bitmap(b, &cmd), -EINVAL); /* page size 0 */
	cmd.page_size = 8192;
	assert_int_equal(bitmap(b, &cmd), -EINVAL);
	cmd.page_size = 2048;
	assert_int_equal(bitmap(b, &cmd), 0);
	cmd.hwpt_id = plain;
	assert_int_equal(bitmap(b, &cmd), -EOPNOTSUPP);

	assert_int_equal(soil(b, 999, 0, 0, 0, bits, NULL), -EINVAL);
	assert_int_equal(soil(b, 999, 1, 4096, 2048, bits, NULL), -EINVAL);
	assert_int_equal(soil(b, 999, 0, 4096, 2048, NULL, NULL), -EINVAL);
	assert_int_equal(soil(b, 999, 0, 1ull << 62, 2, bits, NULL), -EOVERFLOW);
	assert_int_equal(soil(b, 999, 0, 4096, 2048, bits, NULL), -ENOENT);
	assert_int_equal(soil(b, plain, 0, 4096, 2048, bits, NULL), -EINVAL);
	assert_int_equal(track(b, hwpt, 0), 0);
	assert_int_equal(soil(b, hwpt, APERTURE, 4096, 2048, bits, NULL), -EINVAL);
	reset(b);
}

#define NR_BITS (BUF_LEN / MOCK_PAGE_SIZE)

/* Set bits come back, the others in the program's bitmap stay what they were. */
static void dirty_bits(void **state)
{
	struct bench *b = *state;
	u32 hwpt = tracked(b, NULL), i;
	u8 *in = room(b, NR_BITS / 8), *out = room(b, NR_BITS / 8 + 16), *at;
	u64 nr;
	struct iommu_hwpt_get_dirty_bitmap cmd = {.hwpt_id = hwpt, .iova = APERTURE,
						  .length = BUF_LEN, .page_size = MOCK_PAGE_SIZE};

	assert_int_equal(track(b, hwpt, 1), 0);
	for (i = 0; i < NR_BITS; i += 3)
		in[i / 8] |= 1u << (i % 8);
	assert_int_equal(soil(b, hwpt, APERTURE, BUF_LEN, MOCK_PAGE_SIZE, in, &nr), 0);
	assert_int_equal(nr, (NR_BITS + 2) / 3);
	/* First without clearing, to an odd address. */
	at = out + 3;
	memset(out, 0x80, NR_BITS / 8 + 16);
	cmd.data = (u64)at;
	cmd.flags = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
	assert_int_equal(bitmap(b, &cmd), 0);
	for (i = 0; i < NR_BITS / 8; i++)
		assert_int_equal(at[i], in[i] | 0x80);
	assert_int_equal(at[-1], 0x80);
	assert_int_equal(at[NR_BITS / 8], 0x80);
	/* Then clearing; then there is nothing left. */
	memset(out, 0, NR_BITS / 8 + 16);
	cmd.flags = 0;
	assert_int_equal(bitmap(b, &cmd), 0);
	assert_memory_equal(at, in, NR_BITS / 8);
	memset(out, 0x5a, NR_BITS / 8 + 16);
	assert_int_equal(bitmap(b, &cmd), 0);
	for (i = 0; i < NR_BITS / 8; i++)
		assert_int_equal(at[i], 0x5a);
	reset(b);
}

/* A bitmap that cannot be written is success, as on Linux; the pages that can be get their bits. */
static void dirty_fault(void **state)
{
	struct bench *b = *state;
	u32 hwpt = tracked(b, NULL);
	u8 *page, *at, *in;
	struct iommu_hwpt_get_dirty_bitmap cmd = {.hwpt_id = hwpt, .iova = APERTURE,
						  .length = BUF_LEN, .page_size = MOCK_PAGE_SIZE};

	in = room(b, NR_BITS / 8);
	page = (u8 *)align_up((u64)room(b, 16384), 4096) + 4096;
	at = page - NR_BITS / 16;
	cmd.data = (u64)at;
	assert_int_equal(track(b, hwpt, 1), 0);
	memset(in, 0xff, NR_BITS / 8);
	assert_int_equal(soil(b, hwpt, APERTURE, BUF_LEN, MOCK_PAGE_SIZE, in, NULL), 0);
	fake_hole(b->f, page, 4096, true, true);
	assert_int_equal(bitmap(b, &cmd), 0);
	fake_heal(b->f);
	assert_memory_equal(at, in, NR_BITS / 16);
	assert_int_equal(page[0], 0);
	/* The dirty bits are gone all the same. */
	assert_int_equal(bitmap(b, &cmd), 0);
	assert_int_equal(page[0], 0);
	/* The same where only the queue's flush finds out. */
	assert_int_equal(soil(b, hwpt, APERTURE, BUF_LEN, MOCK_PAGE_SIZE, in, NULL), 0);
	memset(at, 0, NR_BITS / 8);
	fake_hole(b->f, at, NR_BITS / 16, false, true);
	assert_int_equal(bitmap(b, &cmd), 0);
	assert_int_equal(at[0], 0);
	assert_memory_equal(page, in, NR_BITS / 16);
	reset(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(alloc_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(alloc_data, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(alloc_no_dirty, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(info, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(info_faults, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(dirty_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(dirty_bits, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(dirty_fault, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
