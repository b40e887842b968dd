/* SPDX-License-Identifier: MIT */
/* Many children: some say hello while others are announced, most never do. */
#include "prog.h"

#include <pthread.h>
#include <signal.h>

#define NR_THREADS 4
#define NR_FORKS   100
/* Records of children that have not said hello: two allocations each, and what else moves. */
#define MOST_GROWTH (2 * 64 + 64)

static json_int_t allocations(void)
{
	json_t *tree = describe();
	json_int_t nr = json_integer_value(json_object_get(tree, "allocations"));

	assert_non_null(tree);
	json_decref(tree);
	return nr;
}

static void *fork_often(void *arg)
{
	int *nr_failed = arg;

	for (int i = 0; i < NR_FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(dev_iommu(0) < 0);
		*nr_failed += reap(pid) != 0;
	}
	return NULL;
}

/* A child holds nothing and says hello while another thread forks: it is not taken for dead. */
static void test_hello_beside_fork(void **state)
{
	pthread_t threads[NR_THREADS];
	int nr_failed[NR_THREADS] = {0};

	close(dev_iommu(0));
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, fork_often, &nr_failed[i]), 0);
	for (int i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(nr_failed[i], 0);
	}
	close(dev_iommu(0));
	assert_int_equal(open_contexts(), 0);
}

static void fork_silently(int times)
{
	for (int i = 0; i < times; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		assert_int_equal(reap(pid), 0);
	}
}

static int use_in_child(int fd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(ioas_alloc(fd) > 0 ? 0 : 1);
	return reap(pid);
}

/* Children that die without a word leave nothing in the daemon, though the file they held is open
 * still; and those that come after them can use it. */
static void test_silent_children(void **state)
{
	int fd = dev_iommu(0);
	json_int_t before;
	pid_t pid;

	assert_int_equal(ioas_alloc(fd), 1);
	before = allocations();
	fork_silently(400);
	assert_in_range(allocations(), 0, before + MOST_GROWTH);
	assert_int_equal(use_in_child(fd), 0);

	/* One of them may be alive: it may yet say hello. */
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	fork_silently(400);
	assert_in_range(allocations(), 0, before + MOST_GROWTH);
	assert_int_equal(use_in_child(fd), 0);
	kill(pid, SIGKILL);
	assert_int_equal(reap(pid), 128 + SIGKILL);
	fork_silently(1);
	assert_in_range(allocations(), 0, before + MOST_GROWTH / 2);
	assert_int_equal(use_in_child(fd), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_beside_fork),
		cmocka_unit_test(test_silent_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
