/* SPDX-License-Identifier: MIT */
/* Linux's side of the benchmark: its page tables behind the call path of its IOMMU core. */
#include "linux_stub.h"

#include <linux/generic_pt/iommu.h>
#include <linux/io-pgtable.h>
#include <sys/mman.h>

#define ARENA (256ull << 20)

u8 *stub_arena, *stub_descs;
static void *free_pages; /* LIFO, linked through the pages' first word, zeroed when allocated */
static u64 next_page, nr_live;

void *iommu_alloc_pages_node_sz(int nid, gfp_t gfp, size_t size);
void iommu_free_pages(void *virt);

void *iommu_alloc_pages_node_sz(int nid, gfp_t gfp, size_t size)
{
	void *p = free_pages;

	if (size > PAGE_SIZE)
		return NULL;
	if (p)
		free_pages = *(void **)p;
	else
		p = stub_arena + PAGE_SIZE * ++next_page; /* not page 0: its address would be 0 */
	nr_live++;
	return memset(p, 0, PAGE_SIZE);
}

void iommu_free_pages(void *virt)
{
	*(void **)virt = free_pages;
	free_pages = virt;
	nr_live--;
}

int iommu_pages_start_incoherent(void *virt, struct device *dev)
{
	return -EOPNOTSUPP;
}

/* The descriptor of a page is 64 bytes; its list element lies behind one word. */
void iommu_put_pages_list(struct iommu_pages_list *list)
{
	struct list_head *p = list->pages.next, *n;

	for (; p != &list->pages; p = n) {
		n = p->next;
		iommu_free_pages(stub_arena +
				 ((u8 *)p - sizeof(long) - stub_descs) / 64 * PAGE_SIZE);
	}
}

void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova, size_t len)
{
}

/* What the core keeps of a domain, with either kind of table behind it. */
struct domain {
	union {
		struct iommu_domain core;
		struct pt_iommu pt;
		struct pt_iommu_amdv1 amdv1;
		struct pt_iommu_vtdss vtdss;
	};
	struct io_pgtable_ops *arm;
	phys_addr_t (*iova_to_phys)(struct iommu_domain *, dma_addr_t);
	int (*dirty)(struct iommu_domain *, unsigned long, size_t, unsigned long,
		     struct iommu_dirty_bitmap *);
};

static void change_top(struct pt_iommu *pt, phys_addr_t top, unsigned level)
{
}

static spinlock_t *top_lock(struct pt_iommu *pt)
{
	static spinlock_t lock;

	return &lock;
}

static const struct pt_iommu_driver_ops driver_ops = {change_top, top_lock};

/* The structure of iommu_map(): the checks, then the format's own map. */
static noinline int core_map(struct domain *d, u64 iova, u64 pa, u64 len)
{
	size_t mapped = 0;
	int rc;

	if (!(d->core.type & __IOMMU_DOMAIN_PAGING) || !d->core.pgsize_bitmap)
		return -EINVAL;
	if (d->core.is_iommupt)
		return d->pt.ops->map_range(&d->pt, iova, pa, len, IOMMU_READ | IOMMU_WRITE,
					    GFP_KERNEL, &mapped);
	if (!IS_ALIGNED(iova | pa | len, d->core.pgsize_bitmap & -d->core.pgsize_bitmap))
		return -EINVAL;
	while (mapped < len) {
		u64 left = len - mapped, both = (iova | pa) + mapped;
		u64 fit = d->core.pgsize_bitmap & (both ^ (both - 1));
		size_t done = 0, pgsize, end;

		fit &= GENMASK_ULL(__fls(left), 0);
		pgsize = 1ul << __fls(fit);
		end = left;
		/* Up to where the next larger size becomes possible, as iommu_pgsize() counts. */
		fit = d->core.pgsize_bitmap & ~(2 * pgsize - 1);
		if (fit) {
			u64 next = fit & -fit, skip = -(iova + mapped) & (next - 1);

			if (!((iova ^ pa) & (next - 1)) && skip + next <= left && skip)
				end = skip;
		}
		rc = d->arm->map_pages(d->arm, iova + mapped, pa + mapped, pgsize, end / pgsize,
				       IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL, &done);
		mapped += done;
		if (rc)
			return rc;
	}
	return 0;
}

/* The structure of iommu_unmap(): gather, then sync. */
static noinline size_t core_unmap(struct domain *d, u64 iova, u64 len)
{
	struct iommu_iotlb_gather g;
	size_t unmapped = 0;

	iommu_iotlb_gather_init(&g);
	if (!(d->core.type & __IOMMU_DOMAIN_PAGING) || !d->core.pgsize_bitmap)
		return 0;
	if (d->core.is_iommupt) {
		unmapped = d->pt.ops->unmap_range(&d->pt, iova, len, &g);
	} else {
		while (unmapped < len) {
			u64 at = iova + unmapped, left = len - unmapped;
			u64 fit = d->core.pgsize_bitmap & (at ^ (at - 1)) &
				  GENMASK_ULL(__fls(left), 0);
			size_t pgsize = 1ul << __fls(fit);
			size_t done = d->arm->unmap_pages(d->arm, at, pgsize, left / pgsize, &g);

			if (!done)
				break;
			unmapped += done;
		}
	}
	iommu_iotlb_sync(&d->core, &g);
	return unmapped;
}

