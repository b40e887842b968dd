/* SPDX-License-Identifier: MIT */
/*
 * What must be told when we die, handed to the one process that outlives us: `ioasis run`.
 */
#include "server/daemon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* Names that need no memory of what was sent: sending again replaces. */
#define KEY_BAR	  (1ull << 62)
#define KEY_EVENT (1ull << 61)

static void keep_send(struct server *s, const struct keep_msg *head, const char *text, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = {0};
	struct iovec iov[2] = {{.iov_base = (void *)head, .iov_len = KEEP_HEAD_LEN},
			       {.iov_base = (void *)text, .iov_len = head->len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct cmsghdr *c;
	ssize_t rc;

	if (s->keep_fd < 0)
		return;
	if (fd >= 0) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	/* It reads at once, unless somebody stopped it: then one waits, and none after it. */
	do
		rc = sendmsg(s->keep_fd, &msg, MSG_NOSIGNAL | (s->keep_slow ? MSG_DONTWAIT : 0));
	while (rc < 0 && errno == EINTR);
	s->keep_slow = rc < 0 && errno == EAGAIN;
}

void keep_init(struct server *s)
{
	const struct timeval patience = {.tv_sec = 1};

	if (s->keep_fd >= 0)
		setsockopt(s->keep_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void keep_fd_send(struct server *s, enum keep_kind kind, u64 key, int fd)
{
	struct keep_msg m = {.kind = kind, .key = (s64)key};

	keep_send(s, &m, NULL, fd);
}

void keep_drop(struct server *s, u64 key)
{
	struct keep_msg m = {.kind = KEEP_DROP, .key = (s64)key};

	keep_send(s, &m, NULL, -1);
}

void keep_bar(struct server *s, int fd)
{
	struct stat st;

	if (!fstat(fd, &st))
		keep_fd_send(s, KEEP_BAR, KEY_BAR | st.st_ino, fd);
}

void keep_ready(struct server *s, int rc, const char *text)
{
	struct keep_msg m = {.kind = KEEP_READY, .key = rc, .len = (u32)strlen(text)};

	keep_send(s, &m, text, -1);
}

static void keep_event(struct server *s, u64 key, int fd)
{
	if (fd >= 0)
		keep_fd_send(s, KEEP_EVENT, key, fd);
	else
		keep_drop(s, key);
}

/* A duplicate that stays when the program sets another one. */
static int dup_line(const struct irq_line *line)
{
	return line->eventfd < 0 ? -1 : fcntl(line->eventfd, F_DUPFD_CLOEXEC, 0);
}

void keep_events(struct server *s, u32 index)
{
	struct pci_dev *dev = s->keep_fd < 0 ? NULL : machine_pci_dev(s->ioasis, NULL, index);
	int err, req;

	if (!dev)
		return;
	lock_take(&s->keep_lock); /* the last to look is the last to tell */
	lock_take(&dev->lock);
	err = dup_line(&dev->err);
	req = dup_line(&dev->req);
	lock_drop(&dev->lock);
	keep_event(s, KEY_EVENT | (u64)index << 1, err);
	keep_event(s, KEY_EVENT | (u64)index << 1 | 1, req);
	lock_drop(&s->keep_lock);
	if (err >= 0)
		close(err);
	if (req >= 0)
		close(req);
}

void keep_report(struct server *s)
{
	json_t *report = server_report(s);
	char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	struct keep_msg m = {.kind = KEEP_REPORT};

	for (size_t off = 0; off < len; off += m.len) {
		m.len = (u32)min(len - off, (size_t)KEEP_TEXT_LEN);
		keep_send(s, &m, text + off, -1);
	}
	m.len = 0;
	keep_send(s, &m, NULL, -1);
	free(text);
	json_decref(report);
}
