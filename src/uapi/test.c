// SPDX-License-Identifier: MIT
/*
 * IOMMU_TEST_CMD: the mock machine's test devices, and questions about what the objects did.
 *
 * Source: linux drivers/iommu/iommufd/selftest.c (operations, errnos, order of checks).
 */
#include <stdio.h>

#include "uapi/iommufd.h"

#define MOCK_RID_FIRST 0x8000u /* test devices take the lowest free one from here up */
#define MOCK_RID_LAST  0xffffu
#define MOCK_DEV_FLAGS (MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_PASID)

/* A device that exists while its object does, bound and attached: OBJ_TEST. */
struct test_dev {
	struct obj obj;
	struct ioasis *ioasis;
	struct iommu_dev idev;
	struct bound_dev *bound;
	u32 cache[MOCK_DEV_CACHE_NUM];
};

static struct test_dev *to_test_dev(struct obj *obj)
{
	return container_of(obj, struct test_dev, obj);
}

static void test_dev_destroy(struct obj *obj)
{
	struct test_dev *t = to_test_dev(obj);

	dev_detach(t->bound, NO_PASID);
	dev_unbind(t->bound);
	iommu_dev_fini(&t->idev);
}

static void test_dev_describe(struct obj *obj, json_t *out)
{
	struct test_dev *t = to_test_dev(obj);

	json_put(out, "device", json_string(t->idev.name));
	json_put(out, "rid", json_hex(t->idev.rid.v));
}

static const struct obj_ops test_dev_ops = {
	.type = OBJ_TEST,
	.name = "test device",
	.destroy = test_dev_destroy,
	.describe = test_dev_describe,
};

/* Put the device behind the mock IOMMU at a free requester id. */
static int test_dev_plug(struct test_dev *t, u32 flags)
{
	struct iommu *iommu = t->ioasis->iommus[0];
	char name[sizeof(t->idev.name)];
	int rc = -ENOSPC;
	u32 rid;

	for (rid = MOCK_RID_FIRST; rid <= MOCK_RID_LAST; rid++) {
		t->idev.quirks = flags & MOCK_DEV_FLAGS;
		t->idev.pasid_bits = flags & MOCK_FLAGS_DEVICE_PASID ? MOCK_PASID_WIDTH : 0;
		snprintf(name, sizeof(name), "iommufd_mock%u", rid - MOCK_RID_FIRST);
		rc = iommu_dev_init(iommu, &t->idev, RID(rid), name);
		if (rc != -EEXIST)
			break;
	}
	return rc;
}

/* MOCK_DOMAIN: a device, bound to the context and attached to cmd->id. */
static int test_mock_domain(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u32 flags = cmd->op == IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS ? cmd->mock_domain_flags.dev_flags :
								 0;
	struct test_dev *t;
	struct obj *obj;
	u32 pt_id = cmd->id;
	int rc, i;

	rc = obj_new(&req->ctx->objs, &test_dev_ops, sizeof(*t), &obj);
	if (rc)
		return rc;
	t = to_test_dev(obj);
	t->ioasis = req->ioasis;
	for (i = 0; i < MOCK_DEV_CACHE_NUM; i++)
		t->cache[i] = IOMMU_TEST_DEV_CACHE_DEFAULT;
	rc = test_dev_plug(t, flags);
	if (rc)
		goto undo_obj;
	rc = dev_bind_weak(req->ctx, &t->idev, &t->bound);
	if (rc)
		goto undo_plug;
	rc = dev_attach(t->bound, NO_PASID, &pt_id);
	if (rc)
		goto undo_bind;
	req->new_obj = obj;
	cmd->mock_domain.out_hwpt_id = pt_id;
	cmd->mock_domain.out_stdev_id = obj->id;
	cmd->mock_domain.out_idev_id = t->bound->obj.id;
	return req_respond(req, sizeof(*cmd));

undo_bind:
	dev_unbind(t->bound);
undo_plug:
	iommu_dev_fini(&t->idev);
undo_obj:
	obj_abort(obj);
	return rc;
}

