// SPDX-License-Identifier: MIT
/* IOMMU_TEST_CMD on the mock machine. */
#include "fake_caller.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define APERTURE 0x1000000ull

static void unknown_ops(void **state)
{
	struct bench *b = *state;
	static const u32 ops[] = {0, 24, 1000, UINT32_MAX, IOMMU_TEST_OP_TRIGGER_IOPF,
				  IOMMU_TEST_OP_TRIGGER_VEVENT};
	struct iommu_test_cmd cmd = {0};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		cmd.op = ops[i];
		assert_int_equal(test_cmd(b, &cmd), -EOPNOTSUPP);
	}
}

static void mock_domain(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), stdev, hwpt, idev, other, objs = nr_objs(b);
	struct iommu_test_cmd cmd = {.size = sizeof(cmd), .op = IOMMU_TEST_OP_MOCK_DOMAIN, .id = 999};

	assert_int_equal(test_cmd(b, &cmd), -ENOENT);
	assert_int_equal(nr_objs(b), objs);
	cmd.id = ioas;
	check_reply_fault(b, IOMMU_TEST_CMD, &cmd, sizeof(cmd));
	assert_int_equal(mk_dev(b, ioas, 0, &stdev, &hwpt, &idev), 0);
	/* The second device shares the table. */
	assert_int_equal(mk_dev(b, ioas, 0, NULL, &other, NULL), 0);
	assert_int_equal(other, hwpt);
	/* An id of another kind. */
	assert_int_equal(mk_dev(b, stdev, 0, NULL, NULL, NULL), -EINVAL);
	/* By HWPT. */
	assert_int_equal(mk_dev(b, hwpt, 0, NULL, &other, NULL), 0);
	assert_int_equal(other, hwpt);
}

static void replace(void **state)
{
	struct bench *b = *state;
	u32 a = mk_ioas(b), c = mk_ioas(b), stdev, hwpt;
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE};

	assert_int_equal(mk_dev(b, a, 0, &stdev, &hwpt, NULL), 0);
	cmd.id = hwpt;
	assert_int_equal(test_cmd(b, &cmd), -ENOENT);
	cmd.id = stdev;
	cmd.mock_domain_replace.pt_id = 999;
	assert_int_equal(test_cmd(b, &cmd), -ENOENT);
	cmd.mock_domain_replace.pt_id = stdev;
	assert_int_equal(test_cmd(b, &cmd), -EINVAL);
	cmd.mock_domain_replace.pt_id = c;
	assert_int_equal(test_cmd(b, &cmd), 0);
	assert_int_not_equal(cmd.mock_domain_replace.pt_id, hwpt);
	assert_int_equal(destroy(b, a), 0);
	assert_int_equal(destroy(b, c), -EBUSY);
}

static long check(struct bench *b, u32 hwpt, u64 iova, u64 len, const void *at)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MD_CHECK_MAP, .id = hwpt,
				     .check_map = {.iova = iova, .length = len, .uptr = (u64)at}};

	return test_cmd(b, &cmd);
}

static void check_map(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), hwpt;

	assert_int_equal(mk_dev(b, ioas, 0, NULL, &hwpt, NULL), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf + 2048, 8192, APERTURE), 0);
	assert_int_equal(check(b, 999, 1, 1, NULL), -ENOENT);
	assert_int_equal(check(b, hwpt, APERTURE, 8192, b->buf + 2048), 0);
	assert_int_equal(check(b, hwpt, APERTURE + 2048, 4096, b->buf + 4096), 0);
	assert_int_equal(check(b, hwpt, APERTURE, 8192, b->buf), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE, 8192 + 2048, b->buf + 2048), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE + 1, 2048, b->buf), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE, 2047, b->buf), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE, 2048, b->buf + 1), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE, -2048ull, b->buf), -EINVAL);
	assert_int_equal(check(b, hwpt, APERTURE, 2048, NULL), -EFAULT);
}

static long refs(struct bench *b, const void *at, u64 len, u32 nr)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MD_CHECK_REFS,
				     .check_refs = {.length = len, .uptr = (u64)at, .refs = nr}};

	return test_cmd(b, &cmd);
}

