/* SPDX-License-Identifier: MIT */
/*
 * Which parts of which mappings are trapped, and what the program may do there.
 *
 * Changes are made under trap_lock with every signal blocked: a handler that stores to a register
 * while its own thread changed the table would wait for that thread for ever. The SIGSEGV handler
 * reads without the lock and reads again when the table moved meanwhile.
 */
#include "shim/shim.h"

void traps_lock(sigset_t *before)
{
	sigset_t all;

	/* A child that no handler saw may have the lock of a thread that it does not have. */
	if (unlikely(shim.wiped && !*shim.wiped))
		shim_forked_unseen();
	sigfillset(&all);
	REAL.pthread_sigmask(SIG_SETMASK, &all, before);
	pthread_mutex_lock(&shim.trap_lock);
}

void traps_unlock(const sigset_t *before)
{
	pthread_mutex_unlock(&shim.trap_lock);
	REAL.pthread_sigmask(SIG_SETMASK, before, NULL);
}

void traps_forked_unseen(void)
{
	pthread_mutex_init(&shim.trap_lock, NULL);
	atomic_store(&shim.trap_seq, 0);
}

static void change_begin(void)
{
	atomic_fetch_add(&shim.trap_seq, 1);
}

static void change_end(void)
{
	atomic_fetch_add(&shim.trap_seq, 1);
}

static struct trap *free_slot(void)
{
	for (u32 i = 0; i < MAX_TRAPS; i++)
		if (!shim.traps[i].used)
			return &shim.traps[i];
	return NULL;
}

static void put(struct trap *slot, const struct trap *t)
{
	u32 end = (u32)(slot - shim.traps) + 1;

	change_begin();
	*slot = *t;
	slot->used = 1;
	if (atomic_load(&shim.nr_traps) < end)
		atomic_store(&shim.nr_traps, end);
	change_end();
}

bool traps_room(u32 want)
{
	for (u32 i = 0; i < MAX_TRAPS && want; i++)
		want -= !shim.traps[i].used;
	return !want;
}

const struct trap *traps_first(u64 start, u64 end)
{
	const struct trap *first = NULL;

	for (u32 i = 0; i < shim.nr_traps; i++) {
		const struct trap *t = &shim.traps[i];

		if (t->used && start < t->start + t->len && end > t->start &&
		    (!first || t->start < first->start))
			first = t;
	}
	return first;
}

void traps_insert(const struct trap *t)
{
	put(free_slot(), t);
}

/* Have a boundary between two traps at @at, if any is there. */
static void split(u64 at)
{
	for (u32 i = 0; i < shim.nr_traps; i++) {
		struct trap *t = &shim.traps[i], rest = *t;

		if (!t->used || at <= t->start || at >= t->start + t->len)
			continue;
		rest.start = at;
		rest.len = t->start + t->len - at;
		rest.pos += at - t->start;
		put(free_slot(), &rest);
		change_begin();
		t->len = at - t->start;
		change_end();
		return;
	}
}

static bool inside(const struct trap *t, u64 start, u64 end)
{
	return t->used && t->start >= start && t->start + t->len <= end;
}

void traps_cut(u64 start, u64 end)
{
	split(start);
	split(end);
	for (u32 i = 0; i < shim.nr_traps; i++) {
		if (!inside(&shim.traps[i], start, end))
			continue;
		change_begin();
		shim.traps[i].used = 0;
		change_end();
	}
}

void traps_protect(u64 start, u64 end, bool may_store)
{
	split(start);
	split(end);
	for (u32 i = 0; i < shim.nr_traps; i++) {
		if (!inside(&shim.traps[i], start, end))
			continue;
		change_begin();
		shim.traps[i].stores = may_store;
		change_end();
	}
}

void traps_move(u64 start, u64 end, u64 to)
{
	split(start);
	split(end);
	change_begin();
	for (u32 i = 0; i < shim.nr_traps; i++)
		if (inside(&shim.traps[i], start, end))
			shim.traps[i].start += to - start;
	change_end();
}
