/* SPDX-License-Identifier: MIT */
/*
 * Contexts, the IOAS as an object, and what concerns all IOAS of a context.
 *
 * Source: linux drivers/iommu/iommufd/{main,ioas}.c.
 */
#include "ioas/priv.h"

#include <stdlib.h>

#define DESCRIBED_AREAS 1024u /* `show` need not print a million */

int ctx_new(struct env *env, struct mem *mem, struct ioasis *ioasis, struct ioasis_ctx **out)
{
	struct ioasis_ctx *ctx = env_zalloc(env, sizeof(*ctx));
	int rc;

	if (!ctx)
		return -ENOMEM;
	rc = obj_table_init(&ctx->objs, env, ctx);
	if (rc) {
		env_free(env, ctx);
		return rc;
	}
	slab_init(&ctx->pages, env, sizeof(struct pages));
	ctx->refs = 1;
	ctx->env = env;
	ctx->mem = mem;
	ctx->ioasis = ioasis;
	ctx->account_mode = ACCOUNT_USER;
	lock_init(&ctx->change_lock, RANK_IOAS);
	lock_init(&ctx->group_lock, RANK_GROUP);
	list_init(&ctx->node);
	*out = ctx;
	return 0;
}

void ctx_get(struct ioasis_ctx *ctx)
{
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
}

