/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "mem/mem_priv.h"

#include <pthread.h>
#include <sched.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static u8 byte; /* segments here are never read: one address stands for all */

static struct seg *add(struct fixture *f, u64 len)
{
	struct seg *seg;

	OK(seg_add(&f->mem, SEG_TOKEN, &byte, len, &seg));
	return seg;
}

static void look_up_is_exact(void **state)
{
	struct fixture *f = *state;
	const u64 lens[] = {1, PAGE_SIZE, 2 * MIB - 1, 2 * MIB, 3 * MIB, 600 * MIB, GIB - 1, GIB,
			    GIB + 1, 5 * GIB};
	struct seg *seg[ARRAY_SIZE(lens)];

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++)
		seg[i] = add(f, lens[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		assert_ptr_equal(seg_find(&f->mem, seg[i]->base), seg[i]);
		assert_ptr_equal(seg_find(&f->mem, OA(seg[i]->base.v + lens[i] - 1)), seg[i]);
		assert_ptr_not_equal(seg_find(&f->mem, OA(seg[i]->base.v + lens[i])), seg[i]);
		assert_ptr_not_equal(seg_find(&f->mem, OA(seg[i]->base.v - 1)), seg[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		oa_t base = seg[i]->base;

		seg_put(&f->mem, seg[i]);
		assert_null(seg_find(&f->mem, base));
	}
	assert_null(seg_find(&f->mem, OA(0)));
	assert_null(seg_find(&f->mem, OA(UINT64_MAX)));
	assert_null(seg_find(&f->mem, OA(1ull << 52)));
}

static void small_ones_share_a_chunk_and_never_a_slot(void **state)
{
	struct fixture *f = *state;
	struct seg *seg[600];
	u64 chunks = 0, last_chunk = 0;

	for (int i = 0; i < 600; i++) {
		seg[i] = add(f, PAGE_SIZE);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(seg[i]->base.v >> SEG_SLOT_LG2,
					     seg[j]->base.v >> SEG_SLOT_LG2);
		chunks += seg[i]->base.v >> SEG_CHUNK_LG2 != last_chunk;
		last_chunk = seg[i]->base.v >> SEG_CHUNK_LG2;
	}
	assert_int_equal(chunks, 2);
	for (int i = 0; i < 600; i++)
		seg_put(&f->mem, seg[i]);
	/* Both chunks came back: a large segment finds the first one's place. */
	seg[0] = add(f, GIB);
	assert_true(seg[0]->base.v >> SEG_CHUNK_LG2 <= last_chunk);
	seg_put(&f->mem, seg[0]);
}

static void bases_are_congruent(void **state)
{
	struct fixture *f = *state;
	static const struct {
		u64 offset, len, align;
	} cases[] = {
		{0x7f0000123000, PAGE_SIZE, 2 * MIB},	  {0x7f00001ff000, 2 * PAGE_SIZE, 2 * MIB},
		{0x600000, 2 * MIB, 2 * MIB},		  {0x600000, 8 * MIB, 8 * MIB},
		{3 * MIB + 4096, 100 * MIB, 64 * MIB},	  {300 * MIB, 600 * MIB, 512 * MIB},
		{900 * MIB, 600 * MIB, 512 * MIB},	  {GIB + 5 * MIB, GIB, GIB},
		{0x7fff40000000, 4 * GIB, GIB},		  {4096, GIB - 4096, 512 * MIB},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seg_want want = {SEG_TOKEN, &byte, cases[i].len, cases[i].offset};
		struct seg *seg;

		OK(seg_make(&f->mem, &want, &seg));
		assert_int_equal((seg->base.v - cases[i].offset) % cases[i].align, 0);
		lock_take(&f->mem.segs_lock);
		lock_assert_held(&seg->mem->segs_lock);
		seg_publish_locked(seg);
		lock_drop(&f->mem.segs_lock);
		assert_ptr_equal(seg_find(&f->mem, OA(seg->base.v + cases[i].len - 1)), seg);
		seg_put(&f->mem, seg);
	}
}

static void the_generation_moves_when_one_leaves(void **state)
{
	struct fixture *f = *state;
	struct seg *seg = add(f, PAGE_SIZE);
	u64 gen = atomic_load(&f->mem.generation);

	seg_get(seg);
	seg_put(&f->mem, seg);
	assert_int_equal(atomic_load(&f->mem.generation), gen);
	seg_put(&f->mem, seg);
	assert_int_equal(atomic_load(&f->mem.generation), gen + 1);
}

static void oa_space_ends(void **state)
{
	struct fixture *f = *state;
	struct seg *big, *none = NULL;

	big = add(f, (1ull << 48) - 8 * GIB);
	FAILS(seg_add(&f->mem, SEG_TOKEN, &byte, 16 * GIB, &none), ENOMEM);
	FAILS(seg_add(&f->mem, SEG_TOKEN, &byte, UINT64_MAX, &none), ENOMEM);
	FAILS(seg_add(&f->mem, SEG_TOKEN, &byte, 0, &none), ENOMEM);
	assert_null(none);
	seg_put(&f->mem, big);
}

static void a_failed_allocation_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	for (s64 n = 1;; n++) {
		u64 before = atomic_load(&f->env.nr_allocs);
		struct seg *seg;
		int rc;

		fault_arm(&f->env.fault, n);
		rc = seg_add(&f->mem, SEG_TOKEN, &byte, 4 * GIB, &seg);
		fault_arm(&f->env.fault, 0);
		if (!rc) {
			seg_put(&f->mem, seg);
			break;
		}
		FAILS(rc, ENOMEM);
		assert_int_equal(atomic_load(&f->env.nr_allocs), before);
	}
}

struct reader {
	struct fixture *f;
	_Atomic(u64) oa;
	_Atomic bool stop;
	_Atomic u64 found;
};

/* What a device thread does: look up inside an epoch and use what it found. */
static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct epoch_slot *slot = epoch_slot(&r->f->env.epoch);

	while (!atomic_load(&r->stop)) {
		struct seg *seg;

		epoch_enter(slot, NULL);
		seg = seg_find(&r->f->mem, OA(atomic_load(&r->oa)));
		if (seg && *(volatile u8 *)seg->host == 0x42)
			atomic_fetch_add(&r->found, 1);
		epoch_leave(slot);
	}
	return NULL;
}

