/* SPDX-License-Identifier: MIT */
/*
 * SIGSEGV and SIGBUS: ours first, then the program's as if we were not there.
 *
 * Two faults are ours: in our own copy routine (the program's pointer was bad: the copy ends
 * there), and a store into a trapped register. The program's sigaction() on these signals is kept
 * and answered by us; a fault of its own runs its handler with its mask and flags.
 */
#include "shim/shim.h"

#include <sys/syscall.h>
#include <ucontext.h>

/* This thread asked to block the signal; it stays deliverable, and the answer stays what it asked.
 */
static _Thread_local bool blocked[2] __attribute__((tls_model("initial-exec")));

static int slot_of(int sig)
{
	return sig == SIGSEGV ? 0 : sig == SIGBUS ? 1 : -1;
}

static int signal_of(int slot)
{
	return slot ? SIGBUS : SIGSEGV;
}

/* End as the program would have: with the default action of @sig. */
static void die_of(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set;

	REAL.sigaction(sig, &dfl, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	REAL.pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

static void run_user(const struct sigaction *sa, int sig, siginfo_t *info, void *uc)
{
	sigset_t mask = sa->sa_mask, before;

	if (!(sa->sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	/* A trapped store in the program's handler must still reach us. */
	sigdelset(&mask, SIGSEGV);
	sigdelset(&mask, SIGBUS);
	REAL.pthread_sigmask(SIG_BLOCK, &mask, &before);
	if (sa->sa_flags & SA_SIGINFO)
		sa->sa_sigaction(sig, info, uc);
	else
		sa->sa_handler(sig);
	REAL.pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void chain(int sig, siginfo_t *info, void *uc)
{
	int slot = slot_of(sig);
	struct sigaction sa = shim.user[slot];
	bool sent = info->si_code <= 0; /* by kill() and the like */
	bool has_handler =
		sa.sa_flags & SA_SIGINFO || (sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN);

	if (sent && sa.sa_handler == SIG_IGN && !(sa.sa_flags & SA_SIGINFO))
		return;
	/* A fault while the program blocks the signal, ignores it or has no handler ends it. */
	if (!has_handler || (blocked[slot] && !sent)) {
		die_of(sig);
		return;
	}
	if (sa.sa_flags & SA_RESETHAND)
		shim.user[slot] = (struct sigaction){.sa_handler = SIG_DFL};
	run_user(&sa, sig, info, uc);
}

static void on_fault(int sig, siginfo_t *info, void *ucontext)
{
	ucontext_t *uc = ucontext;
	int err = errno;

#if defined(__x86_64__)
	greg_t *ip = &uc->uc_mcontext.gregs[REG_RIP];

	if (*ip == (greg_t)(uintptr_t)shim_copy_insn) {
		*ip = (greg_t)(uintptr_t)shim_copy_end;
		return;
	}
#endif
	if (sig == SIGSEGV && info->si_code > 0 && trap_store(info->si_addr, ucontext)) {
		errno = err;
		return;
	}
	chain(sig, info, ucontext);
	errno = err;
}

/* Once per process, at its first request: a program that never asks keeps its signals to itself. */
void sig_install(void)
{
	struct sigaction ours = {.sa_sigaction = on_fault,
				 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
	struct sigaction old[2];

	if (shim.handling)
		return;
	for (int i = 0; i < 2; i++) {
		REAL.sigaction(signal_of(i), NULL, &old[i]);
		shim.user[i] = old[i];
	}
	shim.handling = true;
	for (int i = 0; i < 2; i++)
		REAL.sigaction(signal_of(i), &ours, NULL);
}

/* Each thread that talks to us lets the two through, whatever it inherited. */
void sig_thread(void)
{
	sigset_t ours, before;

	sigemptyset(&ours);
	sigaddset(&ours, SIGSEGV);
	sigaddset(&ours, SIGBUS);
	REAL.pthread_sigmask(SIG_UNBLOCK, &ours, &before);
	for (int i = 0; i < 2; i++)
		if (sigismember(&before, signal_of(i)))
			blocked[i] = true;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction open_act;
	int slot = slot_of(sig);

	if (!shim_active())
		return REAL.sigaction(sig, act, old);
	if (slot >= 0 && shim.handling) {
		struct sigaction before = shim.user[slot];

		if (act)
			shim.user[slot] = *act;
		if (old)
			*old = before;
		return 0;
	}
	if (act) {
		/* While its handler runs a trapped store must still reach us. */
		open_act = *act;
		sigdelset(&open_act.sa_mask, SIGSEGV);
		sigdelset(&open_act.sa_mask, SIGBUS);
		act = &open_act;
	}
	return REAL.sigaction(sig, act, old);
}

static sighandler_t set_handler(int sig, sighandler_t handler, int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags}, old;

	if (sigaction(sig, &sa, &old))
		return SIG_ERR;
	return old.sa_handler;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART);
}
EXPORT_ALIAS(bsd_signal, signal);
EXPORT_ALIAS(ssignal, signal);

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER));
}
EXPORT_ALIAS(__sysv_signal, sysv_signal);

static void note_blocked(int how, const sigset_t *set)
{
	for (int i = 0; i < 2; i++) {
		bool in = sigismember(set, signal_of(i)) == 1;

		if (how == SIG_SETMASK)
			blocked[i] = in;
		else if (in)
			blocked[i] = how == SIG_BLOCK;
	}
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	bool before[2] = {blocked[0], blocked[1]};
	sigset_t open_set;
	int rc;

	if (!shim_active() || !shim.handling)
		return REAL.pthread_sigmask(how, set, old);
	if (set) {
		open_set = *set;
		if (how != SIG_UNBLOCK) {
			sigdelset(&open_set, SIGSEGV);
			sigdelset(&open_set, SIGBUS);
		}
	}
	rc = REAL.pthread_sigmask(how, set ? &open_set : NULL, old);
	if (rc)
		return rc;
	if (set)
		note_blocked(how, set);
	for (int i = 0; i < 2 && old; i++)
		if (before[i])
			sigaddset(old, signal_of(i));
	return 0;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	int rc = pthread_sigmask(how, set, old);

	if (!rc)
		return 0;
	errno = rc;
	return -1;
}
