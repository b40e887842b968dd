/* SPDX-License-Identifier: MIT */
/*
 * The daemon of one instance, private to server: who its clients are, what files they hold, who
 * asks what.
 *
 *   client:  a program's address space: made by its first hello, or by its parent's fork
 *   session: one thread of it: a socket, a channel and the worker that serves it
 *   token:   an open file of ours: our end of a socketpair whose other end programs hold. Its
 * hang-up is the last close, however many dups, forks and passed descriptors there were handle:  a
 * client's name for a token that it has proved to hold
 *
 * Locks: `drain_lock` (RANK_DRAIN) is held while hang-ups are served, so that whoever looks for
 * them returns after those found by others are through; `lock` protects clients, handles and
 * tokens, and is never held across a call into a file.
 */
#ifndef IOASIS_SRC_SERVER_DAEMON_H
#define IOASIS_SRC_SERVER_DAEMON_H

#include "server/server.h"
#include "uapi/uapi.h"

#define HANDLE_IDX_BITS 20u
#define TOKEN_BUCKETS	1024u

struct server {
	struct ioasis *ioasis;
	char dir[PATH_MAX];
	int epoll_fd; /* the main thread's */
	int token_epoll_fd;
	int listen_fd;
	int keep_fd; /* to `ioasis run`; -1: none */
	int stop_fd; /* eventfd: the main loop ends */
	struct list pending; /* main thread only, as are all below to next_sweep_ms */
	unsigned nr_pending;
	struct watch *listen_watch;
	u64 listen_until_ms; /* 0, or when connections are accepted again */
	unsigned sweeps_left; /* main thread only, as is the next */
	u64 next_sweep_ms;
	bool wants_shared;
	_Atomic bool forked; /* more than one process: look for hang-ups before every ioctl */

	struct lock keep_lock;	/* RANK_SERVER: held while a device's eventfds are told */
	_Atomic bool keep_slow; /* `ioasis run` did not read for a while */

	struct lock drain_lock;
	struct rwlock lock;
	struct list clients;		   /* GUARDED_BY(lock) */
	struct list tokens[TOKEN_BUCKETS]; /* GUARDED_BY(lock): by inode */
	u32 nr_tokens;			   /* GUARDED_BY(lock) */
	struct list watches;		   /* main thread only: every one */
	struct list control;		   /* GUARDED_BY(control_lock): who listens to traces */
	json_t *left; /* GUARDED_BY(drain_lock): what closed files still held */

	struct lock count_lock; /* RANK_POOL */
	pthread_cond_t idle;
	u32 nr_workers;	      /* GUARDED_BY(count_lock): threads of ours */
	struct list releases; /* GUARDED_BY(count_lock): tokens of devices that are being closed */
	_Atomic u64 next_key;
};

/* What an epoll event of the main thread points at. */
struct watch {
	void (*ready)(struct server *s, struct watch *src, u32 events);
	void (*free)(struct server *s, struct watch *src);
	int fd;
	struct list node; /* server.watches */
};

/* --- client.c ------------------------------------------------------------------------------- */
struct handle_slot {
	struct token *token; /* NULL: free */
	u32 gen;
};

struct client {
	struct watch src; /* its pidfd; .fd -1 before the first hello */
	struct server *server;
	u64 cookie;
	u64 parent; /* cookie of the one that announced it by a fork; 0: none */
	pid_t pid;  /* 0: forked, has not said hello yet */
	struct mm *mm;
	_Atomic u32 refs;	   /* the list's, one per session */
	struct handle_slot *slots; /* GUARDED_BY(server.lock) */
	u32 nr_slots;
	u32 nr_sessions; /* GUARDED_BY(server.lock) */
	struct list node;
};

/* Find or make the client of a hello. Return: 0 and a reference; -ESRCH, -EPERM, -ENOMEM. */
int client_hello(struct server *s, u64 cookie, pid_t pid, struct client **out) MUST_CHECK;
/* A child that will say hello with @cookie and holds what @parent holds. */
int client_fork(struct client *parent, u64 cookie) MUST_CHECK;
void client_put(struct client *c);
/* A session of it ended; forgets clients that cannot come back. */
void client_leave(struct client *c);
/* Children that died before they said hello: nothing of what they would hold is open any more. */
void clients_forget_unclaimed(struct server *s);
void clients_free(struct server *s);
json_t *clients_describe(struct server *s);
void clients_count(struct server *s, json_t *out); /* for the ledger */

/* The handle of a token the client holds (finds or makes it). Return: a handle; 0 when out of
 * memory. */
u32 client_handle(struct server *s, struct client *c, struct token *t) MUST_HOLD(s->lock);
/* Return: the file with a reference; NULL when the handle is unknown or hung up. */
struct file *client_file(struct client *c, u32 handle);
struct token *client_token(struct server *s, struct client *c, u32 handle) MUST_HOLD_READ(s->lock);
/* Pages of the process that we have pinned and locked. */
void client_charged(struct server *s, pid_t pid, u64 *out_pinned, u64 *out_locked);
/* The token goes: every client forgets it. */
void clients_forget(struct server *s, struct token *t) MUST_HOLD(s->lock);

