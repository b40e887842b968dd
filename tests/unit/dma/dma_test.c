/* SPDX-License-Identifier: MIT */
#include "rig.h"

const char *rig_machine = "intel";

static void fill(u8 *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (u8)(i * 13 + i / 251 + seed);
}

static bool all(const u8 *p, size_t len, u8 value)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void one_access_crosses_any_number_of_mappings(void **state)
{
	struct rig *r = *state;
	enum { NR = 9 };
	int fd = memfd_create("m", MFD_CLOEXEC);
	u8 *own[NR], *file, buf[NR * PAGE_SIZE], back[NR * PAGE_SIZE];
	u64 at = BASE + 100, len = NR * PAGE_SIZE - 200;

	OK(ftruncate(fd, NR * PAGE_SIZE));
	file = mmap(NULL, NR * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (unsigned i = 0; i < NR; i++) {
		own[i] = rig_pages(PAGE_SIZE);
		if (i % 3 == 2)
			rig_map_file(r, BASE + i * PAGE_SIZE, fd, (NR - 1 - i) * PAGE_SIZE,
				     PAGE_SIZE);
		else
			rig_map(r, BASE + i * PAGE_SIZE, own[i], PAGE_SIZE, IOASIS_R | IOASIS_W);
	}
	fill(buf, sizeof(buf), 1);
	OK(ioasis_dma_write(r->dev, at, buf, len));
	for (unsigned i = 0; i < NR; i++) {
		u8 *page = i % 3 == 2 ? file + (NR - 1 - i) * PAGE_SIZE : own[i];
		size_t from = i ? 0 : 100, to = i == NR - 1 ? PAGE_SIZE - 100 : PAGE_SIZE;

		assert_memory_equal(page + from, buf + i * PAGE_SIZE + from - 100, to - from);
		assert_true(all(page, from, 0) && all(page + to, PAGE_SIZE - to, 0));
	}
	OK(ioasis_dma_read(r->dev, at, back, len));
	assert_memory_equal(back, buf, len);
	OK(ioasis_dma_read(r->dev, 0, back, 0)); /* nothing is asked of anyone */
	rig_expect_no_fault(r);
	rig_unmap(r, BASE, NR * PAGE_SIZE);
	for (unsigned i = 0; i < NR; i++)
		munmap(own[i], PAGE_SIZE);
	munmap(file, NR * PAGE_SIZE);
	close(fd);
}

static void a_long_copy_is_whole(void **state)
{
	struct rig *r = *state;
	const u64 len = 3 << 20;
	u8 *mem = rig_pages(len), *buf = rig_pages(len);

	rig_map(r, BASE, mem, len, IOASIS_R | IOASIS_W);
	fill(buf, len, 7);
	OK(ioasis_dma_write(r->dev, BASE + 1, buf, len - 1));
	assert_memory_equal(mem + 1, buf, len - 1);
	rig_unmap(r, BASE, len);
	munmap(mem, len);
	munmap(buf, len);
}

static void a_refused_access_leaves_memory_and_a_record(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(2 * PAGE_SIZE), buf[64];

	memset(mem, 0xa5, 2 * PAGE_SIZE);
	memset(buf, 0x11, sizeof(buf));
	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R);
	FAILS(ioasis_dma_write(r->dev, BASE + 8, buf, 64), EFAULT);
	rig_expect_fault(r, BASE + 8, PERM_W, XLATE_PERM);
	OK(ioasis_dma_read(r->dev, BASE + 8, buf, 64));
	assert_true(all(buf, 64, 0xa5));
	memset(buf, 0x11, sizeof(buf));
	FAILS(ioasis_dma_read(r->dev, BASE + PAGE_SIZE, buf, 64), EFAULT);
	rig_expect_fault(r, BASE + PAGE_SIZE, PERM_R, XLATE_NOT_PRESENT);
	assert_true(all(buf, 64, 0x11));
	assert_true(all(mem, 2 * PAGE_SIZE, 0xa5));
	rig_unmap(r, BASE, PAGE_SIZE);
	FAILS(ioasis_dma_read(r->dev, BASE + 8, buf, 64), EFAULT);
	rig_expect_fault(r, BASE + 8, PERM_R, XLATE_NOT_PRESENT);
	munmap(mem, 2 * PAGE_SIZE);
}

