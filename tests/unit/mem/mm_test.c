/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <limits.h>
#include <linux/capability.h>
#include <sys/resource.h>

static u8 *page; /* the client's, and ours to compare */

static long fill(void)
{
	memset(page, 0x61, 2 * PAGE_SIZE);
	return 0;
}

static long peek(void)
{
	return page[17];
}

static long protect_none(void)
{
	return mprotect(page, PAGE_SIZE, PROT_NONE);
}

static long unmap_second(void)
{
	return munmap(page + PAGE_SIZE, PAGE_SIZE);
}

static long fork_and_tell(void)
{
	pid_t pid = fork();

	if (!pid) {
		page[17] = 0x99;
		pause();
		_exit(0);
	}
	return pid;
}

static long run_another_program(void)
{
	execl("/bin/sleep", "sleep", "100", NULL);
	return -1;
}

static u64 status_kb(const char *key)
{
	char line[128];
	u64 kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kb = strtoull(line + strlen(key), NULL, strstr(key, "Cap") ? 16 : 10);
	fclose(f);
	return kb;
}

static void copies_reach_the_client_and_only_it(void **state)
{
	struct fixture *f = *state;
	struct client c;
	u8 buf[2 * PAGE_SIZE];

	client_start(f, &c);
	memset(page, 0, 2 * PAGE_SIZE);
	client_do(&c, fill);
	OK(mm_read(c.mm, UVA((uintptr_t)page), buf, sizeof(buf)));
	assert_int_equal(buf[0], 0x61);
	assert_int_equal(buf[sizeof(buf) - 1], 0x61);
	memset(buf, 0x42, 64);
	OK(mm_write(c.mm, UVA((uintptr_t)page), buf, 64));
	assert_int_equal(client_do(&c, peek), 0x42);
	memset(buf, 0x43, 64);
	OK(mm_dma_write(c.mm, UVA((uintptr_t)page), buf, 64));
	assert_int_equal(client_do(&c, peek), 0x43);
	OK(mm_dma_read(c.mm, UVA((uintptr_t)page), buf + 100, 64));
	assert_int_equal(buf[100], 0x43);
	assert_int_equal(page[17], 0);
	client_end(&c);
}

static void a_hole_is_efault_even_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct client c;
	u8 buf[2 * PAGE_SIZE];

	client_start(f, &c);
	client_do(&c, fill);
	client_do(&c, unmap_second);
	FAILS(mm_read(c.mm, UVA((uintptr_t)page), buf, sizeof(buf)), EFAULT);
	FAILS(mm_write(c.mm, UVA((uintptr_t)page), buf, sizeof(buf)), EFAULT);
	FAILS(mm_dma_read(c.mm, UVA((uintptr_t)page), buf, sizeof(buf)), EFAULT);
	FAILS(mm_dma_write(c.mm, UVA((uintptr_t)page + PAGE_SIZE), buf, 8), EFAULT);
	FAILS(mm_read(c.mm, UVA(UINT64_MAX - 3), buf, 8), EFAULT);
	FAILS(mm_dma_read(c.mm, UVA(1ull << 63), buf, 8), EFAULT);
	OK(mm_read(c.mm, UVA((uintptr_t)page), buf, PAGE_SIZE));
	client_end(&c);
}

/* A system call of the client would fail; a pin taken before would not. */
static void a_later_mprotect_stops_calls_but_not_dma(void **state)
{
	struct fixture *f = *state;
	struct client c;
	u8 buf[8];

	client_start(f, &c);
	client_do(&c, fill);
	OK(client_do(&c, protect_none));
	FAILS(mm_read(c.mm, UVA((uintptr_t)page), buf, 8), EFAULT);
	FAILS(mm_write(c.mm, UVA((uintptr_t)page), buf, 8), EFAULT);
	OK(mm_dma_read(c.mm, UVA((uintptr_t)page), buf, 8));
	assert_int_equal(buf[0], 0x61);
	client_end(&c);
}

