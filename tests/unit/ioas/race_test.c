/* SPDX-License-Identifier: MIT */
/*
 * Everything at once: two threads map and unmap, one attaches and detaches, two devices do DMA, one
 * access pins and reads. What is proved: after an unmap returned, no DMA reaches the page any more, and
 * at the end nothing is left. ThreadSanitizer says the rest.
 */
#include "rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define BASE	  0x10000000ull
#define NR_SLOTS  8u
#define NR_ROUNDS 150u
#define NR_REACHED 20u
#define NR_UNMAP  2u
#define CLOSED	  0x600du

struct race {
	struct rig *r;
	struct ioasis_ioas *ioas[2];
	_Atomic bool stop;
	_Atomic u64 nr_reached;
	pthread_mutex_t pin_lock;
	struct access *access;
	bool pinned;
};

/* A slot is one page of memory and one IOVA. A write that lands after its unmap returned is the bug. */
static u32 *slot_word(struct race *x, unsigned slot)
{
	return (u32 *)(x->r->buf + slot * PAGE_SIZE);
}

static u64 slot_iova(unsigned slot)
{
	return BASE + slot * 4 * PAGE_SIZE;
}

/* A device's write of one word, inside one epoch, as dma/ does it. */
static bool write_word(struct rig *r, unsigned dev, u64 iova, u32 value)
{
	struct epoch_slot *slot = epoch_slot(&r->env.epoch);
	struct xlate_fault fault;
	struct xlate_res res;
	bool there;

	epoch_enter(slot, NULL);
	there = !hw_xlate(&r->idev[dev].port, NO_PASID, IOVA(iova), PERM_W, &res, &fault);
	/* A slow device: an unmap that does not wait for it is found out. */
	for (volatile unsigned k = 0; there && k < 1000; k++)
		;
	if (there)
		__atomic_store_n((u32 *)res.host, value, __ATOMIC_RELAXED);
	epoch_leave(slot);
	return there;
}

static void *dma_thread(void *arg)
{
	struct race *x = arg;
	u64 seed = (uintptr_t)&seed | 1;

	while (!atomic_load(&x->stop)) {
		u64 n = rnd(&seed);

		if (write_word(x->r, n & 1, slot_iova((n >> 8) % NR_SLOTS), 0xd0d0d0d0))
			atomic_fetch_add_explicit(&x->nr_reached, 1, memory_order_relaxed);
	}
	return NULL;
}

struct unmapper {
	struct race *x;
	unsigned nr;
};

/* Each thread has its own slots, in both spaces. */
static void *map_thread(void *arg)
{
	struct unmapper *u = arg;
	struct race *x = u->x;
	bool closed[NR_SLOTS] = {0};
	u64 seed = 77 + u->nr;

	/* DMA that never got anywhere would prove nothing: go on until it did. */
	for (unsigned i = 0; i < NR_ROUNDS || atomic_load(&x->nr_reached) < NR_REACHED; i++) {
		unsigned slot = (unsigned)(rnd(&seed) % (NR_SLOTS / NR_UNMAP)) * NR_UNMAP + u->nr;
		struct ioasis_ioas *ioas = x->ioas[rnd(&seed) & 1];
		u32 *word = slot_word(x, slot);

		/* Nobody reached it since the last unmap returned. */
		if (closed[slot] && __atomic_load_n(word, __ATOMIC_RELAXED) != CLOSED)
			abort();
		assert_int_equal(rig_map(x->r, ioas, word, PAGE_SIZE, slot_iova(slot)), 0);
		for (unsigned k = 0; k < 20 && __atomic_load_n(word, __ATOMIC_RELAXED) == CLOSED;
		     k++)
			sched_yield();
		assert_int_equal(rig_unmap(ioas, slot_iova(slot), PAGE_SIZE), 0);
		__atomic_store_n(word, CLOSED, __ATOMIC_RELAXED);
		closed[slot] = true;
	}
	return NULL;
}

static void *attach_thread(void *arg)
{
	struct race *x = arg;
	u64 seed = 5;

	while (!atomic_load(&x->stop)) {
		unsigned dev = rnd(&seed) & 1;
		/* Attached for most of the time, so that DMA gets somewhere. */
		unsigned nr_yields = rnd(&seed) % 20;
		u32 id = x->ioas[rnd(&seed) & 1]->obj.id;
		int rc;

		while (nr_yields--)
			sched_yield();
		switch (rnd(&seed) % 8) {
		case 0:
			dev_detach(x->r->dev[dev], NO_PASID);
			break;
		case 1:
			rc = dev_attach(x->r->dev[dev], NO_PASID, &id);
			if (rc && rc != -EBUSY)
				abort();
			break;
		default:
			rc = dev_replace(x->r->dev[dev], NO_PASID, &id);
			if (rc && rc != -EINVAL)
				abort();
		}
	}
	return NULL;
}

static void race_unmap(void *data, u64 iova, u64 len)
{
	struct race *x = data;

	pthread_mutex_lock(&x->pin_lock);
	if (x->pinned)
		access_unpin_pages(x->access, slot_iova(3), PAGE_SIZE);
	x->pinned = false;
	pthread_mutex_unlock(&x->pin_lock);
}

static const struct access_ops race_ops = {.needs_pin_pages = true, .unmap = race_unmap};

static void *access_thread(void *arg)
{
	struct race *x = arg;
	struct pinned_page page;
	u64 seed = 9;
	u8 buf[64];

	while (!atomic_load(&x->stop)) {
		int rc = access_rw(x->access, slot_iova(rnd(&seed) % NR_SLOTS), buf, sizeof(buf),
				   rnd(&seed) & ACCESS_SLOW);

		if (rc && rc != -ENOENT && rc != -EINVAL)
			abort();
		pthread_mutex_lock(&x->pin_lock);
		if (!x->pinned && !access_pin_pages(x->access, slot_iova(3), PAGE_SIZE, &page, 0))
			x->pinned = true;
		pthread_mutex_unlock(&x->pin_lock);
		if (rnd(&seed) % 64 == 0)
			json_decref(({
				json_t *o = json_object();
				x->ioas[0]->obj.ops->describe(&x->ioas[0]->obj, o);
				o;
			}));
	}
	race_unmap(x, 0, UINT64_MAX);
	return NULL;
}

static void all_at_once(void **state)
{
	struct race x = {.r = *state};
	struct unmapper u[NR_UNMAP];
	pthread_t unmap[NR_UNMAP], others[3];
	void *(*const fns[])(void *) = {dma_thread, attach_thread, access_thread};

	pthread_mutex_init(&x.pin_lock, NULL);
	x.ioas[0] = rig_ioas(x.r);
	x.ioas[1] = rig_ioas(x.r);
	assert_int_equal(rig_attach(x.r, 0, x.ioas[0]), 0);
	assert_int_equal(access_new(x.r->ctx, &race_ops, &x, &x.access), 0);
	assert_int_equal(access_attach(x.access, x.ioas[0]->obj.id), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&others[i], NULL, fns[i], &x), 0);
	for (unsigned i = 0; i < NR_UNMAP; i++) {
		u[i] = (struct unmapper){&x, i};
		assert_int_equal(pthread_create(&unmap[i], NULL, map_thread, &u[i]), 0);
	}
	for (unsigned i = 0; i < NR_UNMAP; i++)
		pthread_join(unmap[i], NULL);
	atomic_store(&x.stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	access_destroy(x.access);
	pthread_mutex_destroy(&x.pin_lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(all_at_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
