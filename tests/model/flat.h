/* SPDX-License-Identifier: MIT */
/*
 * The slow and obvious model of a piece of an address space: an array with one element per page.
 */
#ifndef IOASIS_TESTS_MODEL_FLAT_H
#define IOASIS_TESTS_MODEL_FLAT_H

#include "base/types.h"

struct flat_page {
	bool mapped;
	bool dirty;
	u8 perm;
	u8 leaf_lg2; /* of the leaf at the page's first byte */
	u64 oa;
	u32 area; /* which call mapped it */
};

struct flat {
	u64 base;
	unsigned page_lg2;
	unsigned nr;
	u32 areas;
	struct flat_page *page;
};

void flat_init(struct flat *f, u64 base, unsigned page_lg2, unsigned nr);
void flat_fini(struct flat *f);

/* Pages are named by index; [i, i + nr) is within the piece. */
u64 flat_iova(const struct flat *f, unsigned i);
bool flat_busy(const struct flat *f, unsigned i, unsigned nr);
/* @sizes: leaf sizes allowed; the largest that fits is what is expected at each place. */
void flat_map(struct flat *f, unsigned i, unsigned nr, u64 oa, u8 perm, u64 sizes);
u64 flat_unmap(struct flat *f, unsigned i, unsigned nr); /* Return: bytes that were mapped */
/* Grow [*i, *i + *nr) so that it cuts no area. */
void flat_whole_areas(const struct flat *f, unsigned *i, unsigned *nr);
void flat_set_dirty(struct flat *f, u64 start, u64 last);

#endif
