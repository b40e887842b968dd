/* SPDX-License-Identifier: MIT */
/* Map, copy, unmap: errno by errno, and where a device then ends up. */
#include "rig.h"

#include <unistd.h>

#define BASE 0x10000000ull

static void errnos_of_map(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u64 iova = AUTO;

	assert_int_equal(rig_map(r, ioas, r->buf, 0, BASE), -EINVAL);
	assert_int_equal(rig_map(r, ioas, r->buf, UINT64_MAX - 1, BASE), -EOVERFLOW);
	assert_int_equal(rig_map(r, ioas, NULL, UINT64_MAX - 1, BASE), -EINVAL);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, UINT64_MAX - 1), -EOVERFLOW);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE), -EEXIST);
	assert_int_equal(rig_map(r, ioas, r->buf, 2 * PAGE_SIZE, BASE - PAGE_SIZE), -EEXIST);
	/* A table without HWPT knows no alignment, and 0 is an IOVA like any other when it is asked for. */
	assert_int_equal(rig_map(r, ioas, r->buf + 3, 5, BASE + PAGE_SIZE + 1), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, 0), 0);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0x5000, 0x5fff}), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, 0x5800), -EINVAL);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &iova), 0);
	assert_true(iova && iova != AUTO);
}

static void errnos_with_a_device(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u64 iova = AUTO, step;

	assert_int_equal(rig_attach(r, 0, ioas), 0);
	step = ioas->align;
	assert_true(step == 2048 || step == 4096);
	assert_int_equal(rig_map(r, ioas, r->buf, step / 2, BASE), -EINVAL);
	assert_int_equal(rig_map(r, ioas, r->buf, step, BASE + step / 2), -EINVAL);
	assert_int_equal(rig_map(r, ioas, r->buf + step / 2, step, BASE), -EINVAL);
	assert_int_equal(rig_map(r, ioas, r->buf, step, BASE), 0);
	/* Beyond what the IOMMU can address. */
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, 1ull << 60), -EINVAL);
	/* Nothing is there: found out now, because a HWPT needs the pages. */
	assert_int_equal(rig_map(r, ioas, (void *)(UINT64_MAX - 16 * PAGE_SIZE + 1), PAGE_SIZE,
				 2 * BASE),
			 -EFAULT);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, 8 * PAGE_SIZE, PERM_RW, &iova), 0);
	assert_true(iova % PAGE_SIZE == 0 && iova >= PAGE_SIZE);
	for (unsigned i = 0; i < 8; i++)
		assert_ptr_equal(rig_dma(r, 0, iova + i * PAGE_SIZE + 5, PERM_W),
				 r->buf + i * PAGE_SIZE + 5);
	assert_null(rig_dma(r, 0, iova + 8 * PAGE_SIZE, PERM_R));
}

static void errnos_of_unmap(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u64 done = 7;

	assert_int_equal(rig_attach(r, 0, ioas), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_map(r, ioas, r->buf, 2 * PAGE_SIZE, BASE + i * 4 * PAGE_SIZE),
				 0);
	assert_int_equal(rig_unmap(ioas, 0x1000, 0x1000), -ENOENT);
	assert_int_equal(rig_unmap(ioas, BASE, PAGE_SIZE), -ENOENT);
	assert_int_equal(rig_unmap(ioas, BASE + PAGE_SIZE, 2 * PAGE_SIZE), -ENOENT);
	assert_ptr_equal(rig_dma(r, 0, BASE, PERM_R), r->buf);
	/* The second sticks out: the first is gone all the same, and counted. */
	assert_int_equal(
		ioas_unmap(ioas, (struct iova_range){BASE, BASE + 5 * PAGE_SIZE - 1}, &done),
		-ENOENT);
	assert_int_equal(done, 2 * PAGE_SIZE);
	assert_null(rig_dma(r, 0, BASE, PERM_R));
	assert_non_null(rig_dma(r, 0, BASE + 4 * PAGE_SIZE, PERM_R));
	assert_int_equal(ioas_unmap_all(ioas, &done), 0);
	assert_int_equal(done, 6 * PAGE_SIZE);
	assert_null(rig_dma(r, 0, BASE + 12 * PAGE_SIZE, PERM_R));
	assert_int_equal(ioas_unmap_all(ioas, &done), 0);
	assert_int_equal(done, 0);
}

