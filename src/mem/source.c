/* SPDX-License-Identifier: MIT */
/*
 * From what a mapping names to runs of OA. Each kind of source has one function that yields the piece at
 * a byte; source_resolve() walks the range with it.
 */
#include "mem/file.h"
#include "mem/mem_priv.h"
#include "mem/proc.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A piece that one segment covers: the reference is the piece's until it becomes a run. */
struct piece {
	struct seg *seg;
	oa_t oa;
	u64 len;
};

static void piece_of(struct seg *seg, u64 off, u64 want, struct piece *out)
{
	*out = (struct piece){seg, OA(seg->base.v + off), min(want, seg->len - off)};
}

static int new_own(struct mem *mem, u64 region, struct own_mid *mid, struct seg **out)
{
	/* Page 0 is left out: its host address would read as "not direct". */
	u64 lead = region ? 0 : PAGE_SIZE, at = (region << SEG_CHUNK_LG2) + lead;
	struct seg_want want = {SEG_OWN, (u8 *)(uintptr_t)at, SEG_CHUNK - lead, at};
	_Atomic(struct seg *) *slot = &mid->seg[region & ((1u << OWN_MID_LG2) - 1)];
	struct seg *seg, *other;
	int rc;

	rc = seg_make(mem, &want, &seg);
	if (rc)
		return rc;
	seg->lingers = true;
	seg->uva.v = at;
	lock_take(&mem->segs_lock);
	other = atomic_load(slot);
	if (!other) {
		lock_assert_held(&seg->mem->segs_lock);
		seg_publish_locked(seg);
		atomic_store(slot, seg);
	}
	lock_drop(&mem->segs_lock);
	if (other) {
		seg_abandon(seg);
		seg = seg_get(other);
	}
	*out = seg;
	return 0;
}

static int get_own_mid(struct mem *mem, _Atomic(struct own_mid *) *at, struct own_mid **out)
{
	struct own_mid *none = NULL, *mid = env_zalloc(mem->env, sizeof(*mid));

	if (!mid)
		return -ENOMEM;
	if (!atomic_compare_exchange_strong(at, &none, mid)) {
		env_free(mem->env, mid);
		mid = none;
	}
	*out = mid;
	return 0;
}

/* Own memory: one segment per 1 GiB of our addresses, which stays until the instance ends. */
static int own_piece(struct mem *mem, u64 at, u64 want, struct piece *out)
{
	u64 region = at >> SEG_CHUNK_LG2;
	_Atomic(struct own_mid *) *top;
	struct own_mid *mid;
	struct seg *seg;
	int rc;

	if (at < PAGE_SIZE || at >> OWN_VA_LG2)
		return -EFAULT;
	top = &mem->priv->own[region >> OWN_MID_LG2];
	mid = atomic_load_explicit(top, memory_order_acquire);
	if (unlikely(!mid)) {
		rc = get_own_mid(mem, top, &mid);
		if (rc)
			return rc;
	}
	seg = atomic_load_explicit(&mid->seg[region & ((1u << OWN_MID_LG2) - 1)],
				   memory_order_acquire);
	if (likely(seg)) {
		seg_get(seg);
	} else {
		rc = new_own(mem, region, mid, &seg);
		if (rc)
			return rc;
	}
	piece_of(seg, at - seg->uva.v, want, out);
	return 0;
}

static struct seg *find_remote(struct mem *mem, struct mm *mm, u64 region, struct list *bucket)
	MUST_HOLD(mem->segs_lock)
{
	struct list *n;

	list_for_each(n, bucket) {
		struct seg *seg = list_entry(n, struct seg, key_node);

		if (seg->kind == SEG_REMOTE && seg->mm == mm && seg->uva.v == region &&
		    seg_get_unless_gone(seg))
			return seg;
	}
	return NULL;
}

