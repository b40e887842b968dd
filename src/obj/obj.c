/* SPDX-License-Identifier: MIT */
#include "obj/obj.h"

#include <stdio.h>

static bool inc_not_zero(_Atomic u32 *count)
{
	u32 v = atomic_load(count);

	do {
		if (!v)
			return false;
	} while (!atomic_compare_exchange_weak(count, &v, v + 1));
	return true;
}

static bool dec_if_one(_Atomic u32 *count)
{
	u32 one = 1;

	return atomic_compare_exchange_strong(count, &one, 0);
}

/* Drop one of a count that somebody else keeps above zero. */
static void dec_not_last(_Atomic u32 *count)
{
	u32 old = atomic_fetch_sub(count, 1);

	assert(old > 1);
	(void)old;
}

int obj_table_init(struct obj_table *t, struct env *env, void *owner)
{
	int err;

	*t = (struct obj_table){.env = env, .owner = owner, .wait_ms = OBJ_WAIT_MS};
	err = pthread_cond_init(&t->gone, NULL);
	if (err)
		return -err;
	lock_init(&t->lock, RANK_OBJS);
	idtab_init(&t->ids, env);
	return 0;
}

int obj_new(struct obj_table *t, const struct obj_ops *ops, size_t size, struct obj **out)
{
	struct obj *obj = env_zalloc(t->env, size);
	int rc;

	assert(size >= sizeof(*obj));
	if (!obj)
		return -ENOMEM;
	obj->type = ops->type;
	obj->ops = ops;
	obj->table = t;
	atomic_init(&obj->users, 1);
	atomic_init(&obj->inside, 1);

	lock_take(&t->lock);
	rc = idtab_reserve(&t->ids, &obj->id);
	if (!rc)
		t->nr_objs++;
	lock_drop(&t->lock);
	if (rc) {
		env_free(t->env, obj);
		return rc;
	}
	*out = obj;
	return 0;
}

void obj_publish(struct obj *obj)
{
	struct obj_table *t = obj->table;

	lock_take(&t->lock);
	assert(!idtab_get(&t->ids, obj->id));
	idtab_publish(&t->ids, obj->id, obj);
	lock_drop(&t->lock);
}

/* Take an object that nobody can look up any more off the table's books; its id too, if asked. */
static void forget(struct obj *obj, bool release_id)
{
	struct obj_table *t = obj->table;

	lock_take(&t->lock);
	assert(!idtab_get(&t->ids, obj->id));
	if (release_id)
		idtab_release(&t->ids, obj->id);
	t->nr_objs--;
	lock_drop(&t->lock);
}

void obj_abort(struct obj *obj)
{
	struct env *env = obj->table->env;

	assert(atomic_load(&obj->users) == 1);
	forget(obj, true);
	env_free(env, obj);
}

void obj_abort_filled(struct obj *obj)
{
	if (obj->ops->abort)
		obj->ops->abort(obj);
	else
		obj->ops->destroy(obj);
	obj_abort(obj);
}

/* Under the table's lock. */
static bool enter(struct obj *obj)
{
	if (!inc_not_zero(&obj->users))
		return false;
	if (inc_not_zero(&obj->inside))
		return true;
	/* Its owner is removing it and still holds it: this cannot be the last. */
	dec_not_last(&obj->users);
	return false;
}

int obj_get(struct obj_table *t, u32 id, enum obj_type type, struct obj **out)
{
	struct obj *obj;

	if (fault_hit(&t->env->fault))
		return -ENOENT;
	lock_take(&t->lock);
	obj = idtab_get(&t->ids, id);
	if (obj && ((type != OBJ_ANY && obj->type != type) || !enter(obj)))
		obj = NULL;
	lock_drop(&t->lock);
	if (!obj)
		return -ENOENT;
	*out = obj;
	return 0;
}

/* The object may be gone once its count is dropped: nothing of it is touched after that. */
static void leave(struct obj *obj)
{
	struct obj_table *t = obj->table;

	if (atomic_fetch_sub(&obj->inside, 1) != 1)
		return;
	lock_take(&t->lock);
	pthread_cond_broadcast(&t->gone);
	lock_drop(&t->lock);
}

void obj_put(struct obj *obj)
{
	/* This order: whoever waits for `inside` must not find a user that is only on its way out. */
	dec_not_last(&obj->users);
	leave(obj);
}

void obj_hold(struct obj *obj)
{
	u32 old = atomic_fetch_add(&obj->users, 1);

	assert(old);
	(void)old;
}

void obj_drop(struct obj *obj)
{
	dec_not_last(&obj->users);
}

void obj_put_hold(struct obj *obj)
{
	leave(obj);
}

