/* SPDX-License-Identifier: MIT */
/*
 * Links: a thread's connections to the daemon, and the one way of making a request.
 *
 * A thread has one link; a signal handler that makes a request while its thread is inside one finds
 * the first busy and takes the next. Nothing here allocates from the heap or takes a lock, so that
 * works from any signal handler.
 */
#include "shim/shim.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define NR_LINKS 4u
#define NAP_NS	 500000000 /* how often a sleeper looks whether anybody is left to wake it */

struct link {
	struct chan *ch; /* NULL: not connected */
	int sock;
	volatile sig_atomic_t busy;
};

struct links {
	u32 generation;
	struct link v[NR_LINKS];
};

/* A link belongs to its thread: the daemon knows who calls, and requests of two threads never wait
 * for each other. */
static _Thread_local struct links links __attribute__((tls_model("initial-exec")));

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int send_packet(int sock, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Return: the descriptor that came along; -EMFILE when there was no room for it; -ENODEV. */
static int recv_packet(int sock, void *data, size_t len, bool cloexec)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf)};
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(sock, &msg, cloexec ? MSG_CMSG_CLOEXEC : 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -ENODEV;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static int connect_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock, rc;

	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" CHAN_SOCK, shim.dir) >=
	    (int)sizeof(addr.sun_path))
		return -ENODEV;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	sock = fd_hide(sock);
	do
		rc = connect(sock, (struct sockaddr *)&addr, sizeof(addr));
	while (rc && errno == EINTR);
	if (rc && errno != EISCONN) {
		fd_unhide_close(sock);
		return -ENODEV;
	}
	return sock;
}

