// SPDX-License-Identifier: MIT
/* IOMMU_IOAS_MAP, MAP_FILE, COPY, UNMAP, CHANGE_PROCESS: errno by errno in Linux's order. */
#include "fake_caller.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIXED IOMMU_IOAS_MAP_FIXED_IOVA
#define APERTURE 0x1000000ull /* the mock's first IOVA */

static void map_shape(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_map cmd = {.size = sizeof(cmd), .flags = 8, .__reserved = 1,
				     .length = UINT64_MAX, .ioas_id = 99};

	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	cmd.flags = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EOVERFLOW);
	cmd.length = 0;
	cmd.iova = UINT64_MAX;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EOVERFLOW);
	cmd.iova = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EINVAL);
	cmd.flags = FIXED;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -EINVAL);
	cmd.flags = MAP_RW;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd)), -ENOENT);
}

static void map_ranges(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b);
	u64 iova = 0;

	assert_int_equal(map(b, ioas, (void *)-4096, 8192, &iova, MAP_RW), -EOVERFLOW);
	assert_int_equal(map(b, ioas, b->buf, 0, &iova, MAP_RW), -EINVAL);
	assert_int_equal(map(b, ioas, b->buf, UINT64_MAX - 4095, &iova, MAP_RW), -EOVERFLOW);
	assert_int_equal(map(b, ioas, NULL, UINT64_MAX - 4094, &iova, MAP_RW), -EINVAL);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, UINT64_MAX - 4095), -EOVERFLOW);
	assert_int_equal(nr_objs(b), 1);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x10000), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x11000), -EEXIST);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x12000), 0);
	/* Chosen for us: never 0, and what we said is not looked at. */
	iova = 0x10000;
	assert_int_equal(map(b, ioas, b->buf, 4096, &iova, MAP_RW), 0);
	assert_int_not_equal(iova, 0);
	assert_int_not_equal(iova, 0x10000);
	assert_int_equal(iova % 4096, 0);
	/* Without a device any byte may be mapped, and a range of nothing is found at use only. */
	assert_int_equal(map_fixed(b, ioas, b->buf + 3, 5, 0x20001), 0);
	assert_int_equal(map_fixed(b, ioas, (void *)8192, 4096, 0x30000), 0);
	/* The last byte of all is not reachable by MAP; the one before it is. */
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, UINT64_MAX - 4095), 0);
}

static void map_reply_fault(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_map *cmd = room(b, sizeof(*cmd));
	u64 len = UINT64_MAX;
	u32 ioas = mk_ioas(b);

	*cmd = (struct iommu_ioas_map){.size = sizeof(*cmd), .flags = MAP_RW | FIXED,
				       .ioas_id = ioas, .user_va = (u64)b->buf, .length = 4096,
				       .iova = 0x10000};
	fake_hole(b->f, cmd, sizeof(*cmd), false, true);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_IOAS_MAP, cmd), -EFAULT);
	fake_heal(b->f);
	/* As on Linux the mapping stands: only objects go with their reply. */
	assert_int_equal(unmap(b, ioas, 0, &len), 0);
	assert_int_equal(len, 4096);
	reset(b);
}

