/* SPDX-License-Identifier: MIT */
/*
 * Devices at work while their tables change: when an unmap, a detach or a replace has returned, no
 * device thread touches the memory any more, cached or not. Run it under TSan, too.
 */
#include "machine.h"

#include <pthread.h>
#include <sched.h>

#define NR_DEVS	 2u
#define ROUNDS	 20u
#define NR_PAGES 4u

struct storm {
	struct machine *m;
	_Atomic bool stop;
	_Atomic u64 tries[NR_DEVS]; /* finished accesses: how the main thread knows of progress */
	_Atomic u64 passed;
};

struct worker {
	struct storm *s;
	unsigned idx;
	pthread_t thread;
};

/* Relaxed atomic stores: the page is shared by design. */
static void hit(struct machine *m, struct hw_port *port, u64 iova, _Atomic u64 *passed)
{
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_res res;

	epoch_enter(slot, NULL);
	if (!hw_xlate(port, NO_PASID, IOVA(iova), PERM_RW, &res, NULL)) {
		for (unsigned i = 0; i < 16; i++)
			atomic_store_explicit((_Atomic u8 *)res.host + i, 0x77,
					      memory_order_relaxed);
		atomic_fetch_add_explicit(passed, 1, memory_order_relaxed);
	}
	epoch_leave(slot);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct machine *m = w->s->m;
	struct hw_port *port = w->idx ? &m->other.port : &m->dev.port;

	for (u64 i = 0; !atomic_load(&w->s->stop); i++) {
		hit(m, port, BASE + i % NR_PAGES * 4096, &w->s->passed);
		atomic_fetch_add(&w->s->tries[w->idx], 1);
	}
	return NULL;
}

/* Every worker has finished an access that it began after this call. */
static void wait_for_progress(struct storm *s)
{
	for (unsigned i = 0; i < NR_DEVS; i++)
		for (u64 was = atomic_load(&s->tries[i]); atomic_load(&s->tries[i]) < was + 2;)
			sched_yield();
}

static void poison(struct machine *m)
{
	for (unsigned i = 0; i < NR_PAGES * 4096; i += 4096)
		for (unsigned j = 0; j < 16; j++)
			atomic_store_explicit((_Atomic u8 *)m->r.host + i + j, RIG_FILL,
					      memory_order_relaxed);
}

static void check_poison(struct machine *m)
{
	for (unsigned i = 0; i < NR_PAGES * 4096; i += 4096)
		for (unsigned j = 0; j < 16; j++)
			assert_int_equal(atomic_load_explicit((_Atomic u8 *)m->r.host + i + j,
							      memory_order_relaxed),
					 RIG_FILL);
}

static void start(struct storm *s, struct worker *w)
{
	for (unsigned i = 0; i < NR_DEVS; i++) {
		w[i] = (struct worker){.s = s, .idx = i};
		OK(pthread_create(&w[i].thread, NULL, work, &w[i]));
	}
	wait_for_progress(s);
}

static void stop(struct storm *s, struct worker *w)
{
	atomic_store(&s->stop, true);
	for (unsigned i = 0; i < NR_DEVS; i++)
		pthread_join(w[i].thread, NULL);
	assert_int_not_equal(atomic_load(&s->passed), 0);
}

static void test_unmap_under_load(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);
	struct storm s = {.m = m};
	struct worker w[NR_DEVS];

	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	OK(attach(m, &m->other, NO_PASID, d, NULL));
	start(&s, w);
	for (unsigned i = 0; i < ROUNDS; i++) {
		map(m, d, BASE, 0, NR_PAGES * 4096, PERM_RW);
		wait_for_progress(&s);
		unmap(d, BASE, NR_PAGES * 4096);
		poison(m);
		wait_for_progress(&s);
		check_poison(m);
	}
	stop(&s, w);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	OK(attach(m, &m->other, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

/* Domains come and go, so do their ids and tables. */
static void test_replace_under_load(void **state)
{
	struct machine *m = *state;
	struct domain *away = new_domain(m, 0), *d = NULL;
	struct storm s = {.m = m};
	struct worker w[NR_DEVS];

	map(m, away, BASE, 1 << 20, NR_PAGES * 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, away, NULL));
	start(&s, w);
	for (unsigned i = 0; i < ROUNDS; i++) {
		d = new_domain(m, 0);
		map(m, d, BASE, 0, NR_PAGES * 4096, PERM_RW);
		OK(attach(m, &m->dev, NO_PASID, d, away));
		OK(attach(m, &m->other, NO_PASID, d, NULL));
		wait_for_progress(&s);
		OK(attach(m, &m->dev, NO_PASID, away, d));
		OK(attach(m, &m->other, NO_PASID, NULL, d));
		poison(m);
		m->iommu->ops->domain_free(d);
		wait_for_progress(&s);
		check_poison(m);
	}
	stop(&s, w);
	OK(attach(m, &m->dev, NO_PASID, NULL, away));
	m->iommu->ops->domain_free(away);
}

/* One access that is under way holds up the unmap of what it looked up. */
struct one {
	struct machine *m;
	struct domain *d;
	_Atomic bool unmapped, done;
};

static void *unmap_it(void *arg)
{
	struct one *o = arg;
	struct pt_gather g;

	pt_gather_init(&g);
	lock_take(&o->d->lock);
	pt_unmap(&o->d->pt, (struct iova_range){BASE, BASE + 4095}, &g);
	lock_drop(&o->d->lock);
	atomic_store(&o->unmapped, true);
	iommu_flush(o->d, &g);
	atomic_store(&o->done, true);
	return NULL;
}

static void *detach_it(void *arg)
{
	struct one *o = arg;

	atomic_store(&o->unmapped, true);
	OK(attach(o->m, &o->m->dev, NO_PASID, NULL, o->d));
	atomic_store(&o->done, true);
	return NULL;
}

static void waits_for_access(struct machine *m, void *(*how)(void *))
{
	struct one o = {.m = m, .d = new_domain(m, 0)};
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_res res = {0};
	pthread_t thread;

	map(m, o.d, BASE, 0, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, o.d, NULL));
	epoch_enter(slot, NULL);
	OK(hw_xlate(&m->dev.port, NO_PASID, IOVA(BASE), PERM_RW, &res, NULL));
	OK(pthread_create(&thread, NULL, how, &o));
	while (!atomic_load(&o.unmapped))
		sched_yield();
	/* Enough for the other thread to be done if nothing held it; waiting longer proves no more.
	 */
	for (unsigned i = 0; i < 2000; i++) {
		sched_yield();
		assert_false(atomic_load(&o.done));
	}
	*res.host = 1;
	epoch_leave(slot);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&o.done));
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	if (how != detach_it)
		OK(attach(m, &m->dev, NO_PASID, NULL, o.d));
	m->iommu->ops->domain_free(o.d);
}

static void test_unmap_waits(void **state)
{
	waits_for_access(*state, unmap_it);
}

static void test_detach_waits(void **state)
{
	waits_for_access(*state, detach_it);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_unmap_waits),
		BOTH(test_detach_waits),
		BOTH(test_unmap_under_load),
		BOTH(test_replace_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
