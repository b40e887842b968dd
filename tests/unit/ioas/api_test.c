/* SPDX-License-Identifier: MIT */
/* The public functions of include/ioasis/ioas.h, on a whole instance. */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "ioasis/dma.h"
#include "ioasis/ioas.h"
#include "ioasis/ioasis.h"

static u8 mem[4 * PAGE_SIZE] __attribute__((aligned(4096)));

struct model {
	struct ioasis *io;
	struct ioasis_ctx *ctx;
	struct ioasis_dev *dev;
	struct ioasis_ioas *ioas, *other;
	int fd;
	u64 iova, at; /* of mem; of the file */
};

static void start(struct model *m, const char *machine)
{
	const struct ioasis_args args = {
		.size = sizeof(args), .flags = IOASIS_NO_DEVICES, .machine = machine};
	u8 byte;

	*m = (struct model){.fd = memfd_create("api", MFD_CLOEXEC), .iova = 1, .at = 1};
	memset(mem, 0x11, sizeof(mem));
	assert_int_equal(ftruncate(m->fd, 2 * PAGE_SIZE), 0);
	assert_int_equal(ioasis_new(&args, &m->io), 0);
	assert_int_equal(ioasis_dev_new(m->io, 0x10, &m->dev), 0);
	assert_int_equal(ioasis_ctx_new(m->io, &m->ctx), 0);
	assert_int_equal(ioasis_dev_bind(m->ctx, m->dev), 0);
	assert_int_equal(ioasis_ioas_new(m->ctx, &m->ioas), 0);
	assert_int_equal(ioasis_ioas_new(m->ctx, &m->other), 0);
	assert_int_equal(ioasis_dma_read(m->dev, 0x1000000, &byte, 1), -EFAULT);
	/* First, so that IOVAs are chosen where the device reaches. */
	assert_int_equal(ioasis_dev_attach(m->dev, m->ioas), 0);
}

static void map_both(struct model *m)
{
	struct ioasis_map_args map = {.size = sizeof(map), .flags = 2, .host = mem,
				      .perm = IOASIS_R | IOASIS_W, .len = sizeof(mem)};

	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), -EINVAL);
	map.flags = 0;
	map.perm = 0;
	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), -EINVAL);
	map.perm = 4;
	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), -EINVAL);
	map.perm = IOASIS_R | IOASIS_W;
	map.size--;
	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), -EINVAL);
	map.size++;
	map.len = 0;
	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), -EINVAL);
	assert_int_equal(m->iova, 1);
	map.len = sizeof(mem);
	assert_int_equal(ioasis_ioas_map(m->ioas, &map, &m->iova), 0);
	map.len = 2 * PAGE_SIZE;
	assert_int_equal(ioasis_ioas_map_file(m->ioas, &map, -1, 0, &m->at), -EBADF);
	assert_int_equal(ioasis_ioas_map_file(m->ioas, &map, m->fd, UINT64_MAX, &m->at),
			 -EOVERFLOW);
	assert_int_equal(ioasis_ioas_map_file(m->ioas, &map, m->fd, 0, &m->at), 0);
}

static void reach_both(struct model *m)
{
	u8 buf[16];

	assert_int_equal(ioasis_dma_read(m->dev, m->iova + 5, buf, sizeof(buf)), 0);
	assert_int_equal(buf[15], 0x11);
	memset(buf, 0x22, sizeof(buf));
	assert_int_equal(ioasis_dma_write(m->dev, m->iova + PAGE_SIZE - 8, buf, sizeof(buf)), 0);
	assert_int_equal(mem[PAGE_SIZE - 8], 0x22);
	assert_int_equal(mem[PAGE_SIZE + 7], 0x22);
	assert_int_equal(mem[PAGE_SIZE + 8], 0x11);
	assert_int_equal(ioasis_dma_write(m->dev, m->at, "file", 4), 0);
	assert_int_equal(pread(m->fd, buf, 4, 0), 4);
	assert_memory_equal(buf, "file", 4);
}

static void unmap_mem(struct model *m)
{
	u64 len = 1;

	assert_int_equal(ioasis_ioas_destroy(m->ioas), -EBUSY);
	assert_int_equal(ioasis_ioas_unmap(m->ioas, m->iova, PAGE_SIZE, &len), -ENOENT);
	assert_int_equal(ioasis_ioas_unmap(m->ioas, m->iova, 0, &len), -EINVAL);
	assert_int_equal(ioasis_ioas_unmap(m->ioas, m->iova, UINT64_MAX, &len), -EOVERFLOW);
	assert_int_equal(len, 1);
	assert_int_equal(ioasis_ioas_unmap(m->ioas, m->iova, sizeof(mem), &len), 0);
	assert_int_equal(len, sizeof(mem));
	assert_int_equal(ioasis_dma_write(m->dev, m->iova, "x", 1), -EFAULT);
	assert_int_equal(mem[0], 0x11);
	assert_int_equal(ioasis_ioas_unmap(m->ioas, m->iova, sizeof(mem), NULL), -ENOENT);
}

static void a_device_model(void **state)
{
	struct model m;

	start(&m, *state);
	map_both(&m);
	reach_both(&m);
	unmap_mem(&m);
	assert_int_equal(ioasis_dev_attach(m.dev, m.other), 0);
	assert_int_equal(ioasis_dma_write(m.dev, m.at, "x", 1), -EFAULT);
	assert_int_equal(ioasis_ioas_destroy(m.ioas), 0);
	/* Closing it detaches and unbinds the device. */
	ioasis_ctx_free(m.ctx);
	assert_int_equal(ioasis_dma_write(m.dev, m.at, "x", 1), -EFAULT);
	ioasis_ctx_free(NULL);
	ioasis_dev_free(m.dev);
	ioasis_free(m.io);
	close(m.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(a_device_model, "intel"),
		cmocka_unit_test_prestate(a_device_model, "mock"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
