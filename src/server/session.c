/* SPDX-License-Identifier: MIT */
/*
 * Sessions: a thread's socket, its channel, the worker that serves it.
 */
#include "server/daemon.h"

#include <fcntl.h>
#include <sched.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About 20 us of watching the word before sleeping on it; a wake-up costs more than that. */
#define SPIN_ROUNDS 1000u

static void futex_wake(_Atomic u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void futex_wait(_Atomic u32 *word, u32 seen)
{
	syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

bool session_wait(struct session *ss, u32 wanted)
{
	struct chan *ch = ss->chan;
	bool reached = false;
	unsigned spin = ss->spin;
	int cpu = sched_getcpu();
	u32 state;

	atomic_store_explicit(&ch->server_cpu, cpu, memory_order_relaxed);
	if (cpu == atomic_load_explicit(&ch->client_cpu, memory_order_relaxed))
		spin = 0;
	for (unsigned i = 0; i < spin; i++) {
		if (atomic_load_explicit(&ch->state, memory_order_acquire) == wanted)
			return true;
		cpu_relax();
	}
	while (!reached) {
		/* Announce the sleep, then look again: the shim moves the word, then looks for
		 * sleepers. */
		atomic_store(&ch->server_sleeps, 1);
		state = atomic_load(&ch->state);
		reached = state == wanted;
		if (reached || atomic_load(&ss->stop))
			break;
		futex_wait(&ch->state, state);
	}
	atomic_store_explicit(&ch->server_sleeps, 0, memory_order_relaxed);
	return reached;
}

void session_post(struct session *ss, u32 state)
{
	atomic_store(&ss->chan->state, state);
	if (atomic_load(&ss->chan->client_sleeps))
		futex_wake(&ss->chan->state);
}

/* The program's thread or process is gone; the worker frees the session when it notices. */
static void session_stop(struct server *s, struct watch *src)
{
	struct session *ss = container_of(src, struct session, src);

	watch_del(s, src);
	atomic_store(&ss->stop, true);
	shutdown(src->fd, SHUT_RDWR); /* a worker that waits for a descriptor */
	atomic_store(&ss->chan->state, CHAN_DEAD);
	futex_wake(&ss->chan->state);
	session_put(ss);
}

static void session_ready(struct server *s, struct watch *src, u32 events)
{
	if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		session_stop(s, src);
}

static void session_free(struct session *ss)
{
	struct server *s = ss->server;

	keep_drop(s, ss->key);
	if (ss->chan)
		munmap(ss->chan, CHAN_LEN);
	if (ss->mem_fd >= 0)
		close(ss->mem_fd);
	close(ss->src.fd);
	if (ss->client)
		client_leave(ss->client);
	env_free(&s->ioasis->env, ss);
}

void session_put(struct session *ss)
{
	if (atomic_fetch_sub(&ss->refs, 1) == 1)
		session_free(ss);
}

/* Sealed: the program cannot shrink it under us. */
static int make_channel(struct session *ss)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	void *p;

	ss->mem_fd = memfd_create("ioasis-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ss->mem_fd < 0 || ftruncate(ss->mem_fd, CHAN_LEN) ||
	    fcntl(ss->mem_fd, F_ADD_SEALS, seals))
		return -errno;
	p = mmap(NULL, CHAN_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ss->mem_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	ss->chan = p;
	return 0;
}

static int welcome(int sock, const struct chan_welcome *w, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = {0};
	struct iovec iov = {.iov_base = (void *)w, .iov_len = sizeof(*w)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int session_send_fd(struct session *ss, int fd)
{
	struct chan_welcome w = {0};

	return welcome(ss->src.fd, &w, fd);
}

/* The one descriptor of a message; of any other number all are closed: the kernel installs as many
 * as fit, and the padding of one holds a second. */
static int only_fd(struct msghdr *msg)
{
	int fd = -EBADF, got;
	size_t nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
		     at += sizeof(int)) {
			memcpy(&got, CMSG_DATA(c) + at, sizeof(int));
			if (nr++)
				close(got);
			else
				fd = got;
		}
	}
	if (nr > 1) {
		close(fd);
		fd = -EBADF;
	}
	return fd;
}

int session_recv_fd(struct session *ss)
{
	char byte[64];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = {.iov_base = byte, .iov_len = sizeof(byte)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf)};
	ssize_t len;

	do
		len = recvmsg(ss->src.fd, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		return -ENODEV;
	return only_fd(&msg);
}

static int start_worker(struct session *ss)
{
	struct server *s = ss->server;
	pthread_attr_t attr;
	int rc;

	lock_take(&s->count_lock);
	s->nr_workers++;
	lock_drop(&s->count_lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&ss->thread, &attr, session_worker, ss);
	pthread_attr_destroy(&attr);
	if (rc) {
		lock_take(&s->count_lock);
		s->nr_workers--;
		lock_drop(&s->count_lock);
	}
	return rc;
}

/* Its capabilities are the thread's: it must be one of the process that connected. */
static bool is_thread_of(pid_t tid, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid);
	return !access(path, F_OK);
}

static int session_setup(struct session *ss, const struct chan_hello *hello, pid_t pid)
{
	struct chan_welcome w = {.flags = ss->server->wants_shared ? CHAN_WANTS_SHARED : 0};
	int rc;

	if (hello->magic != CHAN_MAGIC || hello->version != CHAN_VERSION)
		return -EPROTO;
	if (!is_thread_of(hello->tid, pid))
		return -ESRCH;
	rc = client_hello(ss->server, hello->cookie, pid, &ss->client);
	if (!rc)
		rc = make_channel(ss);
	if (rc)
		return rc;
	keep_fd_send(ss->server, KEEP_CHAN, ss->key, ss->mem_fd);
	rc = watch_add(ss->server, &ss->src, EPOLLRDHUP);
	if (rc)
		return rc;
	rc = start_worker(ss);
	if (rc) {
		watch_del(ss->server, &ss->src);
		return rc;
	}
	/* A client that cannot be told is gone: its hang-up comes. */
	welcome(ss->src.fd, &w, ss->mem_fd);
	return 0;
}

int session_start(struct server *s, int sock, const struct chan_hello *hello, pid_t pid)
{
	struct session *ss = env_zalloc(&s->ioasis->env, sizeof(*ss));
	struct chan_welcome w = {.rc = -ENOMEM};
	int rc;

	if (!ss)
		return -ENOMEM;
	ss->src = (struct watch){.ready = session_ready, .free = session_stop, .fd = sock};
	list_init(&ss->src.node);
	ss->server = s;
	ss->refs = 2;
	ss->tid = hello->tid;
	ss->mem_fd = -1;
	ss->key = atomic_fetch_add(&s->next_key, 1);
	ss->spin = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_ROUNDS : 0;
	rc = session_setup(ss, hello, pid);
	if (!rc)
		return 0;
	w.rc = rc;
	welcome(sock, &w, -1);
	ss->src.fd = dup(sock); /* the caller closes its own */
	session_free(ss);
	return rc;
}
