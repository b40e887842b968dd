/* SPDX-License-Identifier: MIT */
/*
 * The benchmark: a constant table of rows, one file per family of rows.
 *
 * A row measures one operation on every side that can do it, in the same minute: ours, and the peers
 * built by more than one compiler, of which the better figure counts. A figure is the least of the
 * rounds; the median tells how quiet the machine was.
 */
#ifndef IOASIS_BENCH_BENCH_H
#define IOASIS_BENCH_BENCH_H

#include "base/base.h"
#include "side.h"

#define BENCH_SIDES_MAX 6

struct bench {
	unsigned rounds;
	bool quick;	   /* only to see that every row works */
	unsigned nr_sides; /* 0 is ours */
	const struct side *sides[BENCH_SIDES_MAX];
};

struct figure {
	double min, median; /* in the row's unit */
};

struct row;

struct measure {
	const struct bench *bench;
	const struct row *row;
	const struct side *side;
	double *samples; /* one per round */
};

struct row {
	const char *op;	     /* what a person reads, and the key in JSON */
	const char *unit;    /* "ns", "us", "B" */
	const char *fmt;     /* ours: a page-table format's name */
	const char *peer;    /* the format of the peer; NULL: no peer */
	double fixed_peer;   /* instead of a peer that is measured, with its name in .peer */
	double limit;	     /* what this machine could do at best, same unit; 0: not known */
	/* Fill in the samples. Return: false when this side cannot do it. */
	bool (*run)(struct measure *m);
	/* What run() needs to know. */
	unsigned arg;
	unsigned order; /* enum order */
	u64 pgsizes;
	unsigned nr;		   /* of the table of goals (docs/performance.md) */
	double goal;		   /* what ours is to reach; 0: none of its own */
	unsigned rounds;	   /* at most; 0: as many as all */
	bool heavy;		   /* left out of a quick run */
	const struct side *ours;   /* instead of the page tables' side */
	const struct side *beside; /* a peer that no other compiler would change */
	bool (*limit_run)(struct measure *m); /* measures the limit instead */
	const char *machine;	   /* what `ioasis run` is to make */
};

enum order {
	SEQUENTIAL,
	RANDOM,
};

u64 now_ns(void);
/* Add a round's time for @nr operations. */
void sample(struct measure *m, unsigned round, u64 start_ns, double nr);
void sample_ns(struct measure *m, unsigned round, u64 ns, double nr);
/* A generator of our own, so that every run does the same: xorshift64. */
u64 next_random(u64 *state);
void shuffle(u64 *v, unsigned nr);
/* Ends the program: a wrong result is no measurement. */
void must_be(bool ok, const struct measure *m, const char *what);

/* The families, NULL-terminated by op. */
extern const struct row pt_rows[];
extern const struct row space_rows[];
extern const struct row daemon_rows[];

#endif
