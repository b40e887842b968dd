/* SPDX-License-Identifier: MIT */
/*
 * Words that every room uses: sized integers, one type per address space, closed ranges.
 *
 * Glossary of the units in names: `last` is inclusive, `end` is exclusive (indices only), `_lg2` is a
 * log2, `len` is bytes, `nr_` is a count, `idx` an index. Ranges of addresses are closed, so that the
 * whole 2^64 space can be written down; start/length exists only at the uAPI's edge.
 */
#ifndef IOASIS_SRC_BASE_TYPES_H
#define IOASIS_SRC_BASE_TYPES_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

/* One type per address space: mixing two of them does not compile. A host pointer is `void *`. */
typedef struct {
	u64 v;
} iova_t; /* what a device issues */
typedef struct {
	u64 v;
} gpa_t; /* what a guest calls physical */
typedef struct {
	u64 v;
} oa_t; /* output address: what a page table holds, see mem/mem.h */
typedef struct {
	u64 v;
} uva_t; /* a client's virtual address; means nothing without its mm */
typedef struct {
	u32 v;
} rid_t; /* requester (stream) id: PCI bus<<8 | devfn */
typedef struct {
	u32 v;
} pasid_t;

#define IOVA(x)	 ((iova_t){(x)})
#define OA(x)	 ((oa_t){(x)})
#define UVA(x)	 ((uva_t){(x)})
#define RID(x)	 ((rid_t){(x)})
#define PASID(x) ((pasid_t){(x)})

/* DMA without a PASID. PASID 0 is never given out, so the two cannot be confused (linux/iommu.h). */
#define NO_PASID PASID(0)
#define OA_NONE	 OA(UINT64_MAX)

#define PAGE_LG2  12u
#define PAGE_SIZE (1ull << PAGE_LG2)

/* Permissions, the same bits everywhere, in and out of page tables. */
enum perm {
	PERM_R = 1,
	PERM_W = 2,
	PERM_RW = PERM_R | PERM_W,
};

/* A closed range of IOVA. */
struct iova_range {
	u64 start;
	u64 last;
};

#define ARRAY_SIZE(a)	     (sizeof(a) / sizeof((a)[0]))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define offsetofend(t, m)    (offsetof(t, m) + sizeof(((t *)0)->m))
#define likely(x)	     __builtin_expect(!!(x), 1)
#define unlikely(x)	     __builtin_expect(!!(x), 0)
#define min(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a_ = (a);                                                        \
		__typeof__(b) min_b_ = (b);                                                        \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define max(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a_ = (a);                                                        \
		__typeof__(b) max_b_ = (b);                                                        \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

#define MUST_CHECK	__attribute__((warn_unused_result))
#define ALWAYS_INLINE	static inline __attribute__((always_inline))
#define NOINLINE	__attribute__((noinline))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CACHELINE	64

static inline bool is_pow2(u64 x)
{
	return x && !(x & (x - 1));
}

static inline unsigned log2_floor(u64 x) /* x != 0 */
{
	return 63u - (unsigned)__builtin_clzll(x);
}

static inline unsigned log2_ceil(u64 x) /* x != 0 */
{
	return x == 1 ? 0 : log2_floor(x - 1) + 1;
}

static inline u64 align_down(u64 x, u64 align) /* align: a power of two */
{
	return x & ~(align - 1);
}

static inline u64 align_up(u64 x, u64 align) /* wraps to 0 past 2^64: the caller excludes it */
{
	return (x + align - 1) & ~(align - 1);
}

/*
 * Build a closed range from the uAPI's start and length.
 * Return: 0; -EINVAL when empty; -EOVERFLOW past 2^64. @out is untouched on error.
 */
static inline MUST_CHECK int range_make(struct iova_range *out, u64 start, u64 len)
{
	u64 last;

	if (!len)
		return -EINVAL;
	if (__builtin_add_overflow(start, len - 1, &last))
		return -EOVERFLOW;
	*out = (struct iova_range){start, last};
	return 0;
}

static inline bool range_contains(struct iova_range outer, struct iova_range inner)
{
	return outer.start <= inner.start && inner.last <= outer.last;
}

static inline bool range_overlaps(struct iova_range a, struct iova_range b)
{
	return a.start <= b.last && b.start <= a.last;
}

#endif