static int req_get_test_dev(struct req *req, u32 id, struct test_dev **out)
{
	struct obj *obj;
	int rc = obj_get(&req->ctx->objs, id, OBJ_TEST, &obj);

	if (!rc)
		*out = to_test_dev(obj);
	return rc;
}

static int test_mock_domain_replace(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u32 pt_id = cmd->mock_domain_replace.pt_id;
	struct test_dev *t;
	int rc;

	rc = req_get_test_dev(req, cmd->id, &t);
	if (rc)
		return rc;
	rc = dev_replace(t->bound, NO_PASID, &pt_id);
	obj_put(&t->obj);
	if (rc)
		return rc;
	cmd->mock_domain_replace.pt_id = pt_id;
	return req_respond(req, sizeof(*cmd));
}

static int test_add_reserved(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct ioasis_ioas *ioas;
	struct iova_range range;
	int rc;

	rc = range_make(&range, cmd->add_reserved.start, cmd->add_reserved.length);
	if (rc)
		return rc;
	rc = req_get_ioas(req, cmd->id, &ioas);
	if (rc)
		return rc;
	rc = ioas_add_reserved(ioas, range);
	obj_put(&ioas->obj);
	return rc;
}

int req_page_oa(struct req *req, u64 uaddr, oa_t *out)
{
	struct source src = {.kind = SOURCE_USER, .mm = req->c->mm, .fd = -1,
			     .uva = UVA(align_down(uaddr, PAGE_SIZE))};
	struct runs runs = {0};
	int rc;

	rc = source_resolve(&req->ioasis->mem, &src, 0, PAGE_SIZE, &runs);
	if (rc)
		return rc;
	*out = runs.v[0].oa;
	runs_release(&req->ioasis->mem, &runs);
	return 0;
}

/* Does every page under [iova, iova + len) lie where the caller's memory at @uaddr does now? */
static int check_map(struct req *req, struct hwpt *hwpt, u64 iova, u64 len, u64 uaddr)
{
	u64 step = 1ull << __builtin_ctzll(hwpt->domain->pgsize_bitmap);
	u64 known = UINT64_MAX; /* the page whose OA is in oa */
	oa_t oa = OA(0);
	u64 end;
	int rc;

	if (iova % step || len % step || uaddr % step || __builtin_add_overflow(uaddr, len, &end))
		return -EINVAL;
	for (; len; len -= step, iova += step, uaddr += step) {
		if (align_down(uaddr, PAGE_SIZE) != known) {
			rc = req_page_oa(req, uaddr, &oa);
			if (rc)
				return rc;
			known = align_down(uaddr, PAGE_SIZE);
		}
		if (hwpt_iova_to_oa(hwpt, IOVA(iova)).v != oa.v + (uaddr - known))
			return -EINVAL;
	}
	return 0;
}

static int test_md_check_map(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct hwpt *hwpt;
	int rc;

	rc = req_get_hwpt(req, cmd->id, &hwpt);
	if (rc)
		return rc;
	rc = check_map(req, hwpt, cmd->check_map.iova, cmd->check_map.length,
		       cmd->check_map.uptr);
	obj_put(&hwpt->obj);
	return rc;
}

/* Is each page pinned by so many pages objects? */
static int test_md_check_refs(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 uaddr = cmd->check_refs.uptr, len = cmd->check_refs.length;
	u64 end;
	oa_t oa;
	int rc;

	if (len % PAGE_SIZE || uaddr % PAGE_SIZE || __builtin_add_overflow(uaddr, len, &end))
		return -EINVAL;
	for (; len; len -= PAGE_SIZE, uaddr += PAGE_SIZE) {
		rc = req_page_oa(req, uaddr, &oa);
		if (rc)
			return rc;
		if (ctx_pin_count(req->ctx, oa) != cmd->check_refs.refs)
			return -EIO;
	}
	return 0;
}

