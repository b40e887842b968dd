/* SPDX-License-Identifier: MIT */
/*
 * The tree that emulators keep their IOVA maps in: a GLib GTree of allocated nodes that compares
 * closed ranges, so that a look-up of an address finds the range it lies in. Our own code, in the
 * shape of QEMU's IOVATree (util/iova-tree.c): look before an insert, look again for each removal.
 */
#include <glib.h>
#include <string.h>

#include "../side.h"

struct range {
	uint64_t iova, to;
	uint64_t size; /* bytes - 1 */
	unsigned perm;
};

static gint compare(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct range *x = a, *y = b;

	(void)unused;
	if (x->iova > y->iova + y->size)
		return 1;
	return x->iova + x->size < y->iova ? -1 : 0;
}

static inline int tree_map(GTree *t, uint64_t iova, uint64_t to, uint64_t len)
{
	struct range key = {.iova = iova, .size = len - 1}, *r;

	if (!len || iova + len - 1 < iova || g_tree_lookup(t, &key))
		return -1;
	r = g_malloc0(sizeof(*r));
	*r = (struct range){.iova = iova, .to = to, .size = len - 1, .perm = 3};
	g_tree_insert(t, r, r);
	return 0;
}

static inline uint64_t tree_unmap(GTree *t, uint64_t iova, uint64_t len)
{
	struct range key = {.iova = iova, .size = len - 1}, *r;
	uint64_t bytes = 0;

	while ((r = g_tree_lookup(t, &key))) {
		bytes += r->size + 1;
		g_tree_remove(t, r);
	}
	return bytes;
}

static inline uint64_t tree_look_up(GTree *t, uint64_t iova)
{
	struct range key = {.iova = iova}, *r = g_tree_lookup(t, &key);

	return r && r->perm & 1 ? r->to + (iova - r->iova) : UINT64_MAX;
}

#define SIDE_MAP(arg, iova, oa, len) tree_map(arg, iova, oa, len)
#define SIDE_UNMAP(arg, iova, len)   tree_unmap(arg, iova, len)
#define SIDE_LOOK_UP(arg, iova)	     tree_look_up(arg, iova)
#include "../loops.h"

static uint64_t loop_miss(void *arg, const uint64_t *iova, unsigned nr)
{
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++)
		bad += tree_look_up(arg, iova[i]) != UINT64_MAX;
	return bad;
}

static void *tree_open(const char *name, uint64_t pgsizes)
{
	(void)pgsizes;
	return strcmp(name, "GTree") ? NULL : g_tree_new_full(compare, NULL, NULL, g_free);
}

static void tree_close(void *arg)
{
	g_tree_destroy(arg);
}

const struct side tree_side __attribute__((visibility("default"))) = {
	.name = PEER_CC,
	.of = "glib ",
	.open = tree_open,
	.close = tree_close,
	.map = loop_map,
	.unmap = loop_unmap,
	.look_up = loop_look_up,
	.miss = loop_miss,
};
