/* SPDX-License-Identifier: MIT */
/*
 * VT-d register offsets, descriptor and entry layouts: facts shared by the model and its driver.
 *
 * Source: Intel Virtualization Technology for Directed I/O, Architecture Specification, rev. 4.1:
 * registers ch. 11, root and context entries ch. 9, descriptors 6.5.2, fault reasons 7.1.3. The
 * numbers agree with linux drivers/iommu/intel/iommu.h.
 */
#ifndef IOASIS_SRC_HW_VTD_REGS_H
#define IOASIS_SRC_HW_VTD_REGS_H

#include "base/base.h"

#define VTD_BIT(n) (1ull << (n))

/* Register offsets; width in bytes behind each. */
enum vtd_reg {
	VTD_VER = 0x00,	    /* 4 */
	VTD_CAP = 0x08,	    /* 8 */
	VTD_ECAP = 0x10,    /* 8 */
	VTD_GCMD = 0x18,    /* 4, write only */
	VTD_GSTS = 0x1c,    /* 4, read only */
	VTD_RTADDR = 0x20,  /* 8 */
	VTD_FSTS = 0x34,    /* 4 */
	VTD_FECTL = 0x38,   /* 4 */
	VTD_FEDATA = 0x3c,  /* 4 */
	VTD_FEADDR = 0x40,  /* 4 */
	VTD_FEUADDR = 0x44, /* 4 */
	VTD_IQH = 0x80,	    /* 8, read only */
	VTD_IQT = 0x88,	    /* 8 */
	VTD_IQA = 0x90,	    /* 8 */
	VTD_ICS = 0x9c,	    /* 4 */
	VTD_IECTL = 0xa0,   /* 4 */
	VTD_IEDATA = 0xa4,  /* 4 */
	VTD_IEADDR = 0xa8,  /* 4 */
	VTD_IEUADDR = 0xac, /* 4 */
	VTD_IQERCD = 0xb0,  /* 8, read only */
	VTD_FRCD = 0x200,   /* fault records, 16 bytes each: CAP.FRO says so */
	VTD_IOTLB = 0x500,  /* ECAP.IRO; register-based invalidation is absent: reads 0 */
	VTD_REGS_LEN = 0x1000,
};

/* VER: major in 7:4, minor in 3:0. */
#define VTD_VERSION	     0x40u

/* CAP */
#define VTD_CAP_ND_64K	     6ull /* 2:0: 2^16 domain ids */
#define VTD_CAP_SAGAW_39     VTD_BIT(9)
#define VTD_CAP_SAGAW_48     VTD_BIT(10)
#define VTD_CAP_MGAW(bits)   ((u64)((bits)-1) << 16)
#define VTD_CAP_FRO(off)     ((u64)((off) / 16) << 24)
#define VTD_CAP_SLLPS_2M     VTD_BIT(34)
#define VTD_CAP_SLLPS_1G     VTD_BIT(35)
#define VTD_CAP_PSI	     VTD_BIT(39)
#define VTD_CAP_NFR(nr)	     ((u64)((nr)-1) << 40)
#define VTD_CAP_MAMV(am)     ((u64)(am) << 48)
#define VTD_CAP_DWD	     VTD_BIT(54)
#define VTD_CAP_DRD	     VTD_BIT(55)
#define VTD_CAP_GET_SAGAW(c) ((unsigned)((c) >> 8) & 0x1f)
#define VTD_CAP_GET_MGAW(c)  (((unsigned)((c) >> 16) & 0x3f) + 1)
#define VTD_CAP_GET_FRO(c)   (((u32)((c) >> 24) & 0x3ff) * 16)
#define VTD_CAP_GET_NFR(c)   (((unsigned)((c) >> 40) & 0xff) + 1)
#define VTD_CAP_GET_MAMV(c)  ((unsigned)((c) >> 48) & 0x3f)
#define VTD_CAP_GET_NDOMS(c) (1u << (4 + 2 * ((c)&7)))

/* ECAP */
#define VTD_ECAP_C	     VTD_BIT(0) /* page walks snoop */
#define VTD_ECAP_QI	     VTD_BIT(1)
#define VTD_ECAP_SC	     VTD_BIT(7)
#define VTD_ECAP_IRO(off)    ((u64)((off) / 16) << 8)
#define VTD_ECAP_NEST	     VTD_BIT(26)
#define VTD_ECAP_SMTS	     VTD_BIT(43)
#define VTD_ECAP_SLADS	     VTD_BIT(45)

/* GCMD and GSTS: the same positions */
#define VTD_GCMD_TE	     (1u << 31)
#define VTD_GCMD_SRTP	     (1u << 30)
#define VTD_GCMD_QIE	     (1u << 26)

/* RTADDR */
#define VTD_RTADDR_TTM(v)    ((unsigned)((v) >> 10) & 3) /* 0: legacy */
#define VTD_RTADDR_RTA(v)    ((v) & ~0xfffull)

/* FSTS */
#define VTD_FSTS_PFO	     (1u << 0)
#define VTD_FSTS_PPF	     (1u << 1)
#define VTD_FSTS_IQE	     (1u << 4)
#define VTD_FSTS_FRI(v)	     (((v) >> 8) & 0xff)

/* FECTL, IECTL */
#define VTD_EVENT_IM	     (1u << 31)
#define VTD_EVENT_IP	     (1u << 30)