static noinline phys_addr_t core_iova_to_phys(struct domain *d, u64 iova)
{
	return d->iova_to_phys(&d->core, iova);
}

static phys_addr_t arm_iova_to_phys(struct iommu_domain *core, dma_addr_t iova)
{
	struct domain *d = (struct domain *)core;

	return d->arm->iova_to_phys(d->arm, iova);
}

#define SIDE_MAP     core_map
#define SIDE_UNMAP   core_unmap
#define SIDE_LOOK_UP core_iova_to_phys
#include "../loops.h"

static bool open_amdv1(struct domain *d)
{
	struct pt_iommu_amdv1_cfg cfg = {
		.common = {.hw_max_vasz_lg2 = 64,
			   .hw_max_oasz_lg2 = 52,
			   .features = BIT(PT_FEAT_DYNAMIC_TOP) |
				       BIT(PT_FEAT_AMDV1_ENCRYPT_TABLES) |
				       BIT(PT_FEAT_AMDV1_FORCE_COHERENCE)},
		.starting_level = 3,
	};

	d->iova_to_phys = pt_iommu_amdv1_iova_to_phys;
	d->dirty = pt_iommu_amdv1_read_and_clear_dirty;
	return !pt_iommu_amdv1_init(&d->amdv1, &cfg, GFP_KERNEL);
}

static bool open_vtdss(struct domain *d)
{
	struct pt_iommu_vtdss_cfg cfg = {
		.common = {.hw_max_vasz_lg2 = 48, .hw_max_oasz_lg2 = 52},
		.top_level = 3,
	};

	d->iova_to_phys = pt_iommu_vtdss_iova_to_phys;
	d->dirty = pt_iommu_vtdss_read_and_clear_dirty;
	return !pt_iommu_vtdss_init(&d->vtdss, &cfg, GFP_KERNEL);
}

static bool open_arm(struct domain *d)
{
	struct io_pgtable_cfg cfg = {
		.pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G,
		.ias = 48,
		.oas = 48,
		.coherent_walk = true,
	};
	struct io_pgtable *iop = io_pgtable_arm_64_lpae_s2_init_fns.alloc(&cfg, NULL);

	if (!iop)
		return false;
	iop->fmt = ARM_64_LPAE_S2;
	iop->cookie = NULL;
	iop->cfg = cfg;
	d->arm = &iop->ops;
	d->core.type = __IOMMU_DOMAIN_PAGING;
	d->core.pgsize_bitmap = cfg.pgsize_bitmap;
	d->iova_to_phys = arm_iova_to_phys;
	return true;
}

static bool make_arena(void)
{
	if (stub_arena)
		return true;
	stub_arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	stub_descs = mmap(NULL, ARENA / 64, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stub_arena == MAP_FAILED || stub_descs == MAP_FAILED)
		return false;
	madvise(stub_arena, ARENA, MADV_HUGEPAGE);
	return true;
}

static void *peer_open(const char *fmt, u64 pgsizes)
{
	struct domain *d = calloc(1, sizeof(*d));
	bool ok = false;

	if (!d || !make_arena())
		return NULL;
	nr_live = 0;
	d->pt.nid = NUMA_NO_NODE;
	d->pt.driver_ops = &driver_ops;
	if (!strcmp(fmt, "amdv1"))
		ok = open_amdv1(d);
	else if (!strcmp(fmt, "vtdss"))
		ok = open_vtdss(d);
	else if (!strcmp(fmt, "arm"))
		ok = open_arm(d);
	if (!ok) {
		free(d);
		return NULL;
	}
	if (pgsizes)
		d->core.pgsize_bitmap &= pgsizes;
	return d;
}

static void peer_close(void *arg)
{
	struct domain *d = arg;

	if (d->arm)
		io_pgtable_arm_64_lpae_s2_init_fns.free(
			container_of(d->arm, struct io_pgtable, ops));
	else
		pt_iommu_deinit(&d->pt);
	free(d);
}

static u64 peer_dirty(void *arg, u64 len)
{
	struct iommu_dirty_bitmap dirty = {0};
	struct iommu_iotlb_gather g;
	struct domain *d = arg;

	if (!d->dirty)
		return 1;
	iommu_iotlb_gather_init(&g);
	dirty.gather = &g;
	return d->dirty(&d->core, 0, len, 0, &dirty) != 0;
}

static u64 peer_table_bytes(void *arg)
{
	return nr_live * (PAGE_SIZE + 64);
}

const struct side linux_side __attribute__((visibility("default"))) = {
	.name = PEER_CC,
	.of = "linux ",
	.open = peer_open,
	.close = peer_close,
	.map = loop_map,
	.unmap = loop_unmap,
	.look_up = loop_look_up,
	.dirty = peer_dirty,
	.table_bytes = peer_table_bytes,
};
