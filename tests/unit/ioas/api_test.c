/* SPDX-License-Identifier: MIT */
/* The public functions of include/ioasis/ioas.h, on a whole instance. */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "ioasis/dma.h"
#include "ioasis/ioas.h"
#include "ioasis/ioasis.h"

static u8 mem[4 * PAGE_SIZE] __attribute__((aligned(4096)));

static void a_device_model(void **state)
{
	const struct ioasis_args args = {
		.size = sizeof(args), .flags = IOASIS_NO_DEVICES, .machine = *state};
	struct ioasis_map_args map = {.size = sizeof(map),
				      .perm = IOASIS_R | IOASIS_W,
				      .host = mem,
				      .len = sizeof(mem)};
	struct ioasis_ioas *ioas, *other;
	struct ioasis_ctx *ctx;
	struct ioasis_dev *dev;
	struct ioasis *io;
	u64 iova = 1, at = 1, len = 1;
	u8 buf[16];
	int fd = memfd_create("api", MFD_CLOEXEC);

	memset(mem, 0x11, sizeof(mem));
	assert_int_equal(ftruncate(fd, 2 * PAGE_SIZE), 0);
	assert_int_equal(ioasis_new(&args, &io), 0);
	assert_int_equal(ioasis_dev_new(io, 0x10, &dev), 0);
	assert_int_equal(ioasis_ctx_new(io, &ctx), 0);
	assert_int_equal(ioasis_dev_bind(ctx, dev), 0);
	assert_int_equal(ioasis_ioas_new(ctx, &ioas), 0);
	assert_int_equal(ioasis_ioas_new(ctx, &other), 0);
	assert_int_equal(ioasis_dma_read(dev, 0x1000000, buf, sizeof(buf)), -EFAULT);
	/* First, so that IOVAs are chosen where the device reaches. */
	assert_int_equal(ioasis_dev_attach(dev, ioas), 0);
	map.flags = 2;
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), -EINVAL);
	map.flags = 0;
	map.perm = 0;
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), -EINVAL);
	map.perm = 4;
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), -EINVAL);
	map.perm = IOASIS_R | IOASIS_W;
	map.size--;
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), -EINVAL);
	map.size++;
	map.len = 0;
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), -EINVAL);
	assert_int_equal(iova, 1);
	map.len = sizeof(mem);
	assert_int_equal(ioasis_ioas_map(ioas, &map, &iova), 0);
	map.len = 2 * PAGE_SIZE;
	assert_int_equal(ioasis_ioas_map_file(ioas, &map, -1, 0, &at), -EBADF);
	assert_int_equal(ioasis_ioas_map_file(ioas, &map, fd, UINT64_MAX, &at), -EOVERFLOW);
	assert_int_equal(ioasis_ioas_map_file(ioas, &map, fd, 0, &at), 0);
	assert_int_equal(ioasis_dma_read(dev, iova + 5, buf, sizeof(buf)), 0);
	assert_int_equal(buf[15], 0x11);
	memset(buf, 0x22, sizeof(buf));
	assert_int_equal(ioasis_dma_write(dev, iova + PAGE_SIZE - 8, buf, sizeof(buf)), 0);
	assert_int_equal(mem[PAGE_SIZE - 8], 0x22);
	assert_int_equal(mem[PAGE_SIZE + 7], 0x22);
	assert_int_equal(mem[PAGE_SIZE + 8], 0x11);
	assert_int_equal(ioasis_dma_write(dev, at, "file", 4), 0);
	assert_int_equal(pread(fd, buf, 4, 0), 4);
	assert_memory_equal(buf, "file", 4);
	assert_int_equal(ioasis_ioas_destroy(ioas), -EBUSY);
	assert_int_equal(ioasis_ioas_unmap(ioas, iova, PAGE_SIZE, &len), -ENOENT);
	assert_int_equal(ioasis_ioas_unmap(ioas, iova, 0, &len), -EINVAL);
	assert_int_equal(ioasis_ioas_unmap(ioas, iova, UINT64_MAX, &len), -EOVERFLOW);
	assert_int_equal(len, 1);
	assert_int_equal(ioasis_ioas_unmap(ioas, iova, sizeof(mem), &len), 0);
	assert_int_equal(len, sizeof(mem));
	assert_int_equal(ioasis_dma_write(dev, iova, buf, 1), -EFAULT);
	assert_int_equal(mem[0], 0x11);
	assert_int_equal(ioasis_ioas_unmap(ioas, iova, sizeof(mem), NULL), -ENOENT);
	assert_int_equal(ioasis_dev_attach(dev, other), 0);
	assert_int_equal(ioasis_dma_write(dev, at, buf, 1), -EFAULT);
	assert_int_equal(ioasis_ioas_destroy(ioas), 0);
	/* Closing it detaches and unbinds the device. */
	ioasis_ctx_free(ctx);
	assert_int_equal(ioasis_dma_write(dev, at, buf, 1), -EFAULT);
	ioasis_ctx_free(NULL);
	ioasis_dev_free(dev);
	ioasis_free(io);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(a_device_model, "intel"),
		cmocka_unit_test_prestate(a_device_model, "mock"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
