// SPDX-License-Identifier: MIT
#include "sweep.h"

#include <dirent.h>
#include <stdlib.h>

/* Everything that a leak would move. */
struct ledger {
	u64 allocs, pinned, locked, table_pages;
	u64 objs, fds, own_fds; /* no padding: compared as bytes */
};

static u32 own_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	u32 nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static struct ledger take(struct bench *b)
{
	struct mm *mm = b->f->c.mm;
	struct ledger l = {
		.allocs = atomic_load(&b->ioasis->env.nr_allocs),
		.pinned = atomic_load(&mm->pinned_pages),
		.locked = atomic_load(&mm->locked_pages),
		.table_pages = atomic_load(&b->ioasis->mem.tables.nr_used),
		.objs = nr_objs(b),
		.own_fds = own_fds(),
	};
	int i;

	for (i = 0; i < NR_FDS; i++)
		l.fds += b->f->fds[i] != NULL;
	return l;
}

static void same(const struct request *r, s64 nth, struct ledger a, struct ledger b)
{
	if (!memcmp(&a, &b, sizeof(a)))
		return;
	print_error("%s, fault %lld: allocs %llu -> %llu, pinned %llu -> %llu, locked %llu -> %llu, "
		    "tables %llu -> %llu, objects %llu -> %llu, descriptors %llu -> %llu, ours %llu -> %llu\n",
		    r->name, (long long)nth, (unsigned long long)a.allocs,
		    (unsigned long long)b.allocs, (unsigned long long)a.pinned,
		    (unsigned long long)b.pinned, (unsigned long long)a.locked,
		    (unsigned long long)b.locked, (unsigned long long)a.table_pages,
		    (unsigned long long)b.table_pages, (unsigned long long)a.objs,
		    (unsigned long long)b.objs, (unsigned long long)a.fds,
		    (unsigned long long)b.fds, (unsigned long long)a.own_fds,
		    (unsigned long long)b.own_fds);
	fail();
}

#define MAX_FAULTS 2000

static void mark(void *arg, unsigned cmd, const void *cmd_struct)
{
	const struct iommu_test_cmd *test = cmd_struct;
	struct swept *swept = arg;

	swept->ioctls[_IOC_NR(cmd)] = true;
	if (cmd == IOMMU_TEST_CMD)
		swept->test_ops[(u8)test->op] = true;
}

/* Once without faults: what grows at first use has grown. */
static void warm_up(const struct request *r, struct scene *s, struct swept *swept)
{
	if (r->prepare)
		r->prepare(s);
	s->b->f->spy = mark;
	s->b->f->spy_arg = swept;
	assert_int_equal(r->go(s), r->want);
	s->b->f->spy = NULL;
	if (r->undo)
		r->undo(s);
}

void sweep(const struct request *r, struct scene *s, struct swept *swept)
{
	struct fault *fault = &s->b->ioasis->env.fault;
	struct ledger before, done;
	bool again = false;
	u64 fired;
	s64 nth;
	long rc;

	warm_up(r, s, swept);
	before = take(s->b);
	assert_int_equal(r->go(s), r->want);
	done = take(s->b);
	if (r->undo)
		r->undo(s);
	same(r, 0, before, take(s->b));
	for (nth = 1;; nth++) {
		assert_true(nth < MAX_FAULTS);
		fired = atomic_load(&fault->fired);
		fault_arm(fault, nth);
		rc = r->go(s);
		fault_arm(fault, 0);
		if (atomic_load(&fault->fired) == fired)
			break;
		if (rc == r->want && r->undo)
			r->undo(s);
		/*
		 * Rarely a request gets round the fault: a table that could not be looked up is made
		 * anew. What that grows at first use may stay; a second time it may not.
		 */
		if (rc == r->want && !again) {
			done.allocs += take(s->b).allocs - before.allocs;
			before.allocs = take(s->b).allocs;
			nth--;
		}
		again = rc == r->want && !again;
		same(r, nth, before, take(s->b));
	}
	assert_int_equal(rc, r->want);
	assert_int_equal(r->cannot_fail, nth == 1);
	same(r, nth, done, take(s->b));
	if (getenv("INJECT_VERBOSE"))
		print_message("%s: %lld faults\n", r->name, (long long)nth - 1);
	if (r->undo)
		r->undo(s);
	same(r, nth, before, take(s->b));
}

