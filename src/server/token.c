/* SPDX-License-Identifier: MIT */
/*
 * Tokens: what a program holds for a file of ours is one end of a socketpair. The kernel keeps its
 * semantics (dup, fork, exec, SCM_RIGHTS); the hang-up of our end is the last close.
 */
#include "server/daemon.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long the release of a device holds up those who look for it. */
#define RELEASE_PATIENCE_MS 2000

static struct list *bucket_of(struct server *s, u64 ino)
{
	return &s->tokens[ino % TOKEN_BUCKETS];
}

static struct token *find_ino(struct server *s, u64 ino)
{
	struct list *n;

	list_for_each (n, bucket_of(s, ino)) {
		struct token *t = list_entry(n, struct token, bucket);

		if (t->ino == ino)
			return t;
	}
	return NULL;
}

struct token *token_find(struct server *s, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISSOCK(st.st_mode))
		return NULL;
	return find_ino(s, st.st_ino);
}

/* Publish @t to its client and to the watch for its hang-up. */
static int token_add(struct client *c, struct token *t, u32 *out_handle)
{
	struct server *s = c->server;
	struct epoll_event ev = {.events = 0, .data.u64 = t->ino};
	int rc = 0;

	rwlock_write(&s->lock);
	list_push_back(bucket_of(s, t->ino), &t->bucket);
	*out_handle = client_handle(s, c, t);
	if (!*out_handle)
		rc = -ENOMEM;
	else if (epoll_ctl(s->token_epoll_fd, EPOLL_CTL_ADD, t->fd, &ev))
		rc = -errno;
	if (rc) {
		clients_forget(s, t);
		list_del(&t->bucket);
	} else {
		s->nr_tokens++;
	}
	rwlock_write_drop(&s->lock);
	return rc;
}

int token_new(struct client *c, struct file *file, const struct chan_node *node, int *out_fd,
	      u32 *out_handle)
{
	struct env *env = &c->server->ioasis->env;
	struct token *t = env_zalloc(env, sizeof(*t));
	struct stat st;
	int sv[2], rc;

	if (!t)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv)) {
		rc = -errno;
		env_free(env, t);
		return rc;
	}
	*t = (struct token){.server = c->server, .file = file, .fd = sv[0], .pid = c->pid, .node = *node};
	list_init(&t->bucket);
	rc = fstat(sv[1], &st) ? -errno : 0;
	t->ino = st.st_ino;
	if (!rc)
		rc = token_add(c, t, out_handle);
	if (rc) {
		close(sv[0]);
		close(sv[1]);
		env_free(env, t);
		return rc;
	}
	*out_fd = sv[1];
	return 0;
}

/* @whole: with what the file owns, which the machine's tree shows elsewhere. */
static json_t *token_describe(struct token *t, bool whole)
{
	json_t *out = json_object();

	if (!out)
		return NULL;
	json_put(out, "file", json_string(t->file->ops->name));
	if (t->node.path[0])
		json_put(out, "path", json_string(t->node.path));
	json_put(out, "opened_by", json_integer(t->pid));
	if (whole && t->file->ops->describe)
		t->file->ops->describe(t->file, out);
	return out;
}

static void token_put_file(struct server *s, struct token *t)
{
	bool is_device = t->file->ops == &vfio_cdev_file_ops;

	close(t->fd);
	file_put(t->file);
	if (is_device)
		keep_events(s, t->node.minor);
}

static void *release_thread(void *arg)
{
	struct token *t = arg;
	struct server *s = t->server;

	token_put_file(s, t);
	lock_take(&s->count_lock);
	list_del(&t->bucket);
	lock_drop(&s->count_lock);
	env_free(&s->ioasis->env, t);
	lock_take(&s->count_lock);
	s->nr_workers--;
	pthread_cond_broadcast(&s->idle);
	lock_drop(&s->count_lock);
	return NULL;
}

/* Without a thread it stays queued for the next drain. Return: whether it has one. */
static bool release_start(struct server *s, struct token *t) MUST_HOLD(s->drain_lock)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	lock_take(&s->count_lock);
	s->nr_workers++;
	lock_drop(&s->count_lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, release_thread, t);
	pthread_attr_destroy(&attr);
	if (rc) {
		t->queued = true;
		lock_take(&s->count_lock);
		s->nr_workers--;
		lock_drop(&s->count_lock);
	}
	return !rc;
}

/* One that found no thread; NULL: there is none. */
static struct token *queued_release(struct server *s) MUST_HOLD(s->drain_lock)
{
	struct token *found = NULL;
	struct list *n;

	lock_take(&s->count_lock);
	list_for_each (n, &s->releases)
		if (list_entry(n, struct token, bucket)->queued)
			found = list_entry(n, struct token, bucket);
	lock_drop(&s->count_lock);
	return found;
}

static void release_queued(struct server *s) MUST_HOLD(s->drain_lock)
{
	struct token *t;

	while ((t = queued_release(s))) {
		t->queued = false;
		if (!release_start(s, t))
			return;
	}
}

/*
 * The last close: @t is on no list any more. A device waits for its DMA, which waits for the
 * program's memory: for ever, if the program wants that. Nobody else may: a thread of its own does.
 */
