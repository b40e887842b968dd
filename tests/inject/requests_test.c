// SPDX-License-Identifier: MIT
/*
 * Every request with its n-th allocation or look-up failing, for n = 1 until none fails any more. A
 * request that failed has changed nothing: allocations, objects, charges and descriptors are what they
 * were, and the same request then works.
 */
#include "sweep.h"
#include "uapi/iommufd.h"

#include <sys/mman.h>
#include <unistd.h>

static u32 alloc_hwpt(struct scene *s, u32 flags, long *out_rc)
{
	struct iommu_hwpt_alloc cmd = {.size = sizeof(cmd), .flags = flags, .dev_id = s->idev,
				       .pt_id = s->ioas};

	*out_rc = call(s->b, IOMMU_HWPT_ALLOC, &cmd, sizeof(cmd));
	return cmd.out_hwpt_id;
}

static void map_one(struct scene *s)
{
	ok(map_fixed(s->b, s->ioas, s->b->buf, 64 << 10, APERTURE));
}

static void unmap_all(struct scene *s)
{
	u64 len = UINT64_MAX;

	ok(unmap(s->b, s->ioas, 0, &len));
}

static void undo_made(struct scene *s)
{
	ok(destroy(s->b, s->made));
}

static void undo_fd(struct scene *s)
{
	fake_close(s->b->f, (int)s->made);
}

/* ---- objects and options ---- */

static long go_ioas_alloc(struct scene *s)
{
	struct iommu_ioas_alloc cmd = {.size = sizeof(cmd)};
	long rc = call(s->b, IOMMU_IOAS_ALLOC, &cmd, sizeof(cmd));

	s->made = cmd.out_ioas_id;
	return rc;
}

static void prepare_destroy(struct scene *s)
{
	s->made = mk_ioas(s->b);
}

static long go_destroy(struct scene *s)
{
	return destroy(s->b, s->made);
}

static long go_option_get(struct scene *s)
{
	struct iommu_option cmd = {.size = sizeof(cmd), .option_id = IOMMU_OPTION_HUGE_PAGES,
				   .op = IOMMU_OPTION_OP_GET, .object_id = s->ioas};

	return call(s->b, IOMMU_OPTION, &cmd, sizeof(cmd));
}

static long set_huge(struct scene *s, u64 val)
{
	struct iommu_option cmd = {.size = sizeof(cmd), .option_id = IOMMU_OPTION_HUGE_PAGES,
				   .op = IOMMU_OPTION_OP_SET, .object_id = s->ioas, .val64 = val};

	return call(s->b, IOMMU_OPTION, &cmd, sizeof(cmd));
}

static long go_option_set(struct scene *s)
{
	return set_huge(s, 0);
}

static void undo_option_set(struct scene *s)
{
	ok(set_huge(s, 1));
}

/* ---- address spaces ---- */

static long go_ranges(struct scene *s)
{
	struct iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd), .ioas_id = s->ioas,
					     .num_iovas = 4, .allowed_iovas = (u64)s->room};

	return call(s->b, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof(cmd));
}

static long set_allowed(struct scene *s, u32 nr)
{
	struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .ioas_id = s->ioas,
					     .num_iovas = nr, .allowed_iovas = (u64)s->room};

	return call(s->b, IOMMU_IOAS_ALLOW_IOVAS, &cmd, sizeof(cmd));
}

static void prepare_allow(struct scene *s)
{
	struct iommu_iova_range *v = s->room;
	u32 i;

	for (i = 0; i < 3; i++)
		v[i] = (struct iommu_iova_range){APERTURE + i * 8192, APERTURE + i * 8192 + 4095};
}

static long go_allow(struct scene *s)
{
	return set_allowed(s, 3);
}

static void undo_allow(struct scene *s)
{
	ok(set_allowed(s, 0));
}

static long go_map(struct scene *s)
{
	return map_fixed(s->b, s->ioas, s->b->buf + 4096, 40 << 10, APERTURE);
}

static long go_map_auto(struct scene *s)
{
	s->iova = 0;
	return map(s->b, s->ioas, s->b->buf, 8192, &s->iova, MAP_RW);
}

static long map_fd(struct scene *s, int fd)
{
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = MAP_RW | FIXED,
					  .ioas_id = s->ioas, .fd = fd, .start = 4096,
					  .length = 8192, .iova = APERTURE};

	return call(s->b, IOMMU_IOAS_MAP_FILE, &cmd, sizeof(cmd));
}

