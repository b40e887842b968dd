/* SPDX-License-Identifier: MIT */
/*
 * Clients: one per address space that talks to us, and the handles each one holds.
 */
#include "server/daemon.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Looks for files that nobody has any more, after a process went: see server_run(). */
#define SWEEPS 40u
/* Children of one program that were announced and have not said hello. */
#define MAX_UNCLAIMED 64u

static struct env *env_of(struct server *s)
{
	return &s->ioasis->env;
}

static struct client *client_find(struct server *s, u64 cookie)
{
	struct list *n;

	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->cookie == cookie)
			return c;
	}
	return NULL;
}

static struct client *client_new(struct server *s, u64 cookie)
{
	struct client *c = env_zalloc(env_of(s), sizeof(*c));

	if (!c)
		return NULL;
	c->server = s;
	c->cookie = cookie;
	c->src.fd = -1;
	c->refs = 1;
	list_init(&c->node);
	list_init(&c->src.node);
	return c;
}

void client_put(struct client *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	if (c->mm)
		mm_put(c->mm);
	if (c->src.fd >= 0)
		close(c->src.fd);
	env_free(env_of(c->server), c->slots);
	env_free(env_of(c->server), c);
}

/* The list's reference goes. */
static void client_drop(struct server *s, struct client *c) MUST_HOLD(s->lock)
{
	list_del(&c->node);
	client_put(c);
}

static void client_unlink(struct client *c)
{
	struct server *s = c->server;

	rwlock_write(&s->lock);
	client_drop(s, c);
	rwlock_write_drop(&s->lock);
}

/* Forked clients that never said hello and hold nothing any more; one that just says it stays. */
void clients_forget_unclaimed(struct server *s)
{
	struct list *n, *next;

	rwlock_write(&s->lock);
	list_for_each_safe (n, next, &s->clients) {
		struct client *c = list_entry(n, struct client, node);
		bool holds = false;

		for (u32 i = 0; i < c->nr_slots; i++)
			holds |= !!c->slots[i].token;
		if (!c->pid && !c->nr_sessions && !holds)
			client_drop(s, c);
	}
	rwlock_write_drop(&s->lock);
}

static void client_src_free(struct server *s, struct watch *src)
{
	watch_del(s, src);
	client_unlink(container_of(src, struct client, src));
	clients_forget_unclaimed(s); /* children that died before they said a word */
	s->sweeps_left = mem_sweep_files(&s->ioasis->mem) ? SWEEPS : 0;
}

/* Its process is gone: its pidfd reads. */
static void client_src_ready(struct server *s, struct watch *src, u32 events)
{
	client_src_free(s, src);
}

static int client_claim(struct server *s, struct client *c, pid_t pid)
{
	struct mm *mm;
	int fd, rc;

	if (c->pid)
		return c->pid == pid ? 0 : -EPERM;
	rc = mm_attach(&s->ioasis->mem, pid, &mm);
	if (rc)
		return rc;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	rc = fd < 0 ? -errno : 0;
	c->src = (struct watch){.ready = client_src_ready, .free = client_src_free, .fd = fd};
	list_init(&c->src.node);
	if (!rc)
		rc = watch_add(s, &c->src, EPOLLIN);
	if (rc) {
		mm_put(mm);
		if (fd >= 0)
			close(fd);
		c->src.fd = -1; /* a forked one stays, and may say hello again */
		return rc;
	}
	rwlock_write(&s->lock);
	c->mm = mm;
	c->pid = pid;
	rwlock_write_drop(&s->lock);
	return 0;
}

/* What the same process was before it executed another program. */
static void drop_older(struct server *s, pid_t pid, struct client *self)
{
	struct client *old = NULL;
	struct list *n;

	rwlock_read(&s->lock);
	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c != self && c->pid == pid && !c->nr_sessions)
			old = c;
	}
	rwlock_read_drop(&s->lock);
	if (old)
		client_src_free(s, &old->src);
}

/* Find or make it, with a reference. Marked: until it has a pid, whoever forks meanwhile would take
 * it for a dead child. */
static struct client *claim_begin(struct server *s, u64 cookie)
{
	struct client *c;
	bool first;

