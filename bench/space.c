/* SPDX-License-Identifier: MIT */
/*
 * An address space as a device model has it: map and unmap one page among many, translate, read and
 * write. Machine "intel" (VT-d tables), one endpoint attached, memory of this process (provider
 * own). Live mappings are 4 KiB each with a 4 KiB hole behind, so that nothing merges.
 */
#include "bench.h"
#include "ioasis/dma.h"
#include "ioasis/ioas.h"
#include "machine/machine.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MAX_LIVE   (1u << 20)
#define STRIDE	   (2 * PAGE_SIZE)
#define FIRST_IOVA (1ull << 32)
#define LOOKS	   65536u /* per round */
#define SEGS	   64u	  /* per batched call */

struct space {
	struct ioasis *machine;
	struct ioasis_dev *dev;
	struct ioasis_ctx *ctx;
	struct ioasis_ioas *ioas;
	u8 *host; /* where FIRST_IOVA points; never touched but by row 13 */
};

static u64 host_of(const struct space *s, u64 iova)
{
	return (uintptr_t)s->host + (iova - FIRST_IOVA);
}

static void *space_open(const char *name, u64 pgsizes)
{
	struct ioasis_args args = {sizeof(args), IOASIS_NO_DEVICES, "intel"};
	struct space *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->host = mmap(NULL, (u64)MAX_LIVE * STRIDE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->host == MAP_FAILED || ioasis_new(&args, &s->machine) ||
	    ioasis_dev_new(s->machine, 0x0100, &s->dev) || ioasis_ctx_new(s->machine, &s->ctx) ||
	    ioasis_ioas_new(s->ctx, &s->ioas) || ioasis_dev_bind(s->ctx, s->dev) ||
	    ioasis_dev_attach(s->dev, s->ioas))
		return NULL;
	return s;
}

static void space_close(void *arg)
{
	struct space *s = arg;

	ioasis_ctx_free(s->ctx);
	ioasis_dev_free(s->dev);
	ioasis_free(s->machine);
	munmap(s->host, (u64)MAX_LIVE * STRIDE);
	free(s);
}

static inline int space_map(struct space *s, u64 iova, u64 len)
{
	struct ioasis_map_args args = {
		.size = sizeof(args),
		.flags = IOASIS_MAP_FIXED_IOVA,
		.perm = IOASIS_R | IOASIS_W,
		.host = (void *)(uintptr_t)host_of(s, iova),
		.len = len,
		.iova = iova,
	};
	u64 out;

	return ioasis_ioas_map(s->ioas, &args, &out);
}

static inline u64 space_unmap(struct space *s, u64 iova, u64 len)
{
	u64 bytes = 0;

	return ioasis_ioas_unmap(s->ioas, iova, len, &bytes) ? 0 : bytes;
}

/* Output addresses are the host's, modulo the size of a segment. */
#define IS_AT(s, iova, oa) ((((oa) ^ host_of(s, iova)) & ((1ull << 30) - 1)) == 0)

static inline bool space_look_up(struct space *s, u64 iova)
{
	struct ioasis_seg seg = {.iova = iova, .len = 64};

	return ioasis_dma_xlate(s->dev, IOASIS_DMA_R, &seg, 1) == 1 && IS_AT(s, iova, seg.oa);
}

#define SIDE_MAP(arg, iova, oa, len) space_map(arg, iova, len)
#define SIDE_UNMAP(arg, iova, len)   space_unmap(arg, iova, len)
#define SIDE_LOOK_UP(arg, iova)	     (space_look_up(arg, iova) ? LOOP_OA(iova) : 0)
#include "loops.h"

static uint64_t loop_miss(void *arg, const uint64_t *iova, unsigned nr)
{
	struct space *s = arg;
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct ioasis_seg seg = {.iova = iova[i], .len = 64};

		bad += ioasis_dma_xlate(s->dev, IOASIS_DMA_R, &seg, 1) != 0;
	}
	return bad;
}

