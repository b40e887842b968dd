/* SPDX-License-Identifier: MIT */
/*
 * Page tables against Linux's, format by format. Table pages come from warm pools on both sides; an
 * unmap includes giving emptied tables back.
 */
#include "bench.h"
#include "pt/pt.h"

#include <stdlib.h>

#define GIB (1ull << 30)

/* --- our side --------------------------------------------------------------------------------- */

struct ours {
	struct env env;
	struct mem mem;
	struct pt pt;
};

static inline int our_map(struct ours *o, u64 iova, u64 oa, u64 len)
{
	u64 mapped;

	return pt_map(&o->pt, IOVA(iova), OA(oa), len, PERM_RW, &mapped);
}

static inline u64 our_unmap(struct ours *o, u64 iova, u64 len)
{
	struct pt_gather g;
	u64 bytes;

	pt_gather_init(&g);
	bytes = pt_unmap(&o->pt, (struct iova_range){iova, iova + len - 1}, &g);
	if (g.free)
		pt_gather_free(&o->mem, &g);
	return bytes;
}

static inline u64 our_look_up(struct ours *o, u64 iova)
{
	return pt_iova_to_oa(&o->pt, IOVA(iova)).v;
}

#define SIDE_MAP(arg, iova, oa, len) our_map(arg, iova, oa, len)
#define SIDE_UNMAP(arg, iova, len)   our_unmap(arg, iova, len)
#define SIDE_LOOK_UP(arg, iova)	     our_look_up(arg, iova)
#include "loops.h"

static void *our_open(const char *name, u64 pgsizes)
{
	struct pt_cfg cfg = {.va_bits = 48, .pgsize_bitmap = pgsizes};
	struct ours *o = calloc(1, sizeof(*o));

	if (!o || env_init(&o->env) || mem_init(&o->mem, &o->env, 52, 256ull << 20))
		return NULL;
	for (const struct pt_fmt *const *fmt = pt_formats; *fmt; fmt++) {
		if (strcmp((*fmt)->name, name))
			continue;
		if ((*fmt)->features & PT_FEAT_DYNAMIC_TOP)
			cfg = (struct pt_cfg){.va_bits = 64,
					      .top_level = 3,
					      .features = PT_FEAT_DYNAMIC_TOP,
					      .pgsize_bitmap = pgsizes};
		return pt_init(&o->pt, *fmt, &o->mem, &cfg) ? NULL : o;
	}
	return NULL;
}

static void our_close(void *arg)
{
	struct ours *o = arg;

	pt_fini(&o->pt);
	mem_fini(&o->mem);
	env_fini(&o->env);
	free(o);
}

/* The walk of the hardware models: by OA, bounds checked, permissions of all levels. */
#define WALK_LOOP(fmt)                                                                             \
	static uint64_t walk_##fmt(struct ours *o, const uint64_t *iova, unsigned nr)              \
	{                                                                                          \
		oa_t root = table_oa(&o->mem, o->pt.root);                                         \
		struct pt_leaf leaf;                                                               \
		uint64_t bad = 0;                                                                  \
                                                                                                   \
		for (unsigned i = 0; i < nr; i++)                                                  \
			bad += fmt##_walk(&o->mem, root, o->pt.top_level, iova[i], &leaf) ||       \
			       leaf.oa.v != LOOP_OA(iova[i]) || leaf.perm != PERM_RW;              \
		return bad;                                                                        \
	}
WALK_LOOP(vtdss)
WALK_LOOP(amdv1)

static uint64_t our_walk(void *arg, const uint64_t *iova, unsigned nr)
{
	struct ours *o = arg;

	return o->pt.fmt == &pt_vtdss ? walk_vtdss(o, iova, nr) : walk_amdv1(o, iova, nr);
}

static void count_dirty(void *arg, u64 iova, u64 len)
{
	*(u64 *)arg += len;
}

static uint64_t our_dirty(void *arg, uint64_t len)
{
	struct ours *o = arg;
	struct pt_gather g;
	u64 bytes = 0;

	pt_gather_init(&g);
	pt_dirty(&o->pt, (struct iova_range){0, len - 1}, 0, count_dirty, &bytes, &g);
	return bytes;
}

