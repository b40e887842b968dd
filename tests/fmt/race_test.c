/* SPDX-License-Identifier: MIT */
/*
 * Walkers while a writer maps and unmaps: what they see is nothing or the truth, never half an item
 * and never a table that became something else. Run it under ThreadSanitizer too.
 */
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>

#define WALKERS 2
#define ROUNDS	500
#define PAGES	4096u

struct race {
	struct fixture fx;
	_Atomic bool stop;
	_Atomic u64 found, wrong;
};

/* The one OA that an IOVA ever has. */
static u64 truth(u64 iova)
{
	return iova + (1ull << 32);
}

static void look(struct race *r, u64 iova)
{
	oa_t oa = pt_iova_to_oa(&r->fx.pt, IOVA(iova));
	struct pt_leaf leaf;
	int rc = walk(&r->fx, iova, &leaf);

	if (rc == 0)
		atomic_fetch_add(&r->found, 1);
	if ((rc && rc != -ENOENT) || (!rc && (leaf.oa.v != truth(iova) || leaf.perm != PERM_RW)) ||
	    (oa.v != UINT64_MAX && oa.v != truth(iova)))
		atomic_fetch_add(&r->wrong, 1);
}

static void *walker(void *arg)
{
	struct race *r = arg;
	struct epoch_slot *slot = epoch_slot(&r->fx.env.epoch);
	u64 x = (u64)(uintptr_t)&slot | 1, least = r->fx.least;

	while (!atomic_load(&r->stop)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		epoch_enter(slot, NULL);
		look(r, x % (PAGES * least));
		/* The first item is where a gathered table's link lies. */
		look(r, (x % (PAGES * least)) & ~(512 * least - 1));
		epoch_leave(slot);
	}
	return NULL;
}

static void writer(struct race *r)
{
	u64 least = r->fx.least;

	for (unsigned round = 0; round < ROUNDS; round++) {
		u64 iova = least * rnd_below(&r->fx, PAGES);
		u64 len = least * (1 + rnd_below(&r->fx, round & 1 ? 8 : 1500)), mapped;
		int rc;

		len = min(len, PAGES * least - iova);
		rc = pt_map(&r->fx.pt, IOVA(iova), OA(truth(iova)), len, PERM_RW, &mapped);
		assert_true(rc == 0 || rc == -EADDRINUSE);
		if (round % 3 == 0) {
			pt_unmap(&r->fx.pt, (struct iova_range){0, PAGES * least - 1}, &r->fx.g);
		} else if (mapped) {
			assert_int_equal(pt_unmap(&r->fx.pt,
						  (struct iova_range){iova, iova + mapped - 1},
						  &r->fx.g),
					 mapped);
		}
		epoch_sync(&r->fx.env.epoch, NULL);
		pt_gather_free(&r->fx.mem, &r->fx.g);
	}
}

static void walkers_see_the_truth(void **state)
{
	const struct pt_fmt *const *fmt;

	for (fmt = pt_formats; *fmt; fmt++) {
		struct race *r = calloc(1, sizeof(*r));
		struct subject subject = {*fmt, 0};
		pthread_t t[WALKERS];

		fixture_open(&r->fx, &subject);
		for (unsigned i = 0; i < WALKERS; i++)
			assert_int_equal(pthread_create(&t[i], NULL, walker, r), 0);
		writer(r);
		/* Something to see at the end, however the threads were scheduled. */
		assert_int_equal(map(&r->fx, 0, truth(0), PAGES * r->fx.least, PERM_RW), 0);
		while (!atomic_load(&r->found))
			sched_yield();
		atomic_store(&r->stop, true);
		for (unsigned i = 0; i < WALKERS; i++)
			pthread_join(t[i], NULL);
		assert_int_equal(r->wrong, 0);
		assert_int_equal(unmap(&r->fx, 0, PAGES * r->fx.least - 1),
				 PAGES * r->fx.least);
		fixture_close(&r->fx);
		free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walkers_see_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
