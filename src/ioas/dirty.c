/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking of a HWPT: which pages devices wrote.
 *
 * Table walks happen under locks, the caller's bitmap is written without any: so a walk collects runs
 * into a buffer, window by window. A window never ends inside a leaf: clearing a leaf's dirty bit says
 * once for the whole leaf that it was written.
 *
 * Source: linux drivers/iommu/iommufd/{io_pagetable,iova_bitmap}.c.
 */
#include "ioas/priv.h"

#define NR_RUNS	 8192u
#define NR_WORDS 64u

struct dirty_run {
	u64 iova, last;
};

struct dirty_runs {
	u32 nr;
	struct dirty_run v[NR_RUNS + 1];
};

static void collect_run(void *arg, u64 iova, u64 len)
{
	struct dirty_runs *runs = arg;
	struct dirty_run *prev = runs->nr ? &runs->v[runs->nr - 1] : NULL;

	if (prev && prev->last + 1 == iova) {
		prev->last += len;
		return;
	}
	assert(runs->nr <= NR_RUNS);
	runs->v[runs->nr++] = (struct dirty_run){iova, iova + (len - 1)};
}

/* ---- runs to bits ---- */

struct bits {
	const struct dirty_args *args;
	unsigned shift;
	u64 first; /* bit number of word 0 */
	bool any;
	u64 words[NR_WORDS];
};

static int bits_put(struct bits *b)
{
	int rc;

	if (!b->any)
		return 0;
	rc = b->args->put(b->args->arg, b->first, b->words, NR_WORDS * 64);
	memset(b->words, 0, sizeof(b->words));
	b->any = false;
	return rc;
}

static int bits_set(struct bits *b, u64 first, u64 last)
{
	u64 bit = first;
	int rc;

	for (;;) {
		u64 in_word = bit % 64, n = min(64 - in_word, last - bit + 1);

		if (bit - b->first >= NR_WORDS * 64) {
			rc = bits_put(b);
			if (rc)
				return rc;
			b->first = align_down(bit, 64);
		}
		b->words[(bit - b->first) / 64] |= (UINT64_MAX >> (64 - n)) << in_word;
		b->any = true;
		if (last - bit < n)
			return 0;
		bit += n;
	}
}

static int put_runs(struct bits *b, const struct dirty_runs *runs)
{
	int rc = 0;

	for (u32 i = 0; !rc && i < runs->nr; i++)
		rc = bits_set(b, (runs->v[i].iova - b->args->iova) >> b->shift,
			      (runs->v[i].last - b->args->iova) >> b->shift);
	return rc ? rc : bits_put(b);
}

/* ---- walking ---- */

/* Where a window that starts at @from may end. */
static u64 window_last(struct domain *d, u64 from, u64 last)
{
	u64 page = d->pgsize_bitmap & -d->pgsize_bitmap, end;
	struct pt_leaf leaf;

	if (last - from < NR_RUNS * page)
		return last;
	end = from + (NR_RUNS * page - 1);
	if (!d->pt.fmt->walk(d->pt.mem, table_oa(d->pt.mem, d->pt.root), d->pt.top_level, end,
			     &leaf))
		end = max(end, leaf.last);
	return min(end, last);
}

static void walk_window(struct domain *d, u64 *inout, u64 last, unsigned flags,
			struct dirty_runs *runs, struct pt_gather *g)
{
	u64 from = *inout;

	runs->nr = 0;
	lock_take(&d->lock);
	*inout = window_last(d, from, last);
	pt_dirty(&d->pt, (struct iova_range){from, *inout}, flags, collect_run, runs, g);
	lock_drop(&d->lock);
}