/* --- token.c -------------------------------------------------------------------------------- */
struct token {
	struct server *server;
	struct file *file;
	u64 ino;	      /* of the programs' end */
	int fd;		      /* our end */
	pid_t pid;	      /* who opened it */
	_Atomic bool closing; /* a close of it was announced: what it still holds is no leak */
	struct chan_node node;
	struct list bucket; /* server.tokens, then server.releases */
	u64 closed_ms;	    /* GUARDED_BY(server.count_lock): when its release began */
	bool queued;	    /* GUARDED_BY(server.drain_lock): it still needs a thread */
};

/* A token for @file (consumes a reference on success). @out_fd: the end to give away. */
int token_new(struct client *c, struct file *file, const struct chan_node *node, int *out_fd,
	      u32 *out_handle) MUST_CHECK;
/* The token whose programs' end @fd is a duplicate of; NULL: not ours. */
struct token *token_find(struct server *s, int fd) MUST_HOLD_READ(s->lock);
/* Serve pending hang-ups; waits for no program. */
void tokens_serve(struct server *s);
/* Serve pending hang-ups; returns when those found by others are served too, but for devices whose
 * DMA waits for the memory of their program. */
void tokens_drain(struct server *s);
/* The program says that it closes descriptors of @handle (0: of anything) by itself: what a file
 * still owns then is no leak. Then that it did: drain, and take the mark from what is still open.
 */
void tokens_closing(struct client *c, u32 handle, bool closing);
void tokens_drain_closed(struct client *c, u32 handle);
void tokens_free(struct server *s);
json_t *tokens_describe(struct server *s);
/* What closed files still held, and what is open now. */
json_t *tokens_left(struct server *s);

/* --- session.c, worker.c, caller.c ---------------------------------------------------------- */

struct session {
	struct watch src; /* its socket, watched for hang-up */
	struct server *server;
	struct client *client;
	pid_t tid;
	struct chan *chan; /* hostile */
	int mem_fd;
	u64 key; /* the keeper's name for the channel */
	unsigned spin;
	_Atomic bool stop;
	_Atomic u32 refs; /* the main thread's watch, the worker */
	pthread_t thread;

	/* the request being served */
	struct caller caller;
	struct chan_req req; /* our copy */
	u8 inline_data[CHAN_INLINE_LEN];
	u32 nr_stores, store_len; /* queued in chan->data */
	struct chan_reply reply;
	u32 installed; /* handle of what fd_install() gave in this request */
};

int session_start(struct server *s, int sock, const struct chan_hello *hello, pid_t pid) MUST_CHECK;
void *session_worker(void *arg);
void session_put(struct session *ss);
/* Ask the shim. Return: its answer; -ENODEV when the program is gone. */
long session_sub(struct session *ss, struct chan_sub *sub);
int session_send_fd(struct session *ss, int fd) MUST_CHECK;
/* One descriptor from the socket. Return: it; -EBADF none came; -ENODEV. */
int session_recv_fd(struct session *ss);
extern const struct caller_ops session_caller_ops;

/* Wait for the channel's state to become @wanted. Return: false when the session stops instead. */
bool session_wait(struct session *ss, u32 wanted);
void session_post(struct session *ss, u32 state);

/* --- keep.c: what survives us --------------------------------------------------------------- */
void keep_fd_send(struct server *s, enum keep_kind kind, u64 key, int fd);
void keep_drop(struct server *s, u64 key);
/* A memfd that programs map: ones are written over it when we die. */
void keep_bar(struct server *s, int fd);
void keep_ready(struct server *s, int rc, const char *text);
void keep_report(struct server *s);
/* vfio@index's error and request eventfds, as they are now. */
void keep_events(struct server *s, u32 index);
void keep_init(struct server *s);

/* --- control.c: show, walk, trace ----------------------------------------------------------- */
int control_start(struct server *s, int sock, const char *first, size_t len) MUST_CHECK;
json_t *server_describe(struct server *s);
json_t *server_ledger(struct server *s); /* {"op":"ledger"} */
json_t *server_report(struct server *s);

/* --- tree.c: /dev and /sys of the machine as files ------------------------------------------ */
#define MAX_NODES (MACHINE_MAX_DEVS + 8u) /* one kind has a node per device, few have one */
/* Every node of the machine. @out: MAX_NODES of them. Return: how many. */
unsigned nodes_list(struct server *s, struct uapi_node *out);
int tree_write(struct server *s) MUST_CHECK;
void tree_remove(struct server *s); /* and the socket, and the directory */

/* --- loop.c --------------------------------------------------------------------------------- */
int server_init(struct server *s, struct ioasis *ioasis, const char *dir, int keep_fd) MUST_CHECK;
int server_run(struct server *s);
void server_fini(struct server *s);
u64 now_ms(void);
int watch_add(struct server *s, struct watch *src, u32 events) MUST_CHECK;
void watch_del(struct server *s, struct watch *src);

#endif