void ctx_put(struct ioasis_ctx *ctx)
{
	if (atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	if (ctx->gone)
		ctx->gone(ctx);
	obj_table_close(&ctx->objs);
	lock_fini(&ctx->group_lock);
	lock_fini(&ctx->change_lock);
	slab_fini(&ctx->pages);
	env_free(ctx->env, ctx);
}

int ctx_set_rlimit_mode(struct ioasis_ctx *ctx, bool capable, u64 val)
{
	int rc = 0;

	if (!capable)
		return REJECT(ctx->env, -EPERM, ctx_set_rlimit_mode, "CAP_SYS_RESOURCE");
	lock_take(&ctx->objs.lock);
	if (ctx->objs.nr_objs)
		rc = -EBUSY;
	else if (val > 1)
		rc = -EINVAL;
	else
		ctx->account_mode = val ? ACCOUNT_MM : ACCOUNT_USER;
	lock_drop(&ctx->objs.lock);
	return rc;
}

u64 ctx_rlimit_mode(struct ioasis_ctx *ctx)
{
	u64 val;

	lock_take(&ctx->objs.lock);
	val = ctx->account_mode == ACCOUNT_MM;
	lock_drop(&ctx->objs.lock);
	return val;
}

/*
 * Remove an object that its owner holds. A request inside it may be stuck in its client's memory for
 * longer than obj_remove() waits; the owner's memory goes next, so there is nothing but to wait on.
 */
void remove_owned(struct obj *obj)
{
	while (obj_remove(obj, 0))
		obj_hold(obj);
}

/* ---- the IOAS ---- */

static void ioas_destroy(struct obj *obj)
{
	struct ioasis_ioas *ioas = to_ioas(obj);
	int rc = ioas_unmap_all(ioas, NULL);

	assert(!rc);
	(void)rc;
	iova_fini(ioas);
	rwlock_fini(&ioas->iova_lock);
	rwlock_fini(&ioas->hwpts_lock);
	lock_fini(&ioas->attach_lock);
}

/*
 * Which provider holds an area's first byte, for people. Who unmaps may be waiting for a device under the
 * pages' lock, for as long as the program's memory makes it wait: a person must not.
 */
static const char *provider(struct area *a)
{
	const char *name = "not pinned";
	const struct run *run;

	if (!a->pages || !lock_try(&a->pages->lock))
		return "changing";
	run = pages_run(a->pages, a->start_byte);
	if (a->pages->revoked)
		name = "revoked";
	else if (run)
		name = seg_kind_name(run->seg->kind);
	lock_drop(&a->pages->lock);
	return name;
}

static json_t *describe_areas(struct ioasis_ioas *ioas)
{
	json_t *list = json_array();
	u32 nr = 0;

	for (struct area *a = area_first(ioas, 0, UINT64_MAX); a && nr < DESCRIBED_AREAS;
	     a = area_next(a, 0, UINT64_MAX), nr++) {
		json_t *o = json_object();

		json_put(o, "iova", json_hex(a->node.start));
		json_put(o, "last", json_hex(a->node.last));
		json_put(o, "perm", json_string(a->perm == PERM_RW ? "rw" :
						a->perm == PERM_R  ? "r" :
								     "w"));
		json_put(o, "provider", json_string(provider(a)));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *describe_ranges(const struct itree *t)
{
	json_t *list = json_array();
	struct itree_node *n;

	itree_for_each(n, t, 0, UINT64_MAX) {
		json_t *o = json_object();

		json_put(o, "start", json_hex(n->start));
		json_put(o, "last", json_hex(n->last));
		json_array_append_new(list, o);
	}
	return list;
}

static void ioas_describe(struct obj *obj, json_t *out)
{
	struct ioasis_ioas *ioas = to_ioas(obj);

	rwlock_read(&ioas->iova_lock);
	json_put(out, "alignment", json_integer((json_int_t)ioas->align));
	json_put(out, "huge_pages", json_boolean(!ioas->no_large_pages));
	json_put(out, "nr_areas", json_integer((json_int_t)ioas->areas.nr));
	json_put(out, "areas", describe_areas(ioas));
	json_put(out, "reserved", describe_ranges(&ioas->reserved));
	json_put(out, "allowed", describe_ranges(&ioas->allowed));
	rwlock_read_drop(&ioas->iova_lock);
}

const struct obj_ops ioas_obj_ops = {
	.type = OBJ_IOAS,
	.name = "ioas",
	.destroy = ioas_destroy,
	.describe = ioas_describe,
};

int ioas_new(struct ioasis_ctx *ctx, struct obj **out)
{
	struct ioasis_ioas *ioas;
	struct obj *obj;
	int rc;

	rc = obj_new(&ctx->objs, &ioas_obj_ops, sizeof(*ioas), &obj);
	if (rc)
		return rc;
	ioas = to_ioas(obj);
	ioas->ctx = ctx;
	ioas->align = 1;
	lock_init(&ioas->attach_lock, RANK_IOAS);
	rwlock_init(&ioas->hwpts_lock, RANK_HWPTS);
	rwlock_init(&ioas->iova_lock, RANK_IOVA);
	list_init(&ioas->hwpts);
	list_init(&ioas->accesses);
	itree_init(&ioas->areas);
	itree_init(&ioas->allowed);
	itree_init(&ioas->reserved);
	*out = obj;
	return 0;
}

/* ---- every pages object of a context ---- */

/*
 * A snapshot of the pages of all IOAS, with references: several IOAS cannot be locked at once. What is
 * mapped later counts as later.
 */
struct pages_set {
	struct env *env;
	struct pages **v;
	size_t nr, cap;
	bool files_only;
	int rc;
};

static int set_grow(struct pages_set *s)
{
	size_t cap = s->cap ? 2 * s->cap : 16;
	struct pages **v = env_calloc(s->env, cap, sizeof(struct pages *));

	if (!v)
		return -ENOMEM;
	if (s->nr)
		memcpy(v, s->v, s->nr * sizeof(struct pages *));
	env_free(s->env, s->v);
	s->v = v;
	s->cap = cap;
	return 0;
}

static int set_add(struct pages_set *s, const struct area *a)
{
	int rc;

	if (!a->pages)
		return s->files_only ? -EBUSY : 0;
	if (s->files_only && a->pages->src.kind != SOURCE_FILE)
		return -EINVAL;
	if (s->nr == s->cap) {
		rc = set_grow(s);
		if (rc)
			return rc;
	}
	s->v[s->nr++] = pages_get(a->pages);
	return 0;
}

static void set_add_ioas(struct obj *obj, void *arg)
{
	struct pages_set *s = arg;
	struct ioasis_ioas *ioas;

	if (obj->type != OBJ_IOAS || s->rc)
		return;
	ioas = to_ioas(obj);
	rwlock_read(&ioas->iova_lock);
	for (struct area *a = area_first(ioas, 0, UINT64_MAX); a && !s->rc;
	     a = area_next(a, 0, UINT64_MAX))
		s->rc = set_add(s, a);
	rwlock_read_drop(&ioas->iova_lock);
}

static void set_fini(struct pages_set *s)
{
	for (size_t i = 0; i < s->nr; i++)
		pages_put(s->v[i]);
	env_free(s->env, s->v);
}

int ctx_change_process(struct ioasis_ctx *ctx, struct mm *mm)
{
	struct pages_set s = {.env = ctx->env, .files_only = true};
	size_t done;
	int rc;

	lock_take(&ctx->change_lock);
	obj_for_each(&ctx->objs, set_add_ioas, &s);
	rc = s.rc;
	for (done = 0; !rc && done < s.nr; done++)
		rc = pages_charge_begin(s.v[done], mm);
	for (size_t i = 0; i < done; i++)
		pages_charge_end(s.v[i], mm, !rc);
	set_fini(&s);
	lock_drop(&ctx->change_lock);
	return rc ? REJECT(ctx->env, rc, ctx_change_process, "areas or limits") : 0;
}

static int cmp_pages(const void *a, const void *b)
{
	uintptr_t pa = (uintptr_t)*(struct pages *const *)a;
	uintptr_t pb = (uintptr_t)*(struct pages *const *)b;

	return pa < pb ? -1 : pa > pb;
}

static bool has_oa(struct pages *p, oa_t oa)
{
	bool found = false;

	lock_take(&p->lock);
	for (u32 i = 0; !found && !p->revoked && i < p->runs.nr; i++)
		found = oa.v - p->runs.v[i].oa.v < p->runs.v[i].len;
	lock_drop(&p->lock);
	return found;
}

u32 ctx_pin_count(struct ioasis_ctx *ctx, oa_t oa)
{
	struct pages_set s = {.env = ctx->env};
	u32 nr = 0;

	obj_for_each(&ctx->objs, set_add_ioas, &s);
	if (s.nr)
		qsort(s.v, s.nr, sizeof(struct pages *), cmp_pages);
	for (size_t i = 0; i < s.nr; i++)
		if ((!i || s.v[i] != s.v[i - 1]) && has_oa(s.v[i], oa))
			nr++;
	set_fini(&s);
	return nr;
}
