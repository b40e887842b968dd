/* SPDX-License-Identifier: MIT */
#include "base/itree.h"

/*
 * An AVL tree by start, augmented with the greatest `last` below each child. Nodes of equal start are
 * kept in insertion order: an equal key descends to the right.
 */

#define BALANCE_BITS ((uintptr_t)3)

static struct itree_node *parent_of(const struct itree_node *n)
{
	return (struct itree_node *)(n->up & ~BALANCE_BITS);
}

/* Height of the right subtree less that of the left: -1, 0, 1. */
static int balance_of(const struct itree_node *n)
{
	return (int)(n->up & BALANCE_BITS) - 1;
}

static void set_parent(struct itree_node *n, struct itree_node *parent)
{
	n->up = (uintptr_t)parent | (n->up & BALANCE_BITS);
}

static void set_balance(struct itree_node *n, int balance)
{
	n->up = (n->up & ~BALANCE_BITS) | (uintptr_t)(balance + 1);
}

static int side_of(const struct itree_node *parent, const struct itree_node *n)
{
	return parent->child[1] == n;
}

static u64 subtree_last(const struct itree_node *n)
{
	u64 below = max(n->child_last[0], n->child_last[1]);

	return max(n->last, below);
}

/* Put @n (or nothing) where @side of @parent is; no parent: at the root. */
static void link_child(struct itree *t, struct itree_node *parent, int side, struct itree_node *n)
{
	if (!parent)
		t->root = n;
	else {
		parent->child[side] = n;
		parent->child_last[side] = n ? subtree_last(n) : 0;
	}
	if (n)
		set_parent(n, parent);
}

/* Lift the child of @n on @side over it. Balances are the caller's to set. Return: that child. */
static struct itree_node *rotate(struct itree *t, struct itree_node *n, int side)
{
	struct itree_node *c = n->child[side], *parent = parent_of(n);
	int parent_side = parent ? side_of(parent, n) : 0;

	link_child(t, n, side, c->child[!side]);
	link_child(t, c, !side, n);
	link_child(t, parent, parent_side, c);
	return c;
}

/*
 * @n is two higher on @side: rotate.
 * Return: true when the subtree is as high as before (only a removal sees that).
 */
static bool rebalance(struct itree *t, struct itree_node *n, int side)
{
	struct itree_node *c = n->child[side], *g;
	int dir = side ? 1 : -1, b;

	if (balance_of(c) != -dir) {
		b = balance_of(c);
		rotate(t, n, side);
		set_balance(n, b ? 0 : dir);
		set_balance(c, b ? 0 : -dir);
		return !b;
	}
	g = c->child[!side];
	b = balance_of(g);
	rotate(t, c, !side);
	rotate(t, n, side);
	set_balance(n, b == dir ? -dir : 0);
	set_balance(c, b == -dir ? dir : 0);
	set_balance(g, 0);
	return false;
}

void itree_insert(struct itree *t, struct itree_node *n)
{
	struct itree_node *p = NULL, *at = t->root;
	int side = 0, b;

	while (at) {
		p = at;
		side = n->start >= p->start;
		at = p->child[side];
		if (p->child_last[side] < n->last)
			p->child_last[side] = n->last;
	}
	n->child[0] = n->child[1] = NULL;
	n->child_last[0] = n->child_last[1] = 0;
	n->up = 1; /* balance 0 */
	link_child(t, p, side, n);
	t->nr++;

	for (at = n; p; at = p, p = parent_of(p)) {
		side = side_of(p, at);
		b = balance_of(p) + (side ? 1 : -1);
		if (b == 2 || b == -2) {
			rebalance(t, p, side);
			return;
		}
		set_balance(p, b);
		if (!b)
			return;
	}
}

/* What lies below @n on @side changed: tell its ancestors what their greatest `last` is now. */
static void propagate(struct itree_node *n)
{
	struct itree_node *p;
	u64 last;
	int side;

	for (p = parent_of(n); p; n = p, p = parent_of(p)) {
		side = side_of(p, n);
		last = subtree_last(n);
		if (p->child_last[side] == last)
			return;
		p->child_last[side] = last;
	}
}

/* The subtree of @p on @side became one lower. */
static void shrink(struct itree *t, struct itree_node *p, int side)
{
	struct itree_node *up;
	int up_side, b;

	for (; p; p = up, side = up_side) {
		up = parent_of(p);
		up_side = up ? side_of(up, p) : 0;
		b = balance_of(p) + (side ? -1 : 1);
		if (b == 2 || b == -2) {
			if (rebalance(t, p, !side))
				return;
			continue;
		}
		set_balance(p, b);
		if (b)
			return;
	}
}

/* Let the successor @s of @n, which has no left child, take the place of @n. */
static void replace_by(struct itree *t, struct itree_node *n, struct itree_node *s)
{
	struct itree_node *parent = parent_of(n);
	int side = parent ? side_of(parent, n) : 0;

	set_balance(s, balance_of(n));
	link_child(t, s, 0, n->child[0]);
	link_child(t, s, 1, n->child[1]);
	link_child(t, parent, side, s);
}

void itree_remove(struct itree *t, struct itree_node *n)
{
	struct itree_node *from = parent_of(n), *s;
	int side = from ? side_of(from, n) : 0;

	t->nr--;
	if (!n->child[0] || !n->child[1]) {
		link_child(t, from, side, n->child[!n->child[0]]);
		if (from)
			propagate(from);
		shrink(t, from, side);
		return;
	}
	for (s = n->child[1]; s->child[0]; s = s->child[0])
		;
	from = parent_of(s);
	side = side_of(from, s);
	link_child(t, from, side, s->child[1]);
	if (from == n)
		from = s;
	else
		propagate(from);
	replace_by(t, n, s);
	if (parent_of(s))
		propagate(parent_of(s));
	shrink(t, from, side);
}

/* The first node below @n that overlaps, knowing that some node there ends at or after @start. */
static struct itree_node *search(struct itree_node *n, u64 start, u64 last)
{
	while (n) {
		if (n->child[0] && n->child_last[0] >= start) {
			n = n->child[0];
			continue;
		}
		if (n->start > last)
			return NULL;
		if (n->last >= start)
			return n;
		if (n->child_last[1] < start)
			return NULL;
		n = n->child[1];
	}
	return NULL;
}

struct itree_node *itree_first(const struct itree *t, u64 start, u64 last)
{
	return search(t->root, start, last);
}

struct itree_node *itree_next(const struct itree_node *n, u64 start, u64 last)
{
	const struct itree_node *p;

	for (;;) {
		if (n->child[1] && n->child_last[1] >= start)
			return search(n->child[1], start, last);
		for (p = parent_of(n); p && p->child[1] == n; p = parent_of(p))
			n = p;
		if (!p || p->start > last)
			return NULL;
		if (p->last >= start)
			return (struct itree_node *)p;
		n = p;
	}
}