static long go_map_file(struct scene *s)
{
	return map_fd(s, s->memfd);
}

static long go_map_token(struct scene *s)
{
	return map_fd(s, s->dmabuf);
}

static void prepare_copy(struct scene *s)
{
	ok(map_fixed(s->b, s->other, s->b->buf, 8192, APERTURE));
	ok(map_fixed(s->b, s->other, s->b->buf + 8192, 8192, APERTURE + 8192));
}

static long go_copy(struct scene *s)
{
	struct iommu_ioas_copy cmd = {.size = sizeof(cmd), .flags = MAP_RW | FIXED,
				      .dst_ioas_id = s->ioas, .src_ioas_id = s->other,
				      .length = 16384, .dst_iova = APERTURE,
				      .src_iova = APERTURE};

	return call(s->b, IOMMU_IOAS_COPY, &cmd, sizeof(cmd));
}

static long go_unmap(struct scene *s)
{
	u64 len = 64 << 10;

	return unmap(s->b, s->ioas, APERTURE, &len);
}

static void prepare_change(struct scene *s)
{
	ok(map_fd(s, s->memfd));
}

static long go_change(struct scene *s)
{
	struct iommu_ioas_change_process cmd = {.size = sizeof(cmd)};

	return call(s->b, IOMMU_IOAS_CHANGE_PROCESS, &cmd, sizeof(cmd));
}

/* ---- tables ---- */

static long go_hwpt(struct scene *s)
{
	long rc;

	s->made = alloc_hwpt(s, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &rc);
	return rc;
}

static long go_info(struct scene *s)
{
	struct iommu_hw_info cmd = {.size = sizeof(cmd), .dev_id = s->idev, .data_len = 64,
				    .data_uptr = (u64)s->room};

	return call(s->b, IOMMU_GET_HW_INFO, &cmd, sizeof(cmd));
}

static long set_tracking(struct scene *s, u32 flags)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {.size = sizeof(cmd), .flags = flags,
						    .hwpt_id = s->dirty_hwpt};

	return call(s->b, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd, sizeof(cmd));
}

static long go_track(struct scene *s)
{
	return set_tracking(s, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
}

static void undo_track(struct scene *s)
{
	ok(set_tracking(s, 0));
}

static void prepare_dirty(struct scene *s)
{
	map_one(s);
	ok(set_tracking(s, IOMMU_HWPT_DIRTY_TRACKING_ENABLE));
	memset(s->room, 0xff, 64);
}

static long go_soil(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DIRTY, .id = s->dirty_hwpt,
				     .dirty = {.iova = APERTURE, .length = 64 << 10,
					       .page_size = 2048, .uptr = (u64)s->room}};

	return test_cmd(s->b, &cmd);
}

static long go_bitmap(struct scene *s)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = {.size = sizeof(cmd), .hwpt_id = s->dirty_hwpt,
						  .iova = APERTURE, .length = 64 << 10,
						  .page_size = 2048, .data = (u64)s->room};

	return call(s->b, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd, sizeof(cmd));
}

/* ---- test operations ---- */

static long go_mock_domain(struct scene *s)
{
	return mk_dev(s->b, s->ioas, MOCK_FLAGS_DEVICE_PASID, &s->made, NULL, NULL);
}

/* The first device of an address space: a table is made too, and filled. */
static void prepare_first_device(struct scene *s)
{
	s->ioas = mk_ioas(s->b);
	map_one(s);
}

static long replace(struct scene *s, u32 pt_id)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, .id = s->stdev,
				     .mock_domain_replace.pt_id = pt_id};

	return test_cmd(s->b, &cmd);
}

static void prepare_replace(struct scene *s)
{
	map_one(s);
	s->made = mk_ioas(s->b);
	ok(map_fixed(s->b, s->made, s->b->buf, 16384, APERTURE));
}

static long go_replace(struct scene *s)
{
	return replace(s, s->made);
}

static void undo_replace(struct scene *s)
{
	ok(replace(s, s->ioas));
}

static long go_reserve(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ADD_RESERVED, .id = s->made,
				     .add_reserved = {.start = 4096, .length = 4096}};

	return test_cmd(s->b, &cmd);
}

