/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void drop(struct keeper *k, s64 key)
{
	for (size_t i = 0; i < k->nr; i++) {
		if (k->v[i].key != key)
			continue;
		close(k->v[i].fd);
		k->v[i] = k->v[--k->nr];
		return;
	}
}

static void keep(struct keeper *k, u32 kind, s64 key, int fd)
{
	drop(k, key);
	if (fd < 0)
		return;
	if (k->nr == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 64;
		struct kept *v = realloc(k->v, cap * sizeof(*v));

		if (!v) {
			close(fd);
			return;
		}
		k->v = v;
		k->cap = cap;
	}
	k->v[k->nr++] = (struct kept){kind, key, fd};
}

static void add_report(struct keeper *k, const struct keep_msg *msg)
{
	char *text;

	if (!msg->len) {
		k->report_done = true;
		return;
	}
	text = realloc(k->report, k->report_len + msg->len);
	if (!text)
		return;
	memcpy(text + k->report_len, msg->text, msg->len);
	k->report = text;
	k->report_len += msg->len;
}

static void take(struct keeper *k, const struct keep_msg *msg, int fd)
{
	switch (msg->kind) {
	case KEEP_CHAN:
	case KEEP_BAR:
	case KEEP_EVENT:
		keep(k, msg->kind, msg->key, fd);
		return;
	case KEEP_DROP:
		drop(k, msg->key);
		break;
	case KEEP_READY:
		k->ready = true;
		k->ready_rc = (int)msg->key;
		snprintf(k->ready_text, sizeof(k->ready_text), "%.*s", (int)msg->len, msg->text);
		break;
	case KEEP_REPORT:
		add_report(k, msg);
		break;
	}
	if (fd >= 0)
		close(fd);
}

int keeper_receive(struct keeper *k)
{
	struct keep_msg in;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = {.iov_base = &in, .iov_len = sizeof(in)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf)};
	struct cmsghdr *c;
	int fd = -1;
	ssize_t n;

	if (k->sock < 0)
		return -ENODEV;
	do
		n = recvmsg(k->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n < (ssize_t)KEEP_HEAD_LEN || in.len > (size_t)n - KEEP_HEAD_LEN) {
		close(k->sock);
		k->sock = -1;
		return -ENODEV;
	}
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	take(k, &in, fd);
	return 0;
}

/* Programs wait on the word: mark first, then move it, then wake. */
static void kill_channel(int fd)
{
	struct chan *ch = mmap(NULL, CHAN_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (ch == MAP_FAILED)
		return;
	atomic_store(&ch->dead, 1);
	atomic_store(&ch->state, CHAN_DEAD);
	syscall(SYS_futex, &ch->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	munmap(ch, CHAN_LEN);
}

/* What a bus answers when nobody is there. */
static void fill_with_ones(int fd)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) || st.st_size <= 0)
		return;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return;
	memset(p, 0xff, (size_t)st.st_size);
	munmap(p, (size_t)st.st_size);
}

void keeper_daemon_died(struct keeper *k)
{
	/* What it had sent before it died. */
	while (!keeper_receive(k))
		;
	for (size_t i = 0; i < k->nr; i++) {
		struct kept *e = &k->v[i];

		if (e->kind == KEEP_BAR)
			fill_with_ones(e->fd);
		else if (e->kind == KEEP_EVENT)
			eventfd_write(e->fd, 1);
	}
	/* Last: whoever wakes sees the rest done. */
	for (size_t i = 0; i < k->nr; i++)
		if (k->v[i].kind == KEEP_CHAN)
			kill_channel(k->v[i].fd);
	keeper_free(k);
}

void keeper_free(struct keeper *k)
{
	while (k->nr)
		close(k->v[--k->nr].fd);
	free(k->v);
	k->v = NULL;
	k->cap = 0;
	if (k->sock >= 0)
		close(k->sock);
	k->sock = -1;
}
