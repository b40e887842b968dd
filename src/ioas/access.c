/* SPDX-License-Identifier: MIT */
/*
 * Access objects: users of an IOAS inside this process that are no devices: they pin pages for long, or
 * read and write now and then.
 *
 * An unmap asks those who have pages pinned to let go, by callback, again and again; it gives up after
 * a hundred times. While it asks, nothing new can be pinned there.
 *
 * Source: linux drivers/iommu/iommufd/device.c (iommufd_access_*), pages.c.
 */
#include "ioas/priv.h"

static struct access *to_access(struct obj *obj)
{
	return container_of(obj, struct access, obj);
}

/* ---- which IOAS ---- */

static int join(struct ioasis_ioas *ioas, struct access *access, struct membership **out)
{
	struct membership *m = env_zalloc(ioas->ctx->env, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->access = access;
	rwlock_write(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	m->seq = ++ioas->next_access_seq;
	list_push_back(&ioas->accesses, &m->node);
	rc = iova_update_align(ioas);
	if (rc)
		list_del(&m->node);
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_write_drop(&ioas->hwpts_lock);
	if (rc) {
		env_free(ioas->ctx->env, m);
		return rc;
	}
	obj_hold(&ioas->obj);
	*out = m;
	return 0;
}

static void leave(struct ioasis_ioas *ioas, struct membership *m)
{
	int rc;

	rwlock_write(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	list_del(&m->node);
	rc = iova_update_align(ioas); /* it only becomes finer */
	assert(!rc);
	(void)rc;
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_write_drop(&ioas->hwpts_lock);
	env_free(ioas->ctx->env, m);
	obj_drop(&ioas->obj);
}

/* Caller holds access->lock, which is dropped around the callback. @to NULL: none. */
static int change_ioas(struct access *access, struct ioasis_ioas *to) MUST_HOLD(access->lock)
{
	struct ioasis_ioas *from = access->ioas;
	struct membership *m = NULL;
	int rc;

	if (from != access->unpin_ioas) /* another thread is at it */
		return -EBUSY;
	if (from == to)
		return 0;
	access->ioas = NULL; /* no new pins; unpinning goes on */
	if (to) {
		rc = join(to, access, &m);
		if (rc) {
			access->ioas = from;
			return rc;
		}
	}
	if (from) {
		if (access->ops->unmap) {
			lock_drop(&access->lock);
			access->ops->unmap(access->data, 0, UINT64_MAX);
			lock_take(&access->lock);
		}
		leave(from, access->member);
	}
	access->ioas = to;
	access->unpin_ioas = to;
	access->member = m;
	return 0;
}

static int change_by_id(struct access *access, u32 ioas_id) MUST_HOLD(access->lock)
{
	struct obj *obj;
	int rc;

	rc = obj_get(&access->ctx->objs, ioas_id, OBJ_IOAS, &obj);
	if (rc)
		return rc;
	rc = change_ioas(access, to_ioas(obj));
	obj_put(obj);
	return rc;
}

static void access_obj_destroy(struct obj *obj)
{
	struct access *access = to_access(obj);
	int rc;

	lock_take(&access->lock);
	rc = access->ioas ? change_ioas(access, NULL) : 0;
	lock_drop(&access->lock);
	assert(!rc);
	(void)rc;
	lock_fini(&access->lock);
}

const struct obj_ops access_obj_ops = {
	.type = OBJ_ACCESS,
	.name = "access",
	.destroy = access_obj_destroy,
};

int access_new(struct ioasis_ctx *ctx, const struct access_ops *ops, void *data,
	       struct access **out)
{
	struct access *access;
	struct obj *obj;
	int rc;

	rc = obj_new(&ctx->objs, &access_obj_ops, sizeof(*access), &obj);
	if (rc)
		return rc;
	access = to_access(obj);
	access->ctx = ctx;
	access->ops = ops;
	access->data = data;
	access->align = ops->needs_pin_pages ? PAGE_SIZE : 1;
	lock_init(&access->lock, RANK_ACCESS);
	ctx_get(ctx);
	obj_hold(obj); /* the user's, until access_destroy() */
	obj_publish(obj);
	*out = access;
	return 0;
}

void access_destroy(struct access *access)
{
	struct ioasis_ctx *ctx = access->ctx;

	remove_owned(&access->obj);
	ctx_put(ctx);
}

u32 access_id(const struct access *access)
{
	return access->obj.id;
}

int access_attach(struct access *access, u32 ioas_id)
{
	int rc = -EINVAL;

	lock_take(&access->lock);
	if (!access->ioas)
		rc = change_by_id(access, ioas_id);
	lock_drop(&access->lock);
	return rc;
}

int access_replace(struct access *access, u32 ioas_id)
{
	int rc = -ENOENT;

	lock_take(&access->lock);
	if (access->ioas)
		rc = change_by_id(access, ioas_id);
	lock_drop(&access->lock);
	return rc;
}

void access_detach(struct access *access)
{
	int rc = 0;

	lock_take(&access->lock);
	if (access->ioas)
		rc = change_ioas(access, NULL);
	lock_drop(&access->lock);
	assert(!rc);
	(void)rc;
}

/* The first access that joined after *inout_seq, with a get; it can be let go by obj_put(). */
static struct obj *next_access(struct ioasis_ioas *ioas, u64 *inout_seq)
{
	struct obj *obj = NULL;
	struct list *n;

	rwlock_read(&ioas->iova_lock);
	list_for_each(n, &ioas->accesses) {
		struct membership *m = list_entry(n, struct membership, node);

		if (m->seq <= *inout_seq)
			continue;
		*inout_seq = m->seq;
		if (!obj_get(&ioas->ctx->objs, m->access->obj.id, OBJ_ACCESS, &obj))
			break;
		obj = NULL; /* it is being destroyed, and lets go by itself */
	}
	rwlock_read_drop(&ioas->iova_lock);
	return obj;
}

void access_notify_unmap(struct ioasis_ioas *ioas, u64 iova, u64 len)
{
	struct obj *obj;
	u64 seq = 0;

	while ((obj = next_access(ioas, &seq))) {
		struct access *access = to_access(obj);

		if (access->ops->unmap)
			access->ops->unmap(access->data, iova, len);
		obj_put(obj);
	}
}

/* ---- pin ---- */

static struct pages_access *find_exact(struct pages *p, u64 first, u64 last)
{
	struct itree_node *n;

	itree_for_each(n, &p->accesses, first, last)
		if (n->start == first && n->last == last)
			return container_of(n, struct pages_access, node);
	return NULL;
}

static void report(struct pages *p, u64 first, u64 last, struct pinned_page *out)
	MUST_HOLD(p->lock)
{
	const struct run *run = pages_run(p, first * PAGE_SIZE);

	for (u64 i = first; i <= last; i++, out++) {
		u64 byte = i * PAGE_SIZE;

		if (byte - run->first >= run->len)
			run++;
		out->seg = run->seg;
		out->oa = OA(run->oa.v + (byte - run->first));
	}
}

static int pin_new(struct pages *p, u64 first, u64 last) MUST_HOLD(p->lock)
{
	struct pages_access *pa = env_zalloc(p->env, sizeof(*pa));
	int rc;

	if (!pa)
		return -ENOMEM;
	rc = pages_pin(p, first, last);
	if (rc) {
		env_free(p->env, pa);
		return rc;
	}
	pa->node.start = first;
	pa->node.last = last;
	pa->users = 1;
	itree_insert(&p->accesses, &pa->node);
	return 0;
}

static int area_pin(struct area *area, u64 first, u64 last, struct pinned_page *out, bool write)
{
	struct pages *p = area->pages;
	struct pages_access *pa;
	int rc = 0;

	if (write && !p->src.writable)
		return -EPERM;
	if (p->dmabuf)
		return -EINVAL;
	lock_take(&p->lock);
	pa = find_exact(p, first, last);
	if (pa)
		pa->users++;
	else
		rc = pin_new(p, first, last);
	if (!rc) {
		area->nr_accesses++;
		report(p, first, last, out);
	}
	lock_drop(&p->lock);
	return rc;
}

static void area_unpin(struct area *area, u64 first, u64 last)
{
	struct pages *p = area->pages;
	struct pages_access *pa;

	lock_take(&p->lock);
	pa = find_exact(p, first, last);
	assert(pa && area->nr_accesses);
	area->nr_accesses--;
	if (!--pa->users) {
		itree_remove(&p->accesses, &pa->node);
		pages_unpin(p, first, last);
		env_free(p->env, pa);
	}
	lock_drop(&p->lock);
}

static void unpin_areas(struct ioasis_ioas *ioas, u64 iova, u64 last)
	MUST_HOLD_READ(ioas->iova_lock)
{
	struct contig it;

	for (struct area *a = contig_first(&it, ioas, iova, last); a; a = contig_next(&it))
		area_unpin(a, area_byte(a, it.cur) / PAGE_SIZE,
			   area_byte(a, contig_last(&it)) / PAGE_SIZE);
}

/* Whole pages: each piece starts at one, and every piece but the last ends at one. */
static bool is_aligned(const struct contig *it)
{
	const struct area *a = it->area;

	if (area_byte(a, it->cur) % PAGE_SIZE)
		return false;
	return contig_done(it) || area_byte(a, a->node.last) % PAGE_SIZE == PAGE_SIZE - 1;
}

static bool allows(const struct area *a, bool write)
{
	return a->perm & (write ? PERM_W : PERM_R);
}

static int pin_piece(const struct contig *it, struct pinned_page **out, bool write)
{
	struct area *a = it->area;
	u64 first = area_byte(a, it->cur) / PAGE_SIZE;
	u64 last = area_byte(a, contig_last(it)) / PAGE_SIZE;
	int rc;

	if (a->prevent_access || !is_aligned(it))
		return -EINVAL;
	if (!allows(a, write))
		return -EPERM;
	rc = area_pin(a, first, last, *out, write);
	if (!rc)
		*out += last - first + 1;
	return rc;
}

static int pin_areas(struct ioasis_ioas *ioas, u64 iova, u64 last, struct pinned_page *out,
		     bool write)
{
	struct contig it;
	int rc = 0;

	rwlock_read(&ioas->iova_lock);
	for (struct area *a = contig_first(&it, ioas, iova, last); a; a = contig_next(&it)) {
		rc = pin_piece(&it, &out, write);
		if (rc)
			break;
	}
	if (!rc && !contig_done(&it))
		rc = -ENOENT;
	/* it.cur is where the piece that failed begins, or where one is missing. */
	if (rc && iova < it.cur)
		unpin_areas(ioas, iova, it.cur - 1);
	rwlock_read_drop(&ioas->iova_lock);
	return rc;
}

int access_pin_pages(struct access *access, u64 iova, u64 len, struct pinned_page *out,
		     unsigned flags)
{
	u64 last;
	int rc = -ENOENT;

	if (access->align != PAGE_SIZE || !access->ops->unmap || !len)
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &last))
		return -EOVERFLOW;
	lock_take(&access->lock);
	if (access->ioas)
		rc = pin_areas(access->ioas, iova, last, out, flags & ACCESS_WRITE);
	lock_drop(&access->lock);
	return rc;
}

void access_unpin_pages(struct access *access, u64 iova, u64 len)
{
	struct ioasis_ioas *ioas;

	lock_take(&access->lock);
	ioas = access->unpin_ioas;
	assert(ioas && len);
	rwlock_read(&ioas->iova_lock);
	unpin_areas(ioas, iova, iova + (len - 1));
	rwlock_read_drop(&ioas->iova_lock);
	lock_drop(&access->lock);
}

/* ---- read and write ---- */

/* The process's own addresses, as copy_to_user() would: what lies there now, pinned or not. */
static int copy_by_address(struct pages *p, u64 byte, void *data, u64 len, bool write)
{
	int rc;

	if (p->src.kind == SOURCE_OWN) {
		u8 *at = (u8 *)p->src.host + byte;

		return write ? copy_guarded(at, data, len) : copy_guarded(data, at, len);
	}
	rc = write ? mm_write(p->src.mm, UVA(p->src.uva.v + byte), data, len) :
		     mm_read(p->src.mm, UVA(p->src.uva.v + byte), data, len);
	return rc == -ESRCH ? -EFAULT : rc;
}

static int copy_pages(struct pages *p, u64 byte, void *data, u64 len, unsigned flags)
{
	bool write = flags & ACCESS_WRITE;
	bool one_page = byte / PAGE_SIZE == (byte + len - 1) / PAGE_SIZE;

	if (write && !p->src.writable)
		return -EPERM;
	if (p->dmabuf)
		return -EINVAL;
	if (p->src.kind != SOURCE_OWN && p->src.kind != SOURCE_USER)
		return pages_rw(p, byte, data, len, write);
	if ((flags & ACCESS_SLOW) && !one_page)
		return pages_rw(p, byte, data, len, write);
	if (p->src.kind == SOURCE_USER && !mm_alive(p->src.mm))
		return pages_rw(p, byte, data, len, write);
	return copy_by_address(p, byte, data, len, write);
}

/*
 * The area at @it->cur, entered: an unmap of it waits until area_leave(), with its pages. It takes them
 * away from the area at once, so they are remembered here.
 */
static int enter_area(struct ioasis_ioas *ioas, struct contig *it, bool write, struct pages **out)
{
	int rc = 0;

	rwlock_read(&ioas->iova_lock);
	if (!contig_first(it, ioas, it->cur, it->last))
		rc = -ENOENT;
	else if (it->area->prevent_access)
		rc = -EINVAL;
	else if (!allows(it->area, write))
		rc = -EPERM;
	if (!rc) {
		atomic_fetch_add(&it->area->inside, 1);
		*out = it->area->pages;
	}
	rwlock_read_drop(&ioas->iova_lock);
	return rc;
}

static int rw_areas(struct ioasis_ioas *ioas, u64 iova, u64 last, void *data, unsigned flags)
{
	struct contig it = {.cur = iova, .last = last};

	for (;;) {
		struct pages *p;
		u64 n;
		int rc = enter_area(ioas, &it, flags & ACCESS_WRITE, &p);

		if (rc)
			return rc;
		n = contig_last(&it) - it.cur + 1;
		rc = copy_pages(p, area_byte(it.area, it.cur), data, n, flags);
		area_leave(it.area);
		if (rc)
			return rc;
		if (last - it.cur < n)
			return 0;
		it.cur += n;
		data = (u8 *)data + n;
	}
}

int access_rw(struct access *access, u64 iova, void *data, size_t len, unsigned flags)
{
	u64 last;
	int rc = -ENOENT;

	if (!len)
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &last))
		return -EOVERFLOW;
	lock_take(&access->lock);
	if (access->ioas)
		rc = rw_areas(access->ioas, iova, last, data, flags);
	lock_drop(&access->lock);
	return rc;
}
