/* SPDX-License-Identifier: MIT */
/*
 * shim: a preloaded library that makes a machine's nodes, sysfs and /proc entries appear to a
 * program.
 *
 * It decides nothing: a call on a file of ours becomes a request to the daemon, a path of the
 * machine's /dev or /sys becomes the file under DIR/root that stands for it, everything else goes
 * to the C library untouched. Outside `ioasis run` it does nothing at all.
 *
 * A preloaded library is one per process by nature and has nobody to hand its state down to: `shim`
 * and the thread's own links are the only mutable variables of file scope here.
 */
#ifndef IOASIS_SRC_SHIM_SHIM_H
#define IOASIS_SRC_SHIM_SHIM_H

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "server/server.h"

#define EXPORT __attribute__((visibility("default")))
/* The same function under the name that 64-bit offsets have: one type on 64-bit Linux. */
#define EXPORT_ALIAS(name, target)                                                                 \
	extern __typeof__(target) alias_##name __asm__(#name)                                      \
		__attribute__((alias(#target), visibility("default")))

/* The C library's own. */
#define REAL_FUNCTIONS(X)                                                                          \
	X(openat)                                                                                  \
	X(close)                                                                                   \
	X(close_range)                                                                             \
	X(dup)                                                                                     \
	X(dup2)                                                                                    \
	X(dup3)                                                                                    \
	X(fcntl)                                                                                   \
	X(ioctl)                                                                                   \
	X(read)                                                                                    \
	X(write)                                                                                   \
	X(pread)                                                                                   \
	X(pwrite)                                                                                  \
	X(readv) X(writev) X(mmap) X(munmap) X(mprotect) X(pkey_mprotect) X(readdir) X(fopen)      \
		X(freopen) X(fclose) X(stat) X(lstat) X(fstat) X(fstatat) X(statx) X(faccessat)    \
			X(euidaccess) X(readlinkat) X(realpath) X(opendir) X(scandir) X(scandirat) \
				X(chdir) X(getcwd) X(sigaction) X(pthread_sigmask) X(glob) X(poll) \
					X(ppoll) X(select) X(pselect) X(epoll_ctl) X(preadv)       \
						X(pwritev) X(preadv2) X(pwritev2) X(getxattr)      \
							X(lgetxattr) X(listxattr) X(llistxattr)

struct real {
#define X(name) __typeof__(name) *name;
	REAL_FUNCTIONS(X)
#undef X
};

#define FD_TABLE_LEN 65536u
enum fd_known {
	FD_UNKNOWN = 0, /* ask when it is used */
	FD_FOREIGN = 1, /* larger values: the handle of a file of ours */
};

/* One mapping whose stores are trapped. */
struct trap {
	u64 start, len;
	u64 pos; /* of start, in the file's mmap space */
	u32 handle;
	u8 used;
	bool stores;	/* the program asked for PROT_WRITE */
	bool may_store; /* and may: the file is open for writing */
};
#define MAX_TRAPS 256u

struct shim {
	_Atomic u32 ready; /* 0, 1 being made, 2 */
	bool active;	   /* started by `ioasis run` */
	struct real real;
	char dir[PATH_MAX];
	char root[PATH_MAX]; /* dir/root, canonical */
	size_t root_len;
	pid_t daemon_pid;
	unsigned spin;
	bool wants_shared;
	ino_t dev_dirs[4]; /* of our /dev: their regular files stand for nodes */
	dev_t dev_dirs_dev;
	_Atomic bool lost;	  /* the daemon died */
	_Atomic bool cwd_matters; /* a relative path may lead into the machine's tree */

	/* this process */
	pid_t pid;
	u32 *wiped;	/* a page that a fork zeroes: tells a fork that no handler saw */
	u32 generation; /* of links: moves with each fork */
	u64 cookie;	/* 0: not said hello */
	u64 child_cookie;
	pthread_mutex_t fork_lock;
	sigset_t fork_mask; /* of the thread that forks */
	pthread_key_t thread_key;
	_Atomic u64 hidden[FD_TABLE_LEN / 64]; /* descriptors of our own */
	_Atomic u32 fds[FD_TABLE_LEN];	       /* enum fd_known or a handle: a cache */

	/* traps: written by traps_lock()'s owner, read by the SIGSEGV handler without it */
	pthread_mutex_t trap_lock;
	_Atomic u32 nr_traps; /* high-water mark */
	_Atomic u32 trap_seq; /* odd: being changed */
	struct trap traps[MAX_TRAPS];

	/* the program's idea of the two signals that we handle first */
	bool handling;
	struct sigaction user[2]; /* SIGSEGV, SIGBUS */
};
extern struct shim shim;

void shim_init_slow(void);
static inline bool shim_active(void)
{
	if (unlikely(atomic_load_explicit(&shim.ready, memory_order_acquire) != 2))
		shim_init_slow();
	return shim.active;
}
#define REAL (shim.real)

/* --- link.c: requests ----------------------------------------------------------------------- */
struct call {
	struct chan_req req;
	const void *inline_from; /* program memory that rides along, req.inline_len bytes at most */
	int send_fd;		 /* -1: none */
	bool cloexec;		 /* for a received descriptor */
	int fd;			 /* received; -1 */
	struct chan_reply reply;
};
#define CALL(o, h) ((struct call){.req = {.op = (o), .handle = (h)}, .send_fd = -1, .fd = -1})

/* Return: the daemon's answer; -ENODEV when it is gone. errno is untouched. */
long shim_call(struct call *c);
void link_forked(void); /* in a child: the parent's links are not ours */
void shim_forked_unseen(void);
void link_thread_exit(void *unused);
/* -1 and errno, or the value: how a wrapped function returns. */
static inline long shim_return(long rc)
{
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

/* --- fds.c ---------------------------------------------------------------------------------- */
/* The handle behind a descriptor; 0: not ours. */
u32 fd_handle(int fd);
void fd_set_handle(int fd, u32 handle);
static inline void fd_forget(int fd)
{
	if (fd >= 0 && (unsigned)fd < FD_TABLE_LEN)
		atomic_store_explicit(&shim.fds[fd], FD_UNKNOWN, memory_order_relaxed);
}
static inline u32 fd_cached(int fd)
{
	if (fd < 0 || (unsigned)fd >= FD_TABLE_LEN)
		return FD_UNKNOWN;
	return atomic_load_explicit(&shim.fds[fd], memory_order_relaxed);
}
/* O_RDONLY, O_WRONLY or O_RDWR: how a file of ours was opened. */
int fd_mode(int fd);
void fd_opened(int fd, int flags);
bool fd_hidden(int fd);
int fd_hide(int fd); /* move it up and out of sight. Return: its number */
void fd_unhide_close(int fd);
void fds_forked(bool handles_known);

/* --- path.c --------------------------------------------------------------------------------- */
/* The file to use for a path: @path itself, or @buf (PATH_MAX) with what stands for it. */
/* Copy from the program's memory, at any time. Return: false, and a part copied, where it is not there. */
bool shim_peek(void *to, const void *from, size_t len);
/* May the string be read up to its end? What may not is the kernel's to refuse. */
bool path_readable(const char *path);
const char *path_real(int dirfd, const char *path, char *buf);
/* What the program would call a file in our tree: @path in place. Return: its new length. */
size_t path_back(char *path, size_t len);
/* "/dev/iommu" when a path that path_real() made is a node; NULL otherwise. */
const char *path_node(const char *real_path);
void path_cwd_changed(void);

/* --- node.c: what a node looks like --------------------------------------------------------- */
struct node_look {
	unsigned major, minor, mode;
};
/* Return: false when it is no node's stand-in (a directory, or not there). */
bool node_look_at(const char *real_path, struct node_look *out);
bool node_look_fd(u32 handle, struct node_look *out, char *path64);
void node_patch_stat(struct stat *st, const struct node_look *n);

/* --- others --------------------------------------------------------------------------------- */
int node_open(const char *path, int flags);	   /* -errno */
int proc_status_open(const char *path, int flags); /* fd; -1: not such a path; -errno - 1 */
void sig_install(void);
void sig_thread(void);
size_t shim_copy(void *to, const void *from, size_t len); /* Return: bytes not copied */
extern const char shim_copy_insn[], shim_copy_end[];
bool trap_store(void *addr, void *ucontext);

/* --- trap_table.c: all but lock and unlock under traps_lock() ------------------------------- */
void traps_lock(sigset_t *before);
void traps_unlock(const sigset_t *before);
void traps_forked_unseen(void);
/* Whether so many more can be made; each end of a range that is changed may make one. */
bool traps_room(u32 want);
/* The lowest that overlaps [start, end); NULL. */
const struct trap *traps_first(u64 start, u64 end);
void traps_insert(const struct trap *t);
void traps_cut(u64 start, u64 end);
void traps_protect(u64 start, u64 end, bool stores);
void traps_move(u64 start, u64 end, u64 to);

#endif
