/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"
#include "obj/obj.h"

struct thing {
	struct obj obj;
	struct obj *parent; /* held */
	_Atomic u32 canary;
	_Atomic bool leave_now; /* pre_destroy() asks who is inside to go */
};

#define ALIVE 0xa11fe

struct table {
	struct env env;
	struct obj_table t;
	unsigned nr_destroyed, nr_aborted;
	u32 order[16]; /* ids in the order destroyed */
};

static struct table *table_of(struct obj *obj)
{
	return obj->table->owner;
}

static void thing_destroy(struct obj *obj)
{
	struct thing *th = container_of(obj, struct thing, obj);
	struct table *tab = table_of(obj);

	tab->order[tab->nr_destroyed++ % ARRAY_SIZE(tab->order)] = obj->id;
	atomic_store(&th->canary, 0);
	if (th->parent)
		obj_drop(th->parent);
}

static void thing_abort(struct obj *obj)
{
	table_of(obj)->nr_aborted++;
}

static void thing_pre_destroy(struct obj *obj)
{
	atomic_store(&container_of(obj, struct thing, obj)->leave_now, true);
}

static const struct obj_ops ioas_ops = {
	.type = OBJ_IOAS,
	.name = "ioas",
	.destroy = thing_destroy,
};
static const struct obj_ops hwpt_ops = {
	.type = OBJ_HWPT_PAGING,
	.name = "hwpt",
	.destroy = thing_destroy,
	.abort = thing_abort,
	.pre_destroy = thing_pre_destroy,
};

static int setup(void **state)
{
	struct table *tab = calloc(1, sizeof(*tab));

	if (!tab || env_init(&tab->env) || obj_table_init(&tab->t, &tab->env, tab))
		return -1;
	*state = tab;
	return 0;
}

static int teardown(void **state)
{
	struct table *tab = *state;

	obj_table_close(&tab->t);
	assert_int_equal(tab->env.nr_allocs, 0);
	env_fini(&tab->env);
	free(tab);
	return 0;
}

static struct obj *reserve(struct table *tab, const struct obj_ops *ops)
{
	struct obj *obj = NULL;

	assert_int_equal(obj_new(&tab->t, ops, sizeof(struct thing), &obj), 0);
	atomic_store(&container_of(obj, struct thing, obj)->canary, ALIVE);
	return obj;
}

static struct obj *publish(struct table *tab, const struct obj_ops *ops)
{
	struct obj *obj = reserve(tab, ops);

	obj_publish(obj);
	return obj;
}

static struct obj *child_of(struct table *tab, struct obj *parent)
{
	struct obj *obj = reserve(tab, &hwpt_ops);

	obj_hold(parent);
	container_of(obj, struct thing, obj)->parent = parent;
	obj_publish(obj);
	return obj;
}

static int get(struct table *tab, u32 id, enum obj_type type)
{
	struct obj *obj = (void *)1;
	int rc = obj_get(&tab->t, id, type, &obj);

	if (rc)
		assert_ptr_equal(obj, (void *)1); /* untouched on error */
	else
		obj_put(obj);
	return rc;
}

static void ids_lowest_first(void **state)
{
	struct table *tab = *state;
	struct obj *a = publish(tab, &ioas_ops), *b = publish(tab, &ioas_ops);

	assert_int_equal(a->id, 1);
	assert_int_equal(b->id, 2);
	assert_int_equal(publish(tab, &ioas_ops)->id, 3);
	assert_int_equal(obj_destroy(&tab->t, 1), 0);
	assert_int_equal(obj_destroy(&tab->t, 2), 0);
	assert_int_equal(publish(tab, &ioas_ops)->id, 1);
	assert_int_equal(publish(tab, &ioas_ops)->id, 2);
	assert_int_equal(publish(tab, &ioas_ops)->id, 4);
}

