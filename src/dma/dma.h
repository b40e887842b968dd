/* SPDX-License-Identifier: MIT */
/*
 * dma: what device models call; the bodies of include/ioasis/dma.h. The room's one door.
 *
 * One access is: enter an epoch (any) -> hw_xlate() -> copy while inside -> leave. Memory reached by a
 * system call is held by its segment's count first and copied after leaving. The public functions take
 * struct ioasis_dev; these take the port, so that models in the machine and users' models are one.
 */
#ifndef IOASIS_SRC_DMA_DMA_H
#define IOASIS_SRC_DMA_DMA_H

#include "event/event.h"
#include "hw/hw.h"
#include "ioasis/dma.h"

/* One request of a device. */
struct dma_req {
	struct hw_port *port;
	pasid_t pasid;
	iova_t iova;
};

int dma_read(const struct dma_req *req, void *to, size_t len, struct xlate_fault *fault) MUST_CHECK;
int dma_write(const struct dma_req *req, const void *from, size_t len,
	      struct xlate_fault *fault) MUST_CHECK;
int dma_cmpxchg(const struct dma_req *req, u64 *inout_expected, u64 desired, unsigned len) MUST_CHECK;
int dma_span(const struct dma_req *req, size_t len, enum perm perm,
	     struct ioasis_span *out) MUST_CHECK;
void dma_unspan(struct ioasis_span *span);
size_t dma_xlate(struct hw_port *port, pasid_t pasid, enum perm perm, struct ioasis_seg *segs,
		 size_t nr);

#endif
