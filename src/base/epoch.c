/* SPDX-License-Identifier: MIT */
#include "base/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define SPINS_BEFORE_YIELD 2000u
#define YIELDS_BEFORE_NAP  64u

_Thread_local struct epoch_thread epoch_thread;

/*
 * The one thing here that belongs to the process: the key by which a thread's end is noticed. It is
 * made once and constant from then on; instances do not meet in it.
 */
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool exit_key_made;

static struct epoch_slot **cache_of(const struct epoch *e)
{
	return &epoch_thread.cache[((uintptr_t)e / CACHELINE) % EPOCH_CACHE];
}

/* Let go of an owned slot: back to its instance, or freed when that has ended. */
static void slot_release(struct epoch_slot *s)
{
	unsigned owned = EPOCH_SLOT_OWNED;

	assert(!s->depth);
	if (!atomic_compare_exchange_strong(&s->state, &owned, EPOCH_SLOT_FREE))
		free(s);
}

static void thread_exits(void *arg)
{
	struct epoch_thread *me = arg;
	struct epoch_slot *s = me->owned, *next;

	*me = (struct epoch_thread){0};
	for (; s; s = next) {
		next = s->next_of_thread;
		slot_release(s);
	}
}

static void make_exit_key(void)
{
	exit_key_made = !pthread_key_create(&exit_key, thread_exits);
}

int epoch_init(struct epoch *e)
{
	pthread_once(&exit_key_once, make_exit_key);
	if (!exit_key_made)
		return -EAGAIN;
	atomic_init(&e->now, 1);
	atomic_init(&e->slots, NULL);
	return 0;
}

void epoch_fini(struct epoch *e)
{
	struct epoch_slot *s = atomic_load(&e->slots), *next;

	for (; s; s = next) {
		next = s->next;
		assert(!atomic_load(&s->epoch));
		atomic_store(&s->domain, NULL);
		if (atomic_exchange(&s->state, EPOCH_SLOT_ORPHAN) == EPOCH_SLOT_FREE)
			free(s);
	}
	atomic_store(&e->slots, NULL);
}

/* This thread's slot of @e among those it owns; frees the orphans it meets. */
static struct epoch_slot *find_owned(struct epoch *e)
{
	struct epoch_slot **link = &epoch_thread.owned, *s, *found = NULL;
	unsigned i;

	while ((s = *link)) {
		struct epoch *domain = atomic_load(&s->domain);

		if (domain == e)
			found = s;
		/* The domain goes first, the state second: an orphan to be may still be in use by fini. */
		if (domain || atomic_load(&s->state) != EPOCH_SLOT_ORPHAN) {
			link = &s->next_of_thread;
			continue;
		}
		*link = s->next_of_thread;
		for (i = 0; i < EPOCH_CACHE; i++)
			if (epoch_thread.cache[i] == s)
				epoch_thread.cache[i] = NULL;
		free(s);
	}
	return found;
}

/* A slot that a thread which exited left behind, or a new one. */
static struct epoch_slot *claim(struct epoch *e)
{
	struct epoch_slot *s;
	unsigned state;

	for (s = atomic_load(&e->slots); s; s = s->next) {
		state = EPOCH_SLOT_FREE;
		if (atomic_compare_exchange_strong(&s->state, &state, EPOCH_SLOT_OWNED))
			return s;
	}
	s = aligned_alloc(CACHELINE, sizeof(*s));
	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	atomic_init(&s->state, EPOCH_SLOT_OWNED);
	atomic_init(&s->domain, e);
	s->next = atomic_load(&e->slots);
	while (!atomic_compare_exchange_weak(&e->slots, &s->next, s))
		;
	return s;
}

NOINLINE struct epoch_slot *epoch_slot_slow(struct epoch *e)
{
	struct epoch_slot *s = find_owned(e);

	if (!s) {
		if (pthread_setspecific(exit_key, &epoch_thread))
			return NULL;
		s = claim(e);
		if (!s)
			return NULL;
		s->next_of_thread = epoch_thread.owned;
		epoch_thread.owned = s;
	}
	*cache_of(e) = s;
	return s;
}

static bool must_wait_for(const struct epoch_slot *s, u64 target, const void *scope)
{
	u64 entered = atomic_load(&s->epoch);
	const void *theirs;

	if (!entered || entered >= target)
		return false;
	theirs = atomic_load(&s->scope);
	return !scope || !theirs || theirs == scope;
}

static void relax(unsigned round)
{
	static const struct timespec nap = {.tv_nsec = 50 * 1000};

	if (round < SPINS_BEFORE_YIELD) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	} else if (round < SPINS_BEFORE_YIELD + YIELDS_BEFORE_NAP) {
		sched_yield();
	} else {
		nanosleep(&nap, NULL);
	}
}

void epoch_sync(struct epoch *e, const void *scope)
{
	u64 target = atomic_fetch_add(&e->now, 1) + 1;
	struct epoch_slot *s;
	unsigned round = 0;

#if !defined(__x86_64__)
	atomic_thread_fence(memory_order_seq_cst);
#endif
	for (s = epoch_thread.owned; s; s = s->next_of_thread)
		assert(atomic_load(&s->domain) != e || !s->depth);
	for (s = atomic_load(&e->slots); s; s = s->next)
		while (must_wait_for(s, target, scope))
			relax(round++);
}
