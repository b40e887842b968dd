/* SPDX-License-Identifier: MIT */
/*
 * event: what hardware reports, kept for those who ask. The room's one door.
 *
 * The fault log is a ring of the last faults of the instance; the producer never blocks, a reader that
 * falls behind learns how many it lost from the sequence numbers. Page-request and vIOMMU event queues
 * join it in this room later.
 */
#ifndef IOASIS_SRC_EVENT_EVENT_H
#define IOASIS_SRC_EVENT_EVENT_H

#include "hw/hw.h"

#define FAULT_LOG_LEN 256u

struct dma_fault {
	u64 seq; /* from 1 */
	const char *iommu;
	struct xlate_fault f;
	u64 ns; /* CLOCK_MONOTONIC */
};

/* Someone who wants each fault as it happens; called with the log's lock held, must not block. */
struct fault_listener {
	struct list node;
	void (*fault)(struct fault_listener *l, const struct dma_fault *f);
};

struct fault_log {
	struct env *env;
	struct lock lock; /* RANK_EVENT */
	u64 next_seq;
	struct dma_fault ring[FAULT_LOG_LEN];
	struct list listeners;
};

void fault_log_init(struct fault_log *log, struct env *env);
void fault_log_fini(struct fault_log *log);
void fault_log_add(struct fault_log *log, const char *iommu, const struct xlate_fault *f);
/* Copy faults with seq >= *inout_seq, oldest first. Return: how many; *inout_seq is the next to ask. */
unsigned fault_log_read(struct fault_log *log, u64 *inout_seq, struct dma_fault *out, unsigned max);
void fault_log_listen(struct fault_log *log, struct fault_listener *l);
void fault_log_unlisten(struct fault_log *log, struct fault_listener *l);
/* "[DMA write] 01:00.0 iova 0x... pasid -: not present (vtd reason 5)" into @buf. */
void dma_fault_text(const struct dma_fault *f, char *buf, size_t len);

#endif
