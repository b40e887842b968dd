/* SPDX-License-Identifier: MIT */
/*
 * The surroundings of one instance, handed down to every room instead of globals.
 */
#ifndef IOASIS_SRC_BASE_ENV_H
#define IOASIS_SRC_BASE_ENV_H

#include "base/epoch.h"
#include "base/fault.h"
#include "base/trace.h"

struct env {
	struct fault fault;
	struct trace trace;
	struct epoch epoch;
	_Atomic u64 nr_allocs; /* live env_zalloc()s: a leak check that needs no sanitiser */
};

int env_init(struct env *env) MUST_CHECK;
void env_fini(struct env *env);

/* Zeroed memory, aligned for any type (alignas(CACHELINE) too), through a fault point. Return: NULL when out of memory (or told so). */
void *env_zalloc(struct env *env, size_t len) MUST_CHECK;
void *env_calloc(struct env *env, size_t nr, size_t len) MUST_CHECK; /* checks nr * len */
void env_free(struct env *env, void *p);			     /* NULL is fine */

#endif
