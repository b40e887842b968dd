/* SPDX-License-Identifier: MIT */
/*
 * How the uAPI reaches a program that is at the other end of a channel: struct caller_ops.
 *
 * A request brings the first bytes of its argument along, so the usual ioctl costs no system call;
 * what lies elsewhere is read from the program's memory. Stores ride back with the reply.
 */
#include "server/daemon.h"

#include <unistd.h>

static struct session *session_of(struct caller *c)
{
	return container_of(c, struct session, caller);
}

static int caller_fetch(struct caller *c, void *to, u64 uaddr, size_t len)
{
	struct session *ss = session_of(c);
	u64 off = uaddr - ss->req.arg;

	if (!len)
		return 0;
	if (off < ss->req.inline_len && ss->req.inline_len - off >= len) {
		memcpy(to, ss->inline_data + off, len);
		return 0;
	}
	return mm_read(c->mm, UVA(uaddr), to, len) ? -EFAULT : 0;
}

static int caller_commit(struct caller *c)
{
	struct session *ss = session_of(c);
	struct chan_sub sub = {.op = CHAN_SUB_STORES, .nr_stores = ss->nr_stores};
	long rc;

	if (!ss->nr_stores)
		return 0;
	rc = session_sub(ss, &sub);
	ss->nr_stores = ss->store_len = 0;
	return rc ? -EFAULT : 0;
}

static int caller_store(struct caller *c, u64 uaddr, const void *from, size_t len)
{
	struct session *ss = session_of(c);
	const struct chan_store head = {.uaddr = uaddr, .len = (u32)len};
	size_t need = sizeof(head) + align_up(len, 8);
	u8 *at;
	int rc;

	if (!len)
		return 0;
	if (len > CHAN_DATA_LEN / 2 || need > CHAN_DATA_LEN - ss->store_len) {
		rc = caller_commit(c); /* keep the order */
		if (rc)
			return rc;
		return mm_write(c->mm, UVA(uaddr), from, len) ? -EFAULT : 0;
	}
	at = ss->chan->data + ss->store_len;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), from, len);
	ss->store_len += need;
	ss->nr_stores++;
	return 0;
}

long session_sub(struct session *ss, struct chan_sub *sub)
{
	memcpy(&ss->chan->sub, sub, sizeof(*sub));
	session_post(ss, CHAN_SUB);
	if (!session_wait(ss, CHAN_SUB_DONE))
		return -ENODEV;
	return *(volatile s64 *)&ss->chan->sub.rc;
}

/* A duplicate of the program's descriptor @fd. */
static int fetch_fd(struct session *ss, int fd)
{
	struct chan_sub sub = {.op = CHAN_SUB_SEND, .fd = fd};

	if (fd < 0 || session_sub(ss, &sub))
		return -EBADF;
	return session_recv_fd(ss);
}

static int caller_file_get(struct caller *c, int fd, struct file **out)
{
	struct session *ss = session_of(c);
	struct server *s = ss->server;
	int dup = fetch_fd(ss, fd);
	struct token *t;

	if (dup < 0)
		return -EBADF;
	rwlock_read(&s->lock);
	t = token_find(s, dup);
	if (t)
		*out = file_get(t->file);
	rwlock_read_drop(&s->lock);
	close(dup);
	return t ? 0 : -ENOTTY;
}

static int caller_fd_dup(struct caller *c, int fd)
{
	int dup = fetch_fd(session_of(c), fd);

	return dup < 0 ? -EBADF : dup;
}

static int caller_fd_install(struct caller *c, struct file *file, bool cloexec)
{
	struct session *ss = session_of(c);
	struct chan_node node = {.mode = 0600};
	struct chan_sub sub = {.op = CHAN_SUB_INSTALL, .cloexec = cloexec};
	long number;
	int fd, rc;

	/* The token has its own reference: if the program cannot take the descriptor, the token
	 * hangs up and drops that one, and the caller still has its own. */
	rc = token_new(ss->client, file_get(file), &node, &fd, &sub.handle);
	if (rc) {
		file_put(file);
		return rc;
	}
	ss->installed = sub.handle;
	rc = session_send_fd(ss, fd);
	close(fd);
	number = rc ? rc : session_sub(ss, &sub);
	if (number < 0 || number > INT_MAX)
		return number < 0 ? (int)number : -EBADF;
	file_put(file);
	return (int)number;
}

static void caller_fd_undo(struct caller *c, int fd)
{
	struct session *ss = session_of(c);
	struct chan_sub sub = {.op = CHAN_SUB_UNDO, .fd = fd};
	struct server *s = ss->server;
	struct token *t;

	rwlock_read(&s->lock);
	t = client_token(s, ss->client, ss->installed);
	if (t)
		t->closing = true;
	rwlock_read_drop(&s->lock);
	session_sub(ss, &sub);
}

const struct caller_ops session_caller_ops = {
	.fetch = caller_fetch,
	.store = caller_store,
	.commit = caller_commit,
	.file_get = caller_file_get,
	.fd_dup = caller_fd_dup,
	.fd_install = caller_fd_install,
	.fd_undo = caller_fd_undo,
};
