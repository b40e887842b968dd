/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <stdio.h>

#include "unit.h"
#include "event/event.h"

static const struct xlate_fault write_fault = {
	.rid = {0x0108},
	.iova = {0xfee1000},
	.perm = PERM_W,
	.reason = XLATE_NOT_PRESENT,
	.code = 5,
};

static struct env env;
static struct fault_log flog;

static int setup(void **unused)
{
	if (env_init(&env))
		return -1;
	fault_log_init(&flog, &env);
	return 0;
}

static int teardown(void **unused)
{
	fault_log_fini(&flog);
	env_fini(&env);
	return 0;
}

static void add(u64 iova)
{
	struct xlate_fault f = write_fault;

	f.iova = IOVA(iova);
	fault_log_add(&flog, "dmar0", &f);
}

static void in_order(void **unused)
{
	struct dma_fault f[4];
	u64 seq = 0;
	u64 i;

	assert_int_equal(fault_log_read(&flog, &seq, f, 4), 0);
	assert_int_equal(seq, 1);
	for (i = 1; i <= 6; i++)
		add(i * 0x1000);
	assert_int_equal(fault_log_read(&flog, &seq, f, 4), 4);
	assert_int_equal(seq, 5);
	for (i = 0; i < 4; i++) {
		assert_int_equal(f[i].seq, i + 1);
		assert_int_equal(f[i].f.iova.v, (i + 1) * 0x1000);
		assert_string_equal(f[i].iommu, "dmar0");
		assert_true(!i || f[i].ns >= f[i - 1].ns);
	}
	assert_int_equal(fault_log_read(&flog, &seq, f, 4), 2);
	assert_int_equal(f[1].f.iova.v, 0x6000);
	assert_int_equal(fault_log_read(&flog, &seq, f, 4), 0);
	assert_int_equal(seq, 7);
	seq = 1000;
	assert_int_equal(fault_log_read(&flog, &seq, f, 4), 0);
	assert_int_equal(seq, 7);
}

/* A reader that fell behind: the oldest that is left, and its number tells how many are lost. */
static void overtaken(void **unused)
{
	struct dma_fault f[FAULT_LOG_LEN + 1];
	u64 seq = 1;
	u64 i;

	for (i = 1; i <= FAULT_LOG_LEN + 10; i++)
		add(i);
	assert_int_equal(fault_log_read(&flog, &seq, f, FAULT_LOG_LEN + 1), FAULT_LOG_LEN);
	assert_int_equal(f[0].seq, 11);
	for (i = 0; i < FAULT_LOG_LEN; i++)
		assert_int_equal(f[i].f.iova.v, f[i].seq);
	assert_int_equal(seq, FAULT_LOG_LEN + 11);
}

struct hearer {
	struct fault_listener l;
	unsigned nr;
	u64 last_iova;
};

static void hear(struct fault_listener *l, const struct dma_fault *f)
{
	struct hearer *h = container_of(l, struct hearer, l);

	h->nr++;
	h->last_iova = f->f.iova.v;
}

static void listeners(void **unused)
{
	struct hearer a = {.l.fault = hear}, b = {.l.fault = hear};

	fault_log_listen(&flog, &a.l);
	fault_log_listen(&flog, &b.l);
	add(0x1000);
	fault_log_unlisten(&flog, &a.l);
	add(0x2000);
	fault_log_unlisten(&flog, &b.l);
	add(0x3000);
	assert_int_equal(a.nr, 1);
	assert_int_equal(a.last_iova, 0x1000);
	assert_int_equal(b.nr, 2);
	assert_int_equal(b.last_iova, 0x2000);
}

static void text(void **unused)
{
	struct dma_fault f = {.iommu = "dmar0", .f = write_fault};
	char buf[160], want[160];

	snprintf(want, sizeof(want), "[DMA write] 01:01.0 iova 0xfee1000 pasid -: %s (dmar0 reason 5)",
		 xlate_reason_name(XLATE_NOT_PRESENT));
	dma_fault_text(&f, buf, sizeof(buf));
	assert_string_equal(buf, want);
	f.f.pasid = PASID(7);
	f.f.perm = PERM_R;
	f.f.code = 0;
	f.f.rid = RID(0xff << 8 | 0x1f << 3 | 7);
	snprintf(want, sizeof(want), "[DMA read] ff:1f.7 iova 0xfee1000 pasid 7: %s",
		 xlate_reason_name(XLATE_NOT_PRESENT));
	dma_fault_text(&f, buf, sizeof(buf));
	assert_string_equal(buf, want);
	dma_fault_text(&f, buf, 6); /* cut, not overrun */
	assert_string_equal(buf, "[DMA ");
}

#define PER_THREAD 5000

static void *producer(void *arg)
{
	u64 i;

	for (i = 0; i < PER_THREAD; i++)
		add(i);
	return NULL;
}

static void many_producers(void **unused)
{
	struct dma_fault f[16];
	u64 seq = 1, last = 0;
	pthread_t t[2];
	unsigned i, nr;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, producer, NULL), 0);
	while (seq <= 2 * PER_THREAD) {
		nr = fault_log_read(&flog, &seq, f, ARRAY_SIZE(f));
		for (i = 0; i < nr; i++) {
			assert_true(f[i].seq > last);
			last = f[i].seq;
		}
		if (!nr)
			sched_yield();
	}
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(last, 2 * PER_THREAD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_order), TEST(overtaken), TEST(listeners), TEST(text), TEST(many_producers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
