/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "unit.h"

#define NR 600

/* The slow obvious oracle: an array in which presence is a flag. */
struct item {
	struct itree_node node;
	bool in;
	u64 seq;
};

struct state {
	struct itree tree;
	struct item items[NR];
	u64 seq;
};

/* Height, order, back pointers and augmentation of the subtree at @n. Return: its height. */
static int check_subtree(const struct itree_node *n, u64 *out_last)
{
	u64 below[2] = {0, 0};
	int h[2] = {0, 0}, side;

	*out_last = n->last;
	for (side = 0; side < 2; side++) {
		const struct itree_node *c = n->child[side];

		if (c) {
			assert_ptr_equal((void *)(c->up & ~(uintptr_t)3), n);
			assert_true(side ? c->start >= n->start : c->start <= n->start);
			h[side] = check_subtree(c, &below[side]);
		}
		assert_int_equal(n->child_last[side], below[side]);
		*out_last = max(*out_last, below[side]);
	}
	assert_int_equal((int)(n->up & 3) - 1, h[1] - h[0]);
	return 1 + max(h[0], h[1]);
}

static void check_tree(const struct itree *t)
{
	u64 last;

	if (t->root) {
		assert_null((void *)(t->root->up & ~(uintptr_t)3));
		check_subtree(t->root, &last);
	}
}

static int by_start(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;

	if (x->node.start != y->node.start)
		return x->node.start < y->node.start ? -1 : 1;
	return x->seq < y->seq ? -1 : 1;
}

static void check_query(struct state *s, u64 start, u64 last)
{
	struct item *want[NR];
	struct itree_node *n;
	unsigned nr = 0, i;

	for (i = 0; i < NR; i++)
		if (s->items[i].in && s->items[i].node.start <= last &&
		    s->items[i].node.last >= start)
			want[nr++] = &s->items[i];
	qsort(want, nr, sizeof(want[0]), by_start);
	i = 0;
	itree_for_each(n, &s->tree, start, last) {
		assert_true(i < nr);
		assert_ptr_equal(n, &want[i]->node);
		i++;
	}
	assert_int_equal(i, nr);
}

static void toggle(struct state *s, struct item *it, u64 start, u64 last)
{
	if (it->in) {
		itree_remove(&s->tree, &it->node);
		it->in = false;
		return;
	}
	it->node.start = start;
	it->node.last = last;
	it->in = true;
	it->seq = s->seq++;
	itree_insert(&s->tree, &it->node);
}

/* Random ranges in a space of @space addresses at the end of 2^64: many equal, many overlapping. */
static void random_ops(u64 space, u64 max_len, u64 seed)
{
	struct state *s = calloc(1, sizeof(*s));
	unsigned op, live = 0, i;

	assert_non_null(s);
	itree_init(&s->tree);
	for (op = 0; op < 6000; op++) {
		u64 start = UINT64_MAX - rnd(&seed) % space;
		u64 len = rnd(&seed) % max_len;
		u64 last = UINT64_MAX - start < len ? UINT64_MAX : start + len;

		toggle(s, &s->items[rnd(&seed) % NR], start, last);
		if (op % 7)
			continue;
		check_tree(&s->tree);
		check_query(s, start, last);
		check_query(s, 0, UINT64_MAX);
		check_query(s, UINT64_MAX, UINT64_MAX);
	}
	for (i = 0; i < NR; i++)
		live += s->items[i].in;
	assert_int_equal(s->tree.nr, live);
	for (i = 0; i < NR; i++)
		if (s->items[i].in)
			toggle(s, &s->items[i], 0, 0);
	assert_null(s->tree.root);
	free(s);
}

static void overlapping(void **unused)
{
	random_ops(1000, 400, 1);
}

static void sparse(void **unused)
{
	random_ops(UINT64_MAX, 1ull << 54, 2);
}

static void points_and_equals(void **unused)
{
	random_ops(64, 1, 3);
}

/* Rising and falling keys: what a naive tree turns into a list. check_tree() pins the balance. */
static void monotonic(void **unused)
{
	struct state *s = calloc(1, sizeof(*s));
	u64 i;

	assert_non_null(s);
	for (i = 0; i < NR; i++) {
		toggle(s, &s->items[i], i < NR / 2 ? i * 2 : (NR - i) * 2 + 1, i * 2 + NR * 2);
		check_tree(&s->tree);
	}
	for (i = 0; i < NR; i++) {
		toggle(s, &s->items[i], 0, 0);
		check_tree(&s->tree);
	}
	free(s);
}

static void whole_space(void **unused)
{
	struct itree t;
	struct itree_node all = {.start = 0, .last = UINT64_MAX}, zero = {.start = 0, .last = 0};

	itree_init(&t);
	assert_null(itree_first(&t, 0, UINT64_MAX));
	itree_insert(&t, &all);
	itree_insert(&t, &zero);
	assert_ptr_equal(itree_first(&t, 0, 0), &all);
	assert_ptr_equal(itree_next(&all, 0, 0), &zero);
	assert_ptr_equal(itree_first(&t, UINT64_MAX, UINT64_MAX), &all);
	assert_null(itree_next(&all, UINT64_MAX, UINT64_MAX));
	itree_remove(&t, &all);
	assert_null(itree_first(&t, 1, UINT64_MAX));
	assert_ptr_equal(itree_first(&t, 0, 0), &zero);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlapping),	     cmocka_unit_test(sparse),
		cmocka_unit_test(points_and_equals), cmocka_unit_test(monotonic),
		cmocka_unit_test(whole_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
