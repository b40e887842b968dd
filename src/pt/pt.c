/* SPDX-License-Identifier: MIT */
/* What of a page table does not depend on its format. */
#include "pt/pt.h"

int pt_init(struct pt *pt, const struct pt_fmt *fmt, struct mem *mem, const struct pt_cfg *cfg)
{
	*pt = (struct pt){.fmt = fmt, .mem = mem, .cfg = *cfg};
	return fmt->init(pt);
}

void pt_fini(struct pt *pt)
{
	if (!pt->root)
		return;
	pt->fmt->fini(pt);
	pt->root = NULL;
}

void pt_gather_free(struct mem *mem, struct pt_gather *g)
{
	if (g->free)
		table_free_chain(mem, g->free, g->free_last, g->nr_free);
	pt_gather_init(g);
}