static void permissions(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r), *other = rig_ioas(r);
	u64 ro = BASE, wo = 2 * BASE, to = AUTO;

	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &ro), 0);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_W, &wo), 0);
	assert_non_null(rig_dma(r, 0, ro, PERM_R));
	assert_null(rig_dma(r, 0, ro, PERM_W));
	assert_non_null(rig_dma(r, 0, wo, PERM_W));
	/* Mapped for reading, copied for writing. */
	assert_int_equal(rig_copy(other, ioas, ro, PAGE_SIZE, &to), -EPERM);
	assert_int_equal(rig_copy(other, ioas, wo, PAGE_SIZE, &to), 0);
}

static void copies_share_pins(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	u64 to = BASE, auto_at = AUTO;

	assert_int_equal(rig_attach(r, 0, a), 0);
	assert_int_equal(rig_attach(r, 1, b), 0);
	assert_int_equal(rig_map(r, a, r->buf, 16 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_pinned(r), 16);
	assert_int_equal(rig_copy(b, a, BASE + 4 * PAGE_SIZE, 8 * PAGE_SIZE, &to), 0);
	assert_int_equal(rig_copy(a, a, BASE, 16 * PAGE_SIZE, &auto_at), 0);
	assert_int_equal(rig_pinned(r), 16);
	assert_ptr_equal(rig_dma(r, 1, to + PAGE_SIZE, PERM_R), r->buf + 5 * PAGE_SIZE);
	assert_int_equal(rig_unmap(a, auto_at, 16 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 16);
	/* What only the original needed goes with it: both ends, so that the run is cut. */
	assert_int_equal(rig_unmap(a, BASE, 16 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 8);
	assert_ptr_equal(rig_dma(r, 1, to, PERM_R), r->buf + 4 * PAGE_SIZE);
	assert_int_equal(rig_unmap(b, to, 8 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 0);
}

/* What stays pinned after its neighbours went is still the right memory, and still held. */
static void cut_in_the_middle(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	u64 whole = BASE, left = BASE, right = 2 * BASE, again = 3 * BASE;
	int fd = rig_memfd(16 * PAGE_SIZE);

	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(pwrite(fd, &i, sizeof(i), i * PAGE_SIZE), sizeof(i));
	assert_int_equal(rig_attach(r, 0, a), 0);
	assert_int_equal(rig_attach(r, 1, b), 0);
	assert_int_equal(rig_map_fd(r, a, fd, 0, 16 * PAGE_SIZE, &whole, ACCOUNT_USER), 0);
	close(fd);
	assert_int_equal(rig_copy(b, a, BASE + 2 * PAGE_SIZE, 3 * PAGE_SIZE, &left), 0);
	assert_int_equal(rig_copy(b, a, BASE + 8 * PAGE_SIZE, 3 * PAGE_SIZE, &right), 0);
	assert_int_equal(rig_unmap(a, BASE, 16 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 6);
	/* Mapped from the runs that were cut. */
	assert_int_equal(rig_copy(a, b, right, 3 * PAGE_SIZE, &again), 0);
	assert_int_equal(*(unsigned *)rig_dma(r, 0, again, PERM_R), 8);
	assert_int_equal(rig_unmap(a, again, 3 * PAGE_SIZE), 0);
	assert_int_equal(rig_copy(a, b, left, 3 * PAGE_SIZE, &again), 0);
	assert_int_equal(*(unsigned *)rig_dma(r, 0, again + PAGE_SIZE, PERM_R), 3);
	assert_int_equal(rig_unmap(a, again, 3 * PAGE_SIZE), 0);
	assert_int_equal(rig_unmap(b, left, 3 * PAGE_SIZE), 0);
	/* The segment is held by the other piece alone. */
	assert_int_equal(*(unsigned *)rig_dma(r, 1, right + 2 * PAGE_SIZE, PERM_W), 10);
	assert_int_equal(rig_unmap(b, right, 3 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 0);
}

static void copy_in_pieces(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	u64 to = BASE;

	assert_int_equal(rig_attach(r, 0, b), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(rig_map(r, a, r->buf + (4 - i) * PAGE_SIZE, PAGE_SIZE,
					 BASE + i * PAGE_SIZE),
				 0);
	assert_int_equal(rig_copy(b, a, BASE, 6 * PAGE_SIZE, &to), -ENOENT);
	assert_int_equal(rig_copy(b, a, BASE - 1, 2, &to), -ENOENT);
	assert_int_equal(rig_copy(b, a, BASE, 0, &to), -EINVAL);
	assert_int_equal(rig_copy(b, a, BASE, UINT64_MAX - 1, &to), -EOVERFLOW);
	assert_int_equal(rig_copy(b, a, BASE, 5 * PAGE_SIZE, &to), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_ptr_equal(rig_dma(r, 0, to + i * PAGE_SIZE, PERM_R),
				 r->buf + (4 - i) * PAGE_SIZE);
	/* The pieces are areas of their own. */
	assert_int_equal(rig_unmap(b, to, PAGE_SIZE), 0);
	assert_int_equal(rig_copy(b, a, BASE, 5 * PAGE_SIZE, &to), -EEXIST);
}

static void sub_page_areas(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	u64 to = AUTO;

	assert_int_equal(rig_map(r, a, r->buf + 2048, 4096, BASE + 2048), 0);
	if (r->iommu->ops->capable(&r->idev[0], IOMMU_CAP_DIRTY_TRACKING)) {
		assert_int_equal(rig_attach(r, 0, a), 0);
		assert_int_equal(rig_pinned(r), 2);
		assert_ptr_equal(rig_dma(r, 0, BASE + 2048, PERM_R), r->buf + 2048);
		assert_ptr_equal(rig_dma(r, 0, BASE + 4097, PERM_R), r->buf + 4097);
		assert_null(rig_dma(r, 0, BASE + 2047, PERM_R));
		assert_null(rig_dma(r, 0, BASE + 6144, PERM_R));
		/* The middle half pages, from one page into the next. */
		assert_int_equal(rig_attach(r, 1, b), 0);
		assert_int_equal(rig_copy(b, a, BASE + 4096, 2048, &to), 0);
		assert_ptr_equal(rig_dma(r, 1, to, PERM_R), r->buf + 4096);
		assert_int_equal(to % PAGE_SIZE, 0);
	} else {
		/* An IOMMU of whole pages cannot have it. */
		assert_int_equal(rig_attach(r, 0, a), -EADDRINUSE);
	}
}

static void automatic_iova(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct allowed_set set;
	u64 iova = AUTO, align;
	struct iova_range ranges[4];

	allowed_init(&set, &r->env);
	assert_int_equal(allowed_add(&set, (struct iova_range){0x20000, 0x20000}), -EINVAL);
	assert_int_equal(allowed_add(&set, (struct iova_range){0x20000, 0x20fff}), 0);
	assert_int_equal(allowed_add(&set, (struct iova_range){0x20800, 0x30000}), -EINVAL);
	assert_int_equal(allowed_add(&set, (struct iova_range){0x21000, 0x21fff}), 0);
	assert_int_equal(ioas_allow_iovas(ioas, &set), 0);
	allowed_fini(&set);
	/* Two ranges that touch are one. */
	assert_int_equal(rig_map_perm(r, ioas, r->buf, 2 * PAGE_SIZE, PERM_R, &iova), 0);
	assert_int_equal(iova, 0x20000);
	iova = AUTO;
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &iova), -ENOSPC);
	/* A fixed one need not be allowed. */
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, 0x90000), 0);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0x21000, 0x50000}),
			 -EADDRINUSE);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0x90800, 0xa0000}),
			 -EADDRINUSE);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0, 0xfff}), 0);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0x800, 0x1fff}), 0);
	assert_int_equal(ioas_add_reserved(ioas, (struct iova_range){0xa0000, 0xaffff}), 0);
	assert_int_equal(ioas_iova_ranges(ioas, ranges, 1, &align), 2);
	assert_int_equal(ranges[0].start, 0x2000);
	assert_int_equal(ranges[0].last, 0x9ffff);
	assert_int_equal(ioas_iova_ranges(ioas, ranges, 4, &align), 2);
	assert_int_equal(ranges[1].start, 0xb0000);
	assert_true(ranges[1].last == UINT64_MAX && align == 1);
	allowed_init(&set, &r->env);
	assert_int_equal(allowed_add(&set, (struct iova_range){0x9f000, 0xa0000}), 0);
	assert_int_equal(ioas_allow_iovas(ioas, &set), -EADDRINUSE);
	allowed_fini(&set);
	/* The old ranges are still in force. */
	iova = AUTO;
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &iova), -ENOSPC);
}

