/* SPDX-License-Identifier: MIT */
/* Threads call at the same time; a signal handler calls in the middle of its thread's call. */
#include "prog.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#define NR_THREADS 4
#define NR_ROUNDS  300

static int shared_fd;

static void *map_and_unmap(void *arg)
{
	u64 page = 4096, base = 0x10000000 + (u64)(uintptr_t)arg * 0x1000000;
	void *mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int id = ioas_alloc(shared_fd);
	uintptr_t bad = id <= 0;

	for (int i = 0; i < NR_ROUNDS && !bad; i++) {
		struct iommu_ioas_map map = {.size = sizeof(map),
					     .ioas_id = (u32)id,
					     .flags = IOMMU_IOAS_MAP_FIXED_IOVA |
						      IOMMU_IOAS_MAP_READABLE,
					     .user_va = (uintptr_t)mem,
					     .length = page,
					     .iova = base};
		struct iommu_ioas_unmap unmap = {
			.size = sizeof(unmap), .ioas_id = (u32)id, .iova = base, .length = page};

		bad |= ioctl(shared_fd, IOMMU_IOAS_MAP, &map) != 0;
		bad |= ioctl(shared_fd, IOMMU_IOAS_UNMAP, &unmap) != 0 || unmap.length != page;
	}
	bad |= destroy(shared_fd, (u32)id) != 0;
	munmap(mem, page);
	return (void *)bad;
}

static void test_parallel(void **state)
{
	pthread_t t[NR_THREADS];
	void *bad;

	shared_fd = dev_iommu(0);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, map_and_unmap, (void *)i), 0);
	for (int i = 0; i < NR_THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	close(shared_fd);
	assert_int_equal(open_contexts(), 0);
}

/* A thread's end takes its link along: the daemon keeps no worker for it. */
static void *one_call(void *arg)
{
	return (void *)(intptr_t)ioas_alloc(shared_fd);
}

static void test_threads_end(void **state)
{
	pthread_t t;
	void *id;

	shared_fd = dev_iommu(0);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(pthread_create(&t, NULL, one_call, NULL), 0);
		pthread_join(t, &id);
		assert_int_equal((intptr_t)id, i + 1);
	}
	close(shared_fd);
}

static volatile sig_atomic_t nr_signals, nr_wrong;

static void call_from_handler(int sig)
{
	int id = ioas_alloc(shared_fd);

	if (id <= 0 || destroy(shared_fd, (u32)id))
		nr_wrong++;
	nr_signals++;
}

static void test_signal_handler(void **state)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0}};
	struct sigaction sa = {.sa_handler = call_from_handler};

	shared_fd = dev_iommu(0);
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	/* Until the handler has run often, and so almost surely inside a call. */
	while (nr_signals < 500) {
		int id = ioas_alloc(shared_fd);

		assert_true(id > 0);
		assert_int_equal(destroy(shared_fd, (u32)id), 0);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_int_equal(nr_wrong, 0);
	close(shared_fd);
	assert_int_equal(open_contexts(), 0);
}

/* Bad pointers are the program's error, not ours; its own handler is not run for them. */
static volatile sig_atomic_t nr_faults;

static void count_fault(int sig)
{
	nr_faults++;
	_exit(3);
}

static void test_bad_pointers(void **state)
{
	u8 *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iommu_ioas_alloc *at;
	int fd = dev_iommu(0);

	signal(SIGSEGV, count_fault);
	assert_int_equal(ioctl(fd, IOMMU_IOAS_ALLOC, NULL), -1);
	assert_int_equal(errno, EFAULT);
	munmap(pages + 4096, 4096);
	/* Ends at the page's end: whole. Runs over it: not. */
	at = (void *)(pages + 4096 - sizeof(*at));
	*at = (struct iommu_ioas_alloc){.size = sizeof(*at)};
	assert_int_equal(ioctl(fd, IOMMU_IOAS_ALLOC, at), 0);
	assert_int_equal(at->out_ioas_id, 1);
	*(u32 *)(pages + 4092) = sizeof(*at);
	assert_int_equal(ioctl(fd, IOMMU_IOAS_ALLOC, pages + 4092), -1);
	assert_int_equal(errno, EFAULT);
	/* It can be read but the answer cannot be written: nothing was made. */
	*at = (struct iommu_ioas_alloc){.size = sizeof(*at)};
	mprotect(pages, 4096, PROT_READ);
	assert_int_equal(ioctl(fd, IOMMU_IOAS_ALLOC, at), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioas_alloc(fd), 2);
	assert_int_equal(nr_faults, 0);
	signal(SIGSEGV, SIG_DFL);
	munmap(pages, 4096);
	close(fd);
}

/* The program's own SIGSEGV: its handler, with the fault's address; else death by it. */
static volatile int *volatile nowhere = (volatile int *)16;

static void note_address(int sig, siginfo_t *info, void *uc)
{
	_exit(info->si_addr == (void *)16 ? 7 : 8);
}

static void test_own_faults(void **state)
{
	struct sigaction sa = {.sa_sigaction = note_address, .sa_flags = SA_SIGINFO}, old;
	int fd = dev_iommu(0);
	sigset_t set, before;
	pid_t pid;

	assert_int_equal(ioas_alloc(fd), 1);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, &before);
	assert_int_equal(sigismember(&before, SIGSEGV), 0);
	sigprocmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(sigismember(&before, SIGSEGV), 1);
	assert_int_equal(ioctl(fd, IOMMU_IOAS_ALLOC, NULL), -1); /* blocked, yet no death */
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	pid = fork();
	if (!pid) {
		sigaction(SIGSEGV, &sa, &old);
		*nowhere = 1;
	}
	assert_int_equal(reap(pid), 7);
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		*nowhere = 1;
	}
	assert_int_equal(reap(pid), 128 + SIGSEGV);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parallel),       cmocka_unit_test(test_threads_end),
		cmocka_unit_test(test_signal_handler), cmocka_unit_test(test_bad_pointers),
		cmocka_unit_test(test_own_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