/* A list of segments per call: what a model does with a descriptor chain. */
static uint64_t batch_look_up(void *arg, const uint64_t *iova, unsigned nr)
{
	struct ioasis_seg segs[SEGS];
	struct space *s = arg;
	uint64_t bad = 0;

	for (unsigned at = 0; at < nr; at += SEGS) {
		unsigned n = min(SEGS, nr - at);

		for (unsigned i = 0; i < n; i++) {
			segs[i].iova = iova[at + i];
			segs[i].len = 64;
		}
		bad += n - ioasis_dma_xlate(s->dev, IOASIS_DMA_R, segs, n);
		for (unsigned i = 0; i < n; i++)
			bad += !IS_AT(s, iova[at + i], segs[i].oa);
	}
	return bad;
}

/* Inside the machine: one epoch around all, no public call. */
static uint64_t port_look_up(void *arg, const uint64_t *iova, unsigned nr)
{
	struct space *s = arg;
	struct hw_port *port = &s->dev->idev.port;
	struct epoch_slot *slot = epoch_slot(&s->machine->env.epoch);
	uint64_t bad = 0;

	if (!slot)
		return nr;
	epoch_enter(slot, NULL);
	for (unsigned i = 0; i < nr; i++) {
		struct xlate_res res;

		bad += hw_xlate(port, NO_PASID, IOVA(iova[i]), PERM_R, &res, NULL) ||
		       (uintptr_t)res.host != host_of(s, iova[i]);
	}
	epoch_leave(slot);
	return bad;
}

/* What a miss does before it records anything: the cache is asked, the tables are walked. */
static uint64_t port_miss(void *arg, const uint64_t *iova, unsigned nr)
{
	struct space *s = arg;
	struct hw_port *port = &s->dev->idev.port;
	struct epoch_slot *slot = epoch_slot(&s->machine->env.epoch);
	struct hw_iommu *hw = port->hw;
	struct xlate_fault fault;
	struct hw_context ctx;
	uint64_t bad = 0;

	if (!slot)
		return nr;
	epoch_enter(slot, NULL);
	bad += hw->ops->context(hw, port->rid, NO_PASID, &ctx, &fault) != 0;
	for (unsigned i = 0; !bad && i < nr; i++) {
		unsigned at = iotlb_index(iova[i], port->granule);
		struct xlate_res res;
		struct pt_leaf leaf;

		bad += iotlb_hit(port, &port->tlb[at], NO_PASID, IOVA(iova[i]), PERM_R, &res) ||
		       !hw->ops->walk(hw, &ctx, IOVA(iova[i]), PERM_R, &leaf, &fault);
	}
	epoch_leave(slot);
	return bad;
}

static uint64_t space_read(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	struct space *s = arg;
	uint64_t bad = 0;
	u8 buf[PAGE_SIZE];

	for (unsigned i = 0; i < nr; i++)
		bad += ioasis_dma_read(s->dev, iova[i], buf, len) != 0;
	return bad;
}

static uint64_t space_write(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	static const u8 buf[PAGE_SIZE];
	struct space *s = arg;
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++)
		bad += ioasis_dma_write(s->dev, iova[i], buf, len) != 0;
	return bad;
}

#define SPACE_SIDE(...)                                                                            \
	{                                                                                          \
		.name = "ioasis", .open = space_open, .close = space_close, .map = loop_map,       \
		.unmap = loop_unmap, __VA_ARGS__                                                   \
	}
static const struct side single = SPACE_SIDE(.look_up = loop_look_up, .miss = loop_miss);
static const struct side batch = SPACE_SIDE(.look_up = batch_look_up);
static const struct side inside = SPACE_SIDE(.look_up = port_look_up, .miss = port_miss);
static const struct side reader = SPACE_SIDE(.copy = space_read);
static const struct side writer = SPACE_SIDE(.copy = space_write);

/* ---- the peer of row 13: the C library's memcpy, by a pointer that no compiler sees through ----
 */

static void *(*volatile copy_fn)(void *, const void *, size_t) = memcpy;

