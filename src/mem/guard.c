/* SPDX-License-Identifier: MIT */
/*
 * The guard: SIGBUS and SIGSEGV handlers that turn faults on client memory into DMA faults.
 *
 * The one thing here that belongs to the process and not to an instance, because signal handlers
 * do. Everything below runs in a handler, except install, watch and unwatch: only async-signal-safe
 * calls.
 *
 * A fault inside a guarded copy resumes at its -EFAULT exit. A fault at an address of a watched
 * segment comes from code that looks at client memory through a span or walks a client's tables: a
 * zero page of our own is put over the address, the segment is marked dead and the code goes on;
 * whoever gives the span back sees the mark and records the fault. Anything else goes to the
 * handler that was there.
 */
#include "mem/copy.h"
#include "mem/mem.h"

#include "ioasis/ioasis.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

static struct {
	pthread_mutex_t lock; /* install, watch, unwatch */
	_Atomic u32 inside;   /* handlers that may be looking at the list */
	_Atomic(struct seg *) watched;
	struct sigaction old_segv, old_bus;
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Replace the lost page at @at by one of zeros. Return: false when @at is nobody's. */
static bool patch_segment(u8 *at)
{
	struct seg *seg;
	bool done = false;
	u64 pgsz;

	atomic_fetch_add(&guard.inside, 1);
	for (seg = atomic_load(&guard.watched); seg; seg = atomic_load(&seg->watched)) {
		if ((u64)(at - seg->host) >= seg->len)
			continue;
		pgsz = 1ull << seg->pgsz_lg2;
		at = (u8 *)align_down((uintptr_t)at, pgsz);
		done = mmap(at, pgsz, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			    0) != MAP_FAILED;
		if (done) {
			atomic_store(&seg->dead, true);
			atomic_fetch_add(&seg->mem->generation, 1); /* no cache names it any more */
		}
		break;
	}
	atomic_fetch_sub(&guard.inside, 1);
	return done;
}

/* What the kernel does without a handler. A fault ends the process even where it is ignored: the
 * instruction faults again. A signal that was sent (si_code <= 0) does not come again by itself. */
static void default_action(const struct sigaction *old, int sig, const siginfo_t *info)
{
	bool sent = info->si_code <= 0;

	if (sent && old->sa_handler == SIG_IGN)
		return;
	signal(sig, SIG_DFL);
	if (sent)
		raise(sig);
}

static void chain(const struct sigaction *old, int sig, siginfo_t *info, void *context)
{
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, context);
	else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN)
		default_action(old, sig, info);
	else
		old->sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	/* si_code <= 0: sent by kill(), not by an access. */
	if (info->si_code > 0 && (copy_fixup(context) || patch_segment(info->si_addr))) {
		errno = saved_errno;
		return;
	}
	chain(sig == SIGBUS ? &guard.old_bus : &guard.old_segv, sig, info, context);
	errno = saved_errno;
}

static int install_one(int sig, struct sigaction *old)
{
	struct sigaction sa = {.sa_sigaction = on_fault,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
	struct sigaction now;

	sigemptyset(&sa.sa_mask);
	if (sigaction(sig, NULL, &now))
		return -errno;
	/* Ours already; or replaced since (test frameworks do): then that one is next in the chain.
	 */
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)
		return 0;
	*old = now;
	return sigaction(sig, &sa, NULL) ? -errno : 0;
}

int guard_install(void)
{
	int rc;

	pthread_mutex_lock(&guard.lock);
	rc = install_one(SIGSEGV, &guard.old_segv);
	if (!rc)
		rc = install_one(SIGBUS, &guard.old_bus);
	pthread_mutex_unlock(&guard.lock);
	return rc;
}

int ioasis_guard_install(void)
{
	return guard_install();
}

void guard_watch(struct seg *seg)
{
	pthread_mutex_lock(&guard.lock);
	atomic_store(&seg->watched, atomic_load(&guard.watched));
	atomic_store(&guard.watched, seg);
	pthread_mutex_unlock(&guard.lock);
}

void guard_unwatch(struct seg *seg)
{
	_Atomic(struct seg *) *at;

	pthread_mutex_lock(&guard.lock);
	for (at = &guard.watched; atomic_load(at); at = &atomic_load(at)->watched) {
		if (atomic_load(at) != seg)
			continue;
		atomic_store(at, atomic_load(&seg->watched));
		/* A handler that found @seg may still be in it; it only makes one system call. */
		while (atomic_load(&guard.inside))
			sched_yield();
		break;
	}
	pthread_mutex_unlock(&guard.lock);
}
