/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "unit.h"

#define NR 100000u /* several chunks */

struct thing {
	u64 words[9]; /* one line and a bit: two */
};

/* Zeroed, on lines of their own, and found again after a free. */
static void apart_and_again(void **unused)
{
	struct thing **v = calloc(NR, sizeof(*v));
	const struct thing zero = {{0}};
	struct env env;
	struct slab s;

	assert_non_null(v);
	assert_int_equal(env_init(&env), 0);
	slab_init(&s, &env, sizeof(struct thing));
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < NR; i++) {
			v[i] = slab_zalloc(&s);
			assert_non_null(v[i]);
			assert_int_equal((uintptr_t)v[i] % CACHELINE, 0);
			assert_memory_equal(v[i], &zero, sizeof(zero));
			memset(v[i], (int)(i | 1), sizeof(*v[i]));
		}
		assert_int_equal(env.nr_allocs, NR);
		for (unsigned i = 0; i < NR; i++) {
			assert_int_equal((u8)v[i]->words[8], (u8)(i | 1)); /* nobody else's */
			slab_free(&s, v[i]);
		}
		assert_int_equal(env.nr_allocs, 0);
	}
	slab_fini(&s);
	env_fini(&env);
	free(v);
}

static void nth_fails(void **unused)
{
	struct env env;
	struct slab s;
	void *p;

	assert_int_equal(env_init(&env), 0);
	slab_init(&s, &env, 64);
	fault_arm(&env.fault, 1);
	assert_null(slab_zalloc(&s));
	assert_int_equal(env.nr_allocs, 0);
	p = slab_zalloc(&s);
	assert_non_null(p);
	slab_free(&s, p);
	slab_fini(&s);
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apart_and_again),
		cmocka_unit_test(nth_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
