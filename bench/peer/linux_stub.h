/* SPDX-License-Identifier: MIT */
/*
 * Just enough of a kernel for Linux's own page-table code to compile unmodified in user space, so that
 * it can be measured beside ours. Written from the names and meanings that the code uses; every
 * <linux/…> and <asm/…> header that it asks for is this one file (build.sh makes the forwarders).
 */
#ifndef IOASIS_BENCH_PEER_LINUX_STUB_H
#define IOASIS_BENCH_PEER_LINUX_STUB_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* --- types ------------------------------------------------------------------------------------ */
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
typedef u64 phys_addr_t, dma_addr_t;
typedef unsigned gfp_t;
typedef unsigned long pgoff_t;
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	int unused;
} spinlock_t;
struct list_head {
	struct list_head *next, *prev;
};
struct device;
struct folio;
struct iova_bitmap;

#define U64_MAX		UINT64_MAX
#define U32_MAX		UINT32_MAX
#define PHYS_ADDR_MAX	((phys_addr_t)UINT64_MAX)
#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#define NUMA_NO_NODE	(-1)
#define GFP_KERNEL	0u
#define GFP_ATOMIC	1u
#define __GFP_HIGHMEM	2u
#define __GFP_ZERO	4u
#define CONFIG_X86	1
#define BITS_PER_LONG	64

/* --- the compiler ----------------------------------------------------------------------------- */
#define __always_inline inline __attribute__((always_inline))
#define noinline	__attribute__((noinline))
#define __maybe_unused	__attribute__((unused))
#define __must_check
#define __force
#define __bitwise
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define fallthrough	__attribute__((fallthrough))
#define BUILD_BUG()	assert(!"BUILD_BUG")
#define BUILD_BUG_ON(x) static_assert(!(x), #x)
#define BUILD_BUG_ON_ZERO(x) 0
#define WARN_ON(x)	({ bool warn_ = !!(x); if (unlikely(warn_)) abort(); warn_; })
#define WARN_ON_ONCE	WARN_ON
#define WARN(x, ...)	WARN_ON(x)
#define WARN_ONCE(x, ...) WARN_ON(x)
#define BUG_ON(x)	((void)WARN_ON(x))
#define EXPORT_SYMBOL_NS_GPL(s, ns)
#define EXPORT_SYMBOL_GPL(s)
#define MODULE_LICENSE(x)
#define MODULE_DESCRIPTION(x)
#define MODULE_IMPORT_NS(x)
#define pr_err(...)		((void)0)
#define pr_err_ratelimited(...) ((void)0)
#define pr_debug(...)		((void)0)
#define pr_warn(...)		((void)0)
#define dev_err(...)		((void)0)

/* A configuration symbol counts when it is defined as 1. */
#define STUB_ARG_1	       0,
#define STUB_SECOND(a, b, ...) b
#define STUB_IS2(x)	       STUB_SECOND(x 1, 0, 0)
#define STUB_IS1(x)	       STUB_IS2(STUB_ARG_##x)
#define STUB_IS0(x)	       STUB_IS1(x)
#define IS_ENABLED(x)	       STUB_IS0(x)
#define CONFIG_IOMMUFD_DRIVER  1
#define CONFIG_IOMMU_PT	       1
#define CONFIG_SMP	       1

#define STUB_CAT(a, b)	  a##b
#define CONCATENATE(a, b) STUB_CAT(a, b)
#define STUB_STR(x...)	  #x
#define __stringify(x...) STUB_STR(x)

/* --- bits ------------------------------------------------------------------------------------- */
#define BIT(n)		 (1UL << (n))
#define BIT_ULL(n)	 (1ULL << (n))
#define GENMASK_ULL(h, l) ((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define GENMASK(h, l)	 GENMASK_ULL(h, l)
#define __bf_shf(m)	 (__builtin_ffsll(m) - 1)
#define FIELD_GET(m, v)	 ((__typeof__(m))(((v) & (m)) >> __bf_shf(m)))
#define FIELD_PREP(m, v) (((__typeof__(m))(v) << __bf_shf(m)) & (m))
#define FIELD_MAX(m)	 ((__typeof__(m))((m) >> __bf_shf(m)))
#define ilog2(x)                                                                                   \
	(__builtin_constant_p(x) ? (int)(63 - __builtin_clzll((u64)(x) | ((x) == 0)))              \
				 : (int)(63 - __builtin_clzll(x)))
