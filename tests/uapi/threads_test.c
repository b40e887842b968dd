// SPDX-License-Identifier: MIT
/*
 * Requests of several threads on one opened /dev/iommu, on the same objects: whatever the order, no
 * answer is impossible and nothing is left at the end. For ThreadSanitizer and the lock ranks.
 */
#include "fake_caller.h"

#include <stdlib.h>

#define NR_THREADS 4
#define NR_ROUNDS  2000
#define APERTURE   0x1000000ull
#define SLOT_LEN   16384u

struct worker {
	pthread_t thread;
	struct bench b; /* shares file and context; its caller is its own */
	u32 ioas, other, hwpt, stdev, access_fd;
	u64 rnd;
	unsigned done; /* requests that succeeded */
	int bad_line;  /* the first expectation that did not hold: cmocka's own are for the main thread */
};

#define expect(w, cond)                                                                            \
	do {                                                                                       \
		if (!(cond) && !(w)->bad_line)                                                     \
			(w)->bad_line = __LINE__;                                                  \
	} while (0)

static void count(struct worker *w, long rc)
{
	if (rc >= 0)
		w->done++;
}

static void map_and_unmap(struct worker *w)
{
	u64 iova = APERTURE + (rnd(&w->rnd) % 8) * SLOT_LEN, len = SLOT_LEN;
	long rc = map_fixed(&w->b, w->ioas, w->b.buf, SLOT_LEN, iova);

	expect(w, rc == 0 || rc == -EEXIST);
	count(w, rc);
	rc = unmap(&w->b, w->ioas, iova, &len);
	expect(w, rc == 0 || rc == -ENOENT || rc == -EBUSY);
	count(w, rc);
}

static void copy_over(struct worker *w)
{
	struct iommu_ioas_copy cmd = {.size = sizeof(cmd), .flags = MAP_RW, .dst_ioas_id = w->other,
				      .src_ioas_id = w->ioas, .length = SLOT_LEN,
				      .src_iova = APERTURE + (rnd(&w->rnd) % 8) * SLOT_LEN};
	u64 len = SLOT_LEN;
	long rc = call(&w->b, IOMMU_IOAS_COPY, &cmd, sizeof(cmd));

	expect(w, rc == 0 || rc == -ENOENT);
	count(w, rc);
	if (!rc)
		expect(w, unmap(&w->b, w->other, cmd.dst_iova, &len) == 0);
}

static void add_device(struct worker *w)
{
	u32 stdev;
	long rc = mk_dev(&w->b, rnd(&w->rnd) % 2 ? w->ioas : w->other, 0, &stdev, NULL, NULL);

	/* Beside a mapping of another thread where no device can reach. */
	expect(w, rc == 0 || rc == -EADDRINUSE);
	count(w, rc);
	if (!rc)
		expect(w, destroy(&w->b, stdev) == 0);
}

static void replace_table(struct worker *w)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, .id = w->stdev};
	long rc;

	cmd.mock_domain_replace.pt_id = rnd(&w->rnd) % 2 ? w->hwpt : w->other;
	rc = test_cmd(&w->b, &cmd);
	expect(w, rc == 0 || rc == -EADDRINUSE);
	count(w, rc);
}

static void pin_and_unpin(struct worker *w)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_PAGES, .id = w->access_fd,
				     .access_pages = {.iova = APERTURE +
							      (rnd(&w->rnd) % 8) * SLOT_LEN,
						      .length = 8192}};
	long rc = test_cmd(&w->b, &cmd);

	expect(w, rc == 0 || rc == -ENOENT || rc == -EINVAL);
	count(w, rc);
	if (rc)
		return;
	cmd = (struct iommu_test_cmd){.op = IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, .id = w->access_fd,
				      .destroy_access_pages.access_pages_id =
					      cmd.access_pages.out_access_pages_id};
	rc = test_cmd(&w->b, &cmd);
	/* An unmap of another thread may have been faster. */
	expect(w, rc == 0 || rc == -ENOENT);
}

static void read_through(struct worker *w)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_RW, .id = w->access_fd,
				     .access_rw = {.iova = APERTURE + (rnd(&w->rnd) % 8) * SLOT_LEN,
						   .length = 64}};
	size_t mark = w->b.f->used;
	long rc;

	cmd.access_rw.uptr = (u64)room(&w->b, 64);
	rc = test_cmd(&w->b, &cmd);
	expect(w, rc == 0 || rc == -ENOENT || rc == -EINVAL);
	count(w, rc);
	w->b.f->used = mark;
}

static void ask(struct worker *w)
{
	size_t mark = w->b.f->used;
	struct iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd), .ioas_id = w->other,
					     .num_iovas = 8};
	long rc;

	cmd.allowed_iovas = (u64)room(&w->b, 8 * sizeof(struct iommu_iova_range));
	rc = call(&w->b, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof(cmd));
	expect(w, rc == 0);
	count(w, rc);
	w->b.f->used = mark;
}

static void alloc_and_destroy(struct worker *w)
{
	u32 id = mk_ioas(&w->b);
	long rc;

	/* Another thread may be guessing ids: it destroyed it, or works on it. */
	rc = destroy(&w->b, id);
	expect(w, rc == 0 || rc == -ENOENT || rc == -EBUSY);
	count(w, rc);
}

static void *work(void *arg)
{
	static void (*const steps[])(struct worker *w) = {
		map_and_unmap, copy_over, add_device, replace_table,
		pin_and_unpin, read_through, ask, alloc_and_destroy,
	};
	struct worker *w = arg;
	int i;

	for (i = 0; i < NR_ROUNDS; i++)
		steps[rnd(&w->rnd) % ARRAY_SIZE(steps)](w);
	return NULL;
}

static void all_at_once(void **state)
{
	struct bench *b = *state;
	struct iommu_test_cmd access = {.op = IOMMU_TEST_OP_CREATE_ACCESS,
					.create_access.flags =
						MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES};
	struct iommu_hwpt_alloc alloc = {.size = sizeof(alloc)};
	struct worker w[NR_THREADS], first = {.b = *b};
	int i;

	first.ioas = mk_ioas(b);
	first.other = mk_ioas(b);
	assert_int_equal(mk_dev(b, first.ioas, 0, &first.stdev, NULL, &alloc.dev_id), 0);
	alloc.pt_id = first.ioas;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &alloc, sizeof(alloc)), 0);
	first.hwpt = alloc.out_hwpt_id;
	access.id = first.ioas;
	assert_int_equal(test_cmd(b, &access), 0);
	first.access_fd = access.create_access.out_access_fd;
	for (i = 0; i < NR_THREADS; i++) {
		w[i] = first;
		w[i].rnd = 88172645463325252ull + (u64)i;
		w[i].b.f = calloc(1, sizeof(*w[i].b.f));
		fake_init(w[i].b.f, b->f->c.mm);
		/* Every thread has the access's descriptor. */
		w[i].b.f->fds[first.access_fd - FD_OURS] =
			file_get(fake_file(b->f, (int)first.access_fd));
	}
	for (i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].bad_line, 0);
		assert_true(w[i].done > NR_ROUNDS / 4);
		fake_fini(w[i].b.f);
		free(w[i].b.f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_at_once, bench_up, bench_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
