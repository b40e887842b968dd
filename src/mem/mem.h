/* SPDX-License-Identifier: MIT */
/*
 * mem: the memory of one instance: OA space, table pages, clients. The room's one door.
 */
#ifndef IOASIS_SRC_MEM_MEM_H
#define IOASIS_SRC_MEM_MEM_H

#include "base/base.h"
#include "mem/mm.h"
#include "mem/seg.h"
#include "mem/source.h"

#define SEG_TOP_LG2 11

struct mem_priv;

/* Chunk table entry: NULL, a segment, or (bit 0 set) a table of 512 slots. */
struct seg_slots {
	_Atomic(struct seg *) slot[1u << (SEG_CHUNK_LG2 - SEG_SLOT_LG2)];
};
struct seg_mid {
	_Atomic(uintptr_t) chunk[1u << SEG_TOP_LG2];
};

/*
 * Table pages: 4 KiB, zeroed, from one pre-faulted, huge-page-backed extent with OAs of its own, so
 * that a walker turns a table's OA into a pointer with one compare.
 */
struct table_pool {
	u8 *host;
	u64 base; /* OA of host */
	u64 len;  /* bytes reserved; the extent as walkers see it */
	u64 ready; /* bytes pre-faulted so far */
	struct lock lock;
	void *free;    /* GUARDED_BY(lock): LIFO, linked through the pages' first word */
	u64 next;      /* GUARDED_BY(lock): first byte never given out */
	_Atomic u64 nr_used;
	/* One word per page of @host for the page's user, zero while the page is free: pt/ counts live
	 * items there, so that it knows an empty table without reading it. mem_init() maps it (zero,
	 * backed on first touch); mem_fini() unmaps it. The pool itself never touches it. */
	u16 *note;
};

/* What of the host can be used; probed once, shown by `ioasis show`. A test may turn rungs off. */
struct mem_host {
	bool map_files;	     /* may open /proc/PID/map_files of clients */
	bool process_vm;     /* process_vm_readv works */
	bool procmap_query;  /* /proc/PID/maps answers PROCMAP_QUERY (Linux 6.11) */
};

struct mem {
	struct env *env;
	struct mem_host host;
	unsigned oa_bits; /* the smallest of the machine's formats */
	struct table_pool tables;
	struct lock segs_lock;
	_Atomic(struct seg_mid *) top[1u << SEG_TOP_LG2];
	_Atomic u64 generation; /* moves when a segment leaves: caches of OA -> host compare it */
	struct list segs;	/* GUARDED_BY(segs_lock) */
	struct lock mm_lock;
	struct list mms;     /* GUARDED_BY(mm_lock) */
	struct list users;   /* GUARDED_BY(mm_lock): per-uid counts */
	struct mm *self;
	struct mem_priv *priv; /* mem/ only */
};

/* @oa_bits: 48..52. @table_bytes: address space to reserve for table pages (0: 64 GiB). */
int mem_init(struct mem *mem, struct env *env, unsigned oa_bits, u64 table_bytes) MUST_CHECK;
void mem_fini(struct mem *mem); /* every segment and mm must be gone but self and the pool */
void mem_describe(struct mem *mem, json_t *out);
/* Numbers of what clients cost: segments, pins, charges, table pages. Nothing of ours is counted. */
void mem_ledger(struct mem *mem, json_t *out);

/*
 * Remember a memory file (memfd) that a client maps, for a daemon that may not open map_files: a
 * mapping of it is found again by device and inode. @fd stays the caller's, who should close it.
 *
 * A file is forgotten when nobody but us has it open or mapped; an offer checks a few earlier ones,
 * mem_sweep_files() all (call it now and then, and when a client went). The kernel counts only files
 * that were opened: a client maps and hands over open("/proc/self/fd/N", O_RDWR) of its memfd, not the
 * descriptor memfd_create() gave. Without that the file is kept until the instance ends.
 * Return: 0; -EBADF; -EINVAL not memory; -EACCES …; -ENOMEM.
 */