static void pieces_before_the_refused_one_are_done(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(PAGE_SIZE), buf[64];

	memset(buf, 0x22, sizeof(buf));
	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R | IOASIS_W);
	FAILS(ioasis_dma_write(r->dev, BASE + PAGE_SIZE - 16, buf, 64), EFAULT);
	rig_expect_fault(r, BASE + PAGE_SIZE, PERM_W, XLATE_NOT_PRESENT);
	assert_true(all(mem + PAGE_SIZE - 16, 16, 0x22));
	rig_unmap(r, BASE, PAGE_SIZE);
	munmap(mem, PAGE_SIZE);
}

static void nothing_is_beyond_the_last_address(void **state)
{
	struct rig *r = *state;
	u8 buf[64];

	FAILS(ioasis_dma_read(r->dev, UINT64_MAX - 3, buf, 64), EFAULT);
	FAILS(ioasis_dma_write(r->dev, UINT64_MAX, buf, 1), EFAULT);
	FAILS(ioasis_dma_read(r->dev, 0, buf, 64), EFAULT);
}

static void a_detached_device_reaches_nothing(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(PAGE_SIZE), buf[8] = {1};

	memset(mem, 0x77, PAGE_SIZE);
	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R | IOASIS_W);
	OK(ioasis_dma_read(r->dev, BASE, buf, 8));
	ioasis_dev_detach(r->dev);
	FAILS(ioasis_dma_write(r->dev, BASE, buf, 8), EFAULT);
	assert_true(all(mem, PAGE_SIZE, 0x77));
	OK(ioasis_dev_attach(r->dev, r->ioas));
	OK(ioasis_dma_read(r->dev, BASE, buf, 8));
	rig_unmap(r, BASE, PAGE_SIZE);
	munmap(mem, PAGE_SIZE);
}

static void cmpxchg_swaps_or_tells(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(PAGE_SIZE);
	u64 *word = (u64 *)(mem + 8), expected;

	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R | IOASIS_W);
	*word = 5;
	expected = 4;
	OK(ioasis_dma_cmpxchg(r->dev, BASE + 8, &expected, 9, 8));
	assert_int_equal(expected, 5);
	assert_int_equal(*word, 5);
	OK(ioasis_dma_cmpxchg(r->dev, BASE + 8, &expected, 9, 8));
	assert_int_equal(*word, 9);
	*word = 0x100000002;
	expected = 1;
	OK(ioasis_dma_cmpxchg(r->dev, BASE + 12, &expected, 7, 4));
	assert_int_equal(*word, 0x700000002);
	FAILS(ioasis_dma_cmpxchg(r->dev, BASE + 4, &expected, 9, 8), EINVAL);
	FAILS(ioasis_dma_cmpxchg(r->dev, BASE + 8, &expected, 9, 2), EINVAL);
	rig_unmap(r, BASE, PAGE_SIZE);
	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R);
	FAILS(ioasis_dma_cmpxchg(r->dev, BASE + 8, &expected, 9, 8), EFAULT);
	rig_expect_fault(r, BASE + 8, PERM_RW, XLATE_PERM);
	assert_int_equal(*word, 0x700000002);
	rig_unmap(r, BASE, PAGE_SIZE);
	munmap(mem, PAGE_SIZE);
}

static void *add_10000(void *arg)
{
	struct rig *r = arg;

	for (int i = 0; i < 10000; i++) {
		u64 seen = 0, old;

		do {
			old = seen;
			if (ioasis_dma_cmpxchg(r->dev, BASE, &seen, old + 1, 8))
				return arg;
		} while (seen != old);
	}
	return NULL;
}

static void cmpxchg_is_atomic(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(PAGE_SIZE);
	pthread_t t[2];
	void *failed;

	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R | IOASIS_W);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, add_10000, r);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(*(u64 *)mem, 20000);
	rig_unmap(r, BASE, PAGE_SIZE);
	munmap(mem, PAGE_SIZE);
}

