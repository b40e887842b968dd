/* SPDX-License-Identifier: MIT */
/*
 * The worker of a session: takes one request after the other and answers it.
 */
#include "server/daemon.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Requests that look at what other processes may just have let go: IOMMU_DESTROY, IOMMU_TEST_CMD.
 */
static bool looks_at_others(u32 cmd)
{
	return cmd == (';' << 8 | 0x80) || cmd == (';' << 8 | 0xa0);
}

static int give_fd(struct session *ss, int fd)
{
	int rc = session_send_fd(ss, fd);

	if (!rc)
		ss->reply.flags |= CHAN_HAS_FD;
	return rc;
}

static void node_of(struct server *s, const char *path, struct chan_node *out)
{
	struct uapi_node nodes[MAX_NODES];
	unsigned nr = nodes_list(s, nodes);

	for (unsigned i = 0; i < nr; i++) {
		if (strcmp(nodes[i].path, path))
			continue;
		out->major = nodes[i].major;
		out->minor = nodes[i].minor;
		out->mode = nodes[i].mode;
		memcpy(out->path, nodes[i].path, sizeof(out->path));
	}
}

static long serve_open(struct session *ss)
{
	char path[CHAN_PATH_LEN];
	struct chan_node node = {0};
	struct file *file;
	int fd, rc;

	if (!ss->req.inline_len || ss->req.inline_len >= sizeof(path))
		return -EINVAL;
	memcpy(path, ss->inline_data, ss->req.inline_len);
	path[ss->req.inline_len] = 0;
	tokens_drain(ss->server);
	rc = uapi_open(ss->server->ioasis, &ss->caller, path, (int)ss->req.flags, &file);
	if (rc)
		return rc;
	node_of(ss->server, path, &node);
	rc = token_new(ss->client, file, &node, &fd, &ss->reply.handle);
	if (rc) {
		file_put(file);
		return rc;
	}
	rc = give_fd(ss, fd);
	close(fd);
	return rc;
}

static long serve_identify(struct session *ss)
{
	struct server *s = ss->server;
	int fd = session_recv_fd(ss);
	struct token *t;

	if (fd < 0)
		return fd;
	rwlock_write(&s->lock);
	t = token_find(s, fd);
	if (t) {
		ss->reply.handle = client_handle(s, ss->client, t);
		ss->reply.node = t->node;
	}
	rwlock_write_drop(&s->lock);
	close(fd);
	if (!t)
		return -ENOTTY;
	return ss->reply.handle ? 0 : -ENOMEM;
}

static long serve_stat(struct session *ss)
{
	struct server *s = ss->server;
	struct token *t;

	rwlock_read(&s->lock);
	t = client_token(s, ss->client, ss->req.handle);
	if (t)
		ss->reply.node = t->node;
	rwlock_read_drop(&s->lock);
	return t ? 0 : -EBADF;
}

/* A SET_IRQS of the lines that the keeper fires when we die? */
static bool sets_events(const struct session *ss)
{
	const struct vfio_irq_set *set = (const void *)ss->inline_data;

	if (ss->req.cmd != VFIO_DEVICE_SET_IRQS)
		return false;
	return ss->req.inline_len < sizeof(*set) || set->index == VFIO_PCI_ERR_IRQ_INDEX ||
	       set->index == VFIO_PCI_REQ_IRQ_INDEX;
}

/* A file that is closed meanwhile is told of by its release. */
static void tell_events(struct session *ss)
{
	struct server *s = ss->server;
	struct token *t;
	u32 index = 0;

	rwlock_read(&s->lock);
	t = client_token(s, ss->client, ss->req.handle);
	if (t)
		index = t->node.minor;
	rwlock_read_drop(&s->lock);
	if (t)
		keep_events(s, index);
}

static long serve_ioctl(struct session *ss, struct file *f)
{
	struct server *s = ss->server;
	long rc;

	if (atomic_load_explicit(&s->forked, memory_order_relaxed) || looks_at_others(ss->req.cmd))
		tokens_drain(s);
	if (!f->ops->ioctl)
		return -ENOTTY;
	rc = f->ops->ioctl(f, &ss->caller, ss->req.cmd, ss->req.arg);
	if (!rc && f->ops == &vfio_cdev_file_ops && sets_events(ss))
		tell_events(ss);
	return rc;
}

