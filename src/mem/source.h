/* SPDX-License-Identifier: MIT */
/*
 * Source: where the bytes of a mapping come from, and how they become runs of OA.
 *
 * The provider is chosen when the bytes are first needed (an IOMMU's table or an access pin), by asking
 * the kernel what lies there now, never from a memory of the program's mmaps. A dead mm or a hole in
 * the range is -EFAULT then, not at MAP.
 */
#ifndef IOASIS_SRC_MEM_SOURCE_H
#define IOASIS_SRC_MEM_SOURCE_H

#include "mem/mm.h"
#include "mem/seg.h"

enum source_kind {
	SOURCE_OWN,   /* this process's memory at .host */
	SOURCE_USER,  /* .mm's memory at .uva */
	SOURCE_FILE,  /* a file's bytes from .offset; .fd is ours */
	SOURCE_TOKEN, /* a segment made beforehand (dma-buf token): .seg, from .offset */
};

struct source {
	enum source_kind kind;
	struct mm *mm; /* USER: whose memory; every kind: whom to charge. A reference. */
	uva_t uva;
	void *host;
	int fd;
	u64 offset; /* bytes, page aligned */
	struct seg *seg;
	bool writable; /* asked for */
};

/* [first, first+len) bytes of the source are [oa, oa+len) of seg. */
struct run {
	u64 first;
	u64 len;
	oa_t oa;
	struct seg *seg; /* a reference */
};

struct runs {
	u32 nr;
	u32 cap;
	struct run *v;	   /* by .first, without holes */
	struct run one;	   /* v points here while one is enough */
};

/**
 * source_resolve() - Find the memory behind whole pages of a source
 * @first: bytes from the source's start, page aligned; @len: bytes, whole pages
 *
 * Context: may make system calls; no lock of rank >= RANK_MM.
 * Return: 0, and @out owns references; -EFAULT hole, dead mm, or no right; -EPERM not writable;
 *         -ENOMEM. @out is untouched on error.
 */
int source_resolve(struct mem *mem, const struct source *src, u64 first, u64 len,
		   struct runs *out) MUST_CHECK;
void runs_release(struct mem *mem, struct runs *runs); /* an empty or zeroed one is fine */

#endif
