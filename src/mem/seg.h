/* SPDX-License-Identifier: MIT */
/*
 * Segments: the extents of output address (OA) space, and the memory behind each.
 *
 * OA space belongs to the instance. It is cut into chunks of 1 GiB; a chunk belongs to one segment, or
 * is split into 512 slots of 2 MiB that small segments share. A segment's base is congruent to what it
 * maps (file offset, user address) modulo the largest leaf that fits it (at most 1 GiB), so that huge
 * leaves appear by themselves. Page tables hold OAs and nothing else: a corrupt entry names no segment
 * or another one's bytes, never a wild host pointer. Chunk 0 is never given out, so OA 0 is nothing.
 *
 * Readers look up without a lock inside an epoch; a segment that goes is unlinked, then a grace period
 * passes, then it is freed, and `mem->generation` has moved so that no cached translation names it.
 *
 * Holds: what outlives an epoch (a system call, a span) holds its range of OA. seg_quiesce() waits only
 * for holds that began before it and overlap its range: two neighbours in one buffer never wait for
 * each other, and a stream of new holds cannot starve an unmap.
 */
#ifndef IOASIS_SRC_MEM_SEG_H
#define IOASIS_SRC_MEM_SEG_H

#include "base/base.h"

struct mem;
struct mm;

enum seg_kind {
	SEG_OWN,    /* this process's memory: host == address */
	SEG_SHARED, /* a file both sides map */
	SEG_REMOTE, /* a client's memory by address, through the kernel; host == NULL */
	SEG_TABLES, /* the pool of table pages; host == NULL: DMA never reaches it */
	SEG_TOKEN,  /* memory of a dma-buf token or a device's BAR */
};

#define SEG_CHUNK_LG2 30
#define SEG_SLOT_LG2  21

struct seg {
	enum seg_kind kind;
	oa_t base;
	u64 len;
	u8 *host;	   /* of base; NULL: not directly reachable */
	_Atomic bool dead; /* its memory went away under us (truncated file): every access faults */
	bool writable;
	u8 pgsz_lg2;	   /* of the memory: what a lost page is replaced by */
	bool lingers;	   /* stays, unreferenced, until the instance ends (own memory) */
	struct mm *mm;	   /* remote: whose (a reference) */
	uva_t uva;	   /* remote, own: address of base */
	u64 dev, ino;	   /* shared: which file */
	u64 file_offset;   /* shared: of base */
	_Atomic u32 refs;  /* runs that name it */
	_Atomic u32 nr_holds;
	struct mem *mem;
	struct list node;  /* GUARDED_BY(mem.segs_lock) */
	/* private to mem/ */
	struct list key_node;	       /* GUARDED_BY(mem.segs_lock): provider's look-up */
	_Atomic(struct seg *) watched; /* guard's list */
	bool mapped;		       /* host is our own mmap of a file: unmapped at the end */
};

#define SEG_NO_TICKET UINT32_MAX

/*
 * Hold [oa, oa+len) beyond the epoch the caller is in. Return: a ticket for seg_unhold(), from any
 * thread; SEG_NO_TICKET (nothing held) when a million are out.
 */
u32 seg_hold(struct seg *seg, oa_t oa, u64 len) MUST_CHECK;
void seg_unhold(struct seg *seg, u32 ticket);
/* Wait for the holds on [oa, oa+len) that began before this call. No lock of rank >= RANK_MM held. */
void seg_quiesce(struct seg *seg, oa_t oa, u64 len);

static inline const char *seg_kind_name(enum seg_kind k)
{
	static const char *const names[] = {"own", "shared", "remote", "tables", "token"};
	return names[k];
}

#endif
