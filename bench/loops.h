/* SPDX-License-Identifier: MIT */
/*
 * The loops that are timed, the same for every side: a side defines SIDE_MAP, SIDE_UNMAP and
 * SIDE_LOOK_UP on its own objects and includes this file, so that the calls are as direct as that side
 * makes them. Every result is checked inside the loop.
 */
#ifndef IOASIS_BENCH_LOOPS_H
#define IOASIS_BENCH_LOOPS_H

#include "side.h"

static uint64_t loop_map(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++)
		bad += SIDE_MAP(arg, iova[i], LOOP_OA(iova[i]), len) != 0;
	return bad;
}

static uint64_t loop_unmap(void *arg, const uint64_t *iova, unsigned nr, uint64_t len)
{
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++)
		bad += SIDE_UNMAP(arg, iova[i], len) != len;
	return bad;
}

static uint64_t loop_look_up(void *arg, const uint64_t *iova, unsigned nr)
{
	uint64_t bad = 0;

	for (unsigned i = 0; i < nr; i++)
		bad += SIDE_LOOK_UP(arg, iova[i]) != LOOP_OA(iova[i]);
	return bad;
}

#endif
