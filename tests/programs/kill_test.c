/* SPDX-License-Identifier: MIT */
/*
 * A program killed at any moment leaves nothing in the daemon: 200 times and until every call was in
 * flight once, the ledger is what it was before, and /proc agrees.
 *
 * The seed is printed; IOASIS_TEST_SEED takes one, IOASIS_TEST_ROUNDS another number of rounds.
 */
#include "kill.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#define ROUNDS	   200u
#define MAX_FACTOR 5u  /* rounds more to catch every call */
#define PATIENCE_S 30 /* for a hang; nothing is measured */

struct proc_view {
	long fds, tasks, shared_maps;
};

struct killer {
	struct watch_page *page;
	int control;
	pid_t daemon;
	bool mock;
	u64 rnd;
	u32 caught[MAX_ROWS];
	u32 in_flight[NR_CALLERS];
	json_t *baseline;
	struct proc_view proc;
};

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static u64 env_number(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

/* --- what the daemon says, and what the kernel says of it ------------------------------------- */
static json_t *ledger(struct killer *k)
{
	static const char ask[] = "{\"op\":\"ledger\"}";
	char text[8192];
	ssize_t n;

	assert_int_equal(send(k->control, ask, sizeof(ask) - 1, 0), sizeof(ask) - 1);
	n = recv(k->control, text, sizeof(text), 0);
	assert_true(n > 0);
	return json_loadb(text, (size_t)n, 0, NULL);
}

static long count_dir(pid_t pid, const char *what)
{
	struct dirent *e;
	char path[64];
	long nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		nr += e->d_name[0] != '.';
	closedir(dir);
	return nr;
}

/* Mappings of files that others may have too: memfds, BARs, channels, programs' memory. */
static long count_shared_maps(pid_t pid)
{
	char path[64], line[512], perms[8];
	long nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		nr += sscanf(line, "%*s %7s", perms) == 1 && perms[3] == 's';
	fclose(f);
	return nr;
}

static struct proc_view look(pid_t pid)
{
	return (struct proc_view){count_dir(pid, "fd"), count_dir(pid, "task"),
				  count_shared_maps(pid)};
}

static bool is_clean(struct killer *k, unsigned round)
{
	json_t *now = ledger(k);
	struct proc_view v;
	bool same;

	/* What an instance makes when it first needs it, and keeps, the first program pays for. */
	if (!round) {
		json_object_set(k->baseline, "allocations", json_object_get(now, "allocations"));
		json_object_set(k->baseline, "table_pages", json_object_get(now, "table_pages"));
	}
	same = json_equal(now, k->baseline);

	json_decref(now);
	if (!same)
		return false;
	v = look(k->daemon);
	return !memcmp(&v, &k->proc, sizeof(v));
}

static void explain(struct killer *k, unsigned round)
{
	struct proc_view v = look(k->daemon);
	json_t *now = ledger(k), *value;
	const char *key;

	for (unsigned i = 0; i < NR_CALLERS; i++)
		print_error("round %u: thread %u was in %s\n", round, i,
			    k->in_flight[i] ? rows[k->in_flight[i] - 1].name : "nothing");
	json_object_foreach(now, key, value)
	{
		json_int_t was = json_integer_value(json_object_get(k->baseline, key));

		if (json_integer_value(value) != was)
			print_error("  %s: %" JSON_INTEGER_FORMAT ", was %" JSON_INTEGER_FORMAT
				    "\n", key, json_integer_value(value), was);
	}
	print_error("  /proc: fds %ld, was %ld; tasks %ld, was %ld; mappings %ld, was %ld\n", v.fds,
		    k->proc.fds, v.tasks, k->proc.tasks, v.shared_maps, k->proc.shared_maps);
	json_decref(now);
}

/* --- a round ---------------------------------------------------------------------------------- */
static bool is_asked(const struct killer *k, u32 row)
{
	return k->mock || !(rows[row].flags & ROW_MOCK);
}

/* One of the calls that were caught least often. */
static u32 pick_target(struct killer *k)
{
	u32 best = 0, nr = 0, least = UINT32_MAX;

	for (u32 i = 0; i < nr_rows; i++) {
		if (!is_asked(k, i) || k->caught[i] > least)
			continue;
		nr = k->caught[i] < least ? 1 : nr + 1;
		least = k->caught[i];
		if (!(rnd(&k->rnd) % nr))
			best = i;
	}
	return best;
}

/* Any moment of the client's first 20 ms, or one while it calls what is wanted. */
static void wait_for_moment(struct killer *k, unsigned round, u32 target)
{
	u64 end = now_ns() + (u64)PATIENCE_S * 1000000000u;
	bool any = round && rnd(&k->rnd) % 4 == 0;

	if (any)
		end = now_ns() + rnd(&k->rnd) % 20000000u;
	while (now_ns() < end && !atomic_load(&k->page->failed)) {
		if (!any && atomic_load(&k->page->ready) &&
		    (atomic_load(&k->page->current[0]) == target + 1 ||
		     atomic_load(&k->page->current[1]) == target + 1))
			break;
		if (any)
			sched_yield();
	}
}

static void reap_all(struct killer *k, pid_t client)
{
	int status;
	pid_t pid;

	/* The client's children come to us, and die with its group. */
	while ((pid = waitpid(-1, &status, 0)) > 0) {
		if (pid != client)
			continue;
		if (atomic_load(&k->page->failed))
			fail_msg("the client failed at kill_client.c:%u: %s",
				 atomic_load(&k->page->failed), strerror(k->page->error));
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
	}
}

static void note_in_flight(struct killer *k)
{
	for (unsigned i = 0; i < NR_CALLERS; i++) {
		k->in_flight[i] = atomic_exchange(&k->page->current[i], 0);
		if (k->in_flight[i])
			k->caught[k->in_flight[i] - 1]++;
	}
}

static void one_round(struct killer *k, unsigned round)
{
	u64 end = now_ns() + (u64)PATIENCE_S * 1000000000u;
	struct client_args args = {.page = k->page, .seed = rnd(&k->rnd), .target = pick_target(k),
				   .mock = k->mock, .drop_caps = round & 1};
	pid_t pid;

	k->page->ready = 0;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		client_run(&args);
	}
	setpgid(pid, pid);
	wait_for_moment(k, round, args.target);
	assert_int_equal(kill(-pid, SIGKILL), 0);
	reap_all(k, pid);
	note_in_flight(k);
	while (!is_clean(k, round)) {
		if (now_ns() < end)
			continue;
		explain(k, round);
		fail_msg("the daemon still holds what the killed program had");
	}
}

