/* SPDX-License-Identifier: MIT */
/*
 * The main thread: accepts connections, watches sockets, processes and tokens for their end.
 */
#include "server/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int watch_add(struct server *s, struct watch *src, u32 events)
{
	struct epoll_event ev = {.events = events, .data.ptr = src};

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev))
		return -errno;
	list_push_back(&s->watches, &src->node);
	return 0;
}

void watch_del(struct server *s, struct watch *src)
{
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	list_del(&src->node);
}

u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* Connections that have not said what they want: how many, and how long when they are as many. */
#define MAX_PENDING	    128u
#define PENDING_PATIENCE_MS 1000
/* How long nobody is accepted when there is no descriptor, or no room. */
#define PAUSE_MS 50

struct pending {
	struct watch src;
	struct list node; /* server.pending: the oldest first */
	u64 since_ms;
};

static void pending_forget(struct server *s, struct pending *p)
{
	watch_del(s, &p->src);
	list_del(&p->node);
	s->nr_pending--;
	env_free(&s->ioasis->env, p);
}

static void pending_free(struct server *s, struct watch *src)
{
	int fd = src->fd;

	pending_forget(s, container_of(src, struct pending, src));
	close(fd);
}

/* Those that came first make room, when they had their time. */
static bool pending_room(struct server *s)
{
	struct pending *oldest;

	if (s->nr_pending < MAX_PENDING)
		return true;
	oldest = list_entry(s->pending.next, struct pending, node);
	if (now_ms() - oldest->since_ms < PENDING_PATIENCE_MS)
		return false;
	pending_free(s, &oldest->src);
	return true;
}

/* The socket stays readable: without this the loop would turn round it. */
static void listen_watch(struct server *s, bool on)
{
	struct epoll_event ev = {.events = on ? EPOLLIN : 0, .data.ptr = s->listen_watch};

	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->listen_fd, &ev);
	s->listen_until_ms = on ? 0 : now_ms() + PAUSE_MS;
}

static void pending_ready(struct server *s, struct watch *src, u32 events)
{
	char first[1024];
	struct chan_hello hello;
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);
	ssize_t len = recv(src->fd, first, sizeof(first), MSG_DONTWAIT);
	int rc = -EPROTO, fd;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0 || getsockopt(src->fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len)) {
		pending_free(s, src);
		return;
	}
	fd = src->fd;
	pending_forget(s, container_of(src, struct pending, src));
	if (first[0] == '{') {
		rc = control_start(s, fd, first, (size_t)len);
	} else if (len == sizeof(hello)) {
		memcpy(&hello, first, sizeof(hello));
		rc = session_start(s, fd, &hello, cred.pid);
	}
	if (rc)
		close(fd);
}

static void listen_ready(struct server *s, struct watch *src, u32 events)
{
	struct pending *p;
	int fd;

	if (!pending_room(s)) {
		listen_watch(s, false);
		return;
	}
	fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
			listen_watch(s, false);
		return;
	}
	p = env_zalloc(&s->ioasis->env, sizeof(*p));
	if (!p) {
		close(fd);
		return;
	}
	p->since_ms = now_ms();
	p->src = (struct watch){.ready = pending_ready, .free = pending_free, .fd = fd};
	list_init(&p->src.node);
	if (watch_add(s, &p->src, EPOLLIN)) {
		close(fd);
		env_free(&s->ioasis->env, p);
		return;
	}
	list_push_back(&s->pending, &p->node);
	s->nr_pending++;
}

static void tokens_ready(struct server *s, struct watch *src, u32 events)
{
	tokens_serve(s);
}

static void keep_ready_event(struct server *s, struct watch *src, u32 events)
{
	struct keep_msg msg;
	ssize_t len = recv(src->fd, &msg, sizeof(msg), MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len >= (ssize_t)KEEP_HEAD_LEN && msg.kind == KEEP_END)
		keep_report(s);
	else if (len > 0)
		return;
	/* `ioasis run` says it is over, or died: then nobody needs us. */
	eventfd_write(s->stop_fd, 1);
}

static void stop_ready(struct server *s, struct watch *src, u32 events)
{
}

static void fixed_free(struct server *s, struct watch *src)
{
	watch_del(s, src);
	env_free(&s->ioasis->env, src);
}

static int add_fixed(struct server *s, int fd,
		     void (*ready)(struct server *s, struct watch *src, u32 events))
{
	struct watch *src = env_zalloc(&s->ioasis->env, sizeof(*src));
	int rc;

	if (!src)
		return -ENOMEM;
	*src = (struct watch){.ready = ready, .free = fixed_free, .fd = fd};
	list_init(&src->node);
	rc = watch_add(s, src, EPOLLIN);
	if (rc)
		env_free(&s->ioasis->env, src);
	else if (fd == s->listen_fd)
		s->listen_watch = src;
	return rc;
}