static void map_with_device(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd)};
	struct iommu_iova_range *v = room(b, 4 * sizeof(*v));
	u32 ioas = mk_ioas(b), stdev;
	u64 iova = 0;

	assert_int_equal(mk_dev(b, ioas, 0, &stdev, NULL, NULL), 0);
	cmd.ioas_id = ioas;
	cmd.num_iovas = 4;
	cmd.allowed_iovas = (u64)v;
	assert_int_equal(call(b, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof(cmd)), 0);
	assert_int_equal(cmd.num_iovas, 1);
	assert_int_equal(cmd.out_iova_alignment, MOCK_PAGE_SIZE);
	assert_int_equal(v[0].start, MOCK_APERTURE_START);
	assert_int_equal(v[0].last, MOCK_APERTURE_LAST);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x10000), -EINVAL);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, APERTURE + 1), -EINVAL);
	assert_int_equal(map_fixed(b, ioas, b->buf, 2047, APERTURE), -EINVAL);
	assert_int_equal(map_fixed(b, ioas, b->buf + 1, 4096, APERTURE), -EINVAL);
	assert_int_equal(map_fixed(b, ioas, NULL, 4096, APERTURE), -EFAULT);
	assert_int_equal(map_fixed(b, ioas, b->buf + 2048, 2048, APERTURE), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, MOCK_APERTURE_LAST - 4095), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, (u64)MOCK_APERTURE_LAST + 1), -EINVAL);
	assert_int_equal(map(b, ioas, b->buf, 4096, &iova, MAP_RW), 0);
	assert_true(iova >= MOCK_APERTURE_START && iova <= MOCK_APERTURE_LAST);
	iova = 0;
	assert_int_equal(map(b, ioas, b->buf, 1ull << 33, &iova, MAP_RW), -ENOSPC);
	assert_int_equal(destroy(b, stdev), 0);
	reset(b);
}

static void unmap_errnos(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b);
	u64 len = 0;

	assert_int_equal(unmap(b, 99, 0, &len), -ENOENT);
	assert_int_equal(unmap(b, ioas, 0, &len), -EINVAL);
	assert_int_equal(unmap(b, ioas, UINT64_MAX, &len), -EOVERFLOW);
	len = UINT64_MAX;
	assert_int_equal(unmap(b, ioas, 1, &len), -EOVERFLOW);
	len = 8192;
	assert_int_equal(unmap(b, ioas, UINT64_MAX - 4095, &len), -EOVERFLOW);
	len = 4096;
	assert_int_equal(unmap(b, ioas, 0x10000, &len), -ENOENT);
	assert_int_equal(len, 4096);
	/* Everything of nothing is fine. */
	len = UINT64_MAX;
	assert_int_equal(unmap(b, ioas, 0, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x10000), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x14000), 0);
	len = 4096;
	assert_int_equal(unmap(b, ioas, 0x10000, &len), -ENOENT);
	assert_int_equal(unmap(b, ioas, 0x11000, &len), -ENOENT);
	len = 0x100000;
	assert_int_equal(unmap(b, ioas, 0, &len), 0);
	assert_int_equal(len, 16384);
}

static long copy(struct bench *b, struct iommu_ioas_copy *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_IOAS_COPY, cmd, sizeof(*cmd));
}

