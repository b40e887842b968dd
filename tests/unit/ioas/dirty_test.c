/* SPDX-License-Identifier: MIT */
/* Dirty tracking: what devices wrote, bit by bit, against a plain array. */
#include "rig.h"

#include <stdlib.h>

#define BASE 0x10000000ull

struct bitmap {
	u64 *words;
	u64 nr; /* bits there is room for */
	u64 last_first;
	int fail;
};

static int put(void *arg, u64 first, const u64 *words, u64 nr)
{
	struct bitmap *b = arg;

	if (b->fail)
		return b->fail;
	assert_int_equal(first % 64, 0);
	assert_true(first >= b->last_first);
	b->last_first = first;
	for (u64 i = 0; i < nr / 64; i++) {
		if (!words[i])
			continue;
		assert_true(first + i * 64 < b->nr);
		b->words[first / 64 + i] |= words[i];
	}
	return 0;
}

static int get(struct hwpt *hwpt, u64 iova, u64 len, u64 page_size, bool no_clear, struct bitmap *b)
{
	struct dirty_args args = {.iova = iova,
				  .len = len,
				  .page_size = page_size,
				  .no_clear = no_clear,
				  .put = put,
				  .arg = b};

	b->last_first = 0;
	return hwpt_get_dirty_bitmap(hwpt, &args);
}

static bool is_set(const struct bitmap *b, u64 bit)
{
	return b->words[bit / 64] >> (bit % 64) & 1;
}

static u64 count(const struct bitmap *b)
{
	u64 n = 0;

	for (u64 i = 0; i < (b->nr + 63) / 64; i++)
		n += (u64)__builtin_popcountll(b->words[i]);
	return n;
}

static void bitmap_init(struct bitmap *b, u64 nr)
{
	*b = (struct bitmap){.words = calloc((nr + 63) / 64, 8), .nr = align_up(nr, 64)};
}

static struct hwpt *tracked(struct rig *r, struct ioasis_ioas *ioas)
{
	const struct hwpt_args args = {.pt_id = ioas->obj.id, .flags = HWPT_ALLOC_DIRTY_TRACKING};
	struct obj *obj;
	u32 id;

	assert_int_equal(hwpt_alloc(r->dev[0], &args, &obj), 0);
	obj_publish(obj);
	id = obj->id;
	assert_int_equal(dev_attach(r->dev[0], NO_PASID, &id), 0);
	return container_of(obj, struct hwpt, obj);
}

static void errnos(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct hwpt *hwpt = tracked(r, ioas), *plain;
	struct bitmap b;

	bitmap_init(&b, 64);
	assert_int_equal(rig_attach(r, 1, ioas), 0);
	plain = rig_hwpt(r, dev_attached_hwpt(r->dev[1], NO_PASID));
	assert_false(hwpt_can_dirty(plain));
	assert_true(hwpt_can_dirty(hwpt));
	assert_int_equal(get(plain, BASE, PAGE_SIZE, PAGE_SIZE, false, &b), -EOPNOTSUPP);
	assert_int_equal(hwpt_set_dirty_tracking(plain, true), -EOPNOTSUPP);
	assert_int_equal(get(hwpt, UINT64_MAX - 5, PAGE_SIZE, PAGE_SIZE, false, &b), -EOVERFLOW);
	assert_int_equal(get(hwpt, BASE + 1024, PAGE_SIZE, 1024, false, &b), -EINVAL);
	assert_int_equal(get(hwpt, BASE, PAGE_SIZE + 1024, 1024, false, &b), -EINVAL);
	assert_int_equal(get(hwpt, BASE, PAGE_SIZE, 0, false, &b), -EINVAL);
	assert_int_equal(get(hwpt, BASE, PAGE_SIZE, 2 * PAGE_SIZE, false, &b), -EINVAL);
	assert_int_equal(get(hwpt, BASE + PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE, false, &b),
			 -EINVAL);
	/* Nothing is mapped: nothing is dirty. */
	assert_int_equal(get(hwpt, BASE, PAGE_SIZE, PAGE_SIZE, false, &b), 0);
	assert_int_equal(count(&b), 0);
	free(b.words);
}

