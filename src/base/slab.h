/* SPDX-License-Identifier: MIT */
/*
 * Objects of one kind of which there may be a million: whole cache lines each, side by side in huge
 * pages. A tree of them costs one line per step, and hardly a TLB miss; malloc()'s neither.
 *
 * Memory stays with the slab until it ends: what a million mappings took, the next million finds.
 * Under AddressSanitizer every object is malloc()'s own, so that a late use is seen.
 */
#ifndef IOASIS_SRC_BASE_SLAB_H
#define IOASIS_SRC_BASE_SLAB_H

#include "base/env.h"
#include "base/lock.h"

struct slab_free;
struct slab_chunk;

struct slab {
	struct env *env;
	size_t size; /* of an object, rounded up to lines */
	struct lock lock;
	struct slab_free *free;	   /* GUARDED_BY(lock) */
	struct slab_chunk *chunks; /* GUARDED_BY(lock) */
	u8 *fresh, *end;	   /* GUARDED_BY(lock): of the newest chunk, never used so far */
};

void slab_init(struct slab *s, struct env *env, size_t size);
void slab_fini(struct slab *s); /* every object is back */

/* Zeroed, aligned to a line; passes the fault point and counts as env_zalloc() does. NULL: no
 * memory. */
void *slab_zalloc(struct slab *s) MUST_CHECK;
void slab_free(struct slab *s, void *p);

#endif