#define __ffs(x)	((unsigned long)__builtin_ctzl(x))
#define __ffs64(x)	((unsigned)__builtin_ctzll(x))
#define ffz(x)		__ffs(~(unsigned long)(x))
#define __fls(x)	(63ul - (unsigned long)__builtin_clzl(x))
#define fls(x)		((x) ? 32 - __builtin_clz(x) : 0)
#define fls64(x)	((x) ? 64 - __builtin_clzll(x) : 0)
#define is_power_of_2(x) ((x) && !((x) & ((x)-1)))
#define ALIGN(x, a)	(((x) + ((__typeof__(x))(a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define SZ_4K		0x1000ul
#define SZ_16K		0x4000ul
#define SZ_32K		0x8000ul
#define SZ_64K		0x10000ul
#define SZ_2M		0x200000ul
#define SZ_16M		0x1000000ul
#define SZ_32M		0x2000000ul
#define SZ_512M		0x20000000ul
#define SZ_1G		0x40000000ul
#define SZ_64G		0x1000000000ull
#define SZ_512G		0x8000000000ull

#define min(a, b)	  ({ __auto_type a_ = (a); __typeof__(a_) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b)	  ({ __auto_type a_ = (a); __typeof__(a_) b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(t, a, b)	  ({ t a_ = (a), b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(t, a, b)	  ({ t a_ = (a), b_ = (b); a_ > b_ ? a_ : b_; })
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define container_of_const    container_of
#define ARRAY_SIZE(a)	      (sizeof(a) / sizeof((a)[0]))
#define sizeof_field(t, m)    sizeof(((t *)0)->m)
#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)
#define memset_after(obj, v, member)                                                               \
	memset((char *)(obj) + offsetof(__typeof__(*(obj)), member) +                              \
		       sizeof((obj)->member),                                                      \
	       v,                                                                                  \
	       sizeof(*(obj)) - offsetof(__typeof__(*(obj)), member) - sizeof((obj)->member))

/* --- memory order: x86 ------------------------------------------------------------------------ */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define smp_mb()	 __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define dma_wmb()	 __asm__ volatile("" ::: "memory")
#define dma_rmb()	 __asm__ volatile("" ::: "memory")
#define try_cmpxchg64(p, old, new_value)                                                           \
	__atomic_compare_exchange_n(p, old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define try_cmpxchg64_release try_cmpxchg64
#define try_cmpxchg_release   try_cmpxchg64
#define cmpxchg64_relaxed(p, old, new_value)                                                       \
	({                                                                                         \
		__typeof__(*(p)) old_ = (old);                                                     \
		try_cmpxchg64(p, &old_, new_value);                                                \
		old_;                                                                              \
	})
#define cmpxchg64 cmpxchg64_relaxed
#define spin_lock_irqsave(l, f)	     ((void)(l), (f) = 0)
#define spin_unlock_irqrestore(l, f) ((void)(l), (void)(f))

static inline void *memset64(u64 *p, u64 v, size_t nr)
{
	u64 *at = p;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(nr) : "a"(v) : "memory");
	return p;
}

/* --- errors in pointers ----------------------------------------------------------------------- */
#define ERR_PTR(e) ((void *)(long)(e))
#define PTR_ERR(p) ((long)(p))
#define IS_ERR(p)  ((unsigned long)(p) >= (unsigned long)-4095)

/* --- lists ------------------------------------------------------------------------------------ */
#define LIST_HEAD_INIT(n) {&(n), &(n)}
static inline void INIT_LIST_HEAD(struct list_head *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list_head *l)
{
	return l->next == l;
}
static inline void list_add_tail(struct list_head *n, struct list_head *head)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}
static inline void list_splice(struct list_head *from, struct list_head *to)
{
	if (list_empty(from))
		return;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	to->next = from->next;
	from->next->prev = to;
}

