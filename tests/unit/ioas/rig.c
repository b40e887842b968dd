/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void rig_up(struct rig *r, const char *machine)
{
	bool mock = !strcmp(machine, "mock");

	memset(r, 0, sizeof(*r));
	assert_int_equal(env_init(&r->env), 0);
	assert_int_equal(mem_init(&r->mem, &r->env, 48, 0), 0);
	fault_log_init(&r->log, &r->env);
	assert_int_equal((mock ? iommu_mock_new : iommu_vtd_new)(&r->env, &r->mem, &r->log, "iommu0",
								 &r->iommu),
			 0);
	for (unsigned i = 0; i < RIG_DEVS; i++) {
		r->idev[i].pasid_bits = mock ? 20 : 0;
		assert_int_equal(iommu_dev_init(r->iommu, &r->idev[i], RID(0x100 + i), "dev"), 0);
	}
	r->buf = mmap(NULL, RIG_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->buf, MAP_FAILED);
	for (unsigned i = 0; i < RIG_PAGES; i++)
		memset(r->buf + i * PAGE_SIZE, (int)i, PAGE_SIZE);
	r->huge_map = mmap(NULL, RIG_HUGE + (2 << 20), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(r->huge_map, MAP_FAILED);
	r->huge = (u8 *)align_up((uintptr_t)r->huge_map, 2 << 20);
	/* What is made once and stays (segments of our own memory) is no leak: make it now. */
	rig_open(r);
	{
		struct ioasis_ioas *ioas = rig_ioas(r);

		assert_int_equal(rig_attach(r, 0, ioas), 0);
		assert_int_equal(rig_map(r, ioas, r->buf, RIG_PAGES * PAGE_SIZE, 0x10000000), 0);
		assert_int_equal(rig_map(r, ioas, r->huge, RIG_HUGE, 0x20000000), 0);
	}
	r->nr_allocs = r->nr_tables = 0;
	rig_close(r);
	rig_open(r);
}

void rig_open(struct rig *r)
{
	r->nr_allocs = atomic_load(&r->env.nr_allocs);
	r->nr_tables = atomic_load(&r->mem.tables.nr_used);
	r->pinned = atomic_load(&r->mem.self->pinned_pages);
	assert_int_equal(ctx_new(&r->env, &r->mem, NULL, &r->ctx), 0);
	for (unsigned i = 0; i < RIG_DEVS; i++)
		assert_int_equal(dev_bind(r->ctx, &r->idev[i], &r->dev[i]), 0);
}

void rig_close(struct rig *r)
{
	for (unsigned i = 0; i < RIG_DEVS; i++)
		if (r->dev[i])
			dev_unbind(r->dev[i]);
	ctx_put(r->ctx);
	memset(r->dev, 0, sizeof(r->dev));
	if (r->nr_allocs)
		assert_int_equal(atomic_load(&r->env.nr_allocs), r->nr_allocs);
	if (r->nr_tables)
		assert_int_equal(atomic_load(&r->mem.tables.nr_used), r->nr_tables);
	assert_int_equal(rig_pinned(r), 0);
}

void rig_down(struct rig *r)
{
	rig_close(r);
	munmap(r->buf, RIG_PAGES * PAGE_SIZE);
	munmap(r->huge_map, RIG_HUGE + (2 << 20));
	for (unsigned i = 0; i < RIG_DEVS; i++)
		iommu_dev_fini(&r->idev[i]);
	r->iommu->ops->free(r->iommu);
	fault_log_fini(&r->log);
	mem_fini(&r->mem);
	assert_int_equal(atomic_load(&r->env.nr_allocs), 0);
	env_fini(&r->env);
}

struct ioasis_ioas *rig_ioas(struct rig *r)
{
	struct obj *obj;

	assert_int_equal(ioas_new(r->ctx, &obj), 0);
	obj_publish(obj);
	return container_of(obj, struct ioasis_ioas, obj);
}

static int do_map(struct ioasis_ioas *ioas, struct map_args *m, u64 *iova)
{
	iova_t out;
	int rc;

	m->fixed = *iova != AUTO;
	m->iova = IOVA(*iova);
	rc = ioas_map(ioas, m, &out);
	if (!rc)
		*iova = out.v;
	return rc;
}

int rig_map_perm(struct rig *r, struct ioasis_ioas *ioas, void *host, u64 len, u8 perm, u64 *iova)
{
	uintptr_t at = (uintptr_t)host;
	struct map_args m = {
		.src = {.kind = SOURCE_OWN,
			.fd = -1,
			.mm = mm_self(&r->mem),
			.host = (void *)align_down(at, PAGE_SIZE)},
		.start_byte = at % PAGE_SIZE,
		.len = len,
		.perm = perm,
		.account = ACCOUNT_NONE,
	};

	return do_map(ioas, &m, iova);
}

int rig_map(struct rig *r, struct ioasis_ioas *ioas, void *host, u64 len, u64 iova)
{
	return rig_map_perm(r, ioas, host, len, PERM_RW, &iova);
}

int rig_map_fd(struct rig *r, struct ioasis_ioas *ioas, int fd, u64 offset, u64 len, u64 *iova,
	       enum account_mode account)
{
	struct map_args m = {
		.src = {.kind = SOURCE_FILE,
			.fd = dup(fd),
			.mm = mm_self(&r->mem),
			.offset = align_down(offset, PAGE_SIZE)},
		.start_byte = offset % PAGE_SIZE,
		.len = len,
		.perm = PERM_RW,
		.account = account,
	};

	return do_map(ioas, &m, iova);
}

int rig_map_dmabuf(struct rig *r, struct ioasis_ioas *ioas, struct dmabuf *d, u64 offset, u64 len,
		   u64 *iova)
{
	struct map_args m = {
		.src = {.kind = SOURCE_TOKEN,
			.fd = -1,
			.mm = mm_self(&r->mem),
			.offset = align_down(offset, PAGE_SIZE)},
		.dmabuf = dmabuf_get(d),
		.start_byte = offset % PAGE_SIZE,
		.len = len,
		.perm = PERM_RW,
		.account = ACCOUNT_USER,
	};

	return do_map(ioas, &m, iova);
}

int rig_unmap(struct ioasis_ioas *ioas, u64 iova, u64 len)
{
	struct iova_range range;
	u64 done = 0;
	int rc = range_make(&range, iova, len);

	if (!rc)
		rc = ioas_unmap(ioas, range, &done);
	return rc ? rc : done ? 0 : -ENOENT;
}

int rig_copy(struct ioasis_ioas *dst, struct ioasis_ioas *src, u64 from, u64 len, u64 *iova)
{
	struct copy_src c;
	iova_t out;
	int rc = copy_from(src, from, len, &c);

	if (rc)
		return rc;
	rc = copy_to(dst, &c, PERM_RW, *iova != AUTO, IOVA(*iova), &out);
	copy_fini(&c);
	if (!rc)
		*iova = out.v;
	return rc;
}

int rig_attach(struct rig *r, unsigned dev, struct ioasis_ioas *ioas)
{
	u32 id = ioas->obj.id;

	return dev_attach(r->dev[dev], NO_PASID, &id);
}

struct hwpt *rig_hwpt(struct rig *r, u32 id)
{
	struct obj *obj;

	assert_int_equal(obj_get(&r->ctx->objs, id, OBJ_HWPT_PAGING, &obj), 0);
	obj_put(obj);
	return container_of(obj, struct hwpt, obj);
}

u8 *rig_dma(struct rig *r, unsigned dev, u64 iova, enum perm perm)
{
	struct epoch_slot *slot = epoch_slot(&r->env.epoch);
	struct xlate_fault fault;
	struct xlate_res res;
	u8 *host = NULL;

	epoch_enter(slot, NULL);
	if (!hw_xlate(&r->idev[dev].port, NO_PASID, IOVA(iova), perm, &res, &fault))
		host = res.host;
	epoch_leave(slot);
	return host;
}

int rig_memfd(u64 len)
{
	int fd = memfd_create("rig", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

u64 rig_pinned(struct rig *r)
{
	return atomic_load(&r->mem.self->pinned_pages) - r->pinned;
}

static int up_state(void **state, const char *machine)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_up(r, machine);
	*state = r;
	return 0;
}

int rig_up_mock(void **state)
{
	return up_state(state, "mock");
}

int rig_up_intel(void **state)
{
	return up_state(state, "intel");
}

int rig_tear_down(void **state)
{
	rig_down(*state);
	free(*state);
	return 0;
}