static void reserved_is_invisible(void **state)
{
	struct table *tab = *state;
	struct obj *a = reserve(tab, &ioas_ops);

	assert_int_equal(get(tab, a->id, OBJ_ANY), -ENOENT);
	assert_int_equal(obj_destroy(&tab->t, a->id), -ENOENT);
	obj_publish(a);
	assert_int_equal(get(tab, a->id, OBJ_ANY), 0);
	assert_int_equal(get(tab, a->id, OBJ_IOAS), 0);
	assert_int_equal(get(tab, a->id, OBJ_DEVICE), -ENOENT);
	assert_int_equal(get(tab, 0, OBJ_ANY), -ENOENT);
	assert_int_equal(get(tab, UINT32_MAX, OBJ_ANY), -ENOENT);
	assert_int_equal(obj_destroy(&tab->t, 0), -ENOENT);
	assert_int_equal(obj_destroy(&tab->t, UINT32_MAX), -ENOENT);
}

static void aborts(void **state)
{
	struct table *tab = *state;

	obj_abort(reserve(tab, &ioas_ops));
	assert_int_equal(tab->nr_destroyed, 0);
	obj_abort_filled(reserve(tab, &ioas_ops)); /* no abort(): destroy() */
	assert_int_equal(tab->nr_destroyed, 1);
	obj_abort_filled(reserve(tab, &hwpt_ops));
	assert_int_equal(tab->nr_aborted, 1);
	assert_int_equal(tab->nr_destroyed, 1);
	assert_int_equal(tab->t.nr_objs, 0);
	assert_int_equal(publish(tab, &ioas_ops)->id, 1); /* every id came back */
}

static void busy_changes_nothing(void **state)
{
	struct table *tab = *state;
	struct obj *ioas = publish(tab, &ioas_ops), *hwpt = child_of(tab, ioas), *in;

	assert_int_equal(obj_destroy(&tab->t, ioas->id), -EBUSY);
	assert_int_equal(tab->nr_destroyed, 0);
	assert_int_equal(get(tab, ioas->id, OBJ_IOAS), 0);

	/* As on Linux a request inside is enough. */
	assert_int_equal(obj_get(&tab->t, hwpt->id, OBJ_HWPT_PAGING, &in), 0);
	assert_int_equal(obj_destroy(&tab->t, hwpt->id), -EBUSY);
	obj_put(in);
	assert_int_equal(obj_destroy(&tab->t, 2), 0);
	assert_int_equal(obj_destroy(&tab->t, 1), 0);
	assert_int_equal(get(tab, 1, OBJ_ANY), -ENOENT);
}

static void put_hold_keeps(void **state)
{
	struct table *tab = *state;
	struct obj *ioas = publish(tab, &ioas_ops), *in;
	u32 id = ioas->id;

	assert_int_equal(obj_get(&tab->t, id, OBJ_IOAS, &in), 0);
	obj_put_hold(in);
	assert_int_equal(atomic_load(&ioas->inside), 1);
	assert_int_equal(obj_destroy(&tab->t, id), -EBUSY);
	obj_drop(ioas);
	assert_int_equal(obj_destroy(&tab->t, id), 0);
}

static void owner_removes(void **state)
{
	struct table *tab = *state;
	struct obj *dev = publish(tab, &ioas_ops), *child;

	obj_hold(dev);
	assert_int_equal(obj_destroy(&tab->t, dev->id), -EBUSY);
	child = child_of(tab, dev);
	assert_int_equal(obj_remove(dev, 0), -EBUSY); /* the owner's hold is gone all the same */
	assert_int_equal(get(tab, dev->id, OBJ_ANY), 0);
	assert_int_equal(obj_destroy(&tab->t, child->id), 0);
	obj_hold(dev);
	assert_int_equal(obj_remove(dev, 0), 0);
	assert_int_equal(publish(tab, &ioas_ops)->id, 1);
}

static void tombstones(void **state)
{
	struct table *tab = *state;
	struct obj *dev = publish(tab, &ioas_ops);

	obj_hold(dev);
	assert_int_equal(obj_remove(dev, OBJ_REMOVE_TOMBSTONE), 0);
	assert_int_equal(tab->nr_destroyed, 1);
	assert_int_equal(get(tab, 1, OBJ_ANY), -ENOENT);
	assert_int_equal(obj_destroy(&tab->t, 1), -ENOENT);
	assert_int_equal(publish(tab, &ioas_ops)->id, 2);
	assert_int_equal(tab->t.nr_objs, 1);
}