static int map_channel(struct link *l, int fd)
{
	void *p =
		REAL.mmap(NULL, CHAN_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	REAL.close(fd);
	if (p == MAP_FAILED)
		return -ENOMEM;
	madvise(p, CHAN_LEN, MADV_DONTFORK);
	l->ch = p;
	return 0;
}

static int say_hello(struct link *l)
{
	struct chan_hello hello = {
		.magic = CHAN_MAGIC, .version = CHAN_VERSION, .tid = (s32)syscall(SYS_gettid)};
	struct chan_welcome w = {.rc = -ENODEV};
	int fd, rc;

	while (!shim.cookie)
		if (getrandom(&shim.cookie, sizeof(shim.cookie), 0) < 0)
			return -errno;
	hello.cookie = shim.cookie;
	/* The daemon reads and writes our memory: tell a kernel that asks for a word (yama). */
	prctl(PR_SET_PTRACER, shim.daemon_pid, 0, 0, 0);
	rc = send_packet(l->sock, &hello, sizeof(hello), -1);
	if (rc)
		return -ENODEV;
	fd = recv_packet(l->sock, &w, sizeof(w), true);
	if (w.rc)
		return w.rc;
	if (fd < 0)
		return fd;
	shim.wants_shared = w.flags & CHAN_WANTS_SHARED;
	return map_channel(l, fd);
}

static int link_connect(struct link *l)
{
	int rc;

	sig_install();
	sig_thread();
	l->sock = connect_socket();
	if (l->sock < 0)
		return l->sock;
	rc = say_hello(l);
	if (rc) {
		fd_unhide_close(l->sock);
		return rc;
	}
	pthread_setspecific(shim.thread_key, &links);
	return 0;
}

void link_forked(void)
{
	links = (struct links){.generation = shim.generation};
}

void link_thread_exit(void *unused)
{
	for (unsigned i = 0; i < NR_LINKS; i++) {
		struct link *l = &links.v[i];

		if (!l->ch || links.generation != shim.generation)
			continue;
		REAL.munmap(l->ch, CHAN_LEN);
		l->ch = NULL;
		fd_unhide_close(l->sock);
	}
}

static int link_get(struct link **out)
{
	int rc;

	if (unlikely(shim.wiped && !*shim.wiped))
		shim_forked_unseen();
	if (unlikely(links.generation != shim.generation))
		link_forked();
	for (unsigned i = 0; i < NR_LINKS; i++) {
		struct link *l = &links.v[i];

		if (l->busy)
			continue;
		l->busy = 1;
		rc = l->ch ? 0 : link_connect(l);
		if (rc)
			l->busy = 0;
		else
			*out = l;
		return rc;
	}
	return -EBUSY;
}

static void move_state(struct chan *ch, u32 state)
{
	atomic_store(&ch->state, state);
	if (atomic_load(&ch->server_sleeps))
		syscall(SYS_futex, &ch->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool is_answer(u32 state)
{
	return state != CHAN_REQUEST && state != CHAN_SUB_DONE;
}

static bool hung_up(int sock)
{
	struct pollfd p = {.fd = sock};

	return REAL.poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Wait for the daemon. Return: CHAN_REPLY, CHAN_SUB, or CHAN_DEAD. */
static u32 wait_answer(struct link *l)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	struct chan *ch = l->ch;
	unsigned spin = shim.spin;
	int cpu = sched_getcpu();
	u32 state;

	atomic_store_explicit(&ch->client_cpu, cpu, memory_order_relaxed);
	if (cpu == atomic_load_explicit(&ch->server_cpu, memory_order_relaxed))
		spin = 0;
	for (unsigned i = 0; i < spin; i++) {
		state = atomic_load_explicit(&ch->state, memory_order_acquire);
		if (is_answer(state))
			return state;
		cpu_relax();
	}
	for (;;) {
		atomic_store(&ch->client_sleeps, 1);
		state = atomic_load(&ch->state);
		if (is_answer(state) || atomic_load(&ch->dead))
			break;
		/* `ioasis run` wakes us when the daemon dies; nobody does when both were killed. */
		if (syscall(SYS_futex, &ch->state, FUTEX_WAIT, state, &nap, NULL, 0) &&
		    errno == ETIMEDOUT && hung_up(l->sock))
			break;
	}
	atomic_store_explicit(&ch->client_sleeps, 0, memory_order_relaxed);
	return is_answer(state) ? state : CHAN_DEAD;
}

/* What the daemon stores in the program's memory. */
static long do_stores(struct chan *ch, u32 nr)
{
	const u8 *at = ch->data;

	for (u32 i = 0; i < nr; i++) {
		struct chan_store s;

		memcpy(&s, at, sizeof(s));
		if (shim_copy((void *)(uintptr_t)s.uaddr, at + sizeof(s), s.len))
			return -EFAULT;
		at += sizeof(s) + align_up(s.len, 8);
	}
	return 0;
}

static void answer_sub(struct link *l)
{
	struct chan_sub *sub = &l->ch->sub;
	struct chan_welcome w;
	long rc = -EINVAL;

	switch (sub->op) {
	case CHAN_SUB_STORES:
		rc = do_stores(l->ch, sub->nr_stores);
		break;
	case CHAN_SUB_INSTALL:
		rc = recv_packet(l->sock, &w, sizeof(w), sub->cloexec);
		if (rc >= 0)
			fd_set_handle((int)rc, sub->handle);
		break;
	case CHAN_SUB_UNDO:
		fd_forget(sub->fd);
		rc = REAL.close(sub->fd) ? -errno : 0;
		break;
	case CHAN_SUB_SEND:
		rc = fd_hidden(sub->fd) ? -EBADF : send_packet(l->sock, "fd", 2, sub->fd);
		break;
	}
	sub->rc = rc;
	move_state(l->ch, CHAN_SUB_DONE);
}

/*
 * The bytes at the program's address that ride along. Only the address's own page, unless the size
 * that every one of these structs starts with says that it goes on: a program may have anything
 * there.
 */
static u32 copy_inline(struct chan *ch, const void *from)
{
	u32 in_page = (u32)(PAGE_SIZE - ((uintptr_t)from & (PAGE_SIZE - 1)));
	u32 len = min(in_page, CHAN_INLINE_LEN), size = 0, more;
	u32 got = len - (u32)shim_copy(ch->data, from, len);

	if (got < len || len == CHAN_INLINE_LEN || got < sizeof(size))
		return got;
	memcpy(&size, ch->data, sizeof(size));
	if (size <= got)
		return got;
	more = min(size, CHAN_INLINE_LEN) - got;
	return got + more - (u32)shim_copy(ch->data + got, (const u8 *)from + got, more);
}

static long finish(struct link *l, struct call *c)
{
	struct chan *ch = l->ch;
	struct chan_welcome w;
	long rc;

	memcpy(&c->reply, &ch->reply, sizeof(c->reply));
	rc = c->reply.rc;
	if (c->reply.flags & CHAN_HAS_FD) {
		c->fd = recv_packet(l->sock, &w, sizeof(w), c->cloexec);
		if (c->fd < 0 && rc >= 0)
			rc = c->fd;
	}
	if (c->reply.nr_stores && do_stores(ch, c->reply.nr_stores) && rc >= 0)
		rc = -EFAULT;
	return rc;
}

static long call_on(struct link *l, struct call *c)
{
	struct chan *ch = l->ch;
	u32 state;

	if (atomic_load(&ch->dead))
		return -ENODEV;
	if (c->send_fd >= 0) {
		int rc = send_packet(l->sock, "fd", 2, c->send_fd);

		if (rc)
			return rc == -EBADF ? rc : -ENODEV;
	}
	if (c->req.op == CHAN_OPEN)
		memcpy(ch->data, c->inline_from, c->req.inline_len);
	else
		c->req.inline_len = c->inline_from ? copy_inline(ch, c->inline_from) : 0;
	memcpy(&ch->req, &c->req, sizeof(c->req));
	move_state(ch, CHAN_REQUEST);
	while ((state = wait_answer(l)) == CHAN_SUB)
		answer_sub(l);
	return state == CHAN_REPLY ? finish(l, c) : -ENODEV;
}

long shim_call(struct call *c)
{
	int err = errno;
	struct link *l;
	long rc;

	if (shim.lost)
		return -ENODEV;
	rc = link_get(&l);
	if (!rc) {
		rc = call_on(l, c);
		if (rc == -ENODEV && (atomic_load(&l->ch->dead) || hung_up(l->sock)))
			shim.lost = true;
		l->busy = 0;
	}
	errno = err;
	return rc;
}