static void *memory_open(const char *name, u64 pgsizes)
{
	return mmap(NULL, (u64)MAX_LIVE * STRIDE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void memory_close(void *arg)
{
	munmap(arg, (u64)MAX_LIVE * STRIDE);
}

static uint64_t memory_map(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	return 0;
}

static uint64_t memory_read(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	u8 buf[PAGE_SIZE];

	for (unsigned i = 0; i < nr; i++)
		copy_fn(buf, (u8 *)arg + (iova[i] - FIRST_IOVA), len);
	return 0;
}

static uint64_t memory_write(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	static const u8 buf[PAGE_SIZE];

	for (unsigned i = 0; i < nr; i++)
		copy_fn((u8 *)arg + (iova[i] - FIRST_IOVA), buf, len);
	return 0;
}

#define MEMORY_SIDE(fn)                                                                            \
	{                                                                                          \
		.name = "memcpy", .open = memory_open, .close = memory_close, .map = memory_map,   \
		.unmap = memory_map, .copy = fn                                                    \
	}
static const struct side memory_reader = MEMORY_SIDE(memory_read);
static const struct side memory_writer = MEMORY_SIDE(memory_write);

/* ---- what is done ---- */

struct live {
	void *d;
	u64 *iova; /* all of them, in random order */
	unsigned nr;
};

static bool live_make(struct measure *m, struct live *l)
{
	*l = (struct live){.d = m->side->open(m->row->peer ?: "", 0), .nr = m->row->arg};
	if (!l->d)
		return false;
	l->iova = calloc(l->nr, sizeof(u64));
	must_be(l->iova, m, "memory");
	for (unsigned i = 0; i < l->nr; i++)
		l->iova[i] = FIRST_IOVA + (u64)i * STRIDE;
	shuffle(l->iova, l->nr);
	must_be(!m->side->map(l->d, l->iova, l->nr, PAGE_SIZE), m, "map");
	return true;
}

static void live_free(struct measure *m, struct live *l)
{
	must_be(!m->side->unmap(l->d, l->iova, l->nr, PAGE_SIZE), m, "unmap");
	m->side->close(l->d);
	free(l->iova);
}

static u64 *pick(const struct live *l, unsigned nr, u64 offset)
{
	u64 seed = 0x9e3779b97f4a7c15ull, *v = calloc(nr, sizeof(u64));

	for (unsigned i = 0; v && i < nr; i++)
		v[i] = l->iova[next_random(&seed) % l->nr] + offset;
	return v;
}

typedef uint64_t (*look_fn)(void *, const uint64_t *, unsigned);

static bool time_looks(struct measure *m, look_fn look, unsigned nr, u64 offset)
{
	struct live l;
	u64 *v;

	if (!look || !live_make(m, &l))
		return false;
	v = pick(&l, nr, offset);
	must_be(v, m, "memory");
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 t = now_ns();

		must_be(!look(l.d, v, nr), m, "translation");
		sample(m, round ? round - 1 : 0, t, nr);
	}
	free(v);
	live_free(m, &l);
	return true;
}

static bool run_hit(struct measure *m)
{
	return time_looks(m, m->side->look_up, LOOKS, 0);
}

/* A refused access is recorded, which costs much more than finding out: fewer of them. */
static bool run_miss(struct measure *m)
{
	return time_looks(m, m->side->miss, LOOKS / 8, PAGE_SIZE);
}

enum timed {
	TIME_MAP,
	TIME_UNMAP,
};

/*
 * One sixteenth of the live ones goes and comes back, another one each time, in random order; so
 * while the clock runs 15/16 to 16/16 of the number are live.
 */
static bool time_churn(struct measure *m, enum timed what)
{
	const struct side *s = m->side;
	unsigned part, per_round, at = 0;
	struct live l;

	if (!s->map || !live_make(m, &l))
		return false;
	part = min(max(l.nr / 16, 1u), 1u << 14);
	per_round = max(1u, (1u << 14) / part);
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 ns = 0, t;

		for (unsigned i = 0; i < per_round; i++, at = (at + part) % (part * 16)) {
			t = now_ns();
			must_be(!s->unmap(l.d, l.iova + at, part, PAGE_SIZE), m, "unmap");
			ns += what == TIME_UNMAP ? now_ns() - t : 0;
			t = now_ns();
			must_be(!s->map(l.d, l.iova + at, part, PAGE_SIZE), m, "map");
			ns += what == TIME_MAP ? now_ns() - t : 0;
		}
		sample_ns(m, round ? round - 1 : 0, ns, (double)part * per_round);
	}
	live_free(m, &l);
	return true;
}

