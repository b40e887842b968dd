/* SPDX-License-Identifier: MIT */
/*
 * Ids: small integers from 1 up, the lowest free one first (as Linux's xarray gives them out), each
 * with a pointer. An id is reserved before its pointer is published; a reserved or dead id reads as
 * NULL. The owner's lock protects the table.
 */
#ifndef IOASIS_SRC_BASE_IDTAB_H
#define IOASIS_SRC_BASE_IDTAB_H

#include "base/env.h"

#define IDTAB_MAX 0x7fffffffu

struct idtab {
	struct env *env;
	void **slots;	/* [0] unused */
	u64 *used;	/* bitmap: reserved or published */
	u32 nr_slots;
	u32 lowest_hint; /* no free id below it */
};

void idtab_init(struct idtab *t, struct env *env);
void idtab_fini(struct idtab *t);

int idtab_reserve(struct idtab *t, u32 *out_id) MUST_CHECK; /* 0, -ENOMEM, -EBUSY when all are used */
void idtab_publish(struct idtab *t, u32 id, void *p);
void idtab_tombstone(struct idtab *t, u32 id); /* reads as NULL, stays reserved for ever */
void idtab_release(struct idtab *t, u32 id);
void *idtab_get(const struct idtab *t, u32 id);		 /* NULL: none, reserved or dead */
void *idtab_next(const struct idtab *t, u32 *inout_id); /* first published id >= *inout_id */

#endif
