/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "unit.h"

static unsigned nr_slots(struct epoch *e)
{
	struct epoch_slot *s;
	unsigned nr = 0;

	for (s = atomic_load(&e->slots); s; s = s->next)
		nr++;
	return nr;
}

/*
 * Readers follow a pointer to a plain int; the writer swaps it, syncs and scribbles over the old one.
 * Without the wait in epoch_sync() a reader may see the scribble, and TSan sees the race; that the wait
 * is there at all is what scopes() pins without luck.
 */
#define GOOD	 0x600d
#define SCRIBBLE 0xbad
#define READERS	 2

struct shared {
	struct epoch e;
	_Atomic(int *) p;
	_Atomic bool stop;
	_Atomic unsigned nr_bad;
	_Atomic unsigned nr_running;
	const void *scope;
};

static void *reader(void *arg)
{
	struct shared *sh = arg;
	bool first = true;

	while (!atomic_load(&sh->stop)) {
		struct epoch_slot *s = epoch_slot(&sh->e);
		volatile int *p;
		int i;

		epoch_enter(s, sh->scope);
		p = atomic_load_explicit(&sh->p, memory_order_acquire);
		for (i = 0; i < 50; i++)
			if (*p != GOOD)
				atomic_fetch_add(&sh->nr_bad, 1);
		epoch_leave(s);
		if (first)
			atomic_fetch_add(&sh->nr_running, 1);
		first = false;
		/* Or a busy machine takes the processor away inside, and each sync waits for a time slice. */
		sched_yield();
	}
	return NULL;
}

static unsigned race(const void *readers_scope, const void *sync_scope)
{
	struct shared sh = {.scope = readers_scope};
	int cells[2] = {GOOD, GOOD}, round;
	pthread_t t[READERS];
	unsigned i;

	assert_int_equal(epoch_init(&sh.e), 0);
	atomic_store(&sh.p, &cells[0]);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, &sh), 0);
	while (atomic_load(&sh.nr_running) < READERS)
		sched_yield();
	for (round = 0; round < 5000; round++) {
		volatile int *old = atomic_load(&sh.p);
		int *new = old == &cells[0] ? &cells[1] : &cells[0];

		*(volatile int *)new = GOOD;
		atomic_store_explicit(&sh.p, new, memory_order_release);
		epoch_sync(&sh.e, sync_scope);
		*old = SCRIBBLE;
	}
	atomic_store(&sh.stop, true);
	for (i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	assert_true(nr_slots(&sh.e) <= READERS);
	epoch_fini(&sh.e);
	return atomic_load(&sh.nr_bad);
}

static void sync_waits(void **unused)
{
	int ioas;

	assert_int_equal(race(NULL, NULL), 0);
	assert_int_equal(race(NULL, &ioas), 0); /* readers of "any" count for every scope */
	assert_int_equal(race(&ioas, &ioas), 0);
	assert_int_equal(race(&ioas, NULL), 0);
}

/* One thread inside; the other tells when its sync is over. No timing: order is by these flags. */
struct gate {
	struct epoch *e;
	const void *scope;
	_Atomic bool done;
};

static void *sync_thread(void *arg)
{
	struct gate *g = arg;

	epoch_sync(g->e, g->scope);
	atomic_store(&g->done, true);
	return NULL;
}

static void scopes(void **unused)
{
	struct gate g = {0};
	struct epoch_slot *s;
	struct epoch e;
	pthread_t t;
	u64 before;
	int a, b, i;

	assert_int_equal(epoch_init(&e), 0);
	g.e = &e;
	s = epoch_slot(&e);
	assert_non_null(s);
	assert_ptr_equal(epoch_slot(&e), s);

	/* Inside scope a: a sync of b is not held up. It would hang here if it were. */
	epoch_enter(s, &a);
	g.scope = &b;
	assert_int_equal(pthread_create(&t, NULL, sync_thread, &g), 0);
	pthread_join(t, NULL);
	assert_true(atomic_load(&g.done));

	/* In again, so that the next sync meets a reader of the very epoch it ends. */
	epoch_leave(s);
	epoch_enter(s, &a);

	/* A nested entry of another scope widens to any: now b waits until the outermost leave. */
	epoch_enter(s, &b);
	epoch_leave(s);
	atomic_store(&g.done, false);
	before = atomic_load(&e.now);
	assert_int_equal(pthread_create(&t, NULL, sync_thread, &g), 0);
	while (atomic_load(&e.now) == before)
		sched_yield();
	for (i = 0; i < 1000; i++) {
		sched_yield();
		assert_false(atomic_load(&g.done));
	}
	epoch_leave(s);
	pthread_join(t, NULL);
	assert_true(atomic_load(&g.done));
	epoch_fini(&e);
}

static void *use_slot(void *arg)
{
	struct epoch *e = arg;
	struct epoch_slot *s = epoch_slot(e);

	epoch_enter(s, NULL);
	epoch_leave(s);
	return s;
}

static void exited_threads_give_back(void **unused)
{
	struct epoch e;
	pthread_t t;
	int i;

	assert_int_equal(epoch_init(&e), 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&t, NULL, use_slot, &e), 0);
		pthread_join(t, NULL);
	}
	assert_int_equal(nr_slots(&e), 1);
	epoch_fini(&e);
}

/* A thread that outlives the instances it used, and another instance at the same address. */
static void instances_come_and_go(void **unused)
{
	struct epoch e[9];
	unsigned i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(e); i++)
			assert_int_equal(epoch_init(&e[i]), 0);
		for (i = 0; i < ARRAY_SIZE(e) * 2; i++) {
			struct epoch_slot *s = use_slot(&e[i % ARRAY_SIZE(e)]);

			assert_ptr_equal(atomic_load(&s->domain), &e[i % ARRAY_SIZE(e)]);
			assert_int_equal(nr_slots(&e[i % ARRAY_SIZE(e)]), 1);
		}
		for (i = 0; i < ARRAY_SIZE(e); i++)
			epoch_fini(&e[i]);
	}
}

/* Threads end while their instance ends: each slot is freed once (ASan, TSan), whoever is first. */
struct parting {
	struct epoch e;
	pthread_barrier_t b;
};

static void *part(void *arg)
{
	struct parting *p = arg;

	use_slot(&p->e);
	pthread_barrier_wait(&p->b);
	return NULL;
}

static void ends_together(void **unused)
{
	struct parting p;
	pthread_t t[2];
	int i;

	for (i = 0; i < 200; i++) {
		assert_int_equal(epoch_init(&p.e), 0);
		pthread_barrier_init(&p.b, NULL, 3);
		assert_int_equal(pthread_create(&t[0], NULL, part, &p), 0);
		assert_int_equal(pthread_create(&t[1], NULL, part, &p), 0);
		pthread_barrier_wait(&p.b);
		epoch_fini(&p.e);
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		pthread_barrier_destroy(&p.b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_waits),
		cmocka_unit_test(scopes),
		cmocka_unit_test(exited_threads_give_back),
		cmocka_unit_test(instances_come_and_go),
		cmocka_unit_test(ends_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
