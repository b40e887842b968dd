/* SPDX-License-Identifier: MIT */
#include "event/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define FAULT_TEXT_MAX 160

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

void fault_log_init(struct fault_log *log, struct env *env)
{
	memset(log, 0, sizeof(*log));
	log->env = env;
	log->next_seq = 1;
	lock_init(&log->lock, RANK_EVENT);
	list_init(&log->listeners);
}

void fault_log_fini(struct fault_log *log)
{
	assert(list_empty(&log->listeners));
	lock_fini(&log->lock);
}

static void trace_fault(struct fault_log *log, const struct dma_fault *f)
{
	char text[FAULT_TEXT_MAX];

	if (likely(!atomic_load_explicit(&log->env->trace.on, memory_order_relaxed)))
		return;
	dma_fault_text(f, text, sizeof(text));
	TRACE(log->env, fault_log_add, "%s", text);
}

void fault_log_add(struct fault_log *log, const char *iommu, const struct xlate_fault *f)
{
	struct dma_fault fault = {.iommu = iommu, .f = *f};
	struct list *pos;

	lock_take(&log->lock);
	/* Stamped under the lock: the times rise with the sequence numbers. */
	fault.ns = now_ns();
	fault.seq = log->next_seq++;
	log->ring[fault.seq % FAULT_LOG_LEN] = fault;
	list_for_each(pos, &log->listeners) {
		struct fault_listener *l = list_entry(pos, struct fault_listener, node);

		l->fault(l, &fault);
	}
	lock_drop(&log->lock);
	trace_fault(log, &fault);
}

unsigned fault_log_read(struct fault_log *log, u64 *inout_seq, struct dma_fault *out, unsigned room)
{
	u64 seq, oldest;
	unsigned nr = 0;

	lock_take(&log->lock);
	oldest = log->next_seq > FAULT_LOG_LEN ? log->next_seq - FAULT_LOG_LEN : 1;
	for (seq = max(*inout_seq, oldest); seq < log->next_seq && nr < room; seq++)
		out[nr++] = log->ring[seq % FAULT_LOG_LEN];
	/* One who asks for the future is put right, or would wait for ever. */
	*inout_seq = min(seq, log->next_seq);
	lock_drop(&log->lock);
	return nr;
}

void fault_log_listen(struct fault_log *log, struct fault_listener *l)
{
	lock_take(&log->lock);
	list_push_back(&log->listeners, &l->node);
	lock_drop(&log->lock);
}

void fault_log_unlisten(struct fault_log *log, struct fault_listener *l)
{
	lock_take(&log->lock);
	list_del(&l->node);
	lock_drop(&log->lock);
}

static const char *access_name(u8 perm)
{
	switch (perm & PERM_RW) {
	case PERM_R:
		return "read";
	case PERM_W:
		return "write";
	case PERM_RW:
		return "read-write";
	}
	return "none";
}

void dma_fault_text(const struct dma_fault *f, char *buf, size_t len)
{
	char pasid[16] = "-", code[48] = "";

	if (f->f.pasid.v != NO_PASID.v)
		snprintf(pasid, sizeof(pasid), "%" PRIu32, f->f.pasid.v);
	if (f->f.code)
		snprintf(code, sizeof(code), " (%s reason %" PRIu32 ")", f->iommu, f->f.code);
	snprintf(buf, len, "[DMA %s] %02x:%02x.%x iova %#" PRIx64 " pasid %s: %s%s",
		 access_name(f->f.perm), f->f.rid.v >> 8 & 0xff, f->f.rid.v >> 3 & 0x1f,
		 f->f.rid.v & 7, f->f.iova.v, pasid, xlate_reason_name(f->f.reason), code);
}