static long serve_mmap(struct session *ss, struct file *f)
{
	struct file_map map = {.offset = ss->req.pos,
			       .len = ss->req.len,
			       .prot = (int)ss->req.prot,
			       .flags = (int)ss->req.flags,
			       .fd = -1};
	int rc;

	if (!f->ops->mmap)
		return -ENODEV;
	map.granted_prot = map.prot;
	rc = f->ops->mmap(f, &ss->caller, &map);
	if (rc)
		return rc;
	keep_bar(ss->server, map.fd);
	ss->reply.pos = map.fd_offset;
	ss->reply.prot = (u32)map.granted_prot;
	ss->reply.flags |= map.trapped ? CHAN_TRAPPED : 0;
	return give_fd(ss, map.fd);
}

static long serve_file(struct session *ss)
{
	const struct chan_req *req = &ss->req;
	struct file *f = client_file(ss->client, req->handle);
	struct caller *c = &ss->caller;
	long rc = -EINVAL;

	if (!f)
		return -EBADF;
	switch (req->op) {
	case CHAN_IOCTL:
		rc = serve_ioctl(ss, f);
		break;
	case CHAN_PREAD:
		if (f->ops->pread)
			rc = f->ops->pread(f, c, req->arg, req->len, req->pos);
		break;
	case CHAN_PWRITE:
		if (f->ops->pwrite)
			rc = f->ops->pwrite(f, c, req->arg, req->len, req->pos);
		break;
	case CHAN_MMAP:
		rc = serve_mmap(ss, f);
		break;
	case CHAN_STORE:
		if (f->ops->store_trap && req->len <= 8)
			rc = f->ops->store_trap(f, req->pos, req->arg, (unsigned)req->len);
		break;
	}
	file_put(f);
	return rc;
}

static long serve_shared(struct session *ss)
{
	int fd = session_recv_fd(ss), rc;

	if (fd < 0)
		return fd;
	rc = mem_offer_file(&ss->server->ioasis->mem, fd);
	close(fd);
	return rc;
}

static long serve_op(struct session *ss)
{
	switch (ss->req.op) {
	case CHAN_OPEN:
		return serve_open(ss);
	case CHAN_IDENTIFY:
		return serve_identify(ss);
	case CHAN_CLOSING:
		tokens_closing(ss->client, ss->req.handle, true);
		return 0;
	case CHAN_CLOSED:
		tokens_drain_closed(ss->client, ss->req.handle);
		return 0;
	case CHAN_FORK:
		return client_fork(ss->client, ss->req.arg);
	case CHAN_STAT:
		return serve_stat(ss);
	case CHAN_SHARED:
		return serve_shared(ss);
	case CHAN_CHARGED:
		client_charged(ss->server, (pid_t)ss->req.arg, &ss->reply.pos, &ss->reply.len);
		return 0;
	default:
		return serve_file(ss);
	}
}

/* One request, copied once: what the program changes in the channel from now on changes nothing. */
static void serve(struct session *ss)
{
	struct chan *ch = ss->chan;

	trace_begin(ss->tid);
	memcpy(&ss->req, &ch->req, sizeof(ss->req));
	ss->req.inline_len = min(ss->req.inline_len, CHAN_INLINE_LEN);
	memcpy(ss->inline_data, ch->data, ss->req.inline_len);
	ss->nr_stores = ss->store_len = 0;
	ss->installed = 0;
	/* The node is long and rarely asked for: only its users pay for it. */
	memset(&ss->reply, 0, offsetof(struct chan_reply, node));
	ss->reply.rc = serve_op(ss);
	ss->reply.nr_stores = ss->nr_stores;
	memcpy(&ch->reply, &ss->reply,
	       ss->req.op == CHAN_STAT || ss->req.op == CHAN_IDENTIFY
		       ? sizeof(ss->reply)
		       : offsetof(struct chan_reply, node));
	session_post(ss, CHAN_REPLY);
}

void *session_worker(void *arg)
{
	struct session *ss = arg;
	struct server *s = ss->server;

	ss->caller =
		(struct caller){.ops = &session_caller_ops, .mm = ss->client->mm, .tid = ss->tid};
	while (session_wait(ss, CHAN_REQUEST))
		serve(ss);
	session_put(ss);
	lock_take(&s->count_lock);
	s->nr_workers--;
	pthread_cond_broadcast(&s->idle);
	lock_drop(&s->count_lock);
	return NULL;
}