static uint64_t our_table_bytes(void *arg)
{
	struct ours *o = arg;

	return o->pt.nr_tables * (PAGE_SIZE + sizeof(*o->mem.tables.note));
}

extern const struct side our_side;
const struct side our_side = {
	.name = "ioasis",
	.open = our_open,
	.close = our_close,
	.map = loop_map,
	.unmap = loop_unmap,
	.look_up = loop_look_up,
	.walk = our_walk,
	.dirty = our_dirty,
	.table_bytes = our_table_bytes,
};

/* --- what is done ----------------------------------------------------------------------------- */

/* Calls of @len bytes, one after the other @stride bytes apart, of which every @keep-th is mapped
 * before the clock starts and stays, so that leaf tables are there. */
struct plan {
	u64 *iova, *kept;
	unsigned nr, nr_kept;
	u64 len;
};

static void plan_make(struct plan *p, u64 space, u64 len, unsigned keep, enum order order)
{
	unsigned nr = (unsigned)(space / len);

	*p = (struct plan){.len = len};
	p->iova = calloc(nr, sizeof(u64));
	p->kept = calloc(nr, sizeof(u64));
	for (unsigned i = 0; i < nr; i++)
		if (keep && i % keep == keep - 1)
			p->kept[p->nr_kept++] = i * len;
		else
			p->iova[p->nr++] = i * len;
	if (order == RANDOM)
		shuffle(p->iova, p->nr);
}

static void plan_free(struct plan *p)
{
	free(p->iova);
	free(p->kept);
}

static void *open_side(struct measure *m)
{
	return m->side->open(m->side == &our_side ? m->row->fmt : m->row->peer, m->row->pgsizes);
}

enum timed {
	TIME_MAP,
	TIME_UNMAP,
};

/* Rounds of map everything, unmap everything; the first is not counted. */
static bool time_plan(struct measure *m, struct plan *p, enum timed what)
{
	const struct side *s = m->side;
	void *d = open_side(m);
	u64 t;

	if (!d)
		return false;
	must_be(!s->map(d, p->kept, p->nr_kept, p->len), m, "map");
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		unsigned slot = round ? round - 1 : 0;

		t = now_ns();
		must_be(!s->map(d, p->iova, p->nr, p->len), m, "map");
		if (what == TIME_MAP)
			sample(m, slot, t, p->nr);
		t = now_ns();
		must_be(!s->unmap(d, p->iova, p->nr, p->len), m, "unmap");
		if (what == TIME_UNMAP)
			sample(m, slot, t, p->nr);
	}
	must_be(!s->unmap(d, p->kept, p->nr_kept, p->len), m, "unmap");
	s->close(d);
	return true;
}

static u64 space_for(u64 len)
{
	return len < 64 << 10 ? GIB : len < 2 << 20 ? 4 * GIB : 64 * GIB;
}

static bool run_plan(struct measure *m, enum timed what)
{
	u64 len = m->row->arg * PAGE_SIZE, table = len < 2 << 20 ? 2 << 20 : GIB;
	struct plan p;
	bool ok;

	plan_make(&p, space_for(len), len, (unsigned)(table / len), m->row->order);
	ok = time_plan(m, &p, what);
	plan_free(&p);
	return ok;
}

static bool run_map(struct measure *m)
{
	return run_plan(m, TIME_MAP);
}

static bool run_unmap(struct measure *m)
{
	return run_plan(m, TIME_UNMAP);
}

/* Nothing is kept: tables come with the first page of each and go with the last. */
static bool run_bare(struct measure *m, enum timed what)
{
	struct plan p;
	bool ok;

	plan_make(&p, GIB, m->row->arg * PAGE_SIZE, 0, m->row->order);
	ok = time_plan(m, &p, what);
	plan_free(&p);
	return ok;
}

static bool run_bare_map(struct measure *m)
{
	return run_bare(m, TIME_MAP);
}

static bool run_bare_unmap(struct measure *m)
{
	return run_bare(m, TIME_UNMAP);
}

static bool run_gib(struct measure *m, enum timed what)
{
	u64 zero = 0;
	struct plan p = {.iova = &zero, .nr = 1, .len = GIB};

	return time_plan(m, &p, what);
}

