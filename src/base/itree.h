/* SPDX-License-Identifier: MIT */
/*
 * Interval tree over closed ranges of u64; ranges may overlap, equal ranges may coexist.
 *
 * Intrusive: insertion and removal never allocate, so neither can fail. Iteration is by start; equal
 * starts come in the order of insertion. An AVL tree: its height is at most 1.44 log2(nr).
 * Owner: whoever embeds the root; its lock protects it.
 */
#ifndef IOASIS_SRC_BASE_ITREE_H
#define IOASIS_SRC_BASE_ITREE_H

#include "base/types.h"

struct itree_node {
	u64 start;
	u64 last;
	/*
	 * Private to itree.c. The greatest `last` below each child is kept here, beside the pointer,
	 * so that a descent touches only the nodes of its path: in a tree of a million areas each other
	 * node would be a cache miss.
	 */
	struct itree_node *child[2];
	u64 child_last[2]; /* 0 where there is no child */
	uintptr_t up;	   /* parent, and in the low two bits the balance + 1 */
};

struct itree {
	struct itree_node *root;
	u64 nr;
};

static inline void itree_init(struct itree *t)
{
	*t = (struct itree){0};
}

void itree_insert(struct itree *t, struct itree_node *n); /* n->start <= n->last are set */
void itree_remove(struct itree *t, struct itree_node *n);

/* The first node, by start, that overlaps [start, last]; the one after @n that does. NULL: none. */
struct itree_node *itree_first(const struct itree *t, u64 start, u64 last);
struct itree_node *itree_next(const struct itree_node *n, u64 start, u64 last);

#define itree_for_each(n, t, start, last)                                                          \
	for ((n) = itree_first(t, start, last); (n); (n) = itree_next(n, start, last))

#endif