	rwlock_write(&s->lock);
	first = list_empty(&s->clients);
	c = client_find(s, cookie);
	if (!c) {
		c = client_new(s, cookie);
		if (c)
			list_push_back(&s->clients, &c->node);
		if (!first)
			s->forked = true;
	}
	if (c) { /* from here on nobody takes it for one that never comes */
		c->nr_sessions++;
		atomic_fetch_add(&c->refs, 1);
	}
	rwlock_write_drop(&s->lock);
	return c;
}

int client_hello(struct server *s, u64 cookie, pid_t pid, struct client **out)
{
	struct client *c = claim_begin(s, cookie);
	int rc;

	if (!c)
		return -ENOMEM;
	rc = client_claim(s, c, pid);
	if (rc) {
		client_leave(c);
		clients_forget_unclaimed(s);
		return rc;
	}
	drop_older(s, pid, c);
	*out = c;
	return 0;
}

static bool is_unclaimed_child(const struct client *c, const struct client *parent)
{
	return !c->pid && !c->nr_sessions && c->parent == parent->cookie;
}

static bool is_client(struct server *s, pid_t pid) MUST_HOLD_READ(s->lock)
{
	struct list *n;

	list_for_each (n, &s->clients)
		if (list_entry(n, struct client, node)->pid == pid)
			return true;
	return false;
}

static int unknown_children_of(struct server *s, const char *tasks, const char *tid)
	MUST_HOLD_READ(s->lock)
{
	char path[128];
	FILE *f;
	int pid, nr = 0;

	snprintf(path, sizeof(path), "%.63s/%.20s/children", tasks, tid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fscanf(f, "%d", &pid) == 1)
		nr += !is_client(s, pid);
	fclose(f);
	return nr;
}

/* How many children of @pid live that are no clients: one of them may say hello yet. Return: -errno
 * when the kernel does not say. */
static int unknown_children(struct server *s, pid_t pid) MUST_HOLD_READ(s->lock)
{
	char path[64];
	DIR *dir;
	struct dirent *e;
	int nr = 0, rc;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (nr >= 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		rc = unknown_children_of(s, path, e->d_name);
		nr = rc < 0 ? rc : nr + rc;
	}
	closedir(dir);
	return nr;
}

/* A fork of @parent begins (a program forks once at a time): when no child of it lives that is not
 * known, those it announced before have died without a word. Return: -EUSERS when it has announced
 * too many that may still come: the child asks for each descriptor by itself then. */
static int forks_bound(struct server *s, struct client *parent) MUST_HOLD(s->lock)
{
	struct list *n, *next;
	unsigned nr = 0;

	list_for_each (n, &s->clients)
		nr += is_unclaimed_child(list_entry(n, struct client, node), parent);
	if (nr < MAX_UNCLAIMED)
		return 0;
	if (unknown_children(s, parent->pid))
		return -EUSERS;
	list_for_each_safe (n, next, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (is_unclaimed_child(c, parent))
			client_drop(s, c);
	}
	return 0;
}

int client_fork(struct client *parent, u64 cookie)
{
	struct server *s = parent->server;
	struct client *c;
	int rc = 0;

	s->forked = true;
	clients_forget_unclaimed(s);
	c = client_new(s, cookie);
	if (!c)
		return -ENOMEM;
	rwlock_write(&s->lock);
	rc = client_find(s, cookie) ? -EEXIST : forks_bound(s, parent);
	if (!rc && parent->nr_slots) {
		c->slots = env_calloc(env_of(s), parent->nr_slots, sizeof(*c->slots));
		rc = c->slots ? 0 : -ENOMEM;
	}
	if (!rc) {
		c->parent = parent->cookie;
		c->nr_slots = parent->nr_slots;
		if (c->slots)
			memcpy(c->slots, parent->slots, c->nr_slots * sizeof(*c->slots));
		list_push_back(&s->clients, &c->node);
	}
	rwlock_write_drop(&s->lock);
	if (rc)
		client_put(c);
	return rc;
}

void client_leave(struct client *c)
{
	rwlock_write(&c->server->lock);
	c->nr_sessions--;
	rwlock_write_drop(&c->server->lock);
	client_put(c);
}

