/* SPDX-License-Identifier: MIT */
/* A side of the comparison: ours, or a peer's in a shared object. Knows neither us nor Linux. */
#ifndef IOASIS_BENCH_SIDE_H
#define IOASIS_BENCH_SIDE_H

#include <stdint.h>

/* Where an IOVA points: the same for all sides, congruent modulo the largest leaf. */
#define LOOP_OA(iova) ((iova) + (1ull << 36))

struct side {
	const char *name; /* the compiler, of a peer's */
	const char *of;	  /* whose code it is */
	/* @fmt: "vtdss", "amdv1"…; @pgsizes: leaf sizes allowed, 0 for all. NULL: not this one. */
	void *(*open)(const char *fmt, uint64_t pgsizes);
	void (*close)(void *);
	/* Return: how many calls did not do what they should. */
	uint64_t (*map)(void *, const uint64_t *iova, unsigned nr, uint64_t len);
	uint64_t (*unmap)(void *, const uint64_t *iova, unsigned nr, uint64_t len);
	uint64_t (*look_up)(void *, const uint64_t *iova, unsigned nr);
	uint64_t (*walk)(void *, const uint64_t *iova, unsigned nr); /* NULL: look_up is all it has */
	uint64_t (*miss)(void *, const uint64_t *iova, unsigned nr); /* look_up of what is not mapped */
	uint64_t (*copy)(void *, const uint64_t *iova, unsigned nr, uint64_t len);
	uint64_t (*dirty)(void *, uint64_t len);
	uint64_t (*table_bytes)(void *);
};

#endif
