/* SPDX-License-Identifier: MIT */
/*
 * What the files of mem/ share among themselves; no other room includes it.
 */
#ifndef IOASIS_SRC_MEM_MEM_PRIV_H
#define IOASIS_SRC_MEM_MEM_PRIV_H

#include "mem/mem.h"

#define SEG_CHUNK	  (1ull << SEG_CHUNK_LG2)
#define SEG_SLOT	  (1ull << SEG_SLOT_LG2)
#define SEG_SLOTS	  (1u << (SEG_CHUNK_LG2 - SEG_SLOT_LG2))
#define OWN_MID_LG2	  9
#define OWN_VA_LG2	  48 /* addresses beyond need an explicit hint to mmap: not supported */
#define OWN_TOP_LG2	  (OWN_VA_LG2 - SEG_CHUNK_LG2 - OWN_MID_LG2)
#define SEG_KEYS	  1024u
#define HOLDS_MAX	  (1u << 20)

/* A chunk that small segments share. The entry in the table points at .slots, with bit 0 set. */
struct shared_chunk {
	struct seg_slots slots;
	u64 used[SEG_SLOTS / 64];
	u32 nr_used;
	u32 chunk;
	struct list node;
};

/* One hold: odd seq while it lasts. A slot is claimed by its bit in mem_priv.hold_bits. */
struct hold_slot {
	_Atomic u32 seq;
	_Atomic u64 start, last;
};

static inline u32 seg_hash(u64 key)
{
	return (u32)((key * 0x9e3779b97f4a7c15ull) >> 54) % SEG_KEYS;
}

struct own_mid {
	_Atomic(struct seg *) seg[1u << OWN_MID_LG2];
};

struct mem_priv {
	u64 *chunks; /* GUARDED_BY(segs_lock): bitmap of the chunks in use */
	u32 nr_chunks;
	u32 chunk_hint; /* no free chunk below it */
	struct list shared_chunks;
	struct list keys[SEG_KEYS]; /* remote and shared segments, by hash of their key */
	_Atomic(struct own_mid *) own[1u << OWN_TOP_LG2];
	_Atomic u64 *hold_bits;
	struct hold_slot *holds;
	_Atomic u32 hold_words; /* words of hold_bits that were ever used */
	_Atomic u32 hold_waiters;
	struct list files;	/* GUARDED_BY(segs_lock): offered memfds, oldest check first */
	u32 nr_files;
};

/* What a new segment maps: its base becomes congruent to @offset. */
struct seg_want {
	enum seg_kind kind;
	u8 *host;
	u64 len;
	u64 offset;
};

int seg_table_init(struct mem *mem) MUST_CHECK;
void seg_table_fini(struct mem *mem);

/*
 * An unlinked segment with an extent; the caller completes it, then seg_publish() makes it findable, or
 * seg_abandon() undoes. Both forms of publishing keep the one reference it was born with.
 */
int seg_make(struct mem *mem, const struct seg_want *want, struct seg **out) MUST_CHECK;
void seg_publish_locked(struct seg *seg) MUST_HOLD(seg->mem->segs_lock);
void seg_abandon(struct seg *seg);
bool seg_get_unless_gone(struct seg *seg);

void source_table_fini(struct mem *mem); /* own segments and offered files go */

int mm_table_init(struct mem *mem) MUST_CHECK; /* makes mem->self */
void mm_table_fini(struct mem *mem);

int table_pool_init(struct mem *mem, u64 len) MUST_CHECK;
void table_pool_fini(struct mem *mem);

#endif
