/* SPDX-License-Identifier: MIT */
/*
 * The channel: how one thread of a program talks to its daemon. The one door of server: what shim
 * and tools share with it.
 *
 * A thread connects to the daemon's SEQPACKET socket, says hello, and gets a sealed memfd: the
 * channel. A request is written into it and `state` is moved; both sides first watch the word, then
 * sleep on it (futex). Descriptors travel over the thread's socket, announced in the channel.
 *
 *   IDLE --shim--> REQUEST --daemon--> SUB --shim--> SUB_DONE --daemon--> ... REPLY --shim--> IDLE
 *
 * A sub-request is the daemon asking the caller for what only it can do at once: write its memory
 * now, take a descriptor, hand one over. DEAD is stored by whoever sees the daemon go (`ioasis
 * run`).
 *
 * The daemon believes nothing in here: it copies a request once and checks the copy.
 */
#ifndef IOASIS_SRC_SERVER_SERVER_H
#define IOASIS_SRC_SERVER_SERVER_H

#include "base/base.h"

#define CHAN_MAGIC	0x73616f69u
#define CHAN_VERSION	1u

/* What `ioasis run` tells the shim. */
#define CHAN_ENV_DIR	"IOASIS_DIR" /* the instance's directory: sock, root/ */
#define CHAN_ENV_PID	"IOASIS_PID" /* the daemon's pid */
#define CHAN_SOCK	"sock"
#define CHAN_SOCK_NEW	"sock.new" /* before it listens */
#define CHAN_ROOT	"root"	   /* /dev and /sys of the machine */

#define CHAN_DATA_LEN	(64u << 10)
/* How much of an ioctl's argument a request brings along; the rest is fetched by address. */
#define CHAN_INLINE_LEN 256u
#define CHAN_PATH_LEN	256u

enum chan_state {
	CHAN_IDLE,
	CHAN_REQUEST,
	CHAN_SUB,
	CHAN_SUB_DONE,
	CHAN_REPLY,
	CHAN_DEAD,
};

enum chan_op {
	CHAN_OPEN = 1, /* data: path; flags: open's */
	CHAN_IDENTIFY, /* a descriptor was sent: which file of ours is it? */
	CHAN_CLOSING,  /* descriptors of .handle (0: of anything) are about to be closed */
	CHAN_CLOSED,   /* they were: look for hang-ups */
	CHAN_FORK,     /* .arg: cookie of the child that is about to be made */
	CHAN_STAT,     /* reply.node */
	CHAN_IOCTL,    /* .cmd, .arg */
	CHAN_PREAD,    /* .arg address, .len, .pos */
	CHAN_PWRITE,
	CHAN_MMAP,    /* .pos offset, .len, .prot, .flags */
	CHAN_STORE,   /* a trapped store: .pos offset, .arg value, .len */
	CHAN_SHARED,  /* a memfd was sent: memory that the program maps as shared anonymous */
	CHAN_CHARGED, /* .arg pid: pages pinned and locked by us */
};

struct chan_req {
	u32 op;
	u32 handle; /* of a file: see struct chan_reply */
	u32 cmd;
	u32 flags;
	u64 arg;
	u64 len;
	u64 pos;
	u32 prot;
	u32 inline_len; /* bytes of data[] that are the memory at .arg (or the path) */
};

/* A device node, as stat shows it. */
struct chan_node {
	u32 major, minor, mode, pad;
	char path[64];
};

enum chan_reply_flags {
	CHAN_HAS_FD = 1,  /* receive one descriptor */
	CHAN_TRAPPED = 2, /* MMAP: stores that fault are CHAN_STORE */
};

struct chan_reply {
	s64 rc;	    /* the call's result, or -errno */
	u32 handle; /* of the file that was opened or identified */
	u32 flags;
	u32 prot;      /* MMAP: granted */
	u32 nr_stores; /* in data[]: struct chan_store, then its bytes, padded to 8 */
	u64 pos;       /* MMAP: offset in the descriptor; CHARGED: pinned pages */
	u64 len;       /* CHARGED: locked pages */
	struct chan_node node;
};

struct chan_store {
	u64 uaddr;
	u32 len;
	u32 pad;
};

enum chan_sub_op {
	CHAN_SUB_STORES = 1, /* perform the queued stores now */
	CHAN_SUB_INSTALL,    /* receive a descriptor, answer its number */
	CHAN_SUB_UNDO,	     /* close .fd */
	CHAN_SUB_SEND,	     /* send descriptor .fd */
};

struct chan_sub {
	u32 op;
	s32 fd;
	u32 cloexec;
	u32 handle;    /* INSTALL */
	u32 nr_stores; /* STORES */
	u32 pad;
	s64 rc; /* the shim's answer */
};

struct chan {
	alignas(CACHELINE) _Atomic u32 state;
	alignas(CACHELINE) _Atomic u32 server_sleeps;
	alignas(CACHELINE) _Atomic u32 client_sleeps;
	_Atomic u32 dead; /* the daemon is gone */
	/* Where each side ran last: watching the word is no use when both need the same processor.
	 */
	_Atomic s32 client_cpu;
	_Atomic s32 server_cpu;
	alignas(CACHELINE) struct chan_req req;
	alignas(CACHELINE) struct chan_reply reply;
	alignas(CACHELINE) struct chan_sub sub;
	alignas(CACHELINE) u8 data[CHAN_DATA_LEN];
};
#define CHAN_LEN ((sizeof(struct chan) + 4095) & ~4095ul)

/* The first packet of a connection that wants a channel; '{' starts a control request instead. */
struct chan_hello {
	u32 magic;
	u32 version;
	s32 tid;
	u32 pad;
	u64 cookie; /* of the program's address space: random, new after fork and exec */
};

enum chan_welcome_flags {
	CHAN_WANTS_SHARED = 1, /* hand over shared anonymous memory (CHAN_SHARED) */
};

/* The answer, with the channel's memfd. */
struct chan_welcome {
	s32 rc;
	u32 flags;
};

/* Words of the socket between `ioasis run` and its daemon. */
enum keep_kind {
	KEEP_READY = 1, /* the daemon listens; .key is 0 or -errno, text follows */
	KEEP_CHAN,	/* + memfd: mark it dead when the daemon dies */
	KEEP_BAR,	/* + memfd: fill it with ones then */
	KEEP_EVENT,	/* + eventfd: fire it then */
	KEEP_DROP,	/* forget .key */
	KEEP_END,	/* run -> daemon: finish; the daemon answers with KEEP_REPORT packets */
	KEEP_REPORT,	/* a piece of the JSON report; an empty one ends it */
};
#define KEEP_TEXT_LEN 4096u

struct keep_msg {
	u32 kind;
	u32 len; /* bytes of text */
	s64 key;
	char text[KEEP_TEXT_LEN];
};
#define KEEP_HEAD_LEN offsetof(struct keep_msg, text)

#endif