/* Only nested tables have the cache it asks about, and there are none yet. */
static int test_md_check_iotlb(struct req *req)
{
	struct obj *obj;
	int rc = obj_get(&req->ctx->objs, req->cmd->test.id, OBJ_HWPT_NESTED, &obj);

	if (rc)
		return rc;
	obj_put(obj);
	return -EINVAL;
}

struct find_bound {
	const struct bound_dev *bound;
	u32 cache[MOCK_DEV_CACHE_NUM];
	bool found;
};

static void find_test_dev(struct obj *obj, void *arg)
{
	struct find_bound *find = arg;

	if (obj->type != OBJ_TEST || to_test_dev(obj)->bound != find->bound)
		return;
	memcpy(find->cache, to_test_dev(obj)->cache, sizeof(find->cache));
	find->found = true;
}

static int test_dev_check_cache(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u32 idx = cmd->check_dev_cache.id;
	struct find_bound find = {0};
	struct bound_dev *dev;
	int rc;

	rc = req_get_dev(req, cmd->id, &dev);
	if (rc)
		return rc;
	find.bound = dev;
	obj_for_each(&req->ctx->objs, find_test_dev, &find);
	obj_put(&dev->obj);
	if (idx > MOCK_DEV_CACHE_ID_MAX || !find.found ||
	    find.cache[idx] != cmd->check_dev_cache.cache)
		return -EINVAL;
	return 0;
}

/* There is no memory limit here to lower; the smallest that Linux takes is checked all the same. */
static int test_set_memory_limit(struct req *req)
{
	return req->cmd->test.memory_limit.limit < sizeof(u64) + sizeof(u32) ? -EINVAL : 0;
}

#define DIRTY_BITS_MAX ((16ull << 20) * 8)

static int dirty_pages(struct req *req, struct hwpt *hwpt, u64 nr)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 i, count = 0;
	u8 *bits;
	int rc;

	if (!hwpt_can_dirty(hwpt) || !atomic_load(&hwpt->domain->dirty_on))
		return -EINVAL;
	bits = env_zalloc(req->env, (nr + 7) / 8);
	if (!bits)
		return -ENOMEM;
	rc = req->c->ops->fetch(req->c, bits, cmd->dirty.uptr, (nr + 7) / 8);
	for (i = 0; !rc && i < nr; i++) {
		if (!(bits[i / 8] & (1u << (i % 8))))
			continue;
		hwpt_set_dirty(hwpt, IOVA(cmd->dirty.iova + i * cmd->dirty.page_size));
		count++;
	}
	env_free(req->env, bits);
	if (rc)
		return rc;
	cmd->dirty.out_nr_dirty = count;
	return req_respond(req, sizeof(*cmd));
}

/* What hardware does on writes: set the dirty bits of the pages a bitmap names. */
static int test_dirty(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 page = cmd->dirty.page_size, len = cmd->dirty.length;
	struct hwpt *hwpt;
	int rc;

	if (!page || !len || cmd->dirty.iova % page || len % page || !cmd->dirty.uptr)
		return -EINVAL;
	if (len / page > DIRTY_BITS_MAX)
		return -EOVERFLOW;
	rc = req_get_hwpt(req, cmd->id, &hwpt);
	if (rc)
		return rc;
	rc = dirty_pages(req, hwpt, len / page);
	obj_put(&hwpt->obj);
	return rc;
}

/* The attachment must not outlive a reply that did not arrive. */
static int test_pasid_attach(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	pasid_t pasid = PASID(cmd->pasid_attach.pasid);
	struct test_dev *t;
	int rc;

	rc = req_get_test_dev(req, cmd->id, &t);
	if (rc)
		return rc;
	rc = dev_attach(t->bound, pasid, &cmd->pasid_attach.pt_id);
	if (!rc) {
		rc = req_respond_now(req, sizeof(*cmd));
		if (rc)
			dev_detach(t->bound, pasid);
	}
	obj_put(&t->obj);
	return rc;
}