static void undo_reserve(struct scene *s)
{
	ok(destroy(s->b, s->made));
	s->made = mk_ioas(s->b);
}

static long go_check_map(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MD_CHECK_MAP, .id = s->hwpt,
				     .check_map = {.iova = APERTURE, .length = 64 << 10,
						   .uptr = (u64)s->b->buf}};

	return test_cmd(s->b, &cmd);
}

static long go_check_refs(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MD_CHECK_REFS,
				     .check_refs = {.length = 64 << 10, .uptr = (u64)s->b->buf,
						    .refs = 1}};

	return test_cmd(s->b, &cmd);
}

static long go_access(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_CREATE_ACCESS, .id = s->ioas,
				     .create_access.flags =
					     MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES};
	long rc = test_cmd(s->b, &cmd);

	s->made = cmd.create_access.out_access_fd;
	return rc;
}

static long go_pin(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_PAGES, .id = s->access,
				     .access_pages = {.flags = MOCK_FLAGS_ACCESS_WRITE,
						      .iova = APERTURE, .length = 16384,
						      .uptr = (u64)s->b->buf}};
	long rc = test_cmd(s->b, &cmd);

	s->item = cmd.access_pages.out_access_pages_id;
	return rc;
}

static long go_unpin(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, .id = s->access,
				     .destroy_access_pages.access_pages_id = s->item};

	return test_cmd(s->b, &cmd);
}

static void undo_pin(struct scene *s)
{
	ok(go_unpin(s));
}

static void prepare_pinned(struct scene *s)
{
	map_one(s);
	ok(go_pin(s));
}

static void pin_again(struct scene *s)
{
	ok(go_pin(s));
}

/* Pages that only an access uses: no table holds them. */
static void prepare_lazy(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, .id = s->access};

	s->ioas = mk_ioas(s->b);
	map_one(s);
	cmd.access_replace_ioas.ioas_id = s->ioas;
	ok(test_cmd(s->b, &cmd));
}

static long go_rw(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_RW, .id = s->access,
				     .access_rw = {.flags = MOCK_ACCESS_RW_WRITE, .iova = APERTURE + 1,
						   .length = 8192, .uptr = (u64)s->room}};

	return test_cmd(s->b, &cmd);
}

static long go_rw_slow(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_RW, .id = s->access,
				     .access_rw = {.flags = MOCK_ACCESS_RW_SLOW_PATH,
						   .iova = APERTURE + 1, .length = 8192,
						   .uptr = (u64)s->room}};

	return test_cmd(s->b, &cmd);
}

static long access_replace_to(struct scene *s, u32 ioas)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, .id = s->access,
				     .access_replace_ioas.ioas_id = ioas};

	return test_cmd(s->b, &cmd);
}

static long go_access_replace(struct scene *s)
{
	return access_replace_to(s, s->other);
}

static void undo_access_replace(struct scene *s)
{
	ok(access_replace_to(s, s->ioas));
}

static long pasid_op(struct scene *s, u32 op, u32 pt)
{
	struct iommu_test_cmd cmd = {.op = op, .id = s->stdev,
				     .pasid_attach = {.pasid = 77, .pt_id = pt}};

	return test_cmd(s->b, &cmd);
}

static void prepare_pasid(struct scene *s)
{
	map_one(s);
	ok(replace(s, s->pasid_hwpt));
}

static long go_pasid_attach(struct scene *s)
{
	return pasid_op(s, IOMMU_TEST_OP_PASID_ATTACH, s->pasid_hwpt);
}

static long go_pasid_detach(struct scene *s)
{
	return pasid_op(s, IOMMU_TEST_OP_PASID_DETACH, 0);
}

static void undo_pasid(struct scene *s)
{
	ok(go_pasid_detach(s));
}

static void prepare_pasid_replace(struct scene *s)
{
	long rc;

	prepare_pasid(s);
	ok(go_pasid_attach(s));
	s->made = alloc_hwpt(s, IOMMU_HWPT_ALLOC_PASID, &rc);
	ok(rc);
}

static long go_pasid_replace(struct scene *s)
{
	return pasid_op(s, IOMMU_TEST_OP_PASID_REPLACE, s->made);
}

static void undo_pasid_replace(struct scene *s)
{
	ok(pasid_op(s, IOMMU_TEST_OP_PASID_REPLACE, s->pasid_hwpt));
}

