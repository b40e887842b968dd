/* SPDX-License-Identifier: MIT */
/*
 * IOTLB: making entries stale.
 */
#include "hw/hw.h"

/* The only writer holds hw->lock; release, so that who sees it sees the tables it was told about.
 */
static void bump(_Atomic u64 *gen)
{
	atomic_store_explicit(gen, atomic_load_explicit(gen, memory_order_relaxed) + 1,
			      memory_order_release);
}

void iotlb_drop_all(struct hw_iommu *hw)
{
	for (unsigned i = 0; i < IOTLB_DID_BUCKETS; i++)
		bump(&hw->gens.did[i]);
}

void iotlb_drop_domain(struct hw_iommu *hw, u32 did)
{
	bump(&hw->gens.did[did % IOTLB_DID_BUCKETS]);
}

static void drop_buckets(struct hw_iommu *hw, u32 did, struct iova_range r, unsigned lg2)
{
	u64 nr = (r.last >> lg2) - (r.start >> lg2) + 1;

	for (u64 i = 0; i < nr; i++)
		bump(&hw->gens.bucket[iotlb_bucket(did, r.start + (i << lg2), lg2)]);
}

/*
 * Both kinds of bucket move: a large leaf may cover what is dropped, and small leaves lie inside
 * it. More buckets than there are would move each several times: then the domain goes, which costs
 * one.
 */
void iotlb_drop_range(struct hw_iommu *hw, u32 did, struct iova_range r)
{
	if ((r.last >> IOTLB_SMALL_LG2) - (r.start >> IOTLB_SMALL_LG2) >= IOTLB_BUCKETS - 1) {
		iotlb_drop_domain(hw, did);
		return;
	}
	drop_buckets(hw, did, r, IOTLB_SMALL_LG2);
	drop_buckets(hw, did, r, IOTLB_LARGE_LG2);
}