/* Memory reached by address: one segment per client and 1 GiB of its addresses. */
static int remote_piece(struct mem *mem, struct mm *mm, u64 at, u64 want, struct piece *out)
{
	u64 region = align_down(at, SEG_CHUNK);
	struct seg_want w = {SEG_REMOTE, NULL, SEG_CHUNK, region};
	struct list *bucket = &mem->priv->keys[seg_hash((uintptr_t)mm ^ region)];
	struct seg *seg, *made = NULL;
	int rc;

	lock_take(&mem->segs_lock);
	seg = find_remote(mem, mm, region, bucket);
	lock_drop(&mem->segs_lock);
	if (!seg) {
		rc = seg_make(mem, &w, &made);
		if (rc)
			return rc;
		made->uva.v = region;
		made->mm = mm_get(mm);
		lock_take(&mem->segs_lock);
		seg = find_remote(mem, mm, region, bucket);
		if (!seg) {
			lock_assert_held(&made->mem->segs_lock);
			seg_publish_locked(made);
			list_push_front(bucket, &made->key_node);
			seg = made;
			made = NULL;
		}
		lock_drop(&mem->segs_lock);
		if (made)
			seg_abandon(made);
	}
	piece_of(seg, at - region, want, out);
	return 0;
}

static int shared_piece(struct mem *mem, const struct file_id *id, int fd, u64 offset, u64 want,
			struct piece *out)
{
	struct piece p;
	struct seg *seg;
	int rc;

	rc = file_seg(mem, id, fd, offset, &seg);
	if (rc)
		return rc;
	piece_of(seg, offset - seg->file_offset, want, &p);
	rc = file_populate(seg, p.oa, p.len);
	if (rc) {
		seg_put(mem, seg);
		return rc;
	}
	*out = p;
	return 0;
}

/*
 * A shared mapping of a client. What is no memory file is refused for writing, as a long-term pin of
 * it is (linux mm/gup.c, writable_file_mapping_allowed()); for reading it is reached by address.
 */
static int user_shared_piece(struct mem *mem, const struct source *src, const struct vma *vma,
			     u64 at, u64 want, struct piece *out)
{
	struct file_id id = {vma->dev, vma->ino, vma->write};
	u64 offset = vma->offset + (at - vma->start);
	int fd, rc;

	rc = shared_piece(mem, &id, -1, offset, want, out);
	if (rc != -ENOENT)
		return rc;
	fd = file_open_vma(src->mm, vma);
	if (fd == -ENXIO || (fd < 0 && !src->writable))
		return remote_piece(mem, src->mm, at, want, out);
	if (fd < 0)
		return -EFAULT;
	rc = shared_piece(mem, &id, fd, offset, want, out);
	close(fd);
	/* Past its end, or not to be written: what touching the mapping would meet. */
	return rc == -EINVAL || rc == -EPERM ? -EFAULT : rc;
}

static int user_piece(struct mem *mem, const struct source *src, u64 first, u64 want,
		      struct piece *out)
{
	u64 at = src->uva.v + first;
	struct vma vma;

	if (src->mm->self)
		return own_piece(mem, at, want, out);
	if (vma_find(src->mm, at, &vma, NULL))
		return -EFAULT;
	if (src->writable ? !vma.write : !vma.read)
		return -EFAULT;
	want = min(want, vma.end - at);
	if (vma.shared && vma.ino)
		return user_shared_piece(mem, src, &vma, at, want, out);
	/* Private memory. A provider that pins it comes before this one. */
	return remote_piece(mem, src->mm, at, want, out);
}

static int file_piece(struct mem *mem, const struct source *src, u64 first, u64 want,
		      struct piece *out)
{
	struct file_id id = {.writable = (fcntl(src->fd, F_GETFL) & O_ACCMODE) == O_RDWR};
	u64 offset = src->offset + first;
	struct stat st;
	int rc;

	if (fstat(src->fd, &st))
		return -errno;
	if (!file_is_memory(src->fd) || offset + want < offset || offset + want > (u64)st.st_size)
		return -EINVAL;
	if (src->writable && !id.writable)
		return -EPERM;
	id.dev = st.st_dev;
	id.ino = st.st_ino;
	rc = shared_piece(mem, &id, src->fd, offset, want, out);
	if (rc != -EPERM || src->writable)
		return rc;
	id.writable = false; /* sealed against writing: reading is what was asked for */
	return shared_piece(mem, &id, src->fd, offset, want, out);
}