void clients_free(struct server *s)
{
	struct list *n, *next;

	list_for_each_safe (n, next, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		list_del(&c->node);
		client_put(c);
	}
}

static int slots_grow(struct client *c)
{
	u32 nr = c->nr_slots ? c->nr_slots * 2 : 16;
	struct handle_slot *slots;

	if (nr > 1u << HANDLE_IDX_BITS)
		return -ENFILE;
	slots = env_calloc(env_of(c->server), nr, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	if (c->nr_slots)
		memcpy(slots, c->slots, c->nr_slots * sizeof(*slots));
	env_free(env_of(c->server), c->slots);
	c->slots = slots;
	c->nr_slots = nr;
	return 0;
}

static u32 handle_make(u32 gen, u32 idx)
{
	return gen << HANDLE_IDX_BITS | idx;
}

u32 client_handle(struct server *s, struct client *c, struct token *t)
{
	const u32 max_gen = (1u << (32 - HANDLE_IDX_BITS)) - 1;
	u32 free_idx = UINT32_MAX;
	struct handle_slot *slot;

	for (u32 i = 0; i < c->nr_slots; i++) {
		if (c->slots[i].token == t)
			return handle_make(c->slots[i].gen, i);
		if (!c->slots[i].token && free_idx == UINT32_MAX)
			free_idx = i;
	}
	if (free_idx == UINT32_MAX) {
		free_idx = c->nr_slots;
		if (slots_grow(c))
			return 0;
	}
	slot = &c->slots[free_idx];
	slot->token = t;
	/* Never 0: a handle of a reused slot differs from the one before. */
	slot->gen = slot->gen == max_gen ? 1 : slot->gen + 1;
	return handle_make(slot->gen, free_idx);
}

struct token *client_token(struct server *s, struct client *c, u32 handle)
{
	u32 idx = handle & ((1u << HANDLE_IDX_BITS) - 1);

	if (idx >= c->nr_slots || c->slots[idx].gen != handle >> HANDLE_IDX_BITS)
		return NULL;
	return c->slots[idx].token;
}

struct file *client_file(struct client *c, u32 handle)
{
	struct server *s = c->server;
	struct file *f = NULL;
	struct token *t;

	rwlock_read(&s->lock);
	t = client_token(s, c, handle);
	if (t)
		f = file_get(t->file);
	rwlock_read_drop(&s->lock);
	return f;
}

void clients_forget(struct server *s, struct token *t)
{
	struct list *n;

	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		for (u32 i = 0; i < c->nr_slots; i++)
			if (c->slots[i].token == t)
				c->slots[i].token = NULL;
	}
}

json_t *clients_describe(struct server *s)
{
	json_t *out = json_array();
	struct list *n;

	rwlock_read(&s->lock);
	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (!c->pid || !out)
			continue;
		json_array_append_new(out,
				      json_pack("{s:i,s:i,s:I,s:I}", "pid", c->pid, "threads",
						c->nr_sessions, "pinned_pages",
						(json_int_t)c->mm->pinned_pages, "locked_pages",
						(json_int_t)c->mm->locked_pages));
	}
	rwlock_read_drop(&s->lock);
	return out;
}

void clients_count(struct server *s, json_t *out)
{
	json_int_t clients = 0, handles = 0, files;
	struct list *n;

	rwlock_read(&s->lock);
	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		clients++;
		for (u32 i = 0; i < c->nr_slots; i++)
			handles += !!c->slots[i].token;
	}
	files = s->nr_tokens;
	rwlock_read_drop(&s->lock);
	json_put(out, "clients", json_integer(clients));
	json_put(out, "handles", json_integer(handles));
	json_put(out, "files", json_integer(files));
}

void client_charged(struct server *s, pid_t pid, u64 *out_pinned, u64 *out_locked)
{
	struct list *n;

	*out_pinned = *out_locked = 0;
	rwlock_read(&s->lock);
	list_for_each (n, &s->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->pid != pid || !c->mm || !mm_alive(c->mm))
			continue;
		*out_pinned = c->mm->pinned_pages;
		*out_locked = c->mm->locked_pages;
	}
	rwlock_read_drop(&s->lock);
}