static int test_pasid_replace(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct test_dev *t;
	int rc;

	rc = req_get_test_dev(req, cmd->id, &t);
	if (rc)
		return rc;
	rc = dev_replace(t->bound, PASID(cmd->pasid_replace.pasid), &cmd->pasid_replace.pt_id);
	obj_put(&t->obj);
	if (rc)
		return rc;
	return req_respond(req, sizeof(*cmd));
}

static int test_pasid_detach(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct test_dev *t;
	int rc;

	rc = req_get_test_dev(req, cmd->id, &t);
	if (rc)
		return rc;
	dev_detach(t->bound, PASID(cmd->pasid_detach.pasid));
	obj_put(&t->obj);
	return 0;
}

/* Is @id a HWPT, and the one that is attached? */
static int check_hwpt_id(struct req *req, u32 id, u32 attached)
{
	enum obj_type type;
	struct obj *obj;
	int rc;

	rc = obj_get(&req->ctx->objs, id, OBJ_ANY, &obj);
	if (rc)
		return rc;
	type = obj->type;
	obj_put(obj);
	if (type != OBJ_HWPT_PAGING && type != OBJ_HWPT_NESTED)
		return -EINVAL;
	return id == attached ? 0 : -EINVAL;
}

static int test_pasid_check_hwpt(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u32 id = cmd->pasid_check.hwpt_id, attached;
	struct test_dev *t;
	int rc;

	rc = req_get_test_dev(req, cmd->id, &t);
	if (rc)
		return rc;
	attached = dev_attached_hwpt(t->bound, PASID(cmd->pasid_check.pasid));
	if (id)
		rc = check_hwpt_id(req, id, attached);
	else
		rc = attached ? -EINVAL : 0;
	obj_put(&t->obj);
	return rc;
}

static int (*const test_ops[])(struct req *req) = {
	[IOMMU_TEST_OP_ADD_RESERVED] = test_add_reserved,
	[IOMMU_TEST_OP_MOCK_DOMAIN] = test_mock_domain,
	[IOMMU_TEST_OP_MD_CHECK_MAP] = test_md_check_map,
	[IOMMU_TEST_OP_MD_CHECK_REFS] = test_md_check_refs,
	[IOMMU_TEST_OP_CREATE_ACCESS] = test_create_access,
	[IOMMU_TEST_OP_DESTROY_ACCESS_PAGES] = test_destroy_access_pages,
	[IOMMU_TEST_OP_ACCESS_PAGES] = test_access_pages,
	[IOMMU_TEST_OP_ACCESS_RW] = test_access_rw,
	[IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT] = test_set_memory_limit,
	[IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE] = test_mock_domain_replace,
	[IOMMU_TEST_OP_ACCESS_REPLACE_IOAS] = test_access_replace_ioas,
	[IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS] = test_mock_domain,
	[IOMMU_TEST_OP_DIRTY] = test_dirty,
	[IOMMU_TEST_OP_MD_CHECK_IOTLB] = test_md_check_iotlb,
	[IOMMU_TEST_OP_DEV_CHECK_CACHE] = test_dev_check_cache,
	[IOMMU_TEST_OP_PASID_ATTACH] = test_pasid_attach,
	[IOMMU_TEST_OP_PASID_REPLACE] = test_pasid_replace,
	[IOMMU_TEST_OP_PASID_DETACH] = test_pasid_detach,
	[IOMMU_TEST_OP_PASID_CHECK_HWPT] = test_pasid_check_hwpt,
	[IOMMU_TEST_OP_DMABUF_GET] = test_dmabuf_get,
	[IOMMU_TEST_OP_DMABUF_REVOKE] = test_dmabuf_revoke,
};

int cmd_test(struct req *req)
{
	u32 op = req->cmd->test.op;

	if (op >= ARRAY_SIZE(test_ops) || !test_ops[op])
		return -EOPNOTSUPP;
	return test_ops[op](req);
}