static int token_piece(const struct source *src, u64 first, u64 want, struct piece *out)
{
	u64 off = src->offset + first;

	if (off < first || off > src->seg->len || want > src->seg->len - off)
		return -EINVAL;
	if (atomic_load(&src->seg->dead))
		return -EFAULT;
	if (src->writable && !src->seg->writable)
		return -EPERM;
	piece_of(seg_get(src->seg), off, want, out);
	return 0;
}

static int next_piece(struct mem *mem, const struct source *src, u64 first, u64 want,
		      struct piece *out)
{
	u64 last;

	switch (src->kind) {
	case SOURCE_OWN:
		if (__builtin_add_overflow((uintptr_t)src->host, first + want - 1, &last))
			return -EFAULT;
		return own_piece(mem, (uintptr_t)src->host + first, want, out);
	case SOURCE_USER:
		if (__builtin_add_overflow(src->uva.v, first + want - 1, &last))
			return -EFAULT;
		return user_piece(mem, src, first, want, out);
	case SOURCE_FILE:
		return file_piece(mem, src, first, want, out);
	case SOURCE_TOKEN:
		return token_piece(src, first, want, out);
	}
	return -EINVAL;
}

static int grow(struct mem *mem, struct runs *runs)
{
	u32 cap = max(runs->cap * 2, 8u);
	struct run *v = env_calloc(mem->env, cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	memcpy(v, runs->v, runs->nr * sizeof(*v));
	if (runs->v != &runs->one)
		env_free(mem->env, runs->v);
	runs->v = v;
	runs->cap = cap;
	return 0;
}

static int add_run(struct mem *mem, struct runs *runs, u64 first, const struct piece *p)
{
	struct run *last = runs->nr ? &runs->v[runs->nr - 1] : NULL;
	int rc;

	if (last && last->seg == p->seg && last->oa.v + last->len == p->oa.v) {
		last->len += p->len;
		seg_put(mem, p->seg); /* not the last reference: the run has one */
		return 0;
	}
	if (runs->nr == runs->cap) {
		rc = grow(mem, runs);
		if (rc)
			return rc;
	}
	runs->v[runs->nr++] = (struct run){first, p->len, p->oa, p->seg};
	return 0;
}

int source_resolve(struct mem *mem, const struct source *src, u64 first, u64 len, struct runs *out)
{
	struct runs runs = {.cap = 1};
	struct piece p;
	int rc;

	runs.v = &runs.one;
	if (fault_hit(&mem->env->fault))
		return -ENOMEM;
	for (u64 done = 0; done < len; done += p.len) {
		rc = next_piece(mem, src, first + done, len - done, &p);
		if (rc)
			goto undo;
		rc = add_run(mem, &runs, first + done, &p);
		if (rc) {
			seg_put(mem, p.seg);
			goto undo;
		}
	}
	*out = runs;
	if (runs.v == &runs.one)
		out->v = &out->one;
	return 0;
undo:
	runs_release(mem, &runs);
	return REJECT(mem->env, rc, source_resolve, "no memory behind the source");
}

void runs_release(struct mem *mem, struct runs *runs)
{
	for (u32 i = 0; i < runs->nr; i++)
		seg_put(mem, runs->v[i].seg);
	if (runs->v && runs->v != &runs->one)
		env_free(mem->env, runs->v);
	*runs = (struct runs){0};
}

static void free_own(struct mem *mem, struct own_mid *mid)
{
	for (unsigned i = 0; mid && i < ARRAY_SIZE(mid->seg); i++) {
		struct seg *seg = atomic_load(&mid->seg[i]);

		if (!seg)
			continue;
		/* Its uses are gone; the reference it lingers by is the last. */
		assert(!atomic_load(&seg->refs));
		atomic_store(&seg->refs, 1);
		seg->lingers = false;
		seg_put(mem, seg);
	}
	env_free(mem->env, mid);
}

void source_table_fini(struct mem *mem)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mem->priv->own); i++)
		free_own(mem, atomic_load(&mem->priv->own[i]));
	file_table_fini(mem);
}