static void check_refs(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b);
	u64 len = 4096;

	assert_int_equal(refs(b, b->buf + 1, 4096, 0), -EINVAL);
	assert_int_equal(refs(b, b->buf, 4095, 0), -EINVAL);
	assert_int_equal(refs(b, NULL, 4096, 0), -EFAULT);
	assert_int_equal(refs(b, b->buf, 8192, 0), 0);
	assert_int_equal(refs(b, b->buf, 8192, 1), -EIO);
	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, NULL), 0);
	/* A second table pins nothing more, a second mapping does. */
	assert_int_equal(mk_dev(b, ioas, 0, NULL, NULL, NULL), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, APERTURE), 0);
	assert_int_equal(refs(b, b->buf, 4096, 1), 0);
	assert_int_equal(refs(b, b->buf, 8192, 1), -EIO);
	assert_int_equal(map_fixed(b, ioas, b->buf, 4096, APERTURE + 4096), 0);
	assert_int_equal(refs(b, b->buf, 4096, 2), 0);
	assert_int_equal(unmap(b, ioas, APERTURE, &len), 0);
	assert_int_equal(refs(b, b->buf, 4096, 1), 0);
}

static void small_questions(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), hwpt, idev;
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
				     .memory_limit.limit = 11};

	assert_int_equal(mk_dev(b, ioas, 0, NULL, &hwpt, &idev), 0);
	assert_int_equal(test_cmd(b, &cmd), -EINVAL);
	cmd.memory_limit.limit = 12;
	assert_int_equal(test_cmd(b, &cmd), 0);

	cmd = (struct iommu_test_cmd){.op = IOMMU_TEST_OP_MD_CHECK_IOTLB, .id = hwpt};
	assert_int_equal(test_cmd(b, &cmd), -ENOENT);

	cmd = (struct iommu_test_cmd){.op = IOMMU_TEST_OP_DEV_CHECK_CACHE, .id = hwpt};
	assert_int_equal(test_cmd(b, &cmd), -ENOENT);
	cmd.id = idev;
	assert_int_equal(test_cmd(b, &cmd), -EINVAL);
	cmd.check_dev_cache.cache = IOMMU_TEST_DEV_CACHE_DEFAULT;
	cmd.check_dev_cache.id = 3;
	assert_int_equal(test_cmd(b, &cmd), 0);
	cmd.check_dev_cache.id = 4;
	assert_int_equal(test_cmd(b, &cmd), -EINVAL);
}

static long pasid_op(struct bench *b, u32 op, u32 stdev, u32 pasid, u32 *inout_pt)
{
	struct iommu_test_cmd cmd = {.op = op, .id = stdev,
				     .pasid_attach = {.pasid = pasid, .pt_id = *inout_pt}};
	long rc = test_cmd(b, &cmd);

	*inout_pt = cmd.pasid_attach.pt_id;
	return rc;
}

static void pasids(void **state)
{
	struct bench *b = *state;
	struct iommu_hwpt_alloc alloc = {.size = sizeof(alloc), .flags = IOMMU_HWPT_ALLOC_PASID};
	u32 ioas = mk_ioas(b), stdev, plain, idev, pt, with, none = 0;
	struct iommu_test_cmd replace, *cmd;

	assert_int_equal(mk_dev(b, ioas, MOCK_FLAGS_DEVICE_PASID, &stdev, &plain, &idev), 0);
	alloc.dev_id = idev;
	alloc.pt_id = ioas;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &alloc, sizeof(alloc)), 0);
	with = alloc.out_hwpt_id;

	pt = plain;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_ATTACH, 999, 100, &pt), -ENOENT);
	/* A table made without the flag cannot be used with a PASID. */
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_ATTACH, stdev, 100, &pt), -EINVAL);
	pt = with;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &none), 0);
	/* Nor beside one, as long as the device itself uses it. */
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_ATTACH, stdev, 100, &pt), -EINVAL);
	replace = (struct iommu_test_cmd){.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, .id = stdev,
					  .mock_domain_replace.pt_id = with};
	assert_int_equal(test_cmd(b, &replace), 0);
	assert_int_equal(destroy(b, plain), -ENOENT);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_ATTACH, stdev, 100, &pt), 0);
	assert_int_equal(pt, with);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &none), -EINVAL);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &pt), 0);
	alloc.flags = 0;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &alloc, sizeof(alloc)), 0);
	pt = alloc.out_hwpt_id;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &pt), -EINVAL);
	pt = stdev;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &pt), -EINVAL);
	pt = 999;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &pt), -ENOENT);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_DETACH, stdev, 100, &none), 0);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 100, &none), 0);

	/* No reply, no attachment. */
	cmd = room(b, sizeof(*cmd));
	*cmd = (struct iommu_test_cmd){.size = sizeof(*cmd), .op = IOMMU_TEST_OP_PASID_ATTACH,
				       .id = stdev, .pasid_attach = {.pasid = 101, .pt_id = with}};
	fake_hole(b->f, cmd, sizeof(*cmd), false, true);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_TEST_CMD, cmd), -EFAULT);
	reset(b);
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, 101, &none), 0);
	/* The device goes with what its PASIDs use. */
	pt = with;
	assert_int_equal(pasid_op(b, IOMMU_TEST_OP_PASID_ATTACH, stdev, 102, &pt), 0);
}