static void automatic_iova_is_aligned(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u64 iova = AUTO, len = 8ull << 21;

	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_int_equal(rig_map_perm(r, ioas, r->huge, len, PERM_R, &iova), 0);
	assert_int_equal(iova % (1 << 21), 0);
	iova = AUTO;
	assert_int_equal(rig_map_perm(r, ioas, r->huge + PAGE_SIZE, PAGE_SIZE, PERM_R, &iova), 0);
	assert_int_equal(iova % PAGE_SIZE, 0);
}

static void no_huge_pages(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct bound_dev *dev = r->dev[0];
	struct pt_leaf leaf;
	struct domain *d;
	u8 *huge = r->huge;

	assert_true(ioas_huge_pages(ioas));
	assert_int_equal(ioas_set_huge_pages(ioas, false), 0);
	assert_false(ioas_huge_pages(ioas));
	assert_int_equal(rig_map(r, ioas, huge, 2 << 20, BASE), 0);
	assert_int_equal(rig_map(r, ioas, huge, 2048, 2 * BASE), -EINVAL);
	assert_int_equal(rig_attach(r, 0, ioas), 0);
	d = rig_hwpt(r, dev_attached_hwpt(dev, NO_PASID))->domain;
	assert_int_equal(d->pt.fmt->walk(&r->mem, table_oa(&r->mem, d->pt.root), d->pt.top_level,
					 BASE, &leaf),
			 0);
	assert_int_equal(leaf.lg2, __builtin_ctzll(d->pgsize_bitmap));
	assert_int_equal(rig_unmap(ioas, BASE, 2 << 20), 0);
	assert_int_equal(ioas_set_huge_pages(ioas, true), 0);
	assert_int_equal(rig_map(r, ioas, huge, 2 << 20, BASE), 0);
	assert_int_equal(d->pt.fmt->walk(&r->mem, table_oa(&r->mem, d->pt.root), d->pt.top_level,
					 BASE, &leaf),
			 0);
	assert_int_equal(leaf.lg2, 21);
	assert_int_equal(ioas_set_huge_pages(ioas, false), -EINVAL);
}

