/* SPDX-License-Identifier: MIT */
/*
 * The shim's beginning, and what a fork does to it.
 */
#include "shim/shim.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/random.h>

struct shim shim = {
	.fork_lock = PTHREAD_MUTEX_INITIALIZER,
	.trap_lock = PTHREAD_MUTEX_INITIALIZER,
};

static void find_real(void)
{
#define X(name) shim.real.name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);
	REAL_FUNCTIONS(X)
#undef X
}

/* The daemon lets the child hold what we hold. */
static void announce_child(void)
{
	struct call c = CALL(CHAN_FORK, 0);

	shim.child_cookie = 0;
	if (!shim.cookie || shim.lost)
		return;
	if (getrandom(&c.req.arg, sizeof(c.req.arg), 0) != sizeof(c.req.arg) || !c.req.arg)
		return;
	if (!shim_call(&c))
		shim.child_cookie = c.req.arg;
}

/* Before a fork. A handler that ran while we have the locks would want them too. */
static void fork_prepare(void)
{
	sigset_t all_but_faults, before, ignored;

	sigfillset(&all_but_faults);
	sigdelset(&all_but_faults, SIGSEGV);
	sigdelset(&all_but_faults, SIGBUS);
	REAL.pthread_sigmask(SIG_BLOCK, &all_but_faults, &before);
	pthread_mutex_lock(&shim.fork_lock);
	shim.fork_mask = before;
	announce_child();
	traps_lock(&ignored); /* no other thread is amid a change of what the child gets */
}

static void fork_unlock(void)
{
	sigset_t before = shim.fork_mask;

	pthread_mutex_unlock(&shim.fork_lock);
	traps_unlock(&before);
}

static void fork_parent(void)
{
	fork_unlock();
}

static void in_child(u64 cookie)
{
	shim.pid = getpid();
	fds_forked(cookie != 0);
	shim.cookie = cookie;
	shim.generation++;
	if (shim.wiped)
		*shim.wiped = 1;
	link_forked();
}

static void fork_child(void)
{
	in_child(shim.child_cookie);
	fork_unlock();
}

/* A child that no handler saw being made (a raw clone): nothing the parent knew is known. */
void shim_forked_unseen(void)
{
	in_child(0);
	traps_forked_unseen();
}

static void make_wiped(void)
{
	u32 *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	*p = 1;
	if (!madvise(p, PAGE_SIZE, MADV_WIPEONFORK))
		shim.wiped = p;
}

/* The directories of our /dev, to know them again. */
static void find_dev_dirs(void)
{
	static const char *const names[] = {"/dev", "/dev/vfio", "/dev/vfio/devices"};
	char path[PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (snprintf(path, sizeof(path), "%s%s", shim.root, names[i]) >= PATH_MAX ||
		    shim.real.stat(path, &st))
			continue;
		shim.dev_dirs[i] = st.st_ino;
		shim.dev_dirs_dev = st.st_dev;
	}
}

static void start(void)
{
	const char *dir = getenv(CHAN_ENV_DIR), *pid = getenv(CHAN_ENV_PID);
	cpu_set_t cpus;
	int len;

	find_real();
	if (!dir || !pid || strlen(dir) >= sizeof(shim.dir))
		return;
	strcpy(shim.dir, dir);
	len = snprintf(shim.root, sizeof(shim.root), "%s/" CHAN_ROOT, dir);
	if (len >= (int)sizeof(shim.root) - 256)
		return;
	shim.root_len = (size_t)len;
	shim.daemon_pid = atoi(pid);
	CPU_ZERO(&cpus);
	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) > 1)
		shim.spin = 1000;
	find_dev_dirs();
	make_wiped();
	pthread_key_create(&shim.thread_key, link_thread_exit);
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	shim.pid = getpid();
	shim.active = true;
	path_cwd_changed();
}

void shim_init_slow(void)
{
	u32 seen = 0;

	if (atomic_compare_exchange_strong(&shim.ready, &seen, 1)) {
		int err = errno;

		start();
		errno = err;
		atomic_store(&shim.ready, 2);
	}
	/* Another thread makes it, or we are inside it (a function of ours called by dlsym()). */
}

__attribute__((constructor)) static void at_load(void)
{
	shim_active();
}