static int check_range(struct ioasis_ioas *ioas, const struct dirty_args *args, u64 *out_last)
{
	u64 last, mask;

	if (__builtin_add_overflow(args->iova, args->len - 1, &last))
		return -EOVERFLOW;
	rwlock_read(&ioas->iova_lock);
	mask = ioas->align - 1;
	rwlock_read_drop(&ioas->iova_lock);
	if ((args->iova & mask) || ((last + 1) & mask) || !args->page_size)
		return -EINVAL;
	mask = args->page_size - 1;
	if ((args->iova & mask) || ((last + 1) & mask))
		return -EINVAL;
	*out_last = last;
	return 0;
}

/* One window of one area. Return: false when nothing is mapped at *inout_iova: the walk ends there. */
static bool next_window(struct hwpt *hwpt, u64 *inout_iova, u64 last, unsigned flags,
			struct dirty_runs *runs, struct pt_gather *g)
{
	struct ioasis_ioas *ioas = hwpt->ioas;
	struct contig it;
	bool found;

	rwlock_read(&ioas->iova_lock);
	found = contig_first(&it, ioas, *inout_iova, last);
	if (found)
		walk_window(hwpt->domain, inout_iova, contig_last(&it), flags, runs, g);
	rwlock_read_drop(&ioas->iova_lock);
	return found;
}

int hwpt_get_dirty_bitmap(struct hwpt *hwpt, const struct dirty_args *args)
{
	unsigned flags = args->no_clear ? PT_DIRTY_NO_CLEAR : 0;
	struct env *env = hwpt->ioas->ctx->env;
	struct dirty_runs *runs;
	struct pt_gather g;
	struct bits bits;
	u64 iova, last;
	int rc;

	rc = check_range(hwpt->ioas, args, &last);
	if (rc)
		return rc;
	if (!hwpt->domain->can_dirty)
		return -EOPNOTSUPP;
	runs = env_zalloc(env, sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	bits = (struct bits){.args = args, .shift = (unsigned)__builtin_ctzll(args->page_size)};
	pt_gather_init(&g);
	/* Linux reads until the first hole and calls that success. */
	for (iova = args->iova; next_window(hwpt, &iova, last, flags, runs, &g); iova++) {
		rc = put_runs(&bits, runs);
		if (rc || iova == last)
			break;
	}
	if (!args->no_clear)
		iommu_flush(hwpt->domain, &g);
	env_free(env, runs);
	return rc;
}

static void ignore_run(void *arg, u64 iova, u64 len)
{
}

/* Tracking starts from a clean slate. */
static void clear_all(struct hwpt *hwpt)
{
	struct ioasis_ioas *ioas = hwpt->ioas;
	struct domain *d = hwpt->domain;
	struct pt_gather g;

	pt_gather_init(&g);
	lock_take(&d->lock);
	for (struct area *a = area_first(ioas, 0, UINT64_MAX); a; a = area_next(a, 0, UINT64_MAX))
		if (a->pages)
			pt_dirty(&d->pt, (struct iova_range){a->node.start, a->node.last}, 0,
				 ignore_run, NULL, &g);
	lock_drop(&d->lock);
	iommu_flush(d, &g);
}

int hwpt_set_dirty_tracking(struct hwpt *hwpt, bool on)
{
	struct ioasis_ioas *ioas = hwpt->ioas;
	struct domain *d = hwpt->domain;
	int rc;

	if (!d->can_dirty || !d->iommu->ops->set_dirty_tracking)
		return -EOPNOTSUPP;
	rwlock_read(&ioas->iova_lock);
	if (on)
		clear_all(hwpt);
	rc = d->iommu->ops->set_dirty_tracking(d, on);
	rwlock_read_drop(&ioas->iova_lock);
	return rc;
}

bool hwpt_can_dirty(const struct hwpt *hwpt)
{
	return hwpt->domain->can_dirty;
}

void hwpt_set_dirty(struct hwpt *hwpt, iova_t iova)
{
	struct domain *d = hwpt->domain;

	lock_take(&d->lock);
	if (d->pt.fmt->set_dirty)
		d->pt.fmt->set_dirty(&d->pt, iova.v);
	lock_drop(&d->lock);
}