static bool run_gib_map(struct measure *m)
{
	return run_gib(m, TIME_MAP);
}

static bool run_gib_unmap(struct measure *m)
{
	return run_gib(m, TIME_UNMAP);
}

typedef uint64_t (*look_fn)(void *, const uint64_t *, unsigned);

/* Look-ups in arg GiB that are mapped: in order, or 4 M of them at random. */
static bool time_look_up(struct measure *m, look_fn look)
{
	const struct side *s = m->side;
	u64 start = 0, len = m->row->arg * GIB;
	struct plan p;
	void *d = open_side(m);

	if (!d)
		return false;
	must_be(!s->map(d, &start, 1, len), m, "map");
	plan_make(&p, len, m->row->pgsizes == GIB ? len / 65536 : PAGE_SIZE, 0, m->row->order);
	p.nr = min(p.nr, 1u << 19);
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 t = now_ns();

		must_be(!look(d, p.iova, p.nr), m, "look-up");
		sample(m, round ? round - 1 : 0, t, p.nr);
	}
	plan_free(&p);
	must_be(!s->unmap(d, &start, 1, len), m, "unmap");
	s->close(d);
	return true;
}

static bool run_look_up(struct measure *m)
{
	return time_look_up(m, m->side->look_up);
}

static bool run_walk(struct measure *m)
{
	return time_look_up(m, m->side->walk ? m->side->walk : m->side->look_up);
}

static bool run_dirty(struct measure *m)
{
	const struct side *s = m->side;
	u64 start = 0;
	void *d = open_side(m);

	if (!d)
		return false;
	must_be(!s->map(d, &start, 1, GIB), m, "map");
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 t = now_ns();

		must_be(!s->dirty(d, GIB), m, "dirty");
		sample(m, round ? round - 1 : 0, t, 1);
	}
	must_be(!s->unmap(d, &start, 1, GIB), m, "unmap");
	s->close(d);
	return true;
}

static bool run_table_bytes(struct measure *m)
{
	const struct side *s = m->side;
	u64 start = 0, bytes;
	void *d = open_side(m);

	if (!d)
		return false;
	must_be(!s->map(d, &start, 1, GIB), m, "map");
	bytes = s->table_bytes(d);
	for (unsigned round = 0; round < m->bench->rounds; round++)
		m->samples[round] = (double)bytes;
	s->close(d);
	return true;
}

/* The same unmap of tables that were filled page by page, so that a peer may take them whole. */
static bool run_gib_unmap_pages(struct measure *m)
{
	const struct side *s = m->side;
	u64 zero = 0;
	struct plan p;
	void *d = open_side(m);

	if (!d)
		return false;
	plan_make(&p, GIB, PAGE_SIZE, 0, SEQUENTIAL);
	for (unsigned round = 0; round <= m->bench->rounds; round++) {
		u64 t;

		must_be(!s->map(d, p.iova, p.nr, p.len), m, "map");
		t = now_ns();
		must_be(!s->unmap(d, &zero, 1, GIB), m, "unmap");
		sample(m, round ? round - 1 : 0, t, 1);
	}
	plan_free(&p);
	s->close(d);
	return true;
}

/* One page of 4 KiB in a table of the format with 4 levels: the root and one below for each level. */
#define OWN_SIZE(leaf_tables, levels) ((double)((leaf_tables) + (levels)) * 4096)

