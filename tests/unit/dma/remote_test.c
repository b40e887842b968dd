/* SPDX-License-Identifier: MIT */
/* Memory of another process that is not shared with this one: reached by the kernel, for each copy. */
#include "rig.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

const char *rig_machine = "intel";

#define LEN (4 * PAGE_SIZE)

static u8 *mem; /* the client's; the same address here holds other bytes */

static long fill(void)
{
	memset(mem, 0x61, LEN);
	return 0;
}

static long sum(void)
{
	long s = 0;

	for (u64 i = 0; i < LEN; i++)
		s += mem[i];
	return s;
}

static long unmap_second(void)
{
	return munmap(mem + PAGE_SIZE, PAGE_SIZE);
}

/* Its pages are brought in by nobody, ever. */
static long never_answer_faults(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {(uintptr_t)mem, PAGE_SIZE},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC); /* faults of the kernel too */

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || madvise(mem, PAGE_SIZE, MADV_DONTNEED) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static void bytes_go_both_ways(void **state)
{
	struct rig *r = *state;
	struct client c;
	u8 buf[LEN];
	long before;

	client_start_in(&r->ioasis->mem, &c);
	client_do(&c, fill);
	rig_map_client(r, BASE, &c, mem, LEN);
	OK(ioasis_dma_read(r->dev, BASE + 1, buf, LEN - 1));
	assert_int_equal(buf[0], 0x61);
	assert_int_equal(buf[LEN - 2], 0x61);
	before = client_do(&c, sum);
	buf[0] = 0x62;
	OK(ioasis_dma_write(r->dev, BASE + 4000, buf, 200));
	assert_int_equal(client_do(&c, sum), before + 1);
	rig_expect_no_fault(r);
	rig_unmap(r, BASE, LEN);
	client_end(&c);
}

static void it_has_no_spans_and_no_atomics(void **state)
{
	struct rig *r = *state;
	struct ioasis_seg s = {.iova = BASE, .len = 8, .direct = 7};
	struct ioasis_span span;
	struct client c;
	u64 expected = 0;

	client_start_in(&r->ioasis->mem, &c);
	rig_map_client(r, BASE, &c, mem, LEN);
	FAILS(ioasis_dma_span(r->dev, BASE, 8, IOASIS_DMA_R, &span), EOPNOTSUPP);
	FAILS(ioasis_dma_cmpxchg(r->dev, BASE, &expected, 1, 8), EOPNOTSUPP);
	assert_int_equal(ioasis_dma_xlate(r->dev, IOASIS_DMA_R, &s, 1), 1);
	assert_int_equal(s.direct, 0);
	rig_expect_no_fault(r);
	rig_unmap(r, BASE, LEN);
	client_end(&c);
}

static void a_hole_is_a_fault_also_in_the_middle(void **state)
{
	struct rig *r = *state;
	struct client c;
	u8 buf[LEN];

	client_start_in(&r->ioasis->mem, &c);
	client_do(&c, fill);
	rig_map_client(r, BASE, &c, mem, LEN);
	OK(client_do(&c, unmap_second));
	FAILS(ioasis_dma_read(r->dev, BASE + PAGE_SIZE - 8, buf, 16), EFAULT);
	FAILS(ioasis_dma_write(r->dev, BASE + PAGE_SIZE, buf, 16), EFAULT);
	r->fault_seq++; /* which page of a long piece is named is not told */
	rig_expect_fault(r, BASE + PAGE_SIZE, PERM_W, XLATE_NO_MEMORY);
	OK(ioasis_dma_read(r->dev, BASE, buf, PAGE_SIZE));
	OK(ioasis_dma_read(r->dev, BASE + 2 * PAGE_SIZE, buf, PAGE_SIZE));
	rig_unmap(r, BASE, LEN);
	client_end(&c);
}

static void a_dead_process_is_a_fault(void **state)
{
	struct rig *r = *state;
	struct client c;
	u64 x = 0;

	client_start_in(&r->ioasis->mem, &c);
	rig_map_client(r, BASE, &c, mem, LEN);
	OK(ioasis_dma_write(r->dev, BASE, &x, 8));
	client_kill(&c);
	FAILS(ioasis_dma_write(r->dev, BASE, &x, 8), EFAULT);
	rig_expect_fault(r, BASE, PERM_W, XLATE_NO_MEMORY);
	FAILS(ioasis_dma_read(r->dev, BASE, &x, 8), EFAULT);
	rig_expect_fault(r, BASE, PERM_R, XLATE_NO_MEMORY);
	rig_unmap(r, BASE, LEN);
	client_end(&c);
}

struct reader {
	struct rig *r;
	_Atomic int rc;
};

static void *read_one(void *arg)
{
	struct reader *rd = arg;
	u64 x;

	atomic_store(&rd->rc, ioasis_dma_read(rd->r->dev, BASE, &x, 8));
	return NULL;
}

/*
 * A client that never answers its page faults stops the copy that met one, and nobody else: other
 * mappings of it are unmapped at once, and its death ends the copy.
 */
static void a_client_that_never_answers_stops_only_itself(void **state)
{
	struct rig *r = *state;
	struct reader rd = {.r = r, .rc = 1};
	u8 *own = rig_pages(PAGE_SIZE);
	struct client c;
	pthread_t t;
	struct list *n;
	u64 x;

	client_start_in(&r->ioasis->mem, &c);
	client_do(&c, fill);
	if (client_do(&c, never_answer_faults)) {
		print_message("SKIP: userfaultfd is refused here\n");
		client_end(&c);
		return;
	}
	rig_map_client(r, BASE, &c, mem, PAGE_SIZE);
	rig_map_client(r, BASE + 2 * PAGE_SIZE, &c, mem + 2 * PAGE_SIZE, PAGE_SIZE);
	rig_map(r, BASE + 8 * PAGE_SIZE, own, PAGE_SIZE, IOASIS_R | IOASIS_W);
	pthread_create(&t, NULL, read_one, &rd);
	/* It is inside the copy when it holds the segment; it leaves only when the fault is over. */
	for (bool held = false; !held; sched_yield()) {
		lock_take(&r->ioasis->mem.segs_lock);
		list_for_each(n, &r->ioasis->mem.segs)
			held |= atomic_load(&list_entry(n, struct seg, node)->nr_holds) > 0;
		lock_drop(&r->ioasis->mem.segs_lock);
	}
	OK(ioasis_dma_read(r->dev, BASE + 2 * PAGE_SIZE, &x, 8));
	OK(ioasis_dma_read(r->dev, BASE + 8 * PAGE_SIZE, &x, 8));
	rig_unmap(r, BASE + 2 * PAGE_SIZE, PAGE_SIZE);
	rig_unmap(r, BASE + 8 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(atomic_load(&rd.rc), 1);
	client_kill(&c);
	pthread_join(t, NULL); /* it met the page as the kernel left it, or none: both are an end */
	assert_int_not_equal(atomic_load(&rd.rc), 1);
	FAILS(ioasis_dma_read(r->dev, BASE, &x, 8), EFAULT);
	rig_unmap(r, BASE, PAGE_SIZE);
	client_end(&c);
	munmap(own, PAGE_SIZE);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(bytes_go_both_ways),
		RIG_TEST(it_has_no_spans_and_no_atomics),
		RIG_TEST(a_hole_is_a_fault_also_in_the_middle),
		RIG_TEST(a_dead_process_is_a_fault),
		RIG_TEST(a_client_that_never_answers_stops_only_itself),
	};

	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rig_machine = argv[1];
	return run_both(run);
}
