/* SPDX-License-Identifier: MIT */
/*
 * mm: one client's address space, as the daemon knows it, and what is charged to it.
 *
 * Bound to the address space, not to the pid: a /proc/PID/mem descriptor tells when it died (exec or
 * exit). The library's own process is an mm too (`self`).
 *
 * Accounting happens once, when memory is pinned, by the capabilities of the client that maps:
 * per user (default: every client of one uid shares a count against RLIMIT_MEMLOCK; CAP_IPC_LOCK lifts
 * the limit, the pages stay counted in pinned) or per mm (RLIMIT_MODE=1: locked_vm).
 * Source: linux drivers/iommu/iommufd/pages.c.
 */
#ifndef IOASIS_SRC_MEM_MM_H
#define IOASIS_SRC_MEM_MM_H

#include "base/base.h"

struct mem;
struct mm_user;

enum account_mode {
	ACCOUNT_NONE, /* CAP_IPC_LOCK was held at MAP: no limit, pinned_vm is still counted */
	ACCOUNT_USER,
	ACCOUNT_MM,
};

struct mm {
	_Atomic u32 refs;
	struct mem *mem;
	pid_t pid;
	uid_t uid;
	int mem_fd;   /* /proc/PID/mem: reads 0 bytes once the mm is gone; -1 for self */
	int maps_fd;  /* /proc/PID/maps; -1 for self */
	int pid_fd;
	bool self;
	_Atomic bool dead;
	_Atomic u64 pinned_pages; /* VmPin */
	_Atomic u64 locked_pages; /* VmLck, ACCOUNT_MM only */
	_Atomic u64 memlock;	  /* RLIMIT_MEMLOCK when last read, bytes: for a client that is gone */
	struct mm_user *user;	  /* what its uid shares */
	struct list node;
};

/* Find or make the mm of a live process. Return: 0; -ESRCH; -EPERM no right to look into it; -ENOMEM. */
int mm_attach(struct mem *mem, pid_t pid, struct mm **out) MUST_CHECK;
struct mm *mm_self(struct mem *mem); /* takes a reference */
struct mm *mm_get(struct mm *mm);
void mm_put(struct mm *mm);
bool mm_alive(struct mm *mm);

/*
 * Copy between daemon memory and a client's addresses, as a system call of the client would: with the
 * rights its mapping has now. Return: 0; -EFAULT (also when short); -ESRCH the mm is gone.
 */
int mm_read(struct mm *mm, uva_t from, void *to, u64 len);
int mm_write(struct mm *mm, uva_t to, const void *from, u64 len);
/*
 * The same as DMA to memory whose rights were settled when it was mapped for DMA: bound to the address
 * space (an exec ends it), and a later mprotect() changes nothing, as with a real pin.
 */
int mm_dma_read(struct mm *mm, uva_t from, void *to, u64 len) MUST_CHECK;
int mm_dma_write(struct mm *mm, uva_t to, const void *from, u64 len) MUST_CHECK;

/* Does the task (a thread: each has its own) have capability CAP_* now? Return: 0; -ESRCH. */
int task_capable(pid_t tid, unsigned cap, bool *out) MUST_CHECK;

/* Pages that every client of @uid together has charged in ACCOUNT_USER mode. */
u64 mm_user_locked(struct mem *mem, uid_t uid);

/* Charge or release @nr pages. Return: 0; -ENOMEM over the limit (nothing charged); -EINVAL per mm and
 * the mm is gone. */
int mm_charge(struct mm *mm, enum account_mode mode, u64 nr_pages) MUST_CHECK;
void mm_uncharge(struct mm *mm, enum account_mode mode, u64 nr_pages);

#endif
