// SPDX-License-Identifier: MIT
/* IOMMU_DESTROY, IOMMU_IOAS_ALLOC, IOMMU_OPTION. */
#include "fake_caller.h"

#include <linux/capability.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void destroy_errnos(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b), stdev, hwpt, idev;

	assert_int_equal(destroy(b, 0), -ENOENT);
	assert_int_equal(destroy(b, 12345), -ENOENT);
	assert_int_equal(mk_dev(b, ioas, 0, &stdev, &hwpt, &idev), 0);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(destroy(b, hwpt), -EBUSY);
	assert_int_equal(destroy(b, idev), -EBUSY);
	assert_int_equal(destroy(b, stdev), 0);
	/* The table that the attach made goes with its last device. */
	assert_int_equal(destroy(b, hwpt), -ENOENT);
	assert_int_equal(destroy(b, idev), -ENOENT);
	assert_int_equal(destroy(b, ioas), 0);
	assert_int_equal(destroy(b, ioas), -ENOENT);
	assert_int_equal(nr_objs(b), 0);
}

static void ioas_alloc(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_alloc cmd = {.size = sizeof(cmd), .flags = 1};
	u32 first, second;

	assert_int_equal(call(b, IOMMU_IOAS_ALLOC, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	assert_int_equal(cmd.out_ioas_id, 0);
	assert_int_equal(nr_objs(b), 0);
	cmd.flags = 0;
	check_reply_fault(b, IOMMU_IOAS_ALLOC, &cmd, sizeof(cmd));
	/* Ids begin at 1; the lowest free one is given, also after failures. */
	first = mk_ioas(b);
	assert_int_equal(first, 1);
	second = mk_ioas(b);
	assert_int_equal(second, 2);
	assert_int_equal(destroy(b, first), 0);
	assert_int_equal(mk_ioas(b), 1);
}

static long option(struct bench *b, u32 id, u16 op, u32 object, u64 *inout_val)
{
	struct iommu_option cmd = {.size = sizeof(cmd), .option_id = id, .op = op,
				   .object_id = object, .val64 = *inout_val};
	long rc = call(b, IOMMU_OPTION, &cmd, sizeof(cmd));

	*inout_val = cmd.val64;
	return rc;
}

/* The effective set of this process, which is the caller's. Returns the old one's low word. */
static u32 set_caps(u32 low)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	u32 old;

	assert_int_equal(syscall(SYS_capget, &h, d), 0);
	old = d[0].effective;
	d[0].effective = low & d[0].permitted;
	assert_int_equal(syscall(SYS_capset, &h, d), 0);
	return old;
}

static void option_shape(void **state)
{
	struct bench *b = *state;
	struct iommu_option cmd = {.size = sizeof(cmd), .__reserved = 1, .option_id = 99};
	u64 val = 7;

	assert_int_equal(call(b, IOMMU_OPTION, &cmd, sizeof(cmd)), -EOPNOTSUPP);
	assert_int_equal(option(b, 99, IOMMU_OPTION_OP_GET, 0, &val), -EOPNOTSUPP);
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, 2, 0, &val), -EOPNOTSUPP);
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 1, &val),
			 -EOPNOTSUPP);
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, 2, 0, &val), -ENOENT);
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, 2, mk_ioas(b), &val), -EOPNOTSUPP);
	assert_int_equal(val, 7);
}

static void option_rlimit_mode(void **state)
{
	struct bench *b = *state;
	u64 val = 9;
	u32 caps, ioas;

	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &val), 0);
	assert_int_equal(val, 0);
	caps = set_caps(0);
	/* No right comes before everything else. */
	val = 9;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val), -EPERM);
	set_caps(caps);
	if (!(caps & (1u << CAP_SYS_RESOURCE)))
		return;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val), -EINVAL);
	ioas = mk_ioas(b);
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val), -EBUSY);
	assert_int_equal(destroy(b, ioas), 0);
	val = 1;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val), 0);
	val = 0;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &val), 0);
	assert_int_equal(val, 1);
}

