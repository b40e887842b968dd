/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "mem/copy.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static u8 *two_pages(void)
{
	u8 *p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void copies_every_length_exactly(void **state)
{
	static u8 from[8192 + 64], to[8192 + 64], want[8192 + 64];

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (u8)(i * 7 + 3);
	for (size_t len = 0; len <= 4200; len++) {
		size_t a = len % 17, b = len % 13;

		memset(to, 0xee, sizeof(to));
		memset(want, 0xee, sizeof(want));
		memcpy(want + b, from + a, len);
		OK(copy_guarded(to + b, from + a, len));
		assert_memory_equal(to, want, sizeof(to));
	}
}

static void a_fault_is_an_error_at_every_length(void **state)
{
	u8 *p = two_pages();
	static u8 buf[2 * 8192];

	if (!copy_can_guard)
		skip_because("copies cannot be guarded on this processor");
	OK(guard_install()); /* cmocka puts its own handlers in before each test */
	munmap(p + PAGE_SIZE, PAGE_SIZE);
	memset(p, 0x5a, PAGE_SIZE);
	for (size_t len = 1; len <= PAGE_SIZE; len++) {
		FAILS(copy_guarded(buf, p + PAGE_SIZE - len + 1, len), EFAULT);
		FAILS(copy_guarded(p + PAGE_SIZE - len + 1, buf, len), EFAULT);
		OK(copy_guarded(buf, p + PAGE_SIZE - len, len));
	}
	FAILS(copy_guarded(buf, NULL, 8), EFAULT);
	FAILS(copy_guarded(buf, p, 2 * 8192), EFAULT);
	munmap(p, PAGE_SIZE);
}

static void read_only_memory_refuses_writes(void **state)
{
	u8 *p = two_pages();
	u64 x = 1;

	if (!copy_can_guard)
		skip_because("copies cannot be guarded on this processor");
	OK(guard_install()); /* cmocka puts its own handlers in before each test */
	mprotect(p, PAGE_SIZE, PROT_READ);
	FAILS(copy_guarded(p, &x, 8), EFAULT);
	FAILS(cmpxchg_guarded(p, &x, 2, 8), EFAULT);
	FAILS(cmpxchg_guarded(p, &x, 2, 4), EFAULT);
	assert_int_equal(x, 1);
	munmap(p, 2 * PAGE_SIZE);
}

/* How a child ends that sends itself @sig with the guard over @before. */
static int ends_by(int sig, void (*before)(int))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(sig, before);
		if (guard_install())
			_exit(1);
		kill(getpid(), sig);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void a_sent_signal_does_what_it_did(void **state)
{
	assert_int_equal(ends_by(SIGSEGV, SIG_DFL), SIGSEGV);
	assert_int_equal(ends_by(SIGBUS, SIG_DFL), SIGBUS);
	assert_int_equal(ends_by(SIGSEGV, SIG_IGN), 0);
	assert_int_equal(ends_by(SIGBUS, SIG_IGN), 0);
}

static void a_truncated_file_is_an_error(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	u8 buf[64] = {0}, *p;

	if (!copy_can_guard)
		skip_because("copies cannot be guarded on this processor");
	OK(guard_install()); /* cmocka puts its own handlers in before each test */
	OK(ftruncate(fd, PAGE_SIZE));
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	OK(copy_guarded(p, buf, 64));
	OK(ftruncate(fd, 0));
	FAILS(copy_guarded(p, buf, 64), EFAULT);
	FAILS(copy_guarded(buf, p, 64), EFAULT);
	OK(ftruncate(fd, PAGE_SIZE));
	OK(copy_guarded(p, buf, 64));
	munmap(p, PAGE_SIZE);
	close(fd);
}

static void cmpxchg_swaps_or_tells(void **state)
{
	u64 word = 0x1111111122222222, old;

	old = 5;
	OK(cmpxchg_guarded(&word, &old, 9, 8));
	assert_int_equal(old, 0x1111111122222222);
	assert_int_equal(word, 0x1111111122222222);
	OK(cmpxchg_guarded(&word, &old, 9, 8));
	assert_int_equal(word, 9);
	word = 0x1111111122222222;
	old = 0x22222222;
	OK(cmpxchg_guarded(&word, &old, 0x33333333, 4));
	assert_int_equal(old, 0x22222222);
	assert_int_equal(word, 0x1111111133333333);
	old = 7;
	OK(cmpxchg_guarded(&word, &old, 0x44444444, 4));
	assert_int_equal(old, 0x33333333);
	assert_int_equal(word, 0x1111111133333333);
}

static void a_span_over_lost_memory_reads_zero_and_marks_it(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("t", MFD_CLOEXEC);
	struct seg *seg;
	u8 *p;

	OK(guard_install());
	OK(ftruncate(fd, 4 * PAGE_SIZE));
	p = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(p, 0x77, 4 * PAGE_SIZE);
	OK(seg_add(&f->mem, SEG_TOKEN, p, 4 * PAGE_SIZE, &seg));
	guard_watch(seg);
	OK(ftruncate(fd, 2 * PAGE_SIZE));
	assert_int_equal(*(volatile u8 *)(p + PAGE_SIZE), 0x77);
	assert_false(atomic_load(&seg->dead));
	assert_int_equal(*(volatile u8 *)(p + 3 * PAGE_SIZE + 5), 0);
	assert_true(atomic_load(&seg->dead));
	*(volatile u8 *)(p + 3 * PAGE_SIZE) = 1; /* goes to the page that was put there */
	OK(ftruncate(fd, 4 * PAGE_SIZE));
	guard_unwatch(seg);
	seg_put(&f->mem, seg);
	munmap(p, 4 * PAGE_SIZE);
	close(fd);
}

static void exit_7(int sig)
{
	_exit(7);
}

static int child_status(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void fault_for_real(void)
{
	volatile uintptr_t nowhere = 8;

	*(volatile int *)nowhere = 1;
}

static void fault_with_handler_from_before(void)
{
	/* exec'ing would be needed to undo the install: install a handler as someone before us would. */
	if (guard_install())
		_exit(1);
	fault_for_real();
}

/* Runs before the group installs the guard. */
static void chains_to_what_was_there(void **state)
{
	int status;

	signal(SIGSEGV, exit_7);
	status = child_status(fault_with_handler_from_before);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	signal(SIGSEGV, SIG_DFL);
	status = child_status(fault_with_handler_from_before);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	OK(guard_install());
	OK(guard_install());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_to_what_was_there),
		cmocka_unit_test(copies_every_length_exactly),
		cmocka_unit_test(a_fault_is_an_error_at_every_length),
		cmocka_unit_test(read_only_memory_refuses_writes),
		cmocka_unit_test(a_sent_signal_does_what_it_did),
		cmocka_unit_test(a_truncated_file_is_an_error),
		cmocka_unit_test(cmpxchg_swaps_or_tells),
		TEST(a_span_over_lost_memory_reads_zero_and_marks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
