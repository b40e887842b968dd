/* SPDX-License-Identifier: MIT */
#include "unit.h"

static void counts_and_zeroes(void **unused)
{
	struct env env;
	u8 *p, zeroes[100] = {0};

	assert_int_equal(env_init(&env), 0);
	p = env_zalloc(&env, sizeof(zeroes));
	assert_non_null(p);
	assert_memory_equal(p, zeroes, sizeof(zeroes));
	assert_int_equal(env.nr_allocs, 1);
	env_free(&env, NULL);
	assert_int_equal(env.nr_allocs, 1);
	env_free(&env, p);
	assert_int_equal(env.nr_allocs, 0);
	assert_null(env_calloc(&env, SIZE_MAX / 2, 4)); /* the product wraps */
	assert_int_equal(env.nr_allocs, 0);
	env_fini(&env);
}

/* Types with cache lines of their own get them. */
static void aligned(void **unused)
{
	struct env env;
	void *p[8];
	int i;

	assert_int_equal(env_init(&env), 0);
	for (i = 0; i < 8; i++) {
		p[i] = env_zalloc(&env, 3 * CACHELINE);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % CACHELINE, 0);
	}
	for (i = 0; i < 8; i++)
		env_free(&env, p[i]);
	env_fini(&env);
}

static void nth_fails(void **unused)
{
	struct env env;
	void *p;
	int i;

	assert_int_equal(env_init(&env), 0);
	fault_arm(&env.fault, 3);
	for (i = 1; i <= 5; i++) {
		p = env_zalloc(&env, 1);
		if (i == 3)
			assert_null(p);
		else
			assert_non_null(p);
		env_free(&env, p);
	}
	assert_int_equal(env.fault.fired, 1);
	fault_arm(&env.fault, 1);
	fault_arm(&env.fault, 0);
	assert_false(fault_hit(&env.fault));
	env_fini(&env);
}

static void json(void **unused)
{
	json_t *o = json_object();

	json_put(o, "a", json_hex(UINT64_MAX));
	json_put(o, "none", NULL);
	json_put(o, "zero", json_hex(0));
	assert_int_equal(json_object_size(o), 2);
	assert_string_equal(json_string_value(json_object_get(o, "a")), "0xffffffffffffffff");
	assert_string_equal(json_string_value(json_object_get(o, "zero")), "0x0");
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_and_zeroes),
		cmocka_unit_test(aligned),
		cmocka_unit_test(nth_fails),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