/* Give up the table's own place inside and wait for the others. Return: 0; -EBUSY (place kept). */
static int wait_inside(struct obj *obj)
{
	struct obj_table *t = obj->table;
	int rc = 0;

	if (atomic_fetch_sub(&obj->inside, 1) == 1)
		return 0;
	if (obj->ops->pre_destroy)
		obj->ops->pre_destroy(obj);
	lock_take(&t->lock);
	while (atomic_load(&obj->inside) && !rc)
		rc = lock_wait(&t->lock, &t->gone, t->wait_ms);
	/* The last one may leave between the time-out and now: then it is not one. */
	if (rc && !inc_not_zero(&obj->inside))
		rc = 0;
	lock_drop(&t->lock);
	if (rc)
		TRACE(t->env, wait_inside, "%s %u: somebody stays inside", obj->ops->name, obj->id);
	return rc ? -EBUSY : 0;
}

/* Nobody can see or use it: free what it holds, then it. */
static void destroy(struct obj *obj, unsigned flags)
{
	struct env *env = obj->table->env;

	forget(obj, !(flags & OBJ_REMOVE_TOMBSTONE));
	obj->ops->destroy(obj);
	env_free(env, obj);
}

/* @obj's users just became zero and its id reads as nothing: what remains cannot be refused. */
static int finish(struct obj *obj)
{
	struct obj_table *t = obj->table;
	int rc = wait_inside(obj);

	if (!rc) {
		destroy(obj, 0);
		return 0;
	}
	/* Somebody who is inside without being a user never left: a bug of ours. Keep it reachable. */
	lock_take(&t->lock);
	atomic_store(&obj->users, 1);
	idtab_publish(&t->ids, obj->id, obj);
	lock_drop(&t->lock);
	return rc;
}

int obj_destroy(struct obj_table *t, u32 id)
{
	struct obj *obj;
	int rc = 0;

	lock_take(&t->lock);
	obj = idtab_get(&t->ids, id);
	if (!obj)
		rc = -ENOENT;
	else if (!dec_if_one(&obj->users))
		rc = -EBUSY;
	else
		idtab_tombstone(&t->ids, id);
	lock_drop(&t->lock);
	return rc ? rc : finish(obj);
}

int obj_remove(struct obj *obj, unsigned flags)
{
	struct obj_table *t = obj->table;
	int rc = wait_inside(obj);

	if (rc) {
		obj_drop(obj);
		return rc;
	}
	lock_take(&t->lock);
	assert(idtab_get(&t->ids, obj->id) == obj);
	dec_not_last(&obj->users);
	if (dec_if_one(&obj->users)) {
		idtab_tombstone(&t->ids, obj->id);
	} else {
		atomic_store(&obj->inside, 1);
		rc = -EBUSY;
	}
	lock_drop(&t->lock);
	if (!rc)
		destroy(obj, flags);
	return rc;
}

void obj_drop_auto(struct obj *obj)
{
	struct obj_table *t = obj->table;
	bool last;

	lock_take(&t->lock);
	dec_not_last(&obj->users);
	last = dec_if_one(&obj->users);
	if (last)
		idtab_tombstone(&t->ids, obj->id);
	lock_drop(&t->lock);
	if (last)
		finish(obj);
}

/* Go once over the objects and destroy those nothing depends on. Return: how many. */
static unsigned close_leaves(struct obj_table *t)
{
	unsigned nr = 0;
	struct obj *obj;
	u32 id = 1;

	for (;; id++) {
		lock_take(&t->lock);
		obj = idtab_next(&t->ids, &id);
		if (obj && dec_if_one(&obj->users))
			idtab_tombstone(&t->ids, id);
		lock_drop(&t->lock);
		if (!obj)
			return nr;
		if (!atomic_load(&obj->users) && !finish(obj))
			nr++;
	}
}

static void report_left(struct obj_table *t)
{
	struct obj *obj;
	u32 id = 1;

	for (; (obj = idtab_next(&t->ids, &id)); id++)
		fprintf(stderr, "object table closed with %s %u left: %u users (made by %s)\n",
			obj->ops->name, obj->id, atomic_load(&obj->users) - 1,
			obj->made_by ? obj->made_by : "the C API");
}

void obj_table_close(struct obj_table *t)
{
	while (close_leaves(t))
		;
	/* What is left depends on itself, or was never published: a bug of ours, named, not a crash. */
	if (t->nr_objs)
		report_left(t);
	idtab_fini(&t->ids);
	lock_fini(&t->lock);
	pthread_cond_destroy(&t->gone);
}

void obj_for_each(struct obj_table *t, void (*fn)(struct obj *obj, void *arg), void *arg)
{
	struct obj *obj;
	u32 id = 1;
	bool in;

	for (;; id++) {
		lock_take(&t->lock);
		obj = idtab_next(&t->ids, &id);
		/* Inside, but no user: a look must not make a destroy fail. */
		in = obj && inc_not_zero(&obj->inside);
		lock_drop(&t->lock);
		if (!obj)
			return;
		if (!in)
			continue;
		fn(obj, arg);
		leave(obj);
	}
}