static void a_span_is_the_memory_itself(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(2 * PAGE_SIZE);
	struct ioasis_span span;

	rig_map(r, BASE, mem, 2 * PAGE_SIZE, IOASIS_R);
	OK(ioasis_dma_span(r->dev, BASE + 10, 1 << 20, IOASIS_DMA_R, &span));
	assert_ptr_equal(span.host, mem + 10);
	assert_in_range(span.len, 1, 2 * PAGE_SIZE - 10);
	ioasis_dma_unspan(r->dev, &span);
	FAILS(ioasis_dma_span(r->dev, BASE, 64, IOASIS_DMA_W, &span), EFAULT);
	rig_expect_fault(r, BASE, PERM_W, XLATE_PERM);
	FAILS(ioasis_dma_span(r->dev, BASE, 0, IOASIS_DMA_R, &span), EINVAL);
	rig_unmap(r, BASE, 2 * PAGE_SIZE);
	munmap(mem, 2 * PAGE_SIZE);
}

struct unmapper {
	struct rig *r;
	_Atomic bool done;
};

static void *unmap_base(void *arg)
{
	struct unmapper *u = arg;

	rig_unmap(u->r, BASE, PAGE_SIZE);
	atomic_store(&u->done, true);
	return NULL;
}

static void unmap_waits_for_a_span_of_it_and_no_other(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(2 * PAGE_SIZE);
	struct unmapper u = {.r = r};
	struct ioasis_span span;
	pthread_t t;

	rig_map(r, BASE, mem, PAGE_SIZE, IOASIS_R | IOASIS_W);
	rig_map(r, BASE + PAGE_SIZE, mem + PAGE_SIZE, PAGE_SIZE, IOASIS_R | IOASIS_W);
	OK(ioasis_dma_span(r->dev, BASE, 64, IOASIS_DMA_W, &span));
	rig_unmap(r, BASE + PAGE_SIZE, PAGE_SIZE); /* the neighbour in the same buffer: at once */
	pthread_create(&t, NULL, unmap_base, &u);
	/* Blocked for new accesses long before it returns. */
	while (!ioasis_dma_write(r->dev, BASE, "x", 1))
		sched_yield();
	assert_false(atomic_load(&u.done));
	*(volatile u8 *)span.host = 1;
	ioasis_dma_unspan(r->dev, &span);
	pthread_join(t, NULL);
	assert_true(atomic_load(&u.done));
	munmap(mem, 2 * PAGE_SIZE);
}

static void batches_translate_each_piece(void **state)
{
	struct rig *r = *state;
	u8 *mem = rig_pages(4 * PAGE_SIZE);
	struct ioasis_seg s[] = {
		{.iova = BASE + 5, .len = 10, .rc = 77},
		{.iova = BASE + 8 * PAGE_SIZE, .len = 10, .rc = 77},
		{.iova = BASE + 3 * PAGE_SIZE, .len = 10, .rc = 77},
	};

	rig_map(r, BASE, mem, 4 * PAGE_SIZE, IOASIS_R);
	assert_int_equal(ioasis_dma_xlate(r->dev, IOASIS_DMA_R, s, 3), 2);
	assert_int_equal(s[0].rc, 0);
	assert_int_equal(s[1].rc, -EFAULT);
	assert_int_equal(s[2].rc, 0);
	assert_int_equal(s[2].oa - s[0].oa, 3 * PAGE_SIZE - 5);
	assert_int_equal(s[0].direct, 1);
	assert_true(s[0].last >= BASE + PAGE_SIZE - 1 && s[0].last < BASE + 4 * PAGE_SIZE);
	rig_expect_fault(r, BASE + 8 * PAGE_SIZE, PERM_R, XLATE_NOT_PRESENT);
	assert_int_equal(ioasis_dma_xlate(r->dev, IOASIS_DMA_W, s, 3), 0);
	rig_unmap(r, BASE, 4 * PAGE_SIZE);
	munmap(mem, 4 * PAGE_SIZE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(one_access_crosses_any_number_of_mappings),
		RIG_TEST(a_long_copy_is_whole),
		RIG_TEST(a_refused_access_leaves_memory_and_a_record),
		RIG_TEST(pieces_before_the_refused_one_are_done),
		RIG_TEST(nothing_is_beyond_the_last_address),
		RIG_TEST(a_detached_device_reaches_nothing),
		RIG_TEST(cmpxchg_swaps_or_tells),
		RIG_TEST(cmpxchg_is_atomic),
		RIG_TEST(a_span_is_the_memory_itself),
		RIG_TEST(unmap_waits_for_a_span_of_it_and_no_other),
		RIG_TEST(batches_translate_each_piece),
	};

	if (argc > 1)
		rig_machine = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