#define ROWS(F)                                                                                    \
	{"map 4K " F " seq", "ns", F, F, 0, 2.9, run_map, 1, SEQUENTIAL, .nr = 1, .goal = 6},      \
		{"map 4K " F " random", "ns", F, F, 0, 5.9, run_map, 1, RANDOM, .nr = 1,           \
		 .goal = 9},                                                                       \
		{"map 4K " F " seq, tables made", "ns", F, F, 0, 0, run_bare_map, 1, SEQUENTIAL,   \
		 .nr = 1},                                                                         \
		{"unmap 4K " F " seq", "ns", F, F, 0, 1.6, run_unmap, 1, SEQUENTIAL, .nr = 2,      \
		 .goal = 6},                                                                       \
		{"unmap 4K " F " random", "ns", F, F, 0, 5.1, run_unmap, 1, RANDOM, .nr = 2,       \
		 .goal = 10},                                                                      \
		{"unmap 4K " F " seq, tables freed", "ns", F, F, 0, 0, run_bare_unmap, 1,          \
		 SEQUENTIAL, .nr = 2},                                                             \
		{"map 256x4K " F, "ns", F, F, 0, 18, run_map, 256, SEQUENTIAL, PAGE_SIZE, .nr = 3, \
		 .goal = 65},                                                                      \
		{"unmap 256x4K " F, "ns", F, F, 0, 18, run_unmap, 256, SEQUENTIAL, PAGE_SIZE,      \
		 .nr = 3, .goal = 65},                                                             \
		{"map 1 GiB of 4K " F, "us", F, F, 0, 21, run_gib_map, 0, 0, PAGE_SIZE, .nr = 4,   \
		 .goal = 110},                                                                     \
		{"unmap 1 GiB of 4K " F, "us", F, F, 0, 1.5, run_gib_unmap, 0, 0, PAGE_SIZE,       \
		 .nr = 4, .goal = 6},                                                              \
		{"unmap 1 GiB of 4K " F ", page by page", "us", F, "arm", 0, 1.5,                  \
		 run_gib_unmap_pages, .nr = 4, .goal = 6},                                         \
		{"map 64K " F, "ns", F, F, 0, 5, run_map, 16, SEQUENTIAL, .nr = 5, .goal = 14},    \
		{"unmap 64K " F, "ns", F, F, 0, 5, run_unmap, 16, SEQUENTIAL, .nr = 5,             \
		 .goal = 14},                                                                      \
		{"map 2M " F, "ns", F, F, 0, 2.9, run_map, 512, SEQUENTIAL, .nr = 6, .goal = 7},   \
		{"unmap 2M " F, "ns", F, F, 0, 1.6, run_unmap, 512, SEQUENTIAL, .nr = 6,           \
		 .goal = 6},                                                                       \
		{"iova_to_oa 4K " F " seq", "ns", F, F, 0, 2.6, run_look_up, 1, SEQUENTIAL,        \
		 PAGE_SIZE, .nr = 7, .goal = 3.8},                                                 \
		{"iova_to_oa 4K " F " random", "ns", F, F, 0, 4.6, run_look_up, 1, RANDOM,         \
		 PAGE_SIZE, .nr = 7, .goal = 5.5},                                                 \
		{"iova_to_oa 4K " F " random in 16 GiB", "ns", F, F, 0, 0, run_look_up, 16,        \
		 RANDOM, PAGE_SIZE, .nr = 7, .goal = 45, .heavy = true},                           \
		{"iova_to_oa 1G " F, "ns", F, F, 0, 2.6, run_look_up, 16, RANDOM, GIB, .nr = 7,    \
		 .goal = 3.3},                                                                     \
		{"walk 4K " F " seq", "ns", F, F, 0, 2.6, run_walk, 1, SEQUENTIAL, PAGE_SIZE,      \
		 .nr = 7, .goal = 3.8},                                                            \
		{"walk 4K " F " random", "ns", F, F, 0, 4.6, run_walk, 1, RANDOM, PAGE_SIZE,       \
		 .nr = 7, .goal = 5.5},                                                            \
		{"dirty 1 GiB, 4K " F, "us", F, F, 0, 21, run_dirty, 0, 0, PAGE_SIZE, .nr = 16,    \
		 .goal = 60},                                                                      \
		{"dirty 1 GiB, 2M " F, "us", F, F, 0, 0, run_dirty, 0, 0, 2u << 20, .nr = 16,      \
		 .goal = 1},                                                                       \
		{"tables per GiB, 4K " F, "B", F, "the format's own size", OWN_SIZE(512, 3), 0,    \
		 run_table_bytes, 0, 0, PAGE_SIZE, .nr = 23, .goal = 1.035 * OWN_SIZE(512, 3)},    \
		{"tables per GiB, 2M " F, "B", F, "the format's own size", OWN_SIZE(1, 2), 0,      \
		 run_table_bytes, 0, 0, 2u << 20, .nr = 23, .goal = 1.035 * OWN_SIZE(1, 2)}

const struct row pt_rows[] = {
	ROWS("vtdss"),
	ROWS("amdv1"),
	{0},
};