static void pasid_attach_again(struct scene *s)
{
	ok(go_pasid_attach(s));
}

static void prepare_pasid_attached(struct scene *s)
{
	prepare_pasid(s);
	ok(go_pasid_attach(s));
}

static long go_pasid_check(struct scene *s)
{
	return pasid_op(s, IOMMU_TEST_OP_PASID_CHECK_HWPT, s->pasid_hwpt);
}

static long go_cache(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DEV_CHECK_CACHE, .id = s->idev,
				     .check_dev_cache.cache = IOMMU_TEST_DEV_CACHE_DEFAULT};

	return test_cmd(s->b, &cmd);
}

static long go_dmabuf(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DMABUF_GET, .dmabuf_get.length = 16384};
	long rc = test_cmd(s->b, &cmd);

	s->made = (u32)rc;
	return rc < 0 ? rc : 0;
}

static void prepare_token(struct scene *s)
{
	ok(map_fd(s, s->dmabuf));
}

static long revoke_token(struct scene *s, bool on)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_DMABUF_REVOKE,
				     .dmabuf_revoke = {.dmabuf_fd = s->dmabuf, .revoked = on}};

	return test_cmd(s->b, &cmd);
}

static long go_revoke(struct scene *s)
{
	return revoke_token(s, true);
}

static void undo_revoke(struct scene *s)
{
	ok(revoke_token(s, false));
	unmap_all(s);
	ok(map_fd(s, s->dmabuf));
}

static long go_open(struct scene *s)
{
	struct file *file;
	int rc = uapi_open(s->b->ioasis, &s->b->f->c, "/dev/iommu", 2, &file);

	if (!rc)
		file_put(file);
	return rc;
}

static long go_limit(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
				     .memory_limit.limit = 65536};

	return test_cmd(s->b, &cmd);
}

static long go_iotlb(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MD_CHECK_IOTLB, .id = s->hwpt};

	return test_cmd(s->b, &cmd);
}

static long go_plain_domain(struct scene *s)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN, .id = s->ioas};
	long rc = test_cmd(s->b, &cmd);

	s->made = cmd.mock_domain.out_stdev_id;
	return rc;
}

static const struct request requests[] = {
	{"SET_TEMP_MEMORY_LIMIT", NULL, go_limit, NULL, .cannot_fail = true},
	{"MD_CHECK_IOTLB", NULL, go_iotlb, NULL, .want = -ENOENT},
	{"MOCK_DOMAIN", map_one, go_plain_domain, undo_made},
	{"open", NULL, go_open, NULL},
	{"IOAS_ALLOC", NULL, go_ioas_alloc, undo_made},
	{"DESTROY", prepare_destroy, go_destroy, prepare_destroy, .cannot_fail = true},
	{"OPTION get", NULL, go_option_get, NULL},
	{"OPTION set", NULL, go_option_set, undo_option_set},
	{"IOVA_RANGES", NULL, go_ranges, NULL},
	{"ALLOW_IOVAS", prepare_allow, go_allow, undo_allow},
	{"MAP", NULL, go_map, unmap_all},
	{"MAP auto", NULL, go_map_auto, unmap_all},
	{"MAP_FILE", NULL, go_map_file, unmap_all},
	{"MAP_FILE token", NULL, go_map_token, unmap_all},
	{"COPY", prepare_copy, go_copy, unmap_all},
	{"UNMAP", map_one, go_unmap, map_one},
	{"UNMAP pinned", prepare_pinned, go_unmap, prepare_pinned},
	{"CHANGE_PROCESS", prepare_change, go_change, NULL},
	{"HWPT_ALLOC", map_one, go_hwpt, undo_made},
	{"GET_HW_INFO", NULL, go_info, NULL},
	{"SET_DIRTY_TRACKING", map_one, go_track, undo_track},
	{"DIRTY", prepare_dirty, go_soil, NULL},
	{"GET_DIRTY_BITMAP", prepare_dirty, go_bitmap, NULL},
	{"MOCK_DOMAIN_FLAGS", map_one, go_mock_domain, undo_made},
	{"MOCK_DOMAIN_FLAGS first", prepare_first_device, go_mock_domain, undo_made},
	{"MOCK_DOMAIN_REPLACE", prepare_replace, go_replace, undo_replace},
	{"ADD_RESERVED", prepare_destroy, go_reserve, undo_reserve},
	{"MD_CHECK_MAP", map_one, go_check_map, NULL},
	{"MD_CHECK_REFS", map_one, go_check_refs, NULL},
	{"CREATE_ACCESS", NULL, go_access, undo_fd},
	{"ACCESS_PAGES", map_one, go_pin, undo_pin},
	{"ACCESS_PAGES lazy", prepare_lazy, go_pin, undo_pin},
	{"DESTROY_ACCESS_PAGES", prepare_pinned, go_unpin, pin_again, .cannot_fail = true},
	{"ACCESS_RW", map_one, go_rw, NULL},
	{"ACCESS_RW slow", prepare_lazy, go_rw_slow, NULL},
	{"ACCESS_REPLACE_IOAS", NULL, go_access_replace, undo_access_replace},
	{"PASID_ATTACH", prepare_pasid, go_pasid_attach, undo_pasid},
	{"PASID_REPLACE", prepare_pasid_replace, go_pasid_replace, undo_pasid_replace},
	{"PASID_DETACH", prepare_pasid_attached, go_pasid_detach, pasid_attach_again},
	{"PASID_CHECK_HWPT", prepare_pasid_attached, go_pasid_check, NULL},
	{"DEV_CHECK_CACHE", NULL, go_cache, NULL},
	{"DMABUF_GET", NULL, go_dmabuf, undo_fd},
	{"DMABUF_REVOKE", prepare_token, go_revoke, undo_revoke, .cannot_fail = true},
};

