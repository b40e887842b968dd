/* SPDX-License-Identifier: MIT */
/*
 * IOTLB: the translations a port has cached, and when they are stale.
 *
 * An entry is one cache line, filled and read without a lock: seq is odd while it is written. It is
 * tagged as hardware tags it, by PASID and domain id; the tag a request looks for comes from the
 * port's context cache. It covers its whole leaf, clipped to the segment behind it.
 *
 * Generations: an entry carries the sum of three counters that only grow: its domain's, its
 * bucket's and the memory's. It is stale once the sum moved, so invalidating costs the same for any
 * number of ports and entries. A bucket is 2 MiB of one domain's IOVA, or 1 GiB of it for larger
 * leaves; an invalidation moves both kinds, so 4 KiB inside a 1 GiB leaf drop that leaf's entry.
 *
 * Order: a fill reads the generations before it walks the tables, software changes the tables
 * before it invalidates; so a walk that missed the change yields an entry that is already stale.
 */
#ifndef IOASIS_SRC_HW_IOTLB_H
#define IOASIS_SRC_HW_IOTLB_H

#include "mem/mem.h"

#define IOTLB_BUCKETS	  1024u /* of each kind */
#define IOTLB_DID_BUCKETS 256u
#define IOTLB_SMALL_LG2	  21u /* a bucket of leaves up to this size */
#define IOTLB_LARGE_LG2	  30u /* a bucket of larger ones; no entry is larger than that */
#define IOTLB_ENTRIES_LG2 10  /* per port */

struct iotlb_gens {
	/* Written under hw->lock only; read by anyone. */
	_Atomic u64 did[IOTLB_DID_BUCKETS];
	_Atomic u64 bucket[2 * IOTLB_BUCKETS];
};

struct iotlb_entry {
	alignas(CACHELINE) _Atomic u32 seq;
	_Atomic u32 meta; /* bucket << 8 | perm; 0: never used */
	_Atomic u64 tag;
	_Atomic u64 start, span; /* last - start */
	_Atomic u64 gen;
	_Atomic u64 oa;	    /* of start */
	_Atomic(u8 *) host; /* of start; NULL: remote */
	_Atomic(struct seg *) seg;
};

/* What a request with @pasid in domain @did looks for; 0 matches nothing. */
#define IOTLB_TAG_VALID (1ull << 63)
static inline u64 iotlb_tag(pasid_t pasid, u32 did) /* pasid < 2^31 */
{
	return IOTLB_TAG_VALID | (u64)pasid.v << 32 | did;
}

/* Is @tag one of @pasid, whatever the domain? A PASID that no tag can hold matches none. */
ALWAYS_INLINE bool iotlb_tag_is(u64 tag, pasid_t pasid)
{
	return tag >> 32 == (IOTLB_TAG_VALID >> 32) + (u64)pasid.v;
}

static inline u32 iotlb_tag_did(u64 tag)
{
	return (u32)tag;
}

/* The bucket of @iova in the domain of @tag, for a leaf of @lg2. */
ALWAYS_INLINE u32 iotlb_bucket(u32 did, u64 iova, unsigned lg2)
{
	u64 page;

	if (lg2 <= IOTLB_SMALL_LG2) {
		page = iova >> IOTLB_SMALL_LG2;
		return (u32)(page ^ page >> 10 ^ did * 0x9e3779b1u >> 7) % IOTLB_BUCKETS;
	}
	page = iova >> IOTLB_LARGE_LG2;
	return IOTLB_BUCKETS + (u32)(page ^ page >> 10 ^ did * 0x9e3779b1u >> 7) % IOTLB_BUCKETS;
}

/* Where the entry of a leaf of @granule_lg2 around @iova lies: one entry serves all of it. */
ALWAYS_INLINE unsigned iotlb_index(u64 iova, unsigned granule_lg2)
{
	u64 page = iova >> granule_lg2;

	return (unsigned)(page ^ page >> IOTLB_ENTRIES_LG2) & ((1u << IOTLB_ENTRIES_LG2) - 1);
}

#endif
