/* SPDX-License-Identifier: MIT */
/**
 * DOC: DMA
 *
 * What a device model calls. Every access is translated by the device's IOMMU, permission and all, and
 * is safe against an unmap at the same moment: when unmap has returned, no access is inside the memory.
 *
 * An access that is refused returns -EFAULT and is recorded as a fault of the device. As on a bus, the
 * pieces before the refused one have been done.
 */
#ifndef IOASIS_DMA_H
#define IOASIS_DMA_H

#include <stddef.h>
#include <stdint.h>

#include <ioasis/compiler.h>

IOASIS_BEGIN_DECLS

struct ioasis_dev;

/**
 * ioasis_dma_read() - The device reads memory
 * Context: any thread, several per device; sleeps only when the memory is another process's and not
 * shared with this one.
 * Return: 0; -EFAULT refused, or the memory is gone.
 */
IOASIS_API int ioasis_dma_read(struct ioasis_dev *dev, uint64_t iova, void *to, size_t len) IOASIS_MUST_CHECK;

/**
 * ioasis_dma_write() - The device writes memory; marks it dirty where tracking is on
 * Return: as ioasis_dma_read().
 */
IOASIS_API int ioasis_dma_write(struct ioasis_dev *dev, uint64_t iova, const void *from,
		     size_t len) IOASIS_MUST_CHECK;

/**
 * ioasis_dma_cmpxchg() - The device's atomic compare-and-swap
 * @len: 4 or 8, @iova a multiple of it
 * @inout_expected: what must be there; what was there, on return
 * Return: 0 (swapped or not: compare); -EFAULT; -EINVAL len or alignment; -EOPNOTSUPP memory that is
 * only reached by copying.
 */
IOASIS_API int ioasis_dma_cmpxchg(struct ioasis_dev *dev, uint64_t iova, uint64_t *inout_expected,
		       uint64_t desired, size_t len) IOASIS_MUST_CHECK;

enum ioasis_dma_perm {
	IOASIS_DMA_R = 1,
	IOASIS_DMA_W = 2,
};

/**
 * struct ioasis_span - A piece of memory that a device may touch directly
 * @host: where, in this process
 * @len: bytes, at most what was asked for
 */
struct ioasis_span {
	void *host;
	size_t len;
	/* private */
	void *seg;
	uint64_t oa;
	uint32_t ticket;
	uint32_t perm;
	void *port;
	uint64_t iova;
	uint32_t pasid;
};

/**
 * ioasis_dma_span() - Look at memory without copying
 * @perm: IOASIS_DMA_R | IOASIS_DMA_W
 *
 * The longest directly reachable piece at @iova, up to @len. It stays valid until
 * ioasis_dma_unspan(): an unmap of it waits. Hold it shortly; for long holds use an access object.
 * Return: 0; -EFAULT refused; -EOPNOTSUPP memory that is only reached by copying.
 */
IOASIS_API int ioasis_dma_span(struct ioasis_dev *dev, uint64_t iova, size_t len, unsigned perm,
		    struct ioasis_span *out) IOASIS_MUST_CHECK;

/** ioasis_dma_unspan() - Give a span back, from any thread. */
IOASIS_API void ioasis_dma_unspan(struct ioasis_dev *dev, struct ioasis_span *span);

/**
 * struct ioasis_seg - One piece of a batched translation
 * @iova: in: where; @len: in: bytes
 * @oa: out: output address; @last: out: last IOVA that continues contiguously
 * @rc: out: 0 or -EFAULT
 * @direct: out: 1 when it can be spanned, 0 when it is reached by copying
 */
struct ioasis_seg {
	uint64_t iova;
	uint64_t len;
	uint64_t oa;
	uint64_t last;
	int rc;
	uint32_t direct;
};

/**
 * ioasis_dma_xlate() - Translate pieces, all under one grace period
 * Return: how many succeeded (0..nr). A refused one is recorded as a fault.
 */
IOASIS_API size_t ioasis_dma_xlate(struct ioasis_dev *dev, unsigned perm, struct ioasis_seg *segs, size_t nr);

IOASIS_END_DECLS

#endif