#define VTD_ICS_IWC	     1u

/* IQA, IQT, IQH. A descriptor is 16 bytes; 2^(QS + 8) of them. */
#define VTD_IQA_QS(v)	     ((unsigned)(v)&7)
#define VTD_IQA_DW	     VTD_BIT(11)
#define VTD_IQA_BASE(v)	     ((v) & ~0xfffull)
#define VTD_IQT_MASK	     0x7fff0ull
#define VTD_DESC_LG2	     4u

/* IQERCD.IQEI */
enum vtd_iqei {
	VTD_IQEI_NONE = 0,
	VTD_IQEI_TAIL = 1,  /* invalid tail */
	VTD_IQEI_FETCH = 2, /* the descriptor is not in memory */
	VTD_IQEI_TYPE = 3,
	VTD_IQEI_RSVD = 4,
	VTD_IQEI_WIDTH = 5,
};

/* A fault record. low: page address; high as here. */
#define VTD_FRCD_LO_FI(v)    ((v) & ~0xfffull)
#define VTD_FRCD_HI_SID(v)   ((u32)(v)&0xffff)
#define VTD_FRCD_HI_PP	     VTD_BIT(31)
#define VTD_FRCD_HI_FR(v)    ((u32)((v) >> 32) & 0xff)
#define VTD_FRCD_HI_PASID(v) ((u32)((v) >> 40) & 0xfffff)
#define VTD_FRCD_HI_READ     VTD_BIT(62) /* T1: a read */
#define VTD_FRCD_HI_F	     VTD_BIT(63)

/* Fault reasons */
enum vtd_fault_reason {
	VTD_FR_NONE = 0x0,	/* not of the specification: translation is off, or no memory */
	VTD_FR_ROOT_P = 0x1,	/* root entry not present */
	VTD_FR_CONTEXT_P = 0x2, /* context entry not present */
	VTD_FR_CONTEXT_INV = 0x3,
	VTD_FR_BEYOND_AGAW = 0x4,
	VTD_FR_WRITE = 0x5,
	VTD_FR_READ = 0x6,
	VTD_FR_TABLE = 0x7,	 /* next-level table not accessible */
	VTD_FR_ROOT_TABLE = 0x8, /* root table not accessible */
	VTD_FR_CONTEXT_TABLE = 0x9,
	VTD_FR_ROOT_RSVD = 0xa,
	VTD_FR_CONTEXT_RSVD = 0xb,
	VTD_FR_PTE_RSVD = 0xc,
	VTD_FR_INTR = 0x25,	 /* interrupt address range */
	VTD_FR_TTM = 0x30,	 /* RTADDR names a mode that is not there */
	VTD_FR_TTM_PASID = 0x31, /* a request with PASID in legacy mode */
};

/* Root table: 256 entries of two words by bus. Context table: 256 by devfn. */
#define VTD_ROOT_P	   VTD_BIT(0)
#define VTD_ROOT_RSVD	   0xffeull
#define VTD_ROOT_CTP(v)	   ((v) & ~0xfffull)
#define VTD_CTX_P	   VTD_BIT(0)
#define VTD_CTX_FPD	   VTD_BIT(1)
#define VTD_CTX_TT(v)	   ((unsigned)((v) >> 2) & 3) /* 0: untranslated requests only */
#define VTD_CTX_RSVD	   0xff0ull
#define VTD_CTX_SLPTPTR(v) ((v) & ~0xfffull)
#define VTD_CTX_HI_AW(v)   ((unsigned)(v)&7) /* 1: 39 bits, 2: 48 bits */
#define VTD_CTX_HI_DID(v)  ((u32)((v) >> 8) & 0xffff)
#define VTD_CTX_HI_RSVD	   (~0ull << 24 | 0x80)

/* Invalidation descriptors, low word */
enum vtd_desc_type {
	VTD_DESC_CONTEXT = 1,
	VTD_DESC_IOTLB = 2,
	VTD_DESC_DEV_TLB = 3,
	VTD_DESC_IEC = 4,
	VTD_DESC_WAIT = 5,
};
enum vtd_gran {
	VTD_GRAN_GLOBAL = 1,
	VTD_GRAN_DOMAIN = 2,
	VTD_GRAN_SELECTIVE = 3, /* device or page */
};
#define VTD_DESC_GRAN(g)      ((u64)(g) << 4)
#define VTD_DESC_DID(did)     ((u64)(did) << 16)
#define VTD_DESC_SID(sid)     ((u64)(sid) << 32)
#define VTD_DESC_DW	      VTD_BIT(6)
#define VTD_DESC_DR	      VTD_BIT(7)
#define VTD_DESC_WAIT_IF      VTD_BIT(4)
#define VTD_DESC_WAIT_SW      VTD_BIT(5)
#define VTD_DESC_WAIT_FN      VTD_BIT(6)
#define VTD_DESC_WAIT_DATA(d) ((u64)(d) << 32)
#define VTD_DESC_HI_AM(v)     ((unsigned)(v)&0x3f)
#define VTD_DESC_HI_IH	      VTD_BIT(6)

/* Requests to this range are interrupts; they are never translated (specification 3.14). */
#define VTD_INTR_START	      0xfee00000ull
#define VTD_INTR_LAST	      0xfeefffffull

#endif
