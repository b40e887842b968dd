/* SPDX-License-Identifier: MIT */
/*
 * What mem/ asks /proc about a client. Private to mem/.
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

#endif