static void files(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	int fd = rig_memfd(8 * PAGE_SIZE);
	u64 iova = AUTO, second = AUTO;

	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_int_equal(pwrite(fd, "file", 4, 3 * PAGE_SIZE), 4);
	assert_int_equal(rig_map_fd(r, ioas, fd, 2 * PAGE_SIZE, 4 * PAGE_SIZE, &iova, ACCOUNT_USER),
			 0);
	assert_memory_equal(rig_dma(r, 0, iova + PAGE_SIZE, PERM_R), "file", 4);
	assert_int_equal(rig_pinned(r), 4);
	/* Past its end. */
	assert_int_equal(rig_map_fd(r, ioas, fd, 6 * PAGE_SIZE, 4 * PAGE_SIZE, &second,
				    ACCOUNT_USER),
			 -EINVAL);
	close(fd);
	assert_memory_equal(rig_dma(r, 0, iova + PAGE_SIZE, PERM_R), "file", 4);
	assert_int_equal(rig_unmap(ioas, iova, 4 * PAGE_SIZE), 0);
	assert_int_equal(rig_pinned(r), 0);
}

static void change_process(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	int fd = rig_memfd(8 * PAGE_SIZE);
	u64 iova = AUTO, copy = AUTO;
	struct mm other = {.refs = 1, .mem = &r->mem, .uid = r->mem.self->uid, .pid = getppid()};
	struct mm *self = mm_self(&r->mem);

	assert_int_equal(rig_attach(r, 0, a), 0);
	assert_int_equal(rig_map(r, a, r->buf, PAGE_SIZE, BASE), 0);
	assert_int_equal(ctx_change_process(r->ctx, self), -EINVAL);
	assert_int_equal(rig_unmap(a, BASE, PAGE_SIZE), 0);
	assert_int_equal(rig_map_fd(r, a, fd, 0, 8 * PAGE_SIZE, &iova, ACCOUNT_NONE), 0);
	assert_int_equal(rig_copy(b, a, iova, 4 * PAGE_SIZE, &copy), 0);
	assert_int_equal(ctx_change_process(r->ctx, self), 0);
	assert_int_equal(rig_pinned(r), 8);
	assert_int_equal(ctx_change_process(r->ctx, &other), 0);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(other.pinned_pages, 8);
	assert_int_equal(ctx_change_process(r->ctx, self), 0);
	assert_int_equal(other.pinned_pages, 0);
	assert_int_equal(other.refs, 1);
	mm_put(self);
	close(fd);
}

