/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define NO_ANALYSIS TS_ATTR(no_thread_safety_analysis) /* these tests do what must not be done */

static struct lock outer, inner, inner2;
static struct rwlock iova;

static int NO_ANALYSIS setup(void **unused)
{
	lock_init(&outer, RANK_GROUP);
	lock_init(&inner, RANK_TABLE);
	lock_init(&inner2, RANK_TABLE);
	rwlock_init(&iova, RANK_IOVA);
	return 0;
}

static int teardown(void **unused)
{
	lock_fini(&outer);
	lock_fini(&inner);
	lock_fini(&inner2);
	rwlock_fini(&iova);
	return 0;
}

static void NO_ANALYSIS good_order(void **unused)
{
	lock_take(&outer);
	rwlock_read(&iova);
	lock_take(&inner);
	lock_drop(&outer); /* dropping in any order is fine */
	lock_drop(&inner);
	rwlock_read_drop(&iova);
	rwlock_write(&iova);
	lock_take(&inner);
	lock_drop(&inner);
	rwlock_write_drop(&iova);
}

static void NO_ANALYSIS reversed(void)
{
	lock_take(&inner);
	lock_take(&outer);
}

static void NO_ANALYSIS equal_ranks(void)
{
	lock_take(&inner);
	lock_take(&inner2);
}

static void NO_ANALYSIS read_twice(void)
{
	rwlock_read(&iova);
	rwlock_read(&iova);
}

static void NO_ANALYSIS not_held(void)
{
	lock_drop(&outer);
}

static void NO_ANALYSIS claims_held(void)
{
	lock_take(&inner);
	lock_assert_held(&inner);
	lock_assert_held(&inner2);
}

/* Run @fn in a child. Return: true when it aborted, with all of @says on stderr. */
static bool aborts(void (*fn)(void), const char *says, const char *also)
{
	char text[512] = {0};
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(p[1], 2);
		fn();
		_exit(0);
	}
	close(p[1]);
	assert_true(read(p[0], text, sizeof(text) - 1) >= 0);
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && strstr(text, says) && strstr(text, also);
}

static void broken_orders(void **unused)
{
#ifdef IOASIS_DEBUG_LOCKS
	assert_true(aborts(reversed, "\"group\"", "\"table\""));
	assert_true(aborts(equal_ranks, "\"table\"", "taken while"));
	assert_true(aborts(read_twice, "\"iova\"", "taken while"));
	assert_true(aborts(claims_held, "is_held", "lock_assert_held"));
	assert_true(aborts(not_held, "\"group\"", "does not hold"));
#else
	(void)aborts, (void)reversed, (void)equal_ranks, (void)read_twice, (void)not_held, (void)claims_held;
	skip_because("lock ranks are not checked in this build (debug_locks)");
#endif
}

static void NO_ANALYSIS wait_times_out(void **unused)
{
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	lock_take(&inner);
	assert_int_equal(lock_wait(&inner, &cond, 0), -ETIMEDOUT);
	assert_int_equal(lock_wait(&inner, &cond, 5), -ETIMEDOUT);
	lock_drop(&inner);
}

struct flag {
	pthread_cond_t cond;
	bool set;
};

static void *NO_ANALYSIS set_flag(void *arg)
{
	struct flag *f = arg;

	lock_take(&inner);
	f->set = true;
	pthread_cond_broadcast(&f->cond);
	lock_drop(&inner);
	return NULL;
}

static void NO_ANALYSIS wait_wakes(void **unused)
{
	struct flag f = {.cond = PTHREAD_COND_INITIALIZER};
	pthread_t thread;

	lock_take(&inner);
	assert_int_equal(pthread_create(&thread, NULL, set_flag, &f), 0);
	while (!f.set)
		assert_int_equal(lock_wait(&inner, &f.cond, -1), 0);
	lock_drop(&inner);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(good_order, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(wait_times_out, setup, teardown),
		cmocka_unit_test_setup_teardown(wait_wakes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
