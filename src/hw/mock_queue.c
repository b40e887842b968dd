/* SPDX-License-Identifier: MIT */
/*
 * mock: commands and the fault ring.
 */
#include "hw/mock.h"

static void set_status(struct hw_mock *m, u64 bits) MUST_HOLD(m->hw.lock)
{
	if (!(m->status & bits) && atomic_load(&m->ctrl) & MOCK_CTRL_IRQ)
		m->raise = true;
	m->status |= bits;
}

static bool do_range(struct hw_mock *m, u64 w0, u64 iova) MUST_HOLD(m->hw.lock)
{
	unsigned lg2 = MOCK_CMD_LG2(w0);
	u64 mask = lg2 < 64 ? (1ull << lg2) - 1 : ~0ull;

	if (lg2 > 64 || iova & mask)
		return false;
	iotlb_drop_range(&m->hw, MOCK_CMD_ARG(w0), (struct iova_range){iova, iova | mask});
	return true;
}

/* Return: false when there is no such command. */
static bool do_command(struct hw_mock *m, u64 w0, u64 w1) MUST_HOLD(m->hw.lock)
{
	u32 arg = MOCK_CMD_ARG(w0);

	if (w0 & MOCK_CMD_RSVD)
		return false;
	TRACE(m->hw.env, do_command, "0x%016llx 0x%016llx", (unsigned long long)w0,
	      (unsigned long long)w1);
	switch (MOCK_CMD_OP(w0)) {
	case MOCK_CMD_TLB_ALL:
		iotlb_drop_all(&m->hw);
		return true;
	case MOCK_CMD_TLB_DOMAIN:
		iotlb_drop_domain(&m->hw, arg);
		return true;
	case MOCK_CMD_TLB_RANGE:
		return do_range(m, w0, w1);
	case MOCK_CMD_DEV:
		context_drop_rid(&m->hw, RID(arg), 0);
		return true;
	case MOCK_CMD_DEV_ALL:
		context_drop_all(&m->hw);
		return true;
	case MOCK_CMD_SYNC:
		if (w1 & 3)
			return false;
		if (hw_mem_write(m->hw.mem, OA(w1), &arg, sizeof(arg)))
			TRACE(m->hw.env, do_command, "0x%llx: no memory", (unsigned long long)w1);
		return true;
	default:
		return false;
	}
}

void mock_queue_run(struct hw_mock *m)
{
	u64 nr = mock_ring_nr(m->cq_base), w[2];

	while (atomic_load(&m->ctrl) & MOCK_CTRL_ENABLE && !(m->status & MOCK_STATUS_BAD_CMD) &&
	       m->cq_head != m->cq_tail) {
		if (m->cq_head >= nr || m->cq_tail >= nr ||
		    hw_mem_read(m->hw.mem, OA(MOCK_RING_OA(m->cq_base) + m->cq_head * MOCK_CMD_LEN),
				w, sizeof(w)) ||
		    !do_command(m, w[0], w[1])) {
			set_status(m, MOCK_STATUS_BAD_CMD);
			return;
		}
		m->cq_head = (m->cq_head + 1) % nr;
	}
}

void mock_queue_skip(struct hw_mock *m)
{
	u64 nr = mock_ring_nr(m->cq_base);

	m->cq_head = m->cq_head < nr ? (m->cq_head + 1) % nr : m->cq_tail;
	mock_queue_run(m);
}

static void record(struct hw_mock *m, const struct xlate_fault *f) MUST_HOLD(m->hw.lock)
{
	u64 nr = mock_ring_nr(m->fl_base), next = (m->fl_tail + 1) % nr;
	const u64 rec[4] = {(u64)f->reason | (u64)(f->perm & PERM_RW) << 8 | (u64)f->rid.v << 32,
			    f->pasid.v, f->iova.v, 0};

	if (!MOCK_RING_OA(m->fl_base) || next == m->fl_head || m->fl_tail >= nr ||
	    hw_mem_write(m->hw.mem, OA(MOCK_RING_OA(m->fl_base) + m->fl_tail * MOCK_FAULT_LEN), rec,
			 sizeof(rec))) {
		set_status(m, MOCK_STATUS_OVERFLOW);
		return;
	}
	m->fl_tail = next;
	set_status(m, MOCK_STATUS_FAULT);
}

void mock_record(struct hw_iommu *hw, const struct xlate_fault *fault)
{
	struct hw_mock *m = to_mock(hw);
	bool raise;

	lock_take(&m->hw.lock);
	record(m, fault);
	raise = m->raise;
	m->raise = false;
	lock_drop(&m->hw.lock);
	if (raise && hw->irq)
		hw->irq(hw->irq_arg);
}