static void readers_never_meet_a_freed_segment(void **state)
{
	struct reader r = {.f = *state};
	pthread_t t[2];

	byte = 0x42;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_on, &r);
	for (int i = 0; i < 150; i++) {
		struct seg *seg = add(r.f, i % 2 ? PAGE_SIZE : GIB);
		u64 before = atomic_load(&r.found);

		atomic_store(&r.oa, seg->base.v);
		while (i % 30 == 0 && atomic_load(&r.found) == before)
			sched_yield();
		seg_put(&r.f->mem, seg);
	}
	atomic_store(&r.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

struct putter {
	struct fixture *f;
	struct seg *seg;
	_Atomic bool done;
};

static void *put_last(void *arg)
{
	struct putter *p = arg;

	seg_put(&p->f->mem, p->seg);
	atomic_store(&p->done, true);
	return NULL;
}

static void the_last_put_waits_for_who_found_it(void **state)
{
	struct fixture *f = *state;
	struct putter p = {.f = f, .seg = add(f, PAGE_SIZE)};
	struct epoch_slot *slot = epoch_slot(&f->env.epoch);
	oa_t oa = p.seg->base;
	u64 gen = atomic_load(&f->mem.generation);
	pthread_t t;

	epoch_enter(slot, NULL);
	assert_ptr_equal(seg_find(&f->mem, oa), p.seg);
	pthread_create(&t, NULL, put_last, &p);
	while (atomic_load(&f->mem.generation) == gen)
		sched_yield();
	assert_null(seg_find(&f->mem, oa)); /* nobody finds it any more */
	for (int i = 0; i < 500; i++) {
		assert_false(atomic_load(&p.done));
		sched_yield();
	}
	assert_int_equal(p.seg->len, PAGE_SIZE);
	epoch_leave(slot);
	pthread_join(t, NULL);
}

struct waiter {
	struct seg *seg;
	oa_t oa;
	u64 len;
	_Atomic bool done;
};

static void *quiesce(void *arg)
{
	struct waiter *w = arg;

	seg_quiesce(w->seg, w->oa, w->len);
	atomic_store(&w->done, true);
	return NULL;
}

static void a_quiesce_waits_for_what_overlaps_only(void **state)
{
	struct fixture *f = *state;
	struct seg *seg = add(f, 8 * PAGE_SIZE);
	struct waiter w = {.seg = seg, .oa = seg->base, .len = PAGE_SIZE};
	u32 mine = seg_hold(seg, seg->base, PAGE_SIZE);
	u32 other = seg_hold(seg, OA(seg->base.v + PAGE_SIZE), PAGE_SIZE);
	pthread_t t;

	assert_int_not_equal(mine, SEG_NO_TICKET);
	seg_quiesce(seg, OA(seg->base.v + 2 * PAGE_SIZE), PAGE_SIZE); /* returns: a neighbour's */
	pthread_create(&t, NULL, quiesce, &w);
	/* It sleeps on our hold: nothing but that hold's end wakes it. */
	while (!atomic_load(&f->mem.priv->hold_waiters))
		sched_yield();
	assert_false(atomic_load(&w.done));
	seg_unhold(seg, mine);
	pthread_join(t, NULL);
	assert_true(atomic_load(&w.done));
	seg_unhold(seg, other);
	seg_quiesce(seg, seg->base, seg->len);
	seg_put(&f->mem, seg);
}

static void a_quiesce_does_not_wait_for_later_holds(void **state)
{
	struct fixture *f = *state;
	struct seg *seg = add(f, PAGE_SIZE);
	struct waiter w = {.seg = seg, .oa = seg->base, .len = PAGE_SIZE};
	u32 first = seg_hold(seg, seg->base, PAGE_SIZE), later;
	pthread_t t;

	pthread_create(&t, NULL, quiesce, &w);
	while (!atomic_load(&f->mem.priv->hold_waiters))
		sched_yield();
	later = seg_hold(seg, seg->base, PAGE_SIZE);
	seg_unhold(seg, first);
	pthread_join(t, NULL); /* would hang if it waited for `later` */
	seg_unhold(seg, later);
	seg_put(&f->mem, seg);
}

/* A stream of holds, always at least one out, must not starve a quiesce. */
static void *hold_on(void *arg)
{
	struct waiter *w = arg;
	u32 ticket = seg_hold(w->seg, w->oa, w->len);

	while (!atomic_load(&w->done)) {
		u32 next = seg_hold(w->seg, w->oa, w->len);

		seg_unhold(w->seg, ticket);
		ticket = next;
	}
	seg_unhold(w->seg, ticket);
	return NULL;
}

static void a_stream_of_holds_starves_no_one(void **state)
{
	struct fixture *f = *state;
	struct seg *seg = add(f, PAGE_SIZE);
	struct waiter w = {.seg = seg, .oa = seg->base, .len = PAGE_SIZE};
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, hold_on, &w);
	while (atomic_load(&seg->nr_holds) < 2)
		sched_yield();
	for (int i = 0; i < 20; i++)
		seg_quiesce(seg, seg->base, PAGE_SIZE);
	atomic_store(&w.done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	seg_put(&f->mem, seg);
}

static void thousands_of_holds_at_once(void **state)
{
	struct fixture *f = *state;
	struct seg *seg = add(f, 5000 * PAGE_SIZE);
	static u32 ticket[5000];

	for (u32 i = 0; i < 5000; i++)
		ticket[i] = seg_hold(seg, OA(seg->base.v + i * PAGE_SIZE), PAGE_SIZE);
	for (u32 i = 0; i < 5000; i += 2)
		seg_unhold(seg, ticket[i]);
	for (u32 i = 0; i < 5000; i += 2)
		seg_quiesce(seg, OA(seg->base.v + i * PAGE_SIZE), PAGE_SIZE);
	for (u32 i = 1; i < 5000; i += 2)
		seg_unhold(seg, ticket[i]);
	assert_int_equal(atomic_load(&seg->nr_holds), 0);
	seg_put(&f->mem, seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(look_up_is_exact),
		TEST(small_ones_share_a_chunk_and_never_a_slot),
		TEST(bases_are_congruent),
		TEST(the_generation_moves_when_one_leaves),
		TEST(oa_space_ends),
		TEST(a_failed_allocation_leaves_nothing),
		TEST(readers_never_meet_a_freed_segment),
		TEST(the_last_put_waits_for_who_found_it),
		TEST(a_quiesce_waits_for_what_overlaps_only),
		TEST(a_quiesce_does_not_wait_for_later_holds),
		TEST(a_stream_of_holds_starves_no_one),
		TEST(thousands_of_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