static long mk_access(struct bench *b, u32 ioas, u32 flags, u32 *out_fd)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_CREATE_ACCESS, .id = ioas,
				     .create_access.flags = flags};
	long rc = test_cmd(b, &cmd);

	*out_fd = cmd.create_access.out_access_fd;
	return rc;
}

#define PINS MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES

static void access_create(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), fd, objs = nr_objs(b);
	u64 allocs = atomic_load(&b->ioasis->env.nr_allocs);
	struct iommu_test_cmd cmd = {.size = sizeof(cmd), .op = IOMMU_TEST_OP_CREATE_ACCESS,
				     .id = ioas};

	assert_int_equal(mk_access(b, 999, 2, &fd), -EOPNOTSUPP);
	assert_int_equal(mk_access(b, 999, 0, &fd), -ENOENT);
	b->f->no_fds = true;
	assert_int_equal(mk_access(b, ioas, 0, &fd), -ENOMEM);
	assert_int_equal(mk_access(b, 999, 0, &fd), -ENOMEM); /* before the IOAS is looked at */
	b->f->no_fds = false;
	check_reply_fault(b, IOMMU_TEST_CMD, &cmd, sizeof(cmd));
	assert_int_equal(nr_objs(b), objs);
	assert_int_equal(atomic_load(&b->ioasis->env.nr_allocs), allocs);
	assert_int_equal(mk_access(b, ioas, 0, &fd), 0);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	fake_close(b->f, fd);
	assert_int_equal(destroy(b, ioas), 0);
}

static long rw(struct bench *b, u32 fd, u64 iova, u64 len, void *at, u32 flags)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_RW, .id = fd,
				     .access_rw = {.iova = iova, .length = len, .uptr = (u64)at,
						   .flags = flags}};

	return test_cmd(b, &cmd);
}

static void access_rw_op(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), fd, slow;
	u8 *mine = room(b, 8192);
	u64 iova = 0x20000;

	assert_int_equal(mk_access(b, ioas, 0, &fd), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x10000), 0);
	assert_int_equal(map(b, ioas, b->buf, 8192, &iova,
			     IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA), 0);
	assert_int_equal(rw(b, 999, 0, (16u << 20) + 1, mine, 99), -ENOMEM);
	assert_int_equal(rw(b, 999, 0, 1, mine, 2), -EOPNOTSUPP);
	assert_int_equal(rw(b, 999, 0, 1, mine, 0), -EBADFD);
	assert_int_equal(rw(b, 0, 0, 1, mine, 0), -EBADFD);
	assert_int_equal(rw(b, fd, 0x10000, 0, mine, 0), -EINVAL);
	assert_int_equal(rw(b, fd, 0x10000, 0, mine, MOCK_ACCESS_RW_WRITE), -EINVAL);
	assert_int_equal(rw(b, fd, UINT64_MAX, 2, mine, 0), -EOVERFLOW);
	assert_int_equal(rw(b, fd, 0x30000, 2, mine, 0), -ENOENT);
	assert_int_equal(rw(b, fd, 0x11fff, 2, mine, 0), -ENOENT);
	assert_int_equal(rw(b, fd, 0x20000, 2, mine, MOCK_ACCESS_RW_WRITE), -EPERM);
	for (slow = 0; slow <= MOCK_ACCESS_RW_SLOW_PATH; slow += MOCK_ACCESS_RW_SLOW_PATH) {
		memset(mine, 0, 8192);
		memset(b->buf, 0x40 + slow, 8192);
		assert_int_equal(rw(b, fd, 0x10fff, 4000, mine, slow), 0);
		assert_int_equal(mine[0], 0x40 + slow);
		assert_int_equal(mine[3999], 0x40 + slow);
		assert_int_equal(mine[4000], 0);
		memset(mine, 0x77, 8192);
		assert_int_equal(rw(b, fd, 0x10003, 5, mine, slow | MOCK_ACCESS_RW_WRITE), 0);
		assert_int_equal(b->buf[2], 0x40 + slow);
		assert_int_equal(b->buf[3], 0x77);
		assert_int_equal(b->buf[7], 0x77);
		assert_int_equal(b->buf[8], 0x40 + slow);
	}
	fake_hole(b->f, mine, 1, true, true);
	assert_int_equal(rw(b, fd, 0x10000, 16, mine, MOCK_ACCESS_RW_WRITE), -EFAULT);
	assert_int_equal(b->buf[0], 0x40 + MOCK_ACCESS_RW_SLOW_PATH);
	assert_int_equal(rw(b, fd, 0x10000, 16, mine, 0), -EFAULT);
	reset(b);
}