/* --- pages: one arena, "physical" addresses are offsets into it ------------------------------- */
extern u8 *stub_arena, *stub_descs;
#define virt_to_phys(v)	 ((phys_addr_t)((u8 *)(v)-stub_arena))
#define phys_to_virt(p)	 ((void *)(stub_arena + (p)))
#define __va		 phys_to_virt
#define __pa		 virt_to_phys
#define virt_to_folio(v) ((struct folio *)(stub_descs + (virt_to_phys(v) >> PAGE_SHIFT) * 64))
#define __sme_set(x)	 (x)
#define __sme_clr(x)	 (x)
#define clflush_cache_range(p, len) ((void)(p), (void)(len))
#define dev_to_node(d)	 NUMA_NO_NODE
#define kzalloc(n, gfp)	 calloc(1, n)
#define kmalloc(n, gfp)	 malloc(n)
#define kzalloc_obj(o, ...)  calloc(1, sizeof(o))
#define kmalloc_obj(o, ...)  malloc(sizeof(o))
#define kfree(p)	 free((void *)(p))
#define virt_to_page	 virt_to_folio
enum dma_data_direction { DMA_TO_DEVICE };
#define dma_sync_single_for_device(...) ((void)0)

/* Memory that is not coherent with the walker is never asked for. */
#define dma_map_single(...)	      ((dma_addr_t)0)
#define dma_mapping_error(...)	      (-1)
#define dma_unmap_single(...)	      ((void)0)
#define iommu_pages_start_incoherent  stub_not_coherent
#define iommu_pages_start_incoherent_list stub_not_coherent_list
#define wmb()			      __asm__ volatile("" ::: "memory")
#define set_bit(nr, p)		      (*(p) |= 1ul << (nr))

/* --- the IOMMU core --------------------------------------------------------------------------- */
#define IOMMU_READ	       (1 << 0)
#define IOMMU_WRITE	       (1 << 1)
#define IOMMU_CACHE	       (1 << 2)
#define IOMMU_NOEXEC	       (1 << 3)
#define IOMMU_MMIO	       (1 << 4)
#define IOMMU_PRIV	       (1 << 5)
#define __IOMMU_DOMAIN_PAGING  1u
#define IOMMU_DIRTY_NO_CLEAR   1u

struct iommu_domain_geometry {
	dma_addr_t aperture_start, aperture_end;
	bool force_aperture;
};
struct iommu_domain {
	unsigned type;
	u64 pgsize_bitmap;
	bool is_iommupt;
	struct iommu_domain_geometry geometry;
};
struct iommu_pages_list {
	struct list_head pages;
};
#define IOMMU_PAGES_LIST_INIT(n) ((struct iommu_pages_list){.pages = LIST_HEAD_INIT((n).pages)})
struct iommu_iotlb_gather {
	unsigned long start, end;
	union {
		size_t pgsize;
		struct {
			u8 leaf_levels_bitmap, table_levels_bitmap;
		} pt;
	};
	struct iommu_pages_list freelist;
	bool queued;
};
struct iommu_dirty_bitmap {
	struct iova_bitmap *bitmap;
	struct iommu_iotlb_gather *gather;
};

void iommu_put_pages_list(struct iommu_pages_list *list);
void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova, size_t len);

static inline void iommu_iotlb_gather_init(struct iommu_iotlb_gather *g)
{
	*g = (struct iommu_iotlb_gather){.start = ULONG_MAX};
	INIT_LIST_HEAD(&g->freelist.pages);
}
static inline bool iommu_iotlb_gather_queued(const struct iommu_iotlb_gather *g)
{
	return g && g->queued;
}
static inline void iommu_iotlb_gather_add_range(struct iommu_iotlb_gather *g, unsigned long iova,
						size_t len)
{
	unsigned long last = iova + len - 1;

	if (g->start > iova)
		g->start = iova;
	if (g->end < last)
		g->end = last;
}
static inline bool iommu_iotlb_gather_is_disjoint(const struct iommu_iotlb_gather *g,
						  unsigned long iova, size_t len)
{
	return g->end && (iova + len < g->start || iova > g->end + 1);
}
/* No hardware to invalidate: only the tables go. */
static inline void iommu_iotlb_sync(struct iommu_domain *domain, struct iommu_iotlb_gather *g)
{
	if (!list_empty(&g->freelist.pages))
		iommu_put_pages_list(&g->freelist);
	iommu_iotlb_gather_init(g);
}
static inline void iommu_dirty_bitmap_record(struct iommu_dirty_bitmap *d, unsigned long iova,
					     unsigned long len)
{
	if (d->bitmap)
		iova_bitmap_set(d->bitmap, iova, len);
	if (d->gather)
		iommu_iotlb_gather_add_range(d->gather, iova, len);
}

#endif
