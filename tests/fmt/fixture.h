/* SPDX-License-Identifier: MIT */
/*
 * What every test of the format suites starts from: a memory, a table of one format in one of the
 * configurations that the format lists, and a repeatable source of numbers.
 */
#ifndef IOASIS_TESTS_FMT_FIXTURE_H
#define IOASIS_TESTS_FMT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pt/pt.h"

/* What a test is run for. */
struct subject {
	const struct pt_fmt *fmt;
	unsigned cfg;
};

struct fixture {
	struct env env;
	struct mem mem;
	struct pt pt;
	struct pt_gather g;
	u64 least;   /* smallest leaf, bytes */
	u64 limited; /* leaf sizes the configuration asks for; 0: all */
	u64 seed;
};

void fixture_open(struct fixture *fx, const struct subject *subject);
/* Checks that every table went back to the pool. */
void fixture_close(struct fixture *fx);

u64 rnd(struct fixture *fx);
u64 rnd_below(struct fixture *fx, u64 n);

/* Unmap and give the tables back. Return: bytes that were mapped. */
u64 unmap(struct fixture *fx, u64 start, u64 last);
int walk(const struct fixture *fx, u64 iova, struct pt_leaf *out);
unsigned steps(const struct fixture *fx, u64 iova, struct pt_step *out);
u64 *item_at(const struct fixture *fx, oa_t item);
/* Map, and expect all of it or an error that mapped nothing. */
int map(struct fixture *fx, u64 iova, u64 oa, u64 len, u8 perm);

/* The function by which this format's hardware model marks a leaf. */
typedef void (*leaf_set_dirty_fn)(const struct mem *, const struct pt_leaf *);
leaf_set_dirty_fn leaf_set_dirty(const struct fixture *fx);

#define STEPS_MAX 8

#endif