/* Tables of ids grow and stay: grow them before anything is counted. */
static void grow_tables(struct bench *b)
{
	u32 ioas[8], stdev[8], i;

	for (i = 0; i < 8; i++) {
		ioas[i] = mk_ioas(b);
		ok(mk_dev(b, ioas[i], 0, &stdev[i], NULL, NULL));
	}
	for (i = 0; i < 8; i++) {
		ok(destroy(b, stdev[i]));
		ok(destroy(b, ioas[i]));
	}
}

static void scene_start(struct scene *s, struct bench *b)
{
	long rc;

	*s = (struct scene){.b = b, .memfd = memfd_create("inject", MFD_CLOEXEC)};
	ok(ftruncate(s->memfd, 1 << 20));
	s->room = room(b, 16384);
	grow_tables(b);
	s->ioas = mk_ioas(b);
	s->other = mk_ioas(b);
	ok(mk_dev(b, s->ioas, MOCK_FLAGS_DEVICE_PASID, &s->stdev, &s->hwpt, &s->idev));
	s->dirty_hwpt = alloc_hwpt(s, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &rc);
	ok(rc);
	s->pasid_hwpt = alloc_hwpt(s, IOMMU_HWPT_ALLOC_PASID, &rc);
	ok(rc);
	ok(go_access(s));
	s->access = s->made;
	ok(go_dmabuf(s));
	s->dmabuf = (int)s->made;
}

/* Nothing that a program can ask for was left out. */
static void check_all_swept(const struct swept *swept)
{
	const struct cmd_op *not_here = &cmd_ops[_IOC_NR(IOMMU_VFIO_IOAS) - IOMMUFD_CMD_BASE];
	struct bench b;
	unsigned i;

	for (i = 0; i < nr_cmd_ops; i++)
		if (cmd_ops[i].num && cmd_ops[i].execute != not_here->execute &&
		    !swept->ioctls[_IOC_NR(cmd_ops[i].num)])
			fail_msg("%s is not swept", cmd_ops[i].name);
	bench_start(&b, "mock");
	for (i = 0; i < 256; i++) {
		struct iommu_test_cmd cmd = {.size = sizeof(cmd), .op = i};

		if (!swept->test_ops[i] && test_cmd(&b, &cmd) != -EOPNOTSUPP)
			fail_msg("test operation %u is not swept", i);
	}
	bench_stop(&b);
}

static void every_request(void **state)
{
	struct bench b;
	struct swept swept = {{false}};
	struct scene s;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		bench_start(&b, "mock");
		scene_start(&s, &b);
		sweep(&requests[i], &s, &swept);
		close(s.memfd);
		bench_stop(&b);
	}
	check_all_swept(&swept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
