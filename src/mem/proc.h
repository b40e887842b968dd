/* SPDX-License-Identifier: MIT */
/*
 * What mem/ asks the kernel about a client. Private to mem/.
 */
#ifndef IOASIS_SRC_MEM_PROC_H
#define IOASIS_SRC_MEM_PROC_H

#include "mem/mm.h"

/* What every client of one uid shares. */
struct mm_user {
	uid_t uid;
	u32 refs; /* GUARDED_BY(mem.mm_lock) */
	_Atomic u64 locked_pages;
	struct list node;
};

u64 mm_memlock(struct mm *mm);

/* One mapping of a client, [start, end). */
struct vma {
	u64 start, end;
	bool read, write, shared;
	u64 offset;   /* in the file */
	u64 dev, ino; /* of the file; ino 0: none */
};

/*
 * The mapping that covers @addr now, as the kernel tells it: one answer is consistent in itself, two
 * answers are not with each other. @name: NULL, or room for PATH_MAX bytes of its file's name.
 * Return: 0; -EFAULT nothing lies there; -ESRCH the mm is gone.
 */
int vma_find(struct mm *mm, u64 addr, struct vma *out, char *name) MUST_CHECK;
bool vma_can_query(void); /* PROCMAP_QUERY works here */

#endif
