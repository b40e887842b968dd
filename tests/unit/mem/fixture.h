/* SPDX-License-Identifier: MIT */
/* An instance's memory for a test, and the ledger that must be zero after it. */
#ifndef TESTS_UNIT_MEM_FIXTURE_H
#define TESTS_UNIT_MEM_FIXTURE_H

#include "../unit.h"

#include "mem/mem.h"

#define OK(x)	    assert_int_equal((x), 0)
#define FAILS(x, e) assert_int_equal((x), -(e))

struct fixture {
	struct env env;
	struct mem mem;
};

static inline void fixture_init(struct fixture *f)
{
	OK(env_init(&f->env));
	OK(mem_init(&f->mem, &f->env, 48, 16ull << 20));
}

static inline void fixture_fini(struct fixture *f)
{
	mem_fini(&f->mem);
	assert_int_equal(atomic_load(&f->env.nr_allocs), 0);
	env_fini(&f->env);
}

static inline int setup(void **state)
{
	static struct fixture f;

	fixture_init(&f);
	*state = &f;
	return 0;
}

static inline int teardown(void **state)
{
	fixture_fini(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
