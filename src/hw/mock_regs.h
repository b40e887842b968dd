/* SPDX-License-Identifier: MIT */
/*
 * The mock IOMMU's registers, tables, commands and fault log: our own layout, kept as plain as it
 * can be, so that the object model can be tried on hardware with dirty bits, PASIDs and 2 KiB
 * pages.
 *
 * Registers are 8 bytes. Entries of tables and rings are little-endian 64-bit words.
 */
#ifndef IOASIS_SRC_HW_MOCK_REGS_H
#define IOASIS_SRC_HW_MOCK_REGS_H

#include "base/base.h"

enum mock_reg {
	MOCK_ID = 0x00,	     /* read only: MOCK_ID_VALUE */
	MOCK_CTRL = 0x08,    /* MOCK_CTRL_* */
	MOCK_DT_BASE = 0x10, /* OA of the device directory */
	MOCK_CQ_BASE = 0x18, /* OA of the command ring | log2 of its entries in 5:0 */
	MOCK_CQ_HEAD = 0x20, /* read only: index of the next command */
	MOCK_CQ_TAIL = 0x28, /* index behind the last command; a write starts the engine */
	MOCK_FL_BASE = 0x30, /* OA of the fault ring | log2 of its entries */
	MOCK_FL_HEAD = 0x38, /* index of the first record that software has not taken */
	MOCK_FL_TAIL = 0x40, /* read only: index behind the last record */
	MOCK_STATUS = 0x48,  /* MOCK_STATUS_*, write 1 to clear */
	MOCK_REGS_LEN = 0x1000,
};

#define MOCK_ID_VALUE	     0x6d6f636b00000001ull

#define MOCK_CTRL_ENABLE     1u /* off: everything is blocked */
#define MOCK_CTRL_IRQ	     2u

#define MOCK_STATUS_OVERFLOW 1u /* a fault was lost */
#define MOCK_STATUS_BAD_CMD  2u /* the engine stopped at CQ_HEAD; clearing it goes on behind it */
#define MOCK_STATUS_FAULT    4u /* a record was written since it was cleared */

#define MOCK_RING_OA(v)	     ((v) & ~0xfffull)
#define MOCK_RING_LG2(v)     ((unsigned)(v)&0x3f)
#define MOCK_RING_MAX_LG2    16u

/*
 * Device directory: 256 words by bus, each MOCK_DIR_P | OA of 256 device entries by devfn.
 * A device entry is four words: the translation without PASID (two), the PASID directory, zero.
 * PASID directory: two levels of words, by PASID >> 17 and PASID >> 8 & 511, each MOCK_DIR_P | OA;
 * then 256 entries of two words.
 */
#define MOCK_DIR_P	     1ull
#define MOCK_DIR_OA(v)	     ((v) & ~0xfffull)
#define MOCK_DIR_RSVD	     0xffeull
#define MOCK_DEV_WORDS	     4u
#define MOCK_DEV_LEN	     (MOCK_DEV_WORDS * 8 * 256)
#define MOCK_PASID_BITS	     20u
#define MOCK_PASID_HIGH(p)   ((p) >> 17)
#define MOCK_PASID_MID(p)    ((p) >> 8 & 511)
#define MOCK_PASID_LOW(p)    ((p)&255)

/* A translation: word 0 as here, word 1 the domain id in 31:0. */
#define MOCK_ENT_V	     1ull
#define MOCK_ENT_D	     2ull /* maintain dirty bits */
#define MOCK_ENT_TOP(t)	     ((u64)(t) << 2)
#define MOCK_ENT_GET_TOP(v)  ((unsigned)((v) >> 2) & 7)
#define MOCK_ENT_OA(v)	     ((v)&0x000ffffffffff000ull)
#define MOCK_ENT_RSVD	     0xfff0000000000fe0ull

/* Commands: two words. Word 0: opcode 7:0, log2 of bytes 15:8, what it is about 63:32. */
enum mock_cmd {
	MOCK_CMD_TLB_ALL = 1,
	MOCK_CMD_TLB_DOMAIN = 2, /* domain id */
	MOCK_CMD_TLB_RANGE = 3,	 /* domain id, log2; word 1: IOVA, a multiple of 2^log2 */
	MOCK_CMD_DEV = 4,	 /* RID in 63:32: forget its entries, of every PASID */
	MOCK_CMD_DEV_ALL = 5,
	MOCK_CMD_SYNC = 6, /* data in 63:32 is stored at the OA in word 1, a multiple of 4 */
};
#define MOCK_CMD_OP(v)		    ((unsigned)(v)&0xff)
#define MOCK_CMD_LG2(v)		    ((unsigned)((v) >> 8) & 0xff)
#define MOCK_CMD_ARG(v)		    ((u32)((v) >> 32))
#define MOCK_CMD_MAKE(op, lg2, arg) ((u64)(op) | (u64)(lg2) << 8 | (u64)(arg) << 32)
#define MOCK_CMD_RSVD		    0xffff0000ull
#define MOCK_CMD_LEN		    16u

/* A fault record, four words: reason 7:0, perm 9:8, RID 63:32; PASID; IOVA; zero. */
#define MOCK_FAULT_LEN		    32u

#endif