static void token_release(struct server *s, struct token *t) MUST_HOLD(s->drain_lock)
{
	json_t *left = t->closing ? NULL : token_describe(t, true);

	if (left)
		json_array_append_new(s->left, left);
	if (t->file->ops != &vfio_cdev_file_ops) {
		token_put_file(s, t);
		env_free(&s->ioasis->env, t);
		return;
	}
	t->closed_ms = now_ms();
	lock_take(&s->count_lock);
	list_push_back(&s->releases, &t->bucket);
	lock_drop(&s->count_lock);
	release_start(s, t);
}

/* Those that began a while ago wait for their program. */
static bool releases_are_young(struct server *s) MUST_HOLD(s->count_lock)
{
	u64 now = now_ms();
	struct list *n;

	list_for_each (n, &s->releases)
		if (now - list_entry(n, struct token, bucket)->closed_ms < RELEASE_PATIENCE_MS)
			return true;
	return false;
}

static void releases_wait(struct server *s)
{
	lock_take(&s->count_lock);
	while (releases_are_young(s))
		lock_wait(&s->count_lock, &s->idle, RELEASE_PATIENCE_MS / 10);
	lock_drop(&s->count_lock);
}

static void serve_hangups(struct server *s) MUST_HOLD(s->drain_lock)
{
	struct epoll_event ev[16];
	bool any = false;
	struct token *t;
	int n;

	release_queued(s);
	do {
		n = epoll_wait(s->token_epoll_fd, ev, ARRAY_SIZE(ev), 0);
		for (int i = 0; i < n; i++) {
			rwlock_write(&s->lock);
			t = find_ino(s, ev[i].data.u64);
			if (t) {
				list_del(&t->bucket);
				clients_forget(s, t);
				epoll_ctl(s->token_epoll_fd, EPOLL_CTL_DEL, t->fd, NULL);
				s->nr_tokens--;
			}
			rwlock_write_drop(&s->lock);
			if (t)
				token_release(s, t);
			any |= t != NULL;
		}
	} while (n > 0);
	if (any)
		clients_forget_unclaimed(s);
}

void tokens_serve(struct server *s)
{
	lock_take(&s->drain_lock);
	serve_hangups(s);
	lock_drop(&s->drain_lock);
}

void tokens_drain(struct server *s)
{
	tokens_serve(s);
	releases_wait(s);
}

void tokens_closing(struct client *c, u32 handle, bool closing)
{
	struct server *s = c->server;

	rwlock_read(&s->lock);
	for (u32 i = 0; i < c->nr_slots; i++) {
		struct token *t = handle ? client_token(s, c, handle) : c->slots[i].token;

		if (t)
			t->closing = closing;
		if (handle)
			break;
	}
	rwlock_read_drop(&s->lock);
}

void tokens_drain_closed(struct client *c, u32 handle)
{
	struct server *s = c->server;

	lock_take(&s->drain_lock);
	serve_hangups(s);
	tokens_closing(c, handle, false); /* other descriptors of it are still open */
	lock_drop(&s->drain_lock);
	releases_wait(s);
}

static json_t *tokens_list(struct server *s, bool whole)
{
	json_t *out = json_array();
	struct list *n;

	/* Files are described without server.lock, which may not be held across a call into them;
	 * drain_lock keeps tokens from being freed meanwhile. */
	for (unsigned b = 0; out && b < TOKEN_BUCKETS; b++) {
		struct token *found[64];
		unsigned nr = 0;

		rwlock_read(&s->lock);
		list_for_each (n, &s->tokens[b])
			if (nr < ARRAY_SIZE(found))
				found[nr++] = list_entry(n, struct token, bucket);
		rwlock_read_drop(&s->lock);
		for (unsigned i = 0; i < nr; i++)
			json_array_append_new(out, token_describe(found[i], whole));
	}
	return out;
}

json_t *tokens_describe(struct server *s)
{
	json_t *out;

	lock_take(&s->drain_lock);
	out = tokens_list(s, false);
	lock_drop(&s->drain_lock);
	return out;
}

/* What closed files still held, and what is open now. */
json_t *tokens_left(struct server *s)
{
	json_t *out;

	lock_take(&s->drain_lock);
	serve_hangups(s);
	out = json_pack("{s:O,s:o}", "closed", s->left, "open", tokens_list(s, true));
	lock_drop(&s->drain_lock);
	return out;
}

void tokens_free(struct server *s)
{
	struct token *t;

	for (unsigned b = 0; b < TOKEN_BUCKETS; b++) {
		while (!list_empty(&s->tokens[b])) {
			t = list_entry(s->tokens[b].next, struct token, bucket);
			list_del(&t->bucket);
			t->closing = true;
			lock_take(&s->drain_lock);
			token_release(s, t);
			lock_drop(&s->drain_lock);
		}
	}
	lock_take(&s->drain_lock);
	release_queued(s);
	while ((t = queued_release(s))) { /* no thread even now: nobody else is left to wait */
		lock_take(&s->count_lock);
		list_del(&t->bucket);
		lock_drop(&s->count_lock);
		token_put_file(s, t);
		env_free(&s->ioasis->env, t);
	}
	lock_drop(&s->drain_lock);
}
