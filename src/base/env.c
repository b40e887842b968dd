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
	trace_fini(&env->trace);
	epoch_fini(&env->epoch);
}

void *env_calloc(struct env *env, size_t nr, size_t len)
{
	void *p;

	if (fault_hit(&env->fault))
		return NULL;
	p = calloc(nr, len);
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