static bool run_churn_map(struct measure *m)
{
	return time_churn(m, TIME_MAP);
}

static bool run_churn_unmap(struct measure *m)
{
	return time_churn(m, TIME_UNMAP);
}

static bool run_copy(struct measure *m)
{
	unsigned nr = 1u << 14;
	struct live l;
	u64 *v;

	if (!live_make(m, &l))
		return false;
	v = pick(&l, nr, 0);
	must_be(v, m, "memory");
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 t = now_ns();

		must_be(!m->side->copy(l.d, v, nr, m->row->pgsizes), m, "copy");
		sample(m, round ? round - 1 : 0, t, nr);
	}
	free(v);
	live_free(m, &l);
	return true;
}

#define HIT(what, live_, text, side_, limit_, goal_, ...)                                          \
	{                                                                                          \
		what ", " text, "ns", NULL, "GTree", 0, limit_, run_hit, live_,                    \
			.nr = 8, .ours = side_, .goal = goal_, __VA_ARGS__                         \
	}
#define HITS(what, side, g0, g1, g2, g3)                                                           \
	HIT(what, 1, "same page", side, 2.2, g0), HIT(what, 1000, "1k live", side, 2.3, g1),       \
		HIT(what, 100000, "100k live", side, 4.4, g2),                                     \
		HIT(what, 1000000, "1M live", side, 8, g3, .heavy = true, .rounds = 5)
#define MISS(what, live_, text, side_, limit_, goal_, ...)                                         \
	{                                                                                          \
		what ", " text, "ns", NULL, "GTree", 0, limit_, run_miss, live_,                   \
			.nr = 9, .ours = side_, .goal = goal_, __VA_ARGS__                         \
	}
#define MISSES(what, side, g1, g2, g3)                                                             \
	MISS(what, 1000, "1k live", side, 4.3, g1),                                                \
		MISS(what, 100000, "100k live", side, 5.4, g2),                                    \
		MISS(what, 1000000, "1M live", side, 7.9, g3, .heavy = true, .rounds = 5)
#define CHURN(what, row_, count, text, fn, limit_, goal_, ...)                                     \
	{                                                                                          \
		what " one 4K area, " text, "ns", NULL, "GTree", 0, limit_, fn, count,             \
			.nr = row_, .ours = &single, .goal = goal_, __VA_ARGS__                    \
	}
#define CHURNS(what, nr_, fn, l1, l2, l3)                                                          \
	CHURN(what, nr_, 1000, "1k live", fn, l1, 60),                                             \
		CHURN(what, nr_, 100000, "100k live", fn, l2, 100),                                \
		CHURN(what, nr_, 1000000, "1M live", fn, l3, 200, .heavy = true, .rounds = 5)
#define COPY(what, count, len, side_, peer_, limit_, goal_)                                        \
	{                                                                                          \
		"DMA " what, "ns", NULL, NULL, 0, limit_, run_copy, count,                         \
			.nr = 13, .ours = side_, .beside = peer_, .pgsizes = len, .goal = goal_    \
	}

const struct row space_rows[] = {
	HITS("xlate", &single, 5, 6, 8, 12),
	HITS("xlate per segment of 64", &batch, 1.5, 3.2, 5, 9),
	HITS("hw_xlate, no public call", &inside, 1.5, 3.2, 5, 9),
	MISSES("xlate unmapped, recorded", &single, 0, 0, 0),
	MISSES("xlate unmapped, up to the record", &inside, 5, 7, 10),
	CHURNS("map", 10, run_churn_map, 20, 35, 50),
	CHURNS("unmap", 11, run_churn_unmap, 10, 25, 40),
	COPY("read 64 B, same page", 1, 64, &reader, &memory_reader, 4.9, 7),
	COPY("write 64 B, same page", 1, 64, &writer, &memory_writer, 4.9, 7),
	COPY("read 64 B, 1k live", 1000, 64, &reader, &memory_reader, 0, 0),
	COPY("read 4 KiB, same page", 1, 4096, &reader, &memory_reader, 75, 80),
	COPY("write 4 KiB, same page", 1, 4096, &writer, &memory_writer, 75, 80),
	{0},
};
