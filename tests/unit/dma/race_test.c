/* SPDX-License-Identifier: MIT */
/*
 * When unmap, detach or replace has returned, no device thread reaches the memory: proved under load.
 *
 * Device threads write all the time, more of them than there are processors, so that some are always
 * stopped in the middle of a copy. After each removal the memory is given another content, then every
 * write that could have begun before must be over, and not a byte may have changed.
 */
#include "rig.h"

const char *rig_machine = "intel";

#define LEN    (2ull << 20) /* one large leaf: a copy is long enough to be stopped in its middle */
#define ROUNDS 8
#define NR     5

struct race {
	struct rig *r;
	_Atomic bool stop;
	_Atomic u64 tries[NR], hits;
	_Atomic unsigned nr_started;
};

static void *write_on(void *arg)
{
	struct race *race = arg;
	unsigned me = atomic_fetch_add(&race->nr_started, 1);
	u8 *buf = malloc(LEN);

	memset(buf, 0x11, LEN);
	while (!atomic_load(&race->stop)) {
		if (!ioasis_dma_write(race->r->dev, BASE, buf, LEN))
			atomic_fetch_add(&race->hits, 1);
		else
			sched_yield();
		atomic_fetch_add(&race->tries[me], 1);
	}
	free(buf);
	return NULL;
}

/* Aligned to the leaf. */
static u8 *large_page(void)
{
	u8 *p = aligned_alloc(LEN, LEN);

	assert_non_null(p);
	memset(p, 0, LEN);
	return p;
}

static void start(struct race *race, struct rig *r, pthread_t t[NR])
{
	*race = (struct race){.r = r};
	for (int i = 0; i < NR; i++)
		pthread_create(&t[i], NULL, write_on, race);
}

static void stop(struct race *race, pthread_t t[NR])
{
	atomic_store(&race->stop, true);
	for (int i = 0; i < NR; i++)
		pthread_join(t[i], NULL);
}

static void wait_for_hits(struct race *race)
{
	u64 hits = atomic_load(&race->hits);

	while (atomic_load(&race->hits) < hits + 2)
		sched_yield();
}

/* Every access that began before is over when each thread has finished two. */
static void wait_for_old_accesses(struct race *race)
{
	for (int i = 0; i < NR; i++) {
		u64 tries = atomic_load(&race->tries[i]);

		while (atomic_load(&race->tries[i]) < tries + 2)
			sched_yield();
	}
}

static void assert_untouched(const u8 *p)
{
	static u8 want[LEN];

	memset(want, 0xee, LEN);
	assert_memory_equal(p, want, LEN);
}

enum removal { UNMAP, DETACH, REPLACE };

static void remove_by(struct rig *r, enum removal how, struct ioasis_ioas *other)
{
	switch (how) {
	case UNMAP:
		rig_unmap(r, BASE, LEN);
		break;
	case DETACH:
		ioasis_dev_detach(r->dev);
		break;
	case REPLACE:
		OK(ioasis_dev_attach(r->dev, other));
		break;
	}
}

static void give_back(struct rig *r, enum removal how, u8 *mem)
{
	if (how == UNMAP)
		rig_map(r, BASE, mem, LEN, IOASIS_R | IOASIS_W);
	else
		OK(ioasis_dev_attach(r->dev, r->ioas));
}

static void no_write_after(struct rig *r, enum removal how)
{
	u8 *mem = large_page();
	struct ioasis_ioas *other;
	struct race race;
	pthread_t t[NR];

	OK(ioasis_ioas_new(r->ctx, &other));
	rig_map(r, BASE, mem, LEN, IOASIS_R | IOASIS_W);
	start(&race, r, t);
	for (int i = 0; i < ROUNDS; i++) {
		wait_for_hits(&race);
		remove_by(r, how, other);
		memset(mem, 0xee, LEN);
		wait_for_old_accesses(&race);
		assert_untouched(mem);
		give_back(r, how, mem);
	}
	stop(&race, t);
	rig_unmap(r, BASE, LEN);
	ioasis_dev_detach(r->dev);
	OK(ioasis_ioas_destroy(other));
	free(mem);
}

static void none_after_unmap(void **state)
{
	no_write_after(*state, UNMAP);
}

static void none_after_detach(void **state)
{
	no_write_after(*state, DETACH);
}

static void none_after_replace(void **state)
{
	no_write_after(*state, REPLACE);
}

static void none_after_unmap_of_another_process(void **state)
{
	struct rig *r = *state;
	static u8 buf[LEN];
	u8 *mem = large_page();
	struct race race;
	struct client c;
	pthread_t t[NR];

	client_start_in(&r->ioasis->mem, &c);
	rig_map_client(r, BASE, &c, mem, LEN);
	start(&race, r, t);
	for (int i = 0; i < ROUNDS; i++) {
		wait_for_hits(&race);
		rig_unmap(r, BASE, LEN);
		memset(buf, 0xee, LEN);
		OK(mm_write(c.mm, UVA((uintptr_t)mem), buf, LEN));
		wait_for_old_accesses(&race);
		OK(mm_read(c.mm, UVA((uintptr_t)mem), buf, LEN));
		assert_untouched(buf);
		rig_map_client(r, BASE, &c, mem, LEN);
	}
	stop(&race, t);
	rig_unmap(r, BASE, LEN);
	client_end(&c);
	free(mem);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(none_after_unmap),
		RIG_TEST(none_after_detach),
		RIG_TEST(none_after_replace),
		RIG_TEST(none_after_unmap_of_another_process),
	};

	if (argc > 1)
		rig_machine = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
