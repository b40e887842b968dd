/* SPDX-License-Identifier: MIT */
/* The segment table: who owns which extent of OA space. Look-ups are seg_find(), in mem.h. */
#include "mem/mem_priv.h"

#include <sys/mman.h>

static bool test_bit(const u64 *bits, u32 i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void flip_bits(u64 *bits, u32 first, u32 nr)
{
	for (u32 i = first; i < first + nr; i++)
		bits[i / 64] ^= 1ull << (i % 64);
}

/* First run of @nr clear bits in [from, end) that starts at @phase modulo @step; @end: none. */
static u32 find_clear(const u64 *bits, u32 from, u32 end, u32 nr, u32 step, u32 phase)
{
	u32 start = from + ((phase - from) & (step - 1));

	for (; start + nr <= end && start + nr > start; start += step) {
		u32 i = 0;

		if (bits[start / 64] == UINT64_MAX && step == 1) {
			start |= 63;
			continue;
		}
		while (i < nr && !test_bit(bits, start + i))
			i++;
		if (i == nr)
			return start;
		if (step == 1)
			start += i;
	}
	return end;
}

/* The table's middle level for @chunk, made at its first use and kept. */
static struct seg_mid *get_mid(struct mem *mem, u32 chunk) MUST_HOLD(mem->segs_lock)
{
	struct seg_mid *mid = atomic_load_explicit(&mem->top[chunk >> SEG_TOP_LG2],
						   memory_order_relaxed);

	if (mid)
		return mid;
	mid = env_zalloc(mem->env, sizeof(*mid));
	if (mid)
		atomic_store_explicit(&mem->top[chunk >> SEG_TOP_LG2], mid, memory_order_release);
	return mid;
}

static void set_chunk(struct mem *mem, u32 chunk, uintptr_t value)
{
	struct seg_mid *mid = atomic_load_explicit(&mem->top[chunk >> SEG_TOP_LG2],
						   memory_order_relaxed);

	atomic_store_explicit(&mid->chunk[chunk & ((1u << SEG_TOP_LG2) - 1)], value,
			      memory_order_release);
}

/* Take @nr chunks in a row. Return: the first; 0 when there is none (chunk 0 is never given out). */
static u32 take_chunks(struct mem *mem, u32 nr) MUST_HOLD(mem->segs_lock)
{
	struct mem_priv *p = mem->priv;
	u32 first = find_clear(p->chunks, p->chunk_hint, p->nr_chunks, nr, 1, 0);

	if (first == p->nr_chunks)
		return 0;
	for (u32 c = first; c < first + nr; c++)
		if (!get_mid(mem, c))
			return 0;
	flip_bits(p->chunks, first, nr);
	if (first == p->chunk_hint)
		p->chunk_hint = first + nr;
	return first;
}

static void give_chunks(struct mem *mem, u32 first, u32 nr) MUST_HOLD(mem->segs_lock)
{
	struct mem_priv *p = mem->priv;

	flip_bits(p->chunks, first, nr);
	p->chunk_hint = min(p->chunk_hint, first);
}

/* Slots in a shared chunk for a segment that starts at @offset modulo @align. Return: OA or 0. */
static u64 take_slots(struct mem *mem, u64 offset, u64 len, u64 align) MUST_HOLD(mem->segs_lock)
{
	struct mem_priv *p = mem->priv;
	u64 lead = offset & (SEG_SLOT - 1);
	u32 nr = (u32)((lead + len + SEG_SLOT - 1) >> SEG_SLOT_LG2);
	u32 step = (u32)(align >> SEG_SLOT_LG2);
	u32 phase = (u32)(offset >> SEG_SLOT_LG2) & (step - 1);
	struct shared_chunk *sc;
	struct list *n;
	u32 slot;

	if (phase + nr > SEG_SLOTS)
		return 0;
	list_for_each(n, &p->shared_chunks) {
		sc = list_entry(n, struct shared_chunk, node);
		slot = find_clear(sc->used, 0, SEG_SLOTS, nr, step, phase);
		if (slot != SEG_SLOTS)
			goto take;
	}
	sc = env_zalloc(mem->env, sizeof(*sc));
	if (!sc)
		return 0;
	sc->chunk = take_chunks(mem, 1);
	if (!sc->chunk) {
		env_free(mem->env, sc);
		return 0;
	}
	list_push_front(&p->shared_chunks, &sc->node);
	set_chunk(mem, sc->chunk, (uintptr_t)&sc->slots | 1);
	slot = phase;
take:
	flip_bits(sc->used, slot, nr);
	sc->nr_used += nr;
	return ((u64)sc->chunk << SEG_CHUNK_LG2) + ((u64)slot << SEG_SLOT_LG2) + lead;
}

static bool is_small(const struct seg *seg)
{
	struct mem *mem = seg->mem;
	u64 c = seg->base.v >> SEG_CHUNK_LG2;
	struct seg_mid *mid = atomic_load_explicit(&mem->top[c >> SEG_TOP_LG2],
						   memory_order_relaxed);

	return atomic_load_explicit(&mid->chunk[c & ((1u << SEG_TOP_LG2) - 1)],
				    memory_order_relaxed) & 1;
}

static struct shared_chunk *shared_chunk_of(const struct seg *seg)
{
	u64 c = seg->base.v >> SEG_CHUNK_LG2;
	struct seg_mid *mid = atomic_load_explicit(&seg->mem->top[c >> SEG_TOP_LG2],
						   memory_order_relaxed);
	uintptr_t v = atomic_load_explicit(&mid->chunk[c & ((1u << SEG_TOP_LG2) - 1)],
					   memory_order_relaxed);

	return container_of((struct seg_slots *)(v & ~(uintptr_t)1), struct shared_chunk, slots);
}

/* Write @value into every entry that @seg owns: the segment, or NULL. */
static void set_entries(struct seg *seg, struct seg *value) MUST_HOLD(seg->mem->segs_lock)
{
	u64 last = seg->base.v + seg->len - 1;

	if (!is_small(seg)) {
		for (u64 c = seg->base.v >> SEG_CHUNK_LG2; c <= last >> SEG_CHUNK_LG2; c++)
			set_chunk(seg->mem, (u32)c, (uintptr_t)value);
		return;
	}
	for (u64 s = seg->base.v >> SEG_SLOT_LG2; s <= last >> SEG_SLOT_LG2; s++)
		atomic_store_explicit(&shared_chunk_of(seg)->slots.slot[s & (SEG_SLOTS - 1)], value,
				      memory_order_release);
}

/*
 * Give the extent back after the grace period. Return: a shared chunk that became empty, unlinked: the
 * caller waits for readers of its slots, then frees it and the chunk.
 */
static struct shared_chunk *give_extent(struct seg *seg) MUST_HOLD(seg->mem->segs_lock)
{
	u64 first = seg->base.v >> SEG_CHUNK_LG2;
	u64 last = seg->base.v + seg->len - 1;
	struct shared_chunk *sc;
	u32 slot, nr;

	if (!is_small(seg)) {
		give_chunks(seg->mem, (u32)first, (u32)((last >> SEG_CHUNK_LG2) - first + 1));
		return NULL;
	}
	sc = shared_chunk_of(seg);
	slot = (u32)(seg->base.v >> SEG_SLOT_LG2) & (SEG_SLOTS - 1);
	nr = (u32)((last >> SEG_SLOT_LG2) - (seg->base.v >> SEG_SLOT_LG2) + 1);
	flip_bits(sc->used, slot, nr);
	sc->nr_used -= nr;
	if (sc->nr_used)
		return NULL;
	set_chunk(seg->mem, sc->chunk, 0);
	list_del(&sc->node);
	return sc;
}

static void free_shared_chunk(struct mem *mem, struct shared_chunk *sc)
{
	if (!sc)
		return;
	epoch_sync(&mem->env->epoch, NULL);
	lock_take(&mem->segs_lock);
	give_chunks(mem, sc->chunk, 1);
	lock_drop(&mem->segs_lock);
	env_free(mem->env, sc);
}

/* Choose an extent. Return: its OA; 0 when OA space or memory ran out. */
static u64 take_extent(struct mem *mem, u64 offset, u64 len) MUST_HOLD(mem->segs_lock)
{
	u64 in_chunk = offset & (SEG_CHUNK - 1);
	u64 align, oa, nr;

	if (len < SEG_CHUNK) {
		align = max(SEG_SLOT, 1ull << log2_floor(len));
		oa = take_slots(mem, offset, len, align);
		if (oa)
			return oa;
	}
	nr = (in_chunk + len + SEG_CHUNK - 1) >> SEG_CHUNK_LG2;
	oa = take_chunks(mem, (u32)nr);
	return oa ? (oa << SEG_CHUNK_LG2) + in_chunk : 0;
}

int seg_make(struct mem *mem, const struct seg_want *want, struct seg **out)
{
	struct seg *seg;

	if (!want->len || want->len > 1ull << mem->oa_bits)
		return -ENOMEM;
	seg = env_zalloc(mem->env, sizeof(*seg));
	if (!seg)
		return -ENOMEM;
	lock_take(&mem->segs_lock);
	seg->base.v = take_extent(mem, want->offset, want->len);
	lock_drop(&mem->segs_lock);
	if (!seg->base.v) {
		env_free(mem->env, seg);
		return -ENOMEM;
	}
	seg->kind = want->kind;
	seg->len = want->len;
	seg->host = want->host;
	seg->writable = true;
	seg->pgsz_lg2 = PAGE_LG2;
	seg->refs = 1;
	seg->mem = mem;
	list_init(&seg->node);
	list_init(&seg->key_node);
	*out = seg;
	return 0;
}

void seg_publish_locked(struct seg *seg)
{
	set_entries(seg, seg);
	list_push_back(&seg->mem->segs, &seg->node);
}

static void free_seg(struct seg *seg)
{
	struct mem *mem = seg->mem;
	struct shared_chunk *empty;

	if (seg->mapped) {
		guard_unwatch(seg);
		munmap(seg->host, seg->len);
	}
	if (seg->mm)
		mm_put(seg->mm);
	lock_take(&mem->segs_lock);
	lock_assert_held(&seg->mem->segs_lock);
	empty = give_extent(seg);
	lock_drop(&mem->segs_lock);
	free_shared_chunk(mem, empty);
	env_free(mem->env, seg);
}

void seg_abandon(struct seg *seg)
{
	free_seg(seg);
}

int seg_add(struct mem *mem, enum seg_kind kind, u8 *host, u64 len, struct seg **out)
{
	struct seg_want want = {.kind = kind, .host = host, .len = len};
	struct seg *seg;
	int rc;

	rc = seg_make(mem, &want, &seg);
	if (rc)
		return rc;
	lock_take(&mem->segs_lock);
	lock_assert_held(&seg->mem->segs_lock);
	seg_publish_locked(seg);
	lock_drop(&mem->segs_lock);
	*out = seg;
	return 0;
}

struct seg *seg_get(struct seg *seg)
{
	atomic_fetch_add_explicit(&seg->refs, 1, memory_order_relaxed);
	return seg;
}

bool seg_get_unless_gone(struct seg *seg)
{
	u32 n = atomic_load_explicit(&seg->refs, memory_order_relaxed);

	while (n)
		if (atomic_compare_exchange_weak_explicit(&seg->refs, &n, n + 1,
							  memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

void seg_put(struct mem *mem, struct seg *seg)
{
	if (!seg || atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (seg->lingers)
		return;
	lock_take(&mem->segs_lock);
	lock_assert_held(&seg->mem->segs_lock);
	set_entries(seg, NULL);
	list_del(&seg->node);
	list_del(&seg->key_node);
	lock_drop(&mem->segs_lock);
	/* Whoever caches the translation after this looks at the new generation. */
	atomic_fetch_add(&mem->generation, 1);
	epoch_sync(&mem->env->epoch, NULL);
	free_seg(seg);
}

int seg_table_init(struct mem *mem)
{
	struct mem_priv *p = mem->priv;

	p->nr_chunks = 1u << (mem->oa_bits - SEG_CHUNK_LG2);
	p->chunks = env_zalloc(mem->env, p->nr_chunks / 8);
	if (!p->chunks)
		return -ENOMEM;
	p->chunks[0] = 1; /* OA 0 means nothing */
	p->chunk_hint = 1;
	list_init(&p->shared_chunks);
	list_init(&p->files);
	for (u32 i = 0; i < SEG_KEYS; i++)
		list_init(&p->keys[i]);
	list_init(&mem->segs);
	return 0;
}

void seg_table_fini(struct mem *mem)
{
	struct mem_priv *p = mem->priv;

	for (u32 i = 0; i < ARRAY_SIZE(mem->top); i++)
		env_free(mem->env, atomic_load(&mem->top[i]));
	env_free(mem->env, p->chunks);
}