/* A thread with capabilities of its own, that does nothing. */
struct thread {
	pthread_t thread;
	pthread_barrier_t ready, done;
	pid_t tid;
	u32 caps; /* what it has left */
};

static void *idle(void *arg)
{
	struct thread *t = arg;

	set_caps(t->caps);
	t->tid = gettid();
	pthread_barrier_wait(&t->ready);
	pthread_barrier_wait(&t->done);
	return NULL;
}

static void thread_start(struct thread *t)
{
	pthread_barrier_init(&t->ready, NULL, 2);
	pthread_barrier_init(&t->done, NULL, 2);
	assert_int_equal(pthread_create(&t->thread, NULL, idle, t), 0);
	pthread_barrier_wait(&t->ready);
}

static void thread_stop(struct thread *t)
{
	pthread_barrier_wait(&t->done);
	pthread_join(t->thread, NULL);
	pthread_barrier_destroy(&t->ready);
	pthread_barrier_destroy(&t->done);
}

/* The right is the calling thread's, not its process's first thread's. */
static void option_rlimit_mode_of_a_thread(void **state)
{
	struct thread without = {.caps = 0}, with = {.caps = ~0u};
	struct bench *b = *state;
	u64 val = 1;
	u32 caps;

	thread_start(&without);
	thread_start(&with);
	b->f->c.tid = without.tid;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val), -EPERM);
	caps = set_caps(0);
	b->f->c.tid = with.tid;
	assert_int_equal(option(b, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &val),
			 caps & (1u << CAP_SYS_RESOURCE) ? 0 : -EPERM);
	set_caps(caps);
	thread_stop(&without);
	thread_stop(&with);
}

static void option_huge_pages(void **state)
{
	struct bench *b = *state;
	u32 ioas = mk_ioas(b);
	u64 val = 9;

	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, 0, &val), -ENOENT);
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, ioas, &val), 0);
	assert_int_equal(val, 1);
	val = 2;
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &val),
			 -EINVAL);
	val = 0;
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &val), 0);
	val = 9;
	assert_int_equal(option(b, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, ioas, &val), 0);
	assert_int_equal(val, 0);
}

/* Only val64 is written back. */
static void option_reply(void **state)
{
	struct bench *b = *state;
	struct iommu_option *cmd = room(b, sizeof(*cmd));

	*cmd = (struct iommu_option){.size = sizeof(*cmd), .op = IOMMU_OPTION_OP_GET, .val64 = 5};
	fake_hole(b->f, cmd, offsetof(struct iommu_option, val64), false, true);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_OPTION, cmd), 0);
	assert_int_equal(cmd->val64, 0);
	fake_heal(b->f);
	cmd->val64 = 5;
	fake_hole(b->f, &cmd->val64, 8, false, true);
	assert_int_equal(fake_ioctl(b->f, b->file, IOMMU_OPTION, cmd), -EFAULT);
	assert_int_equal(cmd->val64, 5);
	reset(b);
}

/* Containers withhold the right that RLIMIT_MODE asks for: a user namespace of our own has it. */
static void get_rights(void)
{
	char map[32];
	int fd;

	if (set_caps(~0u) & (1u << CAP_SYS_RESOURCE))
		return;
	snprintf(map, sizeof(map), "0 %u 1", getuid());
	if (unshare(CLONE_NEWUSER))
		return;
	fd = open("/proc/self/uid_map", O_WRONLY);
	(void)!write(fd, map, strlen(map));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(destroy_errnos, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(ioas_alloc, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(option_shape, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(option_rlimit_mode, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(option_rlimit_mode_of_a_thread, bench_up,
						bench_down),
		cmocka_unit_test_setup_teardown(option_huge_pages, bench_up, bench_down),
		cmocka_unit_test_setup_teardown(option_reply, bench_up, bench_down),
	};

	get_rights();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