static long pin(struct bench *b, u32 fd, u64 iova, u64 len, const void *at, u32 flags,
		u32 *out_id)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_PAGES, .id = fd,
				     .access_pages = {.flags = flags, .iova = iova, .length = len,
						      .uptr = (u64)at}};
	long rc = test_cmd(b, &cmd);

	*out_id = cmd.access_pages.out_access_pages_id;
	return rc;
}

static long unpin(struct bench *b, u32 fd, u32 id)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, .id = fd,
				     .destroy_access_pages.access_pages_id = id};

	return test_cmd(b, &cmd);
}

static void access_pages_op(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), fd, rw_fd, id, second;
	u64 iova = 0x40000, len = 8192;

	assert_int_equal(mk_access(b, ioas, PINS, &fd), 0);
	assert_int_equal(mk_access(b, ioas, 0, &rw_fd), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x10000), 0);
	assert_int_equal(map(b, ioas, b->buf, 8192, &iova,
			     IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA), 0);
	assert_int_equal(pin(b, 999, 0, (16u << 20) + 1, NULL, 99, &id), -ENOMEM);
	assert_int_equal(pin(b, 999, 0, 1, NULL, 2, &id), -EOPNOTSUPP);
	assert_int_equal(pin(b, 999, 0, 1, NULL, MOCK_FLAGS_ACCESS_SYZ, &id), -EOPNOTSUPP);
	assert_int_equal(pin(b, 999, 0, 1, NULL, 0, &id), -EBADFD);
	assert_int_equal(pin(b, rw_fd, 0x10000, 4096, NULL, 0, &id), -EOPNOTSUPP);
	assert_int_equal(pin(b, fd, 0x10000, 0, NULL, 0, &id), -EINVAL);
	assert_int_equal(pin(b, fd, UINT64_MAX, 2, NULL, 0, &id), -EOVERFLOW);
	assert_int_equal(pin(b, fd, 0x30000, 4096, NULL, 0, &id), -ENOENT);
	assert_int_equal(pin(b, fd, 0x10000, 12288, NULL, 0, &id), -ENOENT);
	assert_int_equal(pin(b, fd, 0x40000, 4096, NULL, MOCK_FLAGS_ACCESS_WRITE, &id), -EPERM);
	assert_int_equal(pin(b, fd, 0x10000, 4096, b->buf + 4096, 0, &id), -EBADE);
	assert_int_equal(refs(b, b->buf, 8192, 0), 0);
	assert_int_equal(pin(b, fd, 0x10000, 8192, b->buf, MOCK_FLAGS_ACCESS_WRITE, &id), 0);
	assert_int_equal(pin(b, fd, 0x10000, 8192, b->buf, 0, &second), 0);
	assert_int_not_equal(id, second);
	assert_int_equal(refs(b, b->buf, 8192, 1), 0);
	assert_int_equal(unpin(b, fd, 999), -ENOENT);
	assert_int_equal(unpin(b, 999, id), -EBADFD);
	assert_int_equal(unpin(b, fd, id), 0);
	assert_int_equal(unpin(b, fd, id), -ENOENT);
	/* Unmapping makes the other let go. */
	assert_int_equal(unmap(b, ioas, 0x10000, &len), 0);
	assert_int_equal(unpin(b, fd, second), -ENOENT);
	assert_int_equal(refs(b, b->buf, 8192, 0), 0);
	/* So does closing. */
	assert_int_equal(pin(b, fd, 0x40000, 8192, b->buf, 0, &id), 0);
	fake_close(b->f, fd);
	assert_int_equal(refs(b, b->buf, 8192, 0), 0);
	fake_close(b->f, rw_fd);
	assert_int_equal(destroy(b, ioas), 0);
}

