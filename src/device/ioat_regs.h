/* SPDX-License-Identifier: MIT */
/*
 * Intel QuickData Technology (I/OAT) 3.3: registers and descriptors. Facts of the hardware.
 *
 * Source: Intel 5100 MCH and Xeon E5 datasheets (CB_BAR registers); linux
 * drivers/dma/ioat/registers.h, hw.h; DPDK drivers/dma/ioat/ioat_hw_defs.h.
 */
#ifndef IOASIS_SRC_DEVICE_IOAT_REGS_H
#define IOASIS_SRC_DEVICE_IOAT_REGS_H

#include "base/base.h"

/* General registers: byte offsets in BAR 0. */
#define IOAT_CHANCNT		   0x00 /* 8 */
#define IOAT_XFERCAP		   0x01 /* 8: log2 of the longest transfer */
#define IOAT_GENCTRL		   0x02 /* 8 */
#define IOAT_INTRCTRL		   0x03 /* 8 */
#define IOAT_ATTNSTATUS		   0x04 /* 32: a bit per channel */
#define IOAT_CBVER		   0x08 /* 8: major and minor in nibbles */
#define IOAT_INTRDELAY		   0x0c /* 16 */
#define IOAT_CS_STATUS		   0x0e /* 16 */
#define IOAT_DMACAPABILITY	   0x10 /* 32 */

#define IOAT_INTRCTRL_MASTER_EN	   0x01
#define IOAT_INTRCTRL_STATUS	   0x02 /* some channel asks for attention */
#define IOAT_INTRCTRL_INT	   0x04 /* STATUS and MASTER_EN */
#define IOAT_INTRCTRL_MSIX_VECTOR  0x08 /* a vector per channel */
#define IOAT_CS_REMAPPING	   0x0008
#define IOAT_CAP_FILL		   0x00000040

/* Channel 0: byte offsets in BAR 0. */
#define IOAT_CHANCTRL		   0x80 /* 16 */
#define IOAT_DMA_COMP		   0x82 /* 16 */
#define IOAT_CHANCMD		   0x84 /* 8 */
#define IOAT_DMACOUNT		   0x86 /* 16: descriptors ever asked for since CHAINADDR was written */
#define IOAT_CHANSTS		   0x88 /* 64: last completed descriptor | status */
#define IOAT_CHAINADDR		   0x90 /* 64 */
#define IOAT_CHANCMP		   0x98 /* 64: where CHANSTS is written back */
#define IOAT_CDAR		   0xa0 /* 64: descriptor in progress */
#define IOAT_CHANERR		   0xa8 /* 32: write 1 to clear */
#define IOAT_CHANERR_MASK	   0xac /* 32: errors that do not interrupt */
#define IOAT_DCACTRL		   0xb0 /* 32 */

#define IOAT_CHANCTRL_INT_DISABLE  0x0001 /* set when an interrupt was sent; write 1 rearms */
#define IOAT_CHANCTRL_ERR_COMPL_EN 0x0004
#define IOAT_CHANCTRL_ERR_INT_EN   0x0010
#define IOAT_CHANCTRL_WRITABLE	   0xf33c
#define IOAT_DMA_COMP_V2	   0x0002

#define IOAT_CMD_START		   0x01
#define IOAT_CMD_APPEND		   0x02
#define IOAT_CMD_SUSPEND	   0x04
#define IOAT_CMD_ABORT		   0x08
#define IOAT_CMD_RESUME		   0x10
#define IOAT_CMD_RESET		   0x20

#define IOAT_STS_ACTIVE		   0u
#define IOAT_STS_DONE		   1u
#define IOAT_STS_SUSPENDED	   2u
#define IOAT_STS_HALTED		   3u
#define IOAT_STS_ARMED		   4u
#define IOAT_STS_MASK		   7u

#define IOAT_ERR_SRC_ADDR	   0x00001u
#define IOAT_ERR_DST_ADDR	   0x00002u
#define IOAT_ERR_NEXT_ADDR	   0x00004u
#define IOAT_ERR_DESC_ALIGN	   0x00008u
#define IOAT_ERR_CHAIN_ADDR	   0x00010u
#define IOAT_ERR_CHANCMD	   0x00020u
#define IOAT_ERR_CONTROL	   0x00400u
#define IOAT_ERR_LENGTH		   0x00800u
#define IOAT_ERR_COMPL_ADDR	   0x01000u
#define IOAT_ERR_DESC_COUNT	   0x40000u

#define IOAT_DESC_INT		   0x001u
#define IOAT_DESC_COMPL		   0x008u
#define IOAT_DESC_FENCE		   0x010u
#define IOAT_DESC_NULL		   0x020u
#define IOAT_DESC_BUNDLE	   0x100u
#define IOAT_DESC_RESERVED	   0x00fff800u
#define IOAT_DESC_OP_SHIFT	   24
#define IOAT_OP_COPY		   0x00u
#define IOAT_OP_FILL		   0x01u
#define IOAT_OP_XOR		   0x87u
#define IOAT_OP_PQ		   0x89u

struct ioat_desc {
	u32 size;
	u32 ctl;
	u64 src; /* FILL: the pattern */
	u64 dst;
	u64 next;
	u64 reserved[4];
};
static_assert(sizeof(struct ioat_desc) == 64, "a descriptor is a cache line");

#endif
