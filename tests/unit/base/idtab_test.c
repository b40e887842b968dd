/* SPDX-License-Identifier: MIT */
#include "unit.h"

static u32 reserve(struct idtab *t)
{
	u32 id = 0;

	assert_int_equal(idtab_reserve(t, &id), 0);
	return id;
}

static void lowest_first(void **unused)
{
	struct env env;
	struct idtab t;
	u32 i;

	assert_int_equal(env_init(&env), 0);
	idtab_init(&t, &env);
	for (i = 1; i <= 1000; i++)
		assert_int_equal(reserve(&t), i);
	idtab_release(&t, 700);
	idtab_release(&t, 64);
	idtab_release(&t, 127);
	assert_int_equal(reserve(&t), 64);
	assert_int_equal(reserve(&t), 127);
	assert_int_equal(reserve(&t), 700);
	assert_int_equal(reserve(&t), 1001);
	idtab_fini(&t);
	assert_int_equal(env.nr_allocs, 0);
	env_fini(&env);
}

static void life(void **unused)
{
	struct env env;
	struct idtab t;
	int a, b;
	u32 at = 0;

	assert_int_equal(env_init(&env), 0);
	idtab_init(&t, &env);
	assert_null(idtab_get(&t, 0));
	assert_null(idtab_get(&t, 1));
	assert_null(idtab_get(&t, UINT32_MAX));
	assert_int_equal(reserve(&t), 1);
	assert_null(idtab_get(&t, 1)); /* reserved reads as nothing */
	idtab_publish(&t, 1, &a);
	assert_ptr_equal(idtab_get(&t, 1), &a);
	assert_int_equal(reserve(&t), 2);
	assert_int_equal(reserve(&t), 3);
	idtab_publish(&t, 3, &b);

	assert_ptr_equal(idtab_next(&t, &at), &a);
	assert_int_equal(at, 1);
	at++;
	assert_ptr_equal(idtab_next(&t, &at), &b); /* skips the reserved one */
	assert_int_equal(at, 3);
	at++;
	assert_null(idtab_next(&t, &at));
	assert_int_equal(at, 4);

	idtab_tombstone(&t, 1);
	assert_null(idtab_get(&t, 1));
	assert_int_equal(reserve(&t), 4); /* and is not given out again */
	idtab_fini(&t);
	env_fini(&env);
}

/* Growth that fails changes nothing: ids, pointers, and what comes next. */
static void failed_growth(void **unused)
{
	struct env env;
	struct idtab t;
	u32 i, id = 77;
	int x;

	assert_int_equal(env_init(&env), 0);
	idtab_init(&t, &env);
	for (i = 1; i < 64; i++)
		reserve(&t);
	idtab_publish(&t, 63, &x);
	for (i = 1; i <= 2; i++) {
		u64 before = env.nr_allocs;

		fault_arm(&env.fault, i);
		assert_int_equal(idtab_reserve(&t, &id), -ENOMEM);
		assert_int_equal(id, 77);
		assert_int_equal(env.nr_allocs, before);
	}
	assert_ptr_equal(idtab_get(&t, 63), &x);
	assert_int_equal(reserve(&t), 64);
	assert_ptr_equal(idtab_get(&t, 63), &x);
	idtab_fini(&t);
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowest_first),
		cmocka_unit_test(life),
		cmocka_unit_test(failed_growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
