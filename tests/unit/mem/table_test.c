/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static bool all_zero(const u8 *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void pages_are_zero_and_last_in_first_out(void **state)
{
	struct fixture *f = *state;
	u8 *a = table_alloc(&f->mem), *b = table_alloc(&f->mem);

	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	assert_true(all_zero(a, PAGE_SIZE));
	memset(a, 0xff, PAGE_SIZE);
	memset(b, 0xff, PAGE_SIZE);
	table_free(&f->mem, a);
	table_free(&f->mem, b);
	assert_ptr_equal(table_alloc(&f->mem), b);
	assert_true(all_zero(b, PAGE_SIZE));
	table_free(&f->mem, b);
	assert_int_equal(atomic_load(&f->mem.tables.nr_used), 0);
}

static void exhaustion_is_null_and_comes_back(void **state)
{
	struct fixture *f = *state;
	u64 nr = f->mem.tables.len >> PAGE_LG2, got = 0;
	u8 *page, *last = NULL;

	while ((page = table_alloc(&f->mem))) {
		memcpy(page, &last, sizeof(last));
		last = page;
		got++;
	}
	assert_int_equal(got, nr);
	assert_null(table_alloc_run(&f->mem, 2));
	while (last) {
		memcpy(&page, last, sizeof(page));
		table_free(&f->mem, last);
		last = page;
	}
	assert_non_null(page = table_alloc(&f->mem));
	table_free(&f->mem, page);
}

static void runs_lie_in_a_row(void **state)
{
	struct fixture *f = *state;
	u8 *run = table_alloc_run(&f->mem, 1024);

	assert_non_null(run);
	assert_true(all_zero(run, 1024 * PAGE_SIZE));
	for (int i = 0; i < 1024; i++) {
		assert_int_equal(table_oa(&f->mem, run + i * PAGE_SIZE).v,
				 table_oa(&f->mem, run).v + (u64)i * PAGE_SIZE);
		table_free(&f->mem, run + i * PAGE_SIZE);
	}
}

static void walkers_find_tables_by_oa(void **state)
{
	struct fixture *f = *state;
	u8 *page = table_alloc(&f->mem);
	oa_t oa = table_oa(&f->mem, page);
	u64 pool_last = f->mem.tables.base + f->mem.tables.len - 1;

	assert_ptr_equal(table_at(&f->mem, oa, PAGE_SIZE), page);
	/* Reserved but not ready: zeros, not a crash. */
	assert_int_equal(*(u8 *)table_at(&f->mem, OA(pool_last), 1), 0);
	/* Sticks out of the pool, or outside of everything. */
	assert_null(table_at(&f->mem, OA(pool_last), 2));
	assert_null(table_at(&f->mem, OA(0), 8));
	assert_null(table_at(&f->mem, OA(UINT64_MAX), 1));
	assert_null(table_at(&f->mem, OA(1ull << 51), 8));
	/* The pool has an extent that no one else gets, and DMA finds no bytes there. */
	assert_int_equal(seg_find(&f->mem, oa)->kind, SEG_TABLES);
	assert_null(seg_find(&f->mem, oa)->host);
	table_free(&f->mem, page);
}

static void tables_elsewhere_are_found_too(void **state)
{
	struct fixture *f = *state;
	static u8 guest[2 * PAGE_SIZE];
	struct seg *seg;

	OK(seg_add(&f->mem, SEG_TOKEN, guest, sizeof(guest), &seg));
	assert_ptr_equal(table_at(&f->mem, OA(seg->base.v + PAGE_SIZE), PAGE_SIZE),
			 guest + PAGE_SIZE);
	assert_null(table_at(&f->mem, OA(seg->base.v + PAGE_SIZE), PAGE_SIZE + 1));
	atomic_store(&seg->dead, true);
	assert_null(table_at(&f->mem, seg->base, PAGE_SIZE));
	seg_put(&f->mem, seg);
}

static void fault_points(void **state)
{
	struct fixture *f = *state;

	fault_arm(&f->env.fault, 1);
	assert_null(table_alloc(&f->mem));
	fault_arm(&f->env.fault, 1);
	assert_null(table_alloc_run(&f->mem, 3));
	fault_arm(&f->env.fault, 0);
	assert_int_equal(atomic_load(&f->mem.tables.nr_used), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages_are_zero_and_last_in_first_out),
		TEST(exhaustion_is_null_and_comes_back),
		TEST(runs_lie_in_a_row),
		TEST(walkers_find_tables_by_oa),
		TEST(tables_elsewhere_are_found_too),
		TEST(fault_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