static unsigned nr_missed(struct killer *k, bool tell)
{
	unsigned nr = 0;

	for (u32 i = 0; i < nr_rows; i++) {
		if (!is_asked(k, i) || k->caught[i])
			continue;
		nr++;
		if (tell)
			print_error("never in flight: %s\n", rows[i].name);
	}
	return nr;
}

static unsigned nr_idle(struct killer *k)
{
	unsigned nr = 0;

	for (u32 i = 0; i < nr_rows; i++) {
		u32 f = rows[i].flags;

		if (!is_asked(k, i) || f & ROW_MAY_FAIL || (f & ROW_OK_ON_MOCK && !k->mock) ||
		    atomic_load(&k->page->ok[i]))
			continue;
		print_error("never succeeded: %s\n", rows[i].name);
		nr++;
	}
	return nr;
}

static void find_machine(struct killer *k)
{
	json_t *tree = describe();

	k->mock = json_is_true(json_object_get(tree, "test_ops"));
	json_decref(tree);
}

static void test_kill(void **state)
{
	struct killer k = {.daemon = atoi(getenv("IOASIS_PID")), .control = control_socket()};
	int fd = memfd_create("watch", MFD_CLOEXEC);
	unsigned round, rounds = (unsigned)env_number("IOASIS_TEST_ROUNDS", ROUNDS);
	u64 seed = 0;

	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	seed = env_number("IOASIS_TEST_SEED", seed);
	k.rnd = seed | 1;
	print_message("seed 0x%" PRIx64 "\n", seed);
	/* Not shared anonymous memory: the daemon would be told of it. */
	assert_int_equal(ftruncate(fd, sizeof(*k.page)), 0);
	k.page = mmap(NULL, sizeof(*k.page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	find_machine(&k);
	json_decref(ledger(&k)); /* the connection that find_machine() had is gone after this */
	k.baseline = ledger(&k);
	k.proc = look(k.daemon);
	for (round = 0; round < rounds || (nr_missed(&k, false) && round < rounds * MAX_FACTOR);
	     round++)
		one_round(&k, round);
	print_message("%u rounds\n", round);
	assert_int_equal(nr_missed(&k, true), 0);
	assert_int_equal(nr_idle(&k), 0);
	json_decref(k.baseline);
	munmap(k.page, sizeof(*k.page));
	close(k.control);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