static void auto_goes_with_last(void **state)
{
	struct table *tab = *state;
	struct obj *ioas = publish(tab, &ioas_ops), *hwpt = child_of(tab, ioas);

	obj_hold(hwpt);
	obj_hold(hwpt);
	obj_drop_auto(hwpt);
	assert_int_equal(tab->nr_destroyed, 0);
	obj_drop_auto(hwpt);
	assert_int_equal(tab->nr_destroyed, 1);
	assert_int_equal(obj_destroy(&tab->t, ioas->id), 0);
}

/* The graph 1 <- 2 <- 4, 1 <- 3: leaves first whatever the ids. */
static void close_leaves_first(void **state)
{
	struct table *tab = *state;
	struct obj *a = publish(tab, &ioas_ops), *b = child_of(tab, a);
	unsigned i, at[5] = {0};

	child_of(tab, a);
	child_of(tab, b);
	obj_table_close(&tab->t);
	assert_int_equal(tab->nr_destroyed, 4);
	for (i = 0; i < 4; i++)
		at[tab->order[i]] = i;
	assert_true(at[4] < at[2] && at[2] < at[1] && at[3] < at[1]);
	assert_int_equal(tab->env.nr_allocs, 0);
	assert_int_equal(obj_table_init(&tab->t, &tab->env, tab), 0);
}

/* A cycle is our bug: close ends, and names what is left. */
static void close_names_a_cycle(void **state)
{
	struct table *tab = *state;
	struct obj *a = publish(tab, &ioas_ops), *b = child_of(tab, a);
	char text[256] = {0};
	int p[2], old;

	obj_hold(b);
	b->made_by = "IOMMU_HWPT_ALLOC";
	assert_int_equal(pipe(p), 0);
	old = dup(2);
	dup2(p[1], 2);
	obj_table_close(&tab->t);
	dup2(old, 2);
	close(old);
	close(p[1]);
	assert_true(read(p[0], text, sizeof(text) - 1) > 0);
	close(p[0]);
	assert_non_null(strstr(text, "ioas 1 left: 1 users (made by the C API)"));
	assert_non_null(strstr(text, "hwpt 2 left: 1 users (made by IOMMU_HWPT_ALLOC)"));
	assert_int_equal(tab->nr_destroyed, 0);
	env_free(&tab->env, a);
	env_free(&tab->env, b);
	assert_int_equal(obj_table_init(&tab->t, &tab->env, tab), 0);
}

static void fault_points(void **state)
{
	struct table *tab = *state;
	struct obj *obj = (void *)1;
	int n;

	for (n = 1;; n++) {
		int rc;

		fault_arm(&tab->env.fault, n);
		rc = obj_new(&tab->t, &ioas_ops, sizeof(struct thing), &obj);
		fault_arm(&tab->env.fault, 0);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_ptr_equal(obj, (void *)1);
		assert_int_equal(tab->env.nr_allocs, 0);
		assert_int_equal(tab->t.nr_objs, 0);
	}
	assert_int_equal(n, 4); /* the object, the table's two arrays */
	obj_publish(obj);
	fault_arm(&tab->env.fault, 1);
	assert_int_equal(get(tab, obj->id, OBJ_IOAS), -ENOENT);
	assert_int_equal(get(tab, obj->id, OBJ_IOAS), 0);
}

/* Somebody inside who never leaves: after the time-out the object is as it was. */
static void stuck_inside(void **state)
{
	struct table *tab = *state;
	struct obj *obj = publish(tab, &hwpt_ops), *in;
	u32 id = obj->id;

	tab->t.wait_ms = 1;
	assert_int_equal(obj_get(&tab->t, id, OBJ_ANY, &in), 0);
	obj_put_hold(in);
	atomic_fetch_add(&obj->inside, 1); /* the bug */
	obj_hold(obj);
	assert_int_equal(obj_remove(obj, 0), -EBUSY);
	obj_drop(obj);
	assert_true(atomic_load(&container_of(obj, struct thing, obj)->leave_now));
	assert_int_equal(obj_destroy(&tab->t, id), -EBUSY);
	assert_int_equal(get(tab, id, OBJ_ANY), 0);
	assert_int_equal(tab->nr_destroyed, 0);
	atomic_fetch_sub(&obj->inside, 1);
	assert_int_equal(obj_destroy(&tab->t, id), 0);
}