/* A reply that does not arrive leaves nothing pinned, and no item. */
static void access_pages_fault(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), fd;
	struct iommu_test_cmd cmd;

	assert_int_equal(mk_access(b, ioas, PINS, &fd), 0);
	assert_int_equal(map_fixed(b, ioas, b->buf, 8192, 0x10000), 0);
	cmd = (struct iommu_test_cmd){.size = sizeof(cmd), .op = IOMMU_TEST_OP_ACCESS_PAGES,
				      .id = fd,
				      .access_pages = {.iova = 0x10000, .length = 4096}};
	check_reply_fault(b, IOMMU_TEST_CMD, &cmd, sizeof(cmd));
	assert_int_equal(refs(b, b->buf, 8192, 0), 0);
	assert_int_equal(unpin(b, fd, 0), -ENOENT);
}

static void access_replace_op(void **state)
{
	struct bench *b = *state;
	u32 a = mk_ioas(b), c = mk_ioas(b), fd, id;
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, .id = 999,
				     .access_replace_ioas.ioas_id = c};

	assert_int_equal(mk_access(b, a, PINS, &fd), 0);
	assert_int_equal(map_fixed(b, a, b->buf, 4096, 0x10000), 0);
	assert_int_equal(pin(b, fd, 0x10000, 4096, b->buf, 0, &id), 0);
	assert_int_equal(test_cmd(b, &cmd), -EBADFD);
	cmd.id = fd;
	cmd.access_replace_ioas.ioas_id = 999;
	assert_int_equal(test_cmd(b, &cmd), -ENOENT);
	assert_int_equal(unpin(b, fd, id), 0);
	assert_int_equal(pin(b, fd, 0x10000, 4096, b->buf, 0, &id), 0);
	cmd.access_replace_ioas.ioas_id = c;
	assert_int_equal(test_cmd(b, &cmd), 0);
	/* What was pinned through the old one is let go. */
	assert_int_equal(refs(b, b->buf, 4096, 0), 0);
	assert_int_equal(unpin(b, fd, id), -ENOENT);
	assert_int_equal(destroy(b, a), 0);
	assert_int_equal(destroy(b, c), -EBUSY);
}

static long get_dmabuf(struct bench *b, u32 len)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DMABUF_GET, .dmabuf_get.length = len};

	return test_cmd(b, &cmd);
}

static long revoke_dmabuf(struct bench *b, int fd, bool on)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DMABUF_REVOKE,
				     .dmabuf_revoke = {.dmabuf_fd = fd, .revoked = on}};

	return test_cmd(b, &cmd);
}

static long map_fd(struct bench *b, u32 ioas, int fd, u64 start, u64 len)
{
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = MAP_RW, .ioas_id = ioas,
					  .fd = fd, .start = start, .length = len};

	return call(b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd));
}

static void dmabufs(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), access_fd;
	u64 len = UINT64_MAX;
	long fd;

	assert_int_equal(get_dmabuf(b, 0), -EINVAL);
	assert_int_equal(get_dmabuf(b, (2u << 20) + 1), -EINVAL);
	b->f->no_fds = true;
	assert_int_equal(get_dmabuf(b, 4096), -EMFILE);
	b->f->no_fds = false;
	fd = get_dmabuf(b, 4095 + 4096 * 3);
	assert_true(fd >= FD_OURS);
	assert_int_equal(map_fd(b, ioas, fd, 0, 0), -EINVAL);
	assert_int_equal(map_fd(b, ioas, fd, 16384, 16384), -EINVAL);
	assert_int_equal(map_fd(b, ioas, fd, 0, 16385), -EINVAL);
	assert_int_equal(map_fd(b, ioas, fd, 0, 16384), 0);
	assert_int_equal(revoke_dmabuf(b, 999, true), -EBADF);
	assert_int_equal(revoke_dmabuf(b, 0, true), -EINVAL);
	assert_int_equal(mk_access(b, ioas, 0, &access_fd), 0);
	assert_int_equal(revoke_dmabuf(b, access_fd, true), -EINVAL);
	assert_int_equal(revoke_dmabuf(b, fd, true), 0);
	assert_int_equal(map_fd(b, ioas, fd, 0, 16384), -ENODEV);
	assert_int_equal(revoke_dmabuf(b, fd, false), 0);
	assert_int_equal(map_fd(b, ioas, fd, 4096, 4096), 0);
	fake_close(b->f, fd);
	assert_int_equal(unmap(b, ioas, 0, &len), 0);
	assert_int_equal(len, 16384 + 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unknown_ops, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(mock_domain, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(replace, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(check_map, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(check_refs, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(small_questions, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(pasids, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(access_create, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(access_rw_op, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(access_pages_op, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(access_pages_fault, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(access_replace_op, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(dmabufs, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