static void writes_show(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct hwpt *hwpt;
	struct bitmap b;

	assert_int_equal(ioas_set_huge_pages(ioas, false), 0);
	hwpt = tracked(r, ioas);
	bitmap_init(&b, 64);
	assert_int_equal(rig_map(r, ioas, r->buf, 40 * PAGE_SIZE, BASE), 0);
	assert_non_null(rig_dma(r, 0, BASE + 7 * PAGE_SIZE, PERM_W));
	assert_int_equal(hwpt_set_dirty_tracking(hwpt, true), 0);
	/* What was written before counts for nothing. */
	assert_int_equal(get(hwpt, BASE, 40 * PAGE_SIZE, PAGE_SIZE, true, &b), 0);
	assert_int_equal(count(&b), 0);
	assert_non_null(rig_dma(r, 0, BASE + 7 * PAGE_SIZE, PERM_W));
	assert_non_null(rig_dma(r, 0, BASE + 39 * PAGE_SIZE + 4000, PERM_W));
	assert_non_null(rig_dma(r, 0, BASE + 3 * PAGE_SIZE, PERM_R));
	for (unsigned i = 0; i < 3; i++) {
		memset(b.words, 0, 8);
		assert_int_equal(get(hwpt, BASE, 40 * PAGE_SIZE, PAGE_SIZE, i == 0, &b), 0);
		assert_int_equal(count(&b), i < 2 ? 2 : 0);
		assert_int_equal(is_set(&b, 7), i < 2);
		assert_int_equal(is_set(&b, 39), i < 2);
	}
	/* Through the same cached translation: it must be marked again. */
	assert_non_null(rig_dma(r, 0, BASE + 7 * PAGE_SIZE, PERM_W));
	/* Half the resolution; bits of the caller's bitmap are set, never cleared. */
	b.words[0] = 1ull << 1;
	assert_int_equal(get(hwpt, BASE, 40 * PAGE_SIZE, 2 * PAGE_SIZE, false, &b), 0);
	assert_int_equal(b.words[0], 1ull << 1 | 1ull << 3);
	assert_int_equal(hwpt_set_dirty_tracking(hwpt, false), 0);
	free(b.words);
}

static void a_hole_ends_it(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct hwpt *hwpt = tracked(r, ioas);
	struct bitmap b;

	bitmap_init(&b, 64);
	assert_int_equal(hwpt_set_dirty_tracking(hwpt, true), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE + PAGE_SIZE), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE + 3 * PAGE_SIZE), 0);
	for (unsigned i = 0; i < 4; i++)
		hwpt_set_dirty(hwpt, IOVA(BASE + i * PAGE_SIZE));
	assert_int_equal(get(hwpt, BASE, 4 * PAGE_SIZE, PAGE_SIZE, false, &b), 0);
	assert_int_equal(b.words[0], 3);
	assert_int_equal(get(hwpt, BASE + 3 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, false, &b), 0);
	assert_int_equal(b.words[0], 3);
	free(b.words);
}

static void an_error_of_the_caller(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct hwpt *hwpt = tracked(r, ioas);
	struct bitmap b;

	bitmap_init(&b, 64);
	b.fail = -EFAULT;
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE), 0);
	hwpt_set_dirty(hwpt, IOVA(BASE));
	assert_int_equal(get(hwpt, BASE, PAGE_SIZE, PAGE_SIZE, false, &b), -EFAULT);
	free(b.words);
}

/* Many windows, large leaves across their ends, random writes. */
static void against_an_array(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct hwpt *hwpt = tracked(r, ioas);
	u64 nr = RIG_HUGE / PAGE_SIZE, seed = 42, from;
	bool *want = calloc(nr, 1);
	struct bitmap b, rest;

	/* The first half in large leaves, the second in small ones. */
	assert_int_equal(rig_map(r, ioas, r->huge, RIG_HUGE / 2, BASE), 0);
	for (u64 at = RIG_HUGE / 2; at < RIG_HUGE; at += PAGE_SIZE)
		assert_int_equal(rig_map(r, ioas, r->huge + at, PAGE_SIZE, BASE + at), 0);
	assert_int_equal(hwpt_set_dirty_tracking(hwpt, true), 0);
	bitmap_init(&b, nr);
	bitmap_init(&rest, nr);
	for (unsigned round = 0; round < 4; round++) {
		memset(want, 0, nr);
		memset(b.words, 0, nr / 8);
		for (unsigned i = 0; i < 300; i++) {
			u64 page = rnd(&seed) % nr, lg2, first;
			struct pt_leaf leaf;
			struct domain *d = hwpt->domain;

			assert_int_equal(d->pt.fmt->walk(&r->mem, table_oa(&r->mem, d->pt.root),
							 d->pt.top_level, BASE + page * PAGE_SIZE,
							 &leaf),
					 0);
			lg2 = max(leaf.lg2, (u8)PAGE_LG2) - PAGE_LG2;
			first = page >> lg2 << lg2;
			assert_non_null(rig_dma(r, 0, BASE + page * PAGE_SIZE, PERM_W));
			memset(want + first, 1, 1ull << lg2);
		}
		/* From inside a leaf too, so that windows end inside leaves. */
		from = round % 2 ? 300 : 0;
		assert_int_equal(get(hwpt, BASE + from * PAGE_SIZE, RIG_HUGE - from * PAGE_SIZE,
				     PAGE_SIZE, false, &b),
				 0);
		for (u64 i = from; i < nr; i++)
			assert_int_equal(is_set(&b, i - from), want[i]);
		assert_int_equal(get(hwpt, BASE, RIG_HUGE, PAGE_SIZE, false, &rest), 0);
	}
	free(want);
	free(rest.words);
	free(b.words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MOCK(errnos),	 ON_MOCK(writes_show),	    ON_MOCK(a_hole_ends_it),
		ON_MOCK(an_error_of_the_caller), ON_MOCK(against_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
