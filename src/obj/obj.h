/* SPDX-License-Identifier: MIT */
/*
 * Objects: what an opened /dev/iommu holds, by id. The only place that publishes and frees.
 *
 * Life: obj_new() reserves an id nobody can look up; the handler fills the object; the dispatcher
 * publishes it (or aborts it) once the reply is safely in the caller's memory. From then on
 * another thread may destroy it at any time.
 *
 * Two counts with two meanings: `users` = who depends on this one (obj_hold/obj_drop), requests that
 * looked it up (obj_get/obj_put) and the table's own 1; `inside` = who is working on it now, and the
 * table's own 1. Destroy answers -EBUSY while users remain and before anything was touched; it then
 * waits for `inside` and cannot fail. So, as on Linux, a request on an object makes a concurrent
 * IOMMU_DESTROY of it -EBUSY; an owner's obj_remove() waits instead; a look from obj_for_each() delays
 * either and disturbs neither.
 *
 * Closing a table frees leaves until it is empty; a cycle would be our own bug and is reported with
 * the names of what is left.
 *
 * Source: linux drivers/iommu/iommufd/main.c (behaviour: ids, errnos, order).
 */
#ifndef IOASIS_SRC_OBJ_OBJ_H
#define IOASIS_SRC_OBJ_OBJ_H

#include "base/base.h"

enum obj_type {
	OBJ_ANY, /* look-ups only */
	OBJ_DEVICE,
	OBJ_HWPT_PAGING,
	OBJ_HWPT_NESTED,
	OBJ_IOAS,
	OBJ_ACCESS,
	OBJ_FAULT,
	OBJ_VIOMMU,
	OBJ_VDEVICE,
	OBJ_VEVENTQ,
	OBJ_HW_QUEUE,
	OBJ_TEST, /* the mock machine's test devices */
	OBJ_TYPE_NR,
};

struct obj;

struct obj_ops {
	enum obj_type type;
	const char *name; /* for people: "ioas" */
	/* Undo everything; the object's memory is freed by the table afterwards. Cannot fail. */
	void (*destroy)(struct obj *obj);
	/* Instead of destroy for an object that was never published; NULL: same as destroy. */
	void (*abort)(struct obj *obj);
	/* Called before waiting for `inside`, to make long short-holders let go. May be NULL. */
	void (*pre_destroy)(struct obj *obj);
	/* Add what a person wants to see to @out. May be NULL. Takes what locks it needs. */
	void (*describe)(struct obj *obj, json_t *out);
};

struct obj {
	u32 id;
	enum obj_type type;
	_Atomic u32 users;
	_Atomic u32 inside;
	const struct obj_ops *ops;
	struct obj_table *table;
	const char *made_by; /* the request that made it, a string constant; NULL: the C API */
};

#define OBJ_WAIT_MS 60000

struct obj_table {
	struct env *env;
	void *owner; /* the struct ioasis_ctx it is part of */
	struct lock lock;
	pthread_cond_t gone; /* some `inside` reached zero */
	struct idtab ids;    /* GUARDED_BY(lock) */
	u32 nr_objs;	     /* GUARDED_BY(lock); reserved ones too, tombstones not */
	int wait_ms;	     /* how long a destroy waits for `inside`: OBJ_WAIT_MS */
};

int obj_table_init(struct obj_table *t, struct env *env, void *owner) MUST_CHECK;
/* Free leaves first, until nothing is left. No request may be inside. */
void obj_table_close(struct obj_table *t);

/**
 * obj_new() - Allocate a zeroed object and reserve its id
 * @size: bytes; struct obj is the first member
 *
 * Return: 0; -ENOMEM; -EBUSY every id is taken. The object is invisible until obj_publish().
 */
int obj_new(struct obj_table *t, const struct obj_ops *ops, size_t size, struct obj **out) MUST_CHECK;
void obj_publish(struct obj *obj);
/* Free an object that holds nothing yet, and its id. */
void obj_abort(struct obj *obj);
/* The same for one that was filled: runs abort() (or destroy()) first. */
void obj_abort_filled(struct obj *obj);

/**
 * obj_get() - Look up a published object and stay inside it until obj_put()
 * Return: 0; -ENOENT no such id, another type, being destroyed, or a fault point fired.
 */
int obj_get(struct obj_table *t, u32 id, enum obj_type type, struct obj **out) MUST_CHECK;
void obj_put(struct obj *obj);

/* Depend on @obj (from inside it, or holding it already) / stop depending. */
void obj_hold(struct obj *obj);
void obj_drop(struct obj *obj);
/* Turn a get into a hold: what a new dependent object does with what it looked up. */
void obj_put_hold(struct obj *obj);

enum obj_remove_flags {
	OBJ_REMOVE_TOMBSTONE = 1, /* the id stays dead until the table is closed */
};

/**
 * obj_destroy() - IOMMU_DESTROY
 * Return: 0; -ENOENT; -EBUSY something depends on it or works on it (nothing was changed).
 */
int obj_destroy(struct obj_table *t, u32 id);
/**
 * obj_remove() - Destroy a published object by its owner's pointer; waits for requests inside it
 *
 * Consumes the owner's hold (obj_hold() after making it: that is what keeps IOMMU_DESTROY away), on
 * error too: the object then stays until the table is closed.
 * Context: no lock that pre_destroy(), destroy() or a request inside may need.
 * Return: 0; -EBUSY something else depends on it.
 */
int obj_remove(struct obj *obj, unsigned flags);
/* Drop the caller's hold and, when it was the last, destroy (auto-created HWPTs: whoever detaches last). */
void obj_drop_auto(struct obj *obj);

/*
 * Every published object by rising id, for `ioasis show`. @fn runs inside the object, without the
 * table's lock; it must not destroy objects.
 */
void obj_for_each(struct obj_table *t, void (*fn)(struct obj *obj, void *arg), void *arg);

#endif