static void copy_errnos(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_copy cmd = {.flags = 8, .length = UINT64_MAX};
	u32 src, dst;

	assert_int_equal(copy(b, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	assert_int_equal(copy(b, &cmd), -EOVERFLOW);
	cmd = (struct iommu_ioas_copy){.src_iova = UINT64_MAX};
	assert_int_equal(copy(b, &cmd), -EOVERFLOW);
	cmd = (struct iommu_ioas_copy){.dst_iova = UINT64_MAX};
	assert_int_equal(copy(b, &cmd), -EOVERFLOW);
	cmd = (struct iommu_ioas_copy){.flags = 0};
	assert_int_equal(copy(b, &cmd), -EINVAL);
	cmd.flags = MAP_RW | FIXED;
	assert_int_equal(copy(b, &cmd), -ENOENT);
	src = mk_ioas(b);
	dst = mk_ioas(b);
	cmd.src_ioas_id = src;
	/* The source's range comes before the destination's id. */
	assert_int_equal(copy(b, &cmd), -EINVAL);
	cmd.length = 4096;
	cmd.src_iova = UINT64_MAX - 4094;
	assert_int_equal(copy(b, &cmd), -EOVERFLOW);
	cmd.src_iova = 0x10000;
	assert_int_equal(copy(b, &cmd), -ENOENT);
	assert_int_equal(map_fixed(b, src, b->buf, 8192, 0x10000), 0);
	assert_int_equal(copy(b, &cmd), -ENOENT);
	cmd.dst_ioas_id = dst;
	cmd.dst_iova = 0x50000;
	assert_int_equal(copy(b, &cmd), 0);
	assert_int_equal(copy(b, &cmd), -EEXIST);
	/* A hole in the source. */
	cmd.length = 0x4000;
	cmd.dst_iova = 0x60000;
	assert_int_equal(copy(b, &cmd), -ENOENT);
	/* Onto itself, across two areas. */
	assert_int_equal(map_fixed(b, src, b->buf, 8192, 0x12000), 0);
	cmd.dst_ioas_id = src;
	assert_int_equal(copy(b, &cmd), 0);
	cmd.flags = MAP_RW;
	cmd.dst_iova = 0;
	assert_int_equal(copy(b, &cmd), 0);
	assert_int_not_equal(cmd.dst_iova, 0);
}

static void copy_perm(void **state)
{
	struct bench *b = *state;
	u32 src = mk_ioas(b), dst = mk_ioas(b);
	struct iommu_ioas_copy cmd = {.flags = MAP_RW | FIXED, .src_ioas_id = src,
				      .dst_ioas_id = dst, .length = 4096, .src_iova = 0x10000,
				      .dst_iova = 0x10000};
	u64 iova = 0x10000;

	assert_int_equal(map(b, src, b->buf, 4096, &iova, IOMMU_IOAS_MAP_READABLE | FIXED), 0);
	assert_int_equal(copy(b, &cmd), -EPERM);
	cmd.flags = IOMMU_IOAS_MAP_READABLE | FIXED;
	assert_int_equal(copy(b, &cmd), 0);
}

static long map_file(struct bench *b, u32 ioas, int fd, u64 start, u64 len)
{
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = MAP_RW, .ioas_id = ioas,
					  .fd = fd, .start = start, .length = len};

	return call(b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd));
}

static void file_errnos(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = 8, .fd = -1,
					  .length = UINT64_MAX};
	u32 ioas = mk_ioas(b);
	int fd = memfd_create("x", MFD_CLOEXEC), path, ours;

	assert_int_equal(call(b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	cmd.flags = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd)), -EOVERFLOW);
	cmd.length = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd)), -EINVAL);
	assert_int_equal(map_file(b, 99, fd, 0, 0), -ENOENT);
	assert_int_equal(map_file(b, ioas, 999, 0, 0), -EINVAL);
	assert_int_equal(map_file(b, ioas, 999, UINT64_MAX, 2), -EOVERFLOW);
	assert_int_equal(map_file(b, ioas, 999, 0, 4096), -EBADF);
	assert_int_equal(map_file(b, ioas, -1, 0, 4096), -EBADF);
	path = open("/", O_PATH | O_CLOEXEC);
	assert_int_equal(map_file(b, ioas, path, 0, 4096), -EBADF);
	close(path);
	assert_int_equal(ftruncate(fd, 16384), 0);
	assert_int_equal(map_file(b, ioas, fd, 4096, 8192), 0);
	/* One of our own nodes has no pages. */
	ours = b->f->c.ops->fd_install(&b->f->c, file_get(b->file), true);
	assert_int_equal(map_file(b, ioas, ours, 0, 4096), -EINVAL);
	fake_close(b->f, ours);
	close(fd);
}

static void change_process(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_change_process cmd = {.size = sizeof(cmd), .__reserved = 1};
	u32 ioas = mk_ioas(b);
	int fd = memfd_create("x", MFD_CLOEXEC);
	u64 len = UINT64_MAX;

	assert_int_equal(call(b, IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(call(b, IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd)), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(map_file(b, ioas, fd, 0, 4096), 0);
	assert_int_equal(call(b, IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd)), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, 0x100000000), 0);
	assert_int_equal(call(b, IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd)), -EINVAL);
	assert_int_equal(unmap(b, ioas, 0, &len), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(map_shape, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(map_ranges, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(map_reply_fault, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(map_with_device, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(unmap_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(copy_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(copy_perm, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(file_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(change_process, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