int mem_offer_file(struct mem *mem, int fd) MUST_CHECK;
unsigned mem_sweep_files(struct mem *mem); /* return: how many are kept */

/*
 * Add a segment made by its owner (token memory, a BAR): chooses base.
 * Return: 0 and one reference; -ENOMEM, also when OA space is used up.
 */
int seg_add(struct mem *mem, enum seg_kind kind, u8 *host, u64 len, struct seg **out) MUST_CHECK;
struct seg *seg_get(struct seg *seg);
void seg_put(struct mem *mem, struct seg *seg); /* the last one unlinks, waits a grace period, frees */

/*
 * The segment that owns @oa, or NULL. Inside an epoch, or holding a reference to it.
 */
ALWAYS_INLINE struct seg *seg_find(const struct mem *mem, oa_t oa)
{
	struct seg_mid *mid;
	struct seg *seg;
	uintptr_t c;

	if (unlikely(oa.v >> (SEG_CHUNK_LG2 + 2 * SEG_TOP_LG2)))
		return NULL;
	mid = atomic_load_explicit(&mem->top[oa.v >> (SEG_CHUNK_LG2 + SEG_TOP_LG2)],
				   memory_order_acquire);
	if (unlikely(!mid))
		return NULL;
	c = atomic_load_explicit(&mid->chunk[(oa.v >> SEG_CHUNK_LG2) & ((1u << SEG_TOP_LG2) - 1)],
				 memory_order_acquire);
	if (unlikely(c & 1)) {
		struct seg_slots *s = (struct seg_slots *)(c & ~(uintptr_t)1);

		seg = atomic_load_explicit(&s->slot[(oa.v >> SEG_SLOT_LG2) & 511],
					   memory_order_acquire);
	} else {
		seg = (struct seg *)c;
	}
	if (unlikely(!seg) || unlikely(oa.v - seg->base.v >= seg->len))
		return NULL;
	return seg;
}

/* A zeroed table page. Return: NULL when the pool is exhausted or a fault point fired. */
void *table_alloc(struct mem *mem);
/* @nr pages in a row (device tables, queues), freed one by one with table_free(). */
void *table_alloc_run(struct mem *mem, unsigned nr);
void table_free(struct mem *mem, void *page);
/* @nr pages at once, linked through their first word from @first to @last. */
void table_free_chain(struct mem *mem, void *first, void *last, unsigned nr);

ALWAYS_INLINE oa_t table_oa(const struct mem *mem, const void *page)
{
	return OA(mem->tables.base + (u64)((const u8 *)page - mem->tables.host));
}

/*
 * Where a walker finds the table at @oa: in the pool by one compare, elsewhere (a guest's tables in
 * shared memory) by the segment table. NULL: no memory there, or memory that cannot be walked.
 */
void *table_at_slow(const struct mem *mem, oa_t oa, u64 len);
ALWAYS_INLINE void *table_at(const struct mem *mem, oa_t oa, u64 len)
{
	u64 off = oa.v - mem->tables.base;

	if (likely(off < mem->tables.len && mem->tables.len - off >= len))
		return mem->tables.host + off;
	return table_at_slow(mem, oa, len);
}

/*
 * Copies that survive a client truncating its file under us: SIGBUS and SIGSEGV inside them become
 * -EFAULT. The fix-up is by instruction range in one routine per processor (mem/copy_x86_64.S or .c);
 * the handlers are installed by ioasis_guard_install(), once per process, and chain to older ones.
 */
int copy_guarded(void *to, const void *from, size_t len) MUST_CHECK;
/* Compare-and-swap of 4 or 8 naturally aligned bytes. Return: 0 and *old; -EFAULT. */
int cmpxchg_guarded(void *at, u64 *old, u64 new_value, unsigned len) MUST_CHECK;
int guard_install(void) MUST_CHECK; /* harmless when they are there; puts them back when replaced */
/* Tell the guard that faults in [host, host+len) mark @seg dead, for spans. */
void guard_watch(struct seg *seg);
void guard_unwatch(struct seg *seg);

#endif
