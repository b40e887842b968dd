/* SPDX-License-Identifier: MIT */
/*
 * The mock model's own state, for its files only: mock.c (registers, tables), mock_queue.c
 * (commands, fault ring).
 */
#ifndef IOASIS_SRC_HW_MOCK_H
#define IOASIS_SRC_HW_MOCK_H

#include "hw/hw.h"

struct hw_mock {
	struct hw_iommu hw;
	_Atomic u64 ctrl, dt_base; /* read by translations without the lock */
	/* GUARDED_BY(hw.lock) from here */
	u64 cq_base, cq_head, cq_tail;
	u64 fl_base, fl_head, fl_tail;
	u64 status;
	bool raise;
};

static inline struct hw_mock *to_mock(struct hw_iommu *hw)
{
	return container_of(hw, struct hw_mock, hw);
}

static inline u64 mock_ring_nr(u64 base)
{
	return 1ull << min(MOCK_RING_LG2(base), MOCK_RING_MAX_LG2);
}

void mock_queue_run(struct hw_mock *m) MUST_HOLD(m->hw.lock);
/* Go on behind the command that stopped the engine. */
void mock_queue_skip(struct hw_mock *m) MUST_HOLD(m->hw.lock);
void mock_record(struct hw_iommu *hw, const struct xlate_fault *fault);

#endif