static void rlimit_mode(void **state)
{
	struct rig *r = *state;
	struct ioasis_ctx *ctx;
	struct obj *obj;

	assert_int_equal(ctx_new(&r->env, &r->mem, NULL, &ctx), 0);
	assert_int_equal(ctx_rlimit_mode(ctx), 0);
	assert_int_equal(ctx_set_rlimit_mode(ctx, false, 2), -EPERM);
	assert_int_equal(ctx_set_rlimit_mode(ctx, true, 2), -EINVAL);
	assert_int_equal(ctx_set_rlimit_mode(ctx, true, 1), 0);
	assert_int_equal(ctx_rlimit_mode(ctx), 1);
	assert_int_equal(ioas_new(ctx, &obj), 0);
	assert_int_equal(ctx_set_rlimit_mode(ctx, true, 2), -EBUSY);
	obj_abort_filled(obj);
	assert_int_equal(ctx_set_rlimit_mode(ctx, true, 0), 0);
	ctx_put(ctx);
}

static void pin_count(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	u64 copy = AUTO;
	oa_t oa;

	assert_int_equal(rig_attach(r, 0, a), 0);
	assert_int_equal(rig_map(r, a, r->buf, 2 * PAGE_SIZE, BASE), 0);
	oa = hwpt_iova_to_oa(rig_hwpt(r, dev_attached_hwpt(r->dev[0], NO_PASID)), IOVA(BASE));
	assert_int_equal(ctx_pin_count(r->ctx, oa), 1);
	assert_int_equal(rig_copy(b, a, BASE, 2 * PAGE_SIZE, &copy), 0);
	assert_int_equal(ctx_pin_count(r->ctx, oa), 1);
	assert_int_equal(rig_map(r, a, r->buf, PAGE_SIZE, 2 * BASE), 0);
	assert_int_equal(ctx_pin_count(r->ctx, oa), 2);
	assert_int_equal(ctx_pin_count(r->ctx, OA(oa.v + PAGE_SIZE)), 1);
	assert_int_equal(ctx_pin_count(r->ctx, OA(oa.v + 2 * PAGE_SIZE)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(errnos_of_map),	 ON_BOTH(errnos_with_a_device), ON_BOTH(errnos_of_unmap),
		ON_BOTH(permissions),	 ON_BOTH(copies_share_pins),    ON_BOTH(copy_in_pieces),
		ON_BOTH(cut_in_the_middle),
		ON_BOTH(sub_page_areas),	 ON_BOTH(automatic_iova),	     ON_BOTH(automatic_iova_is_aligned),
		ON_BOTH(no_huge_pages),	 ON_BOTH(files),		     ON_BOTH(change_process),
		ON_BOTH(rlimit_mode),	 ON_BOTH(pin_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