/* It gets its name when it listens: a name that refuses a connection is a dead one's. */
static int listen_at(const char *dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char name[PATH_MAX];
	int fd, rc;

	snprintf(name, sizeof(name), "%.*s/" CHAN_SOCK, PATH_MAX - 16, dir);
	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" CHAN_SOCK_NEW, dir) >=
	    (int)sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 128) ||
	    rename(addr.sun_path, name)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int open_fds(struct server *s)
{
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->token_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->token_epoll_fd < 0 || s->stop_fd < 0)
		return -errno;
	s->listen_fd = listen_at(s->dir);
	return s->listen_fd < 0 ? s->listen_fd : 0;
}

static int add_watches(struct server *s)
{
	int rc = add_fixed(s, s->listen_fd, listen_ready);

	if (!rc)
		rc = add_fixed(s, s->token_epoll_fd, tokens_ready);
	if (!rc)
		rc = add_fixed(s, s->stop_fd, stop_ready);
	if (!rc && s->keep_fd >= 0)
		rc = add_fixed(s, s->keep_fd, keep_ready_event);
	return rc;
}

int server_init(struct server *s, struct ioasis *ioasis, const char *dir, int keep_fd)
{
	int rc;

	*s = (struct server){.ioasis = ioasis,
			     .keep_fd = keep_fd,
			     .epoll_fd = -1,
			     .token_epoll_fd = -1,
			     .listen_fd = -1,
			     .stop_fd = -1,
			     .next_key = 1};
	if (strlen(dir) >= sizeof(s->dir))
		return -ENAMETOOLONG;
	strcpy(s->dir, dir);
	s->wants_shared = !ioasis->mem.host.map_files;
	lock_init(&s->drain_lock, RANK_DRAIN);
	lock_init(&s->keep_lock, RANK_SERVER);
	keep_init(s);
	rwlock_init(&s->lock, RANK_SERVER);
	lock_init(&s->count_lock, RANK_POOL);
	pthread_cond_init(&s->idle, NULL);
	list_init(&s->clients);
	list_init(&s->watches);
	list_init(&s->releases);
	list_init(&s->pending);
	for (unsigned i = 0; i < TOKEN_BUCKETS; i++)
		list_init(&s->tokens[i]);
	s->left = json_array();
	rc = s->left ? open_fds(s) : -ENOMEM;
	if (!rc)
		rc = add_watches(s);
	if (!rc)
		rc = tree_write(s);
	if (rc)
		server_fini(s);
	return rc;
}

/*
 * A process is gone before its memory is: a DMA of ours may have been inside it, a child without a word
 * of its own may share it. What was offered of it is looked for again.
 */
#define SWEEP_MS 25

static void sweep_again(struct server *s)
{
	if (now_ms() < s->next_sweep_ms)
		return; /* other events come often */
	s->next_sweep_ms = now_ms() + SWEEP_MS;
	s->sweeps_left--;
	if (!mem_sweep_files(&s->ioasis->mem))
		s->sweeps_left = 0;
}

/* How long to sleep when nothing happens. */
static int patience(const struct server *s)
{
	if (s->sweeps_left)
		return SWEEP_MS;
	return s->listen_until_ms ? PAUSE_MS : -1;
}

/* Serve until `ioasis run` says it is over, or SIGTERM. */
int server_run(struct server *s)
{
	struct epoll_event ev;
	struct watch *src;

	for (;;) {
		int n = epoll_wait(s->epoll_fd, &ev, 1, patience(s));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (s->sweeps_left)
			sweep_again(s);
		if (s->listen_until_ms && now_ms() >= s->listen_until_ms)
			listen_watch(s, true);
		if (n < 1)
			continue;
		src = ev.data.ptr;
		if (src->fd == s->stop_fd)
			return 0;
		src->ready(s, src, ev.events);
	}
}

static void wait_for_workers(struct server *s)
{
	lock_take(&s->count_lock);
	while (s->nr_workers)
		lock_wait(&s->count_lock, &s->idle, -1);
	lock_drop(&s->count_lock);
}

void server_fini(struct server *s)
{
	while (!list_empty(&s->watches)) {
		struct watch *src = list_entry(s->watches.next, struct watch, node);

		src->free(s, src);
	}
	wait_for_workers(s);
	tokens_free(s);
	wait_for_workers(s); /* the last devices' */
	clients_free(s);
	json_decref(s->left);
	tree_remove(s);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->token_epoll_fd >= 0)
		close(s->token_epoll_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	pthread_cond_destroy(&s->idle);
	lock_fini(&s->count_lock);
	rwlock_fini(&s->lock);
	lock_fini(&s->keep_lock);
	lock_fini(&s->drain_lock);
}
