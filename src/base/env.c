/* SPDX-License-Identifier: MIT */
#include "base/env.h"

#include <stdlib.h>

int env_init(struct env *env)
{
	int rc;

	*env = (struct env){0};
	rc = epoch_init(&env->epoch);
	if (rc)
		return rc;
	trace_init(&env->trace);
	return 0;
}

void env_fini(struct env *env)
{
	/* What is still allocated has lost its owner: a leak of ours. */
	assert(!atomic_load(&env->nr_allocs));
	trace_fini(&env->trace);
	epoch_fini(&env->epoch);
}

/*
 * A type that wants cache lines of its own has a size of whole lines, so the size tells when calloc()'s
 * alignment is not enough.
 */
static void *zeroed(size_t nr, size_t len)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(nr, len, &total))
		return NULL;
	if (!total || total % CACHELINE)
		return calloc(1, total);
	p = aligned_alloc(CACHELINE, total);
	if (p)
		memset(p, 0, total);
	return p;
}

void *env_calloc(struct env *env, size_t nr, size_t len)
{
	void *p;

	if (fault_hit(&env->fault))
		return NULL;
	p = zeroed(nr, len);
	if (p)
		atomic_fetch_add_explicit(&env->nr_allocs, 1, memory_order_relaxed);
	return p;
}

void *env_zalloc(struct env *env, size_t len)
{
	return env_calloc(env, 1, len);
}

void env_free(struct env *env, void *p)
{
	if (!p)
		return;
	atomic_fetch_sub_explicit(&env->nr_allocs, 1, memory_order_relaxed);
	free(p);
}
