/* SPDX-License-Identifier: MIT */
/*
 * Files that are memory: opening the one behind a client's mapping, and mapping each once. Private to
 * mem/.
 */
#ifndef IOASIS_SRC_MEM_FILE_H
#define IOASIS_SRC_MEM_FILE_H

#include "mem/mem.h"
#include "mem/proc.h"

/* A memory file, as somebody names it. */
struct file_id {
	u64 dev, ino;
	bool writable; /* whoever names it may write it */
};

/* memfd, tmpfs and hugetlb answer F_GET_SEALS; nothing else does. */
bool file_is_memory(int fd);

/*
 * The segment that maps byte @offset of the file, with a reference; made of @fd when there is none.
 * @fd: -1 finds only. Return: 0; -ENOENT none and no fd; -EPERM not to be written; -EINVAL past the
 * file's end; -ENOMEM.
 */
int file_seg(struct mem *mem, const struct file_id *id, int fd, u64 offset,
	     struct seg **out) MUST_CHECK;
/* Have the kernel bring the pages in, as a pin would. Return: 0; -EFAULT past the end; -ENOMEM. */
int file_populate(struct seg *seg, oa_t oa, u64 len) MUST_CHECK;

/*
 * Open the file behind a shared mapping of a client. Return: a descriptor of memory; -ENXIO it is
 * memory, but cannot be opened here; -EFAULT it is not memory.
 */
int file_open_vma(struct mm *mm, const struct vma *vma) MUST_CHECK;

bool file_can_map_files(void); /* /proc/PID/map_files can be opened here */
void file_table_fini(struct mem *mem);

#endif
