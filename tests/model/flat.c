/* SPDX-License-Identifier: MIT */
#include "flat.h"

#include <stdlib.h>

void flat_init(struct flat *f, u64 base, unsigned page_lg2, unsigned nr)
{
	*f = (struct flat){.base = base, .page_lg2 = page_lg2, .nr = nr};
	f->page = calloc(nr, sizeof(*f->page));
	assert(f->page);
}

void flat_fini(struct flat *f)
{
	free(f->page);
}

u64 flat_iova(const struct flat *f, unsigned i)
{
	return f->base + ((u64)i << f->page_lg2);
}

bool flat_busy(const struct flat *f, unsigned i, unsigned nr)
{
	for (; nr; nr--, i++)
		if (f->page[i].mapped)
			return true;
	return false;
}

/* The largest size that divides both addresses and does not exceed what is left. */
static unsigned leaf_at(u64 iova, u64 oa, u64 left, u64 sizes)
{
	unsigned best = 0;

	for (unsigned lg2 = 0; lg2 < 64; lg2++) {
		u64 size = 1ull << lg2;

		if ((sizes & size) && iova % size == 0 && oa % size == 0 && size <= left)
			best = lg2;
	}
	return best;
}

void flat_map(struct flat *f, unsigned i, unsigned nr, u64 oa, u8 perm, u64 sizes)
{
	u64 page = 1ull << f->page_lg2, left = nr * page, iova = flat_iova(f, i);
	u64 next_leaf = iova; /* wraps to 0 behind the last leaf of a 64-bit space */
	unsigned lg2 = 0;

	f->areas++;
	for (; left; left -= page, iova += page, oa += page, i++) {
		while (next_leaf <= iova && (next_leaf || !iova)) {
			u64 ahead = iova - next_leaf;

			lg2 = leaf_at(next_leaf, oa - ahead, left + ahead, sizes);
			next_leaf += 1ull << lg2;
		}
		f->page[i] = (struct flat_page){
			.mapped = true, .perm = perm, .leaf_lg2 = lg2, .oa = oa, .area = f->areas};
	}
}

u64 flat_unmap(struct flat *f, unsigned i, unsigned nr)
{
	u64 bytes = 0;

	for (; nr; nr--, i++) {
		if (f->page[i].mapped)
			bytes += 1ull << f->page_lg2;
		f->page[i] = (struct flat_page){0};
	}
	return bytes;
}

void flat_whole_areas(const struct flat *f, unsigned *i, unsigned *nr)
{
	unsigned first = *i, last = *i + *nr - 1;

	while (first && f->page[first].mapped && f->page[first - 1].area == f->page[first].area)
		first--;
	while (last + 1 < f->nr && f->page[last].mapped &&
	       f->page[last + 1].area == f->page[last].area)
		last++;
	*i = first;
	*nr = last - first + 1;
}

void flat_set_dirty(struct flat *f, u64 start, u64 last)
{
	for (unsigned i = 0; i < f->nr; i++)
		if (flat_iova(f, i) >= start && flat_iova(f, i) <= last)
			f->page[i].dirty = true;
}