static void death_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct mm *none = NULL;
	u64 x;
	pid_t pid;

	client_start(f, &c);
	assert_true(mm_alive(c.mm));
	pid = c.pid;
	client_kill(&c);
	assert_false(mm_alive(c.mm));
	FAILS(mm_read(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	FAILS(mm_write(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	FAILS(mm_dma_read(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	FAILS(mm_dma_write(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	FAILS(mm_attach(&f->mem, pid, &none), ESRCH);
	FAILS(mm_attach(&f->mem, 0, &none), ESRCH);
	FAILS(mm_attach(&f->mem, -5, &none), ESRCH);
	assert_null(none);
	client_end(&c);
}

/* The pid stays, the program is another one: its memory must not be reached by the old name. */
static void an_exec_ends_the_mm(void **state)
{
	struct fixture *f = *state;
	struct client c;
	client_fn fn = run_another_program;
	struct mm *after;
	char byte;
	u64 x = 0;

	client_start(f, &c);
	assert_int_equal(write(c.sock, &fn, sizeof(fn)), sizeof(fn));
	assert_int_equal(read(c.sock, &byte, 1), 0); /* closed by exec */
	FAILS(mm_dma_write(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	FAILS(mm_write(c.mm, UVA((uintptr_t)page), &x, 8), ESRCH);
	assert_false(mm_alive(c.mm));
	OK(mm_attach(&f->mem, c.pid, &after));
	assert_ptr_not_equal(after, c.mm);
	mm_put(after);
	client_end(&c);
}

static void a_fork_is_another_mm(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct mm *child, *again;
	pid_t pid;
	u8 x = 0;

	client_start(f, &c);
	client_do(&c, fill);
	pid = (pid_t)client_do(&c, fork_and_tell);
	OK(mm_attach(&f->mem, pid, &child));
	assert_ptr_not_equal(child, c.mm);
	OK(mm_attach(&f->mem, pid, &again));
	assert_ptr_equal(again, child);
	while (x != 0x99)
		OK(mm_dma_read(child, UVA((uintptr_t)page + 17), &x, 1));
	OK(mm_dma_read(c.mm, UVA((uintptr_t)page + 17), &x, 1));
	assert_int_equal(x, 0x61);
	kill(pid, SIGKILL);
	mm_put(again);
	mm_put(child);
	client_end(&c);
}

static void no_right_is_eperm(void **state)
{
	struct fixture *f = *state;
	struct mm *mm = NULL;

	if (!getuid())
		return; /* root has every right; the other run tests it */
	FAILS(mm_attach(&f->mem, 1, &mm), EPERM);
	assert_null(mm);
}

static void rights_are_the_clients(void **state)
{
	struct fixture *f = *state;
	struct rlimit r = {5 * PAGE_SIZE, 6 * PAGE_SIZE};
	struct client c;
	bool has;

	client_start(f, &c);
	OK(prlimit(c.pid, RLIMIT_MEMLOCK, &r, NULL));
	OK(task_capable(c.pid, CAP_IPC_LOCK, &has));
	assert_int_equal(has, status_kb("CapEff:\t") >> 14 & 1);
	OK(task_capable(c.pid, CAP_SYS_RESOURCE, &has));
	assert_int_equal(has, status_kb("CapEff:\t") >> 24 & 1);
	OK(task_capable(c.pid, CAP_CHECKPOINT_RESTORE, &has)); /* in the second word */
	assert_int_equal(has, status_kb("CapEff:\t") >> 40 & 1);
	FAILS(mm_charge(c.mm, ACCOUNT_USER, 6), ENOMEM);
	OK(mm_charge(c.mm, ACCOUNT_USER, 5));
	client_kill(&c);
	FAILS(task_capable(INT_MAX, CAP_IPC_LOCK, &has), ESRCH);
	mm_uncharge(c.mm, ACCOUNT_USER, 5);
	client_end(&c);
}

static void per_user_all_clients_share_the_limit(void **state)
{
	struct fixture *f = *state;
	struct rlimit r = {10 * PAGE_SIZE, 10 * PAGE_SIZE};
	struct client a, b;

	client_start(f, &a);
	client_start(f, &b);
	OK(prlimit(a.pid, RLIMIT_MEMLOCK, &r, NULL));
	OK(prlimit(b.pid, RLIMIT_MEMLOCK, &r, NULL));
	OK(mm_charge(a.mm, ACCOUNT_USER, 6));
	FAILS(mm_charge(b.mm, ACCOUNT_USER, 5), ENOMEM);
	assert_int_equal(atomic_load(&b.mm->pinned_pages), 0);
	OK(mm_charge(b.mm, ACCOUNT_USER, 4));
	FAILS(mm_charge(a.mm, ACCOUNT_USER, 1), ENOMEM);
	FAILS(mm_charge(a.mm, ACCOUNT_USER, UINT64_MAX), ENOMEM);
	assert_int_equal(mm_user_locked(&f->mem, getuid()), 10);
	assert_int_equal(atomic_load(&a.mm->pinned_pages), 6);
	/* No limit, but counted; and nobody else's room is taken. */
	OK(mm_charge(a.mm, ACCOUNT_NONE, 1000));
	assert_int_equal(atomic_load(&a.mm->pinned_pages), 1006);
	assert_int_equal(mm_user_locked(&f->mem, getuid()), 10);
	mm_uncharge(a.mm, ACCOUNT_NONE, 1000);
	/* What a dead client had charged is given back exactly. */
	client_kill(&a);
	mm_uncharge(a.mm, ACCOUNT_USER, 6);
	assert_int_equal(mm_user_locked(&f->mem, getuid()), 4);
	OK(mm_charge(b.mm, ACCOUNT_USER, 6));
	mm_uncharge(b.mm, ACCOUNT_USER, 10);
	assert_int_equal(mm_user_locked(&f->mem, getuid()), 0);
	assert_int_equal(atomic_load(&a.mm->pinned_pages), 0);
	assert_int_equal(atomic_load(&b.mm->pinned_pages), 0);
	client_end(&a);
	client_end(&b);
}

static void per_mm_each_has_its_own_limit(void **state)
{
	struct fixture *f = *state;
	struct rlimit r = {10 * PAGE_SIZE, 10 * PAGE_SIZE};
	struct client a, b;

	client_start(f, &a);
	client_start(f, &b);
	OK(prlimit(a.pid, RLIMIT_MEMLOCK, &r, NULL));
	OK(prlimit(b.pid, RLIMIT_MEMLOCK, &r, NULL));
	OK(mm_charge(a.mm, ACCOUNT_MM, 10));
	FAILS(mm_charge(a.mm, ACCOUNT_MM, 1), ENOMEM);
	OK(mm_charge(b.mm, ACCOUNT_MM, 10));
	assert_int_equal(atomic_load(&a.mm->locked_pages), 10);
	assert_int_equal(mm_user_locked(&f->mem, getuid()), 0);
	mm_uncharge(a.mm, ACCOUNT_MM, 10);
	mm_uncharge(b.mm, ACCOUNT_MM, 10);
	client_kill(&a);
	FAILS(mm_charge(a.mm, ACCOUNT_MM, 1), EINVAL);
	assert_int_equal(atomic_load(&a.mm->pinned_pages), 0);
	client_end(&a);
	client_end(&b);
}

static void a_failed_attach_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct mm *mm = NULL;

	client_start(f, &c);
	mm_put(c.mm);
	for (s64 n = 1;; n++) {
		u64 before = atomic_load(&f->env.nr_allocs);
		int rc;

		fault_arm(&f->env.fault, n);
		rc = mm_attach(&f->mem, c.pid, &mm);
		fault_arm(&f->env.fault, 0);
		if (!rc)
			break;
		FAILS(rc, ENOMEM);
		assert_int_equal(atomic_load(&f->env.nr_allocs), before);
		assert_null(mm);
	}
	c.mm = mm;
	client_end(&c);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		TEST(copies_reach_the_client_and_only_it),
		TEST(a_hole_is_efault_even_in_the_middle),
		TEST(a_later_mprotect_stops_calls_but_not_dma),
		TEST(death_is_noticed),
		TEST(an_exec_ends_the_mm),
		TEST(a_fork_is_another_mm),
		TEST(no_right_is_eperm),
		TEST(rights_are_the_clients),
		TEST(per_user_all_clients_share_the_limit),
		TEST(per_mm_each_has_its_own_limit),
		TEST(a_failed_attach_leaves_nothing),
	};

	page = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_both(run);
}