/* Threads look up, hold and drop while others destroy and make: nobody meets a dead object. */
struct crowd {
	struct table *tab;
	_Atomic bool stop;
	_Atomic unsigned nr_met;
};

static void look(struct obj *obj, void *arg)
{
	struct crowd *c = arg;

	assert(atomic_load(&container_of(obj, struct thing, obj)->canary) == ALIVE);
	atomic_fetch_add(&c->nr_met, 1);
}

static void *looker(void *arg)
{
	struct crowd *c = arg;
	struct obj *obj;
	u32 id = 0;

	while (!atomic_load(&c->stop)) {
		if (id % 16 == 0)
			obj_for_each(&c->tab->t, look, c);
		if (obj_get(&c->tab->t, 1 + id++ % 4, OBJ_IOAS, &obj))
			continue;
		look(obj, c);
		if (id % 3) {
			obj_put(obj);
			continue;
		}
		obj_put_hold(obj);
		assert(atomic_load(&container_of(obj, struct thing, obj)->canary) == ALIVE);
		obj_drop(obj);
	}
	return NULL;
}

static void concurrent(void **state)
{
	struct table *tab = *state;
	struct crowd c = {.tab = tab};
	unsigned i, busy = 0, nr_made = 0;
	pthread_t t[2];

	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, looker, &c), 0);
	for (i = 0; nr_made < 5000; i++) {
		struct obj *obj = publish(tab, &ioas_ops);
		u32 id = obj->id;
		int rc;

		nr_made++;
		if (i % 3 == 0) {
			obj_hold(obj);
			rc = obj_remove(obj, 0); /* waits for who is inside; holds may make it busy */
			assert_true(!rc || rc == -EBUSY);
			if (!rc)
				continue;
		}
		while ((rc = obj_destroy(&tab->t, id)) == -EBUSY)
			busy++;
		assert_int_equal(rc, 0);
	}
	atomic_store(&c.stop, true);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(tab->nr_destroyed, nr_made);
	assert_int_equal(tab->t.nr_objs, 0);
}

/* A look from obj_for_each() delays a destroy until it is over, and never makes it fail. */
struct pause {
	_Atomic bool in, go;
	_Atomic int rc;
	struct table *tab;
};

static void pause_inside(struct obj *obj, void *arg)
{
	struct pause *p = arg;

	atomic_store(&p->in, true);
	while (!atomic_load(&p->go))
		sched_yield();
	assert(atomic_load(&container_of(obj, struct thing, obj)->canary) == ALIVE);
}

static void *describe(void *arg)
{
	struct pause *p = arg;

	obj_for_each(&p->tab->t, pause_inside, p);
	return NULL;
}

static void *destroy_1(void *arg)
{
	struct pause *p = arg;

	atomic_store(&p->rc, obj_destroy(&p->tab->t, 1));
	return NULL;
}

static void look_disturbs_nothing(void **state)
{
	struct table *tab = *state;
	struct pause p = {.tab = tab, .rc = 1};
	pthread_t a, b;
	int i;

	publish(tab, &ioas_ops);
	assert_int_equal(pthread_create(&a, NULL, describe, &p), 0);
	while (!atomic_load(&p.in))
		sched_yield();
	assert_int_equal(pthread_create(&b, NULL, destroy_1, &p), 0);
	for (i = 1; i;) { /* until its id reads as nothing; obj_get() would make it -EBUSY */
		lock_take(&tab->t.lock);
		i = !!idtab_get(&tab->t.ids, 1);
		lock_drop(&tab->t.lock);
	}
	for (i = 0; i < 100; i++) {
		sched_yield();
		assert_int_equal(atomic_load(&p.rc), 1);
	}
	atomic_store(&p.go, true);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(atomic_load(&p.rc), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids_lowest_first),	    TEST(reserved_is_invisible), TEST(aborts),
		TEST(busy_changes_nothing), TEST(put_hold_keeps),	 TEST(owner_removes),
		TEST(tombstones),	    TEST(auto_goes_with_last),	 TEST(close_leaves_first),
		TEST(close_names_a_cycle),  TEST(fault_points),		 TEST(stuck_inside),
		TEST(concurrent),	    TEST(look_disturbs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
