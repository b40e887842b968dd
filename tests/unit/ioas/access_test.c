/* SPDX-License-Identifier: MIT */
/* Access objects: pin, read and write, let go; memory that is taken away. */
#include "rig.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE 0x10000000ull

/* A user that lets go when it is asked, unless it is stubborn. */
struct user {
	struct access *access;
	u64 iova, len; /* what it has pinned; len 0: nothing */
	bool stubborn;
	unsigned asked;
};

static void let_go(struct user *u)
{
	access_unpin_pages(u->access, u->iova, u->len);
	u->len = 0;
}

static void user_unmap(void *data, u64 iova, u64 len)
{
	struct user *u = data;

	u->asked++;
	if (u->len && !u->stubborn && iova <= u->iova + u->len - 1 && u->iova <= iova + len - 1)
		let_go(u);
}

static const struct access_ops pin_ops = {.needs_pin_pages = true, .unmap = user_unmap};
static const struct access_ops rw_ops = {.unmap = user_unmap};

static void user_up(struct rig *r, struct user *u, const struct access_ops *ops,
		    struct ioasis_ioas *ioas)
{
	*u = (struct user){0};
	assert_int_equal(access_new(r->ctx, ops, u, &u->access), 0);
	if (ioas)
		assert_int_equal(access_attach(u->access, ioas->obj.id), 0);
}

static int pin(struct user *u, u64 iova, u64 len, struct pinned_page *out)
{
	int rc = access_pin_pages(u->access, iova, len, out, ACCESS_WRITE);

	if (!rc) {
		u->iova = iova;
		u->len = len;
	}
	return rc;
}

static void attaching(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r);
	struct user u;

	user_up(r, &u, &pin_ops, NULL);
	assert_int_equal(access_replace(u.access, a->obj.id), -ENOENT);
	assert_int_equal(access_attach(u.access, 999), -ENOENT);
	assert_int_equal(rig_map(r, a, r->buf + 1, 8, BASE + 1), 0);
	assert_int_equal(access_attach(u.access, a->obj.id), -EADDRINUSE);
	assert_int_equal(rig_unmap(a, BASE + 1, 8), 0);
	assert_int_equal(access_attach(u.access, a->obj.id), 0);
	assert_int_equal(a->align, PAGE_SIZE);
	assert_int_equal(access_attach(u.access, a->obj.id), -EINVAL);
	assert_int_equal(access_replace(u.access, 999), -ENOENT);
	assert_int_equal(obj_destroy(&r->ctx->objs, a->obj.id), -EBUSY);
	assert_int_equal(obj_destroy(&r->ctx->objs, access_id(u.access)), -EBUSY);
	assert_int_equal(access_replace(u.access, b->obj.id), 0);
	assert_int_equal(a->align, 1);
	assert_int_equal(u.asked, 1);
	assert_int_equal(obj_destroy(&r->ctx->objs, a->obj.id), 0);
	access_detach(u.access);
	access_detach(u.access);
	assert_int_equal(obj_destroy(&r->ctx->objs, b->obj.id), 0);
	access_destroy(u.access);
}

static void errnos_of_pin(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct pinned_page pages[8];
	struct user u, v;
	u64 ro = 2 * BASE;

	user_up(r, &u, &pin_ops, NULL);
	user_up(r, &v, &rw_ops, ioas);
	assert_int_equal(pin(&u, BASE, PAGE_SIZE, pages), -ENOENT);
	assert_int_equal(rig_map(r, ioas, r->buf, 4 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &ro), 0);
	assert_int_equal(rig_map(r, ioas, (void *)(UINT64_MAX - 16 * PAGE_SIZE + 1), PAGE_SIZE,
				 3 * BASE),
			 0);
	assert_int_equal(access_attach(u.access, ioas->obj.id), 0);
	assert_int_equal(pin(&u, BASE, 0, pages), -EINVAL);
	assert_int_equal(pin(&u, BASE, UINT64_MAX, pages), -EOVERFLOW);
	assert_int_equal(pin(&u, BASE + 3 * PAGE_SIZE, 2 * PAGE_SIZE, pages), -ENOENT);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(pin(&u, BASE + 1, PAGE_SIZE, pages), -EINVAL);
	assert_int_equal(pin(&u, ro, PAGE_SIZE, pages), -EPERM);
	assert_int_equal(pin(&u, 3 * BASE, PAGE_SIZE, pages), -EFAULT);
	assert_int_equal(pin(&v, BASE, PAGE_SIZE, pages), -EINVAL);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(pin(&u, BASE + PAGE_SIZE, 2 * PAGE_SIZE, pages), 0);
	assert_int_equal(rig_pinned(r), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_ptr_equal(pages[i].seg->host + (pages[i].oa.v - pages[i].seg->base.v),
				 r->buf + (i + 1) * PAGE_SIZE);
	let_go(&u);
	assert_int_equal(rig_pinned(r), 0);
	access_destroy(u.access);
	access_destroy(v.access);
}

static void pins_and_areas_overlap(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r), *other = rig_ioas(r);
	struct pinned_page pages[16];
	struct user u, v, w;
	u64 copy = BASE;

	user_up(r, &u, &pin_ops, ioas);
	user_up(r, &v, &pin_ops, ioas);
	user_up(r, &w, &pin_ops, other);
	assert_int_equal(rig_map(r, ioas, r->buf, 16 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_copy(other, ioas, BASE, 16 * PAGE_SIZE, &copy), 0);
	assert_int_equal(pin(&u, BASE + 2 * PAGE_SIZE, 4 * PAGE_SIZE, pages), 0);
	assert_int_equal(pin(&v, BASE + 4 * PAGE_SIZE, 6 * PAGE_SIZE, pages), 0);
	assert_int_equal(rig_pinned(r), 8);
	assert_int_equal(pin(&w, copy, 16 * PAGE_SIZE, pages), 0);
	assert_int_equal(rig_pinned(r), 16);
	for (unsigned i = 0; i < 16; i++)
		assert_ptr_equal(pages[i].seg->host + (pages[i].oa.v - pages[i].seg->base.v),
				 r->buf + i * PAGE_SIZE);
	assert_int_equal(rig_attach(r, 0, ioas), 0);
	let_go(&w);
	assert_int_equal(rig_pinned(r), 16);
	dev_detach(r->dev[0], NO_PASID);
	assert_int_equal(rig_pinned(r), 8);
	let_go(&u);
	assert_int_equal(rig_pinned(r), 6);
	let_go(&v);
	assert_int_equal(rig_pinned(r), 0);
	access_destroy(u.access);
	access_destroy(v.access);
	access_destroy(w.access);
}

static void unmap_asks(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct pinned_page pages[8];
	struct user u, v;
	u64 done = 1;

	user_up(r, &u, &pin_ops, ioas);
	user_up(r, &v, &pin_ops, ioas);
	assert_int_equal(rig_map(r, ioas, r->buf, 4 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, 4 * PAGE_SIZE, 2 * BASE), 0);
	assert_int_equal(pin(&u, BASE, 2 * PAGE_SIZE, pages), 0);
	assert_int_equal(pin(&v, BASE + PAGE_SIZE, 2 * PAGE_SIZE, pages), 0);
	assert_int_equal(rig_unmap(ioas, BASE, 4 * PAGE_SIZE), 0);
	assert_true(u.asked && v.asked && !u.len && !v.len);
	assert_int_equal(rig_pinned(r), 0);
	/* One that does not let go: Linux gives up after a hundred times. */
	assert_int_equal(pin(&u, 2 * BASE, PAGE_SIZE, pages), 0);
	u.stubborn = true;
	u.asked = 0;
	assert_int_equal(ioas_unmap_all(ioas, &done), -EDEADLK);
	assert_int_equal(done, 0);
	assert_true(u.asked > 100);
	/* Nothing new can be pinned where an unmap has asked. */
	assert_int_equal(access_pin_pages(v.access, 2 * BASE + PAGE_SIZE, PAGE_SIZE, pages, 0),
			 -EINVAL);
	let_go(&u);
	assert_int_equal(ioas_unmap_all(ioas, &done), 0);
	assert_int_equal(done, 4 * PAGE_SIZE);
	access_destroy(u.access);
	access_destroy(v.access);
}

static void read_and_write(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	int fd = rig_memfd(4 * PAGE_SIZE);
	u64 ro = 2 * BASE, file = 3 * BASE;
	u8 *tmp = malloc(5 * PAGE_SIZE);
	struct user u;

	user_up(r, &u, &rw_ops, ioas);
	assert_int_equal(rig_map(r, ioas, r->buf + 3 * PAGE_SIZE, 2 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, ioas, r->buf + 9 * PAGE_SIZE + 100, 100, BASE + 2 * PAGE_SIZE),
			 0);
	assert_int_equal(rig_map_perm(r, ioas, r->buf, PAGE_SIZE, PERM_R, &ro), 0);
	assert_int_equal(rig_map_fd(r, ioas, fd, 0, 4 * PAGE_SIZE, &file, ACCOUNT_USER), 0);
	assert_int_equal(access_rw(u.access, BASE, tmp, 0, 0), -EINVAL);
	assert_int_equal(access_rw(u.access, UINT64_MAX, tmp, 2, 0), -EOVERFLOW);
	assert_int_equal(access_rw(u.access, 0x1000, tmp, 2, 0), -ENOENT);
	assert_int_equal(access_rw(u.access, BASE + 2 * PAGE_SIZE + 99, tmp, 2, 0), -ENOENT);
	assert_int_equal(access_rw(u.access, ro, tmp, 2, ACCESS_WRITE), -EPERM);
	for (unsigned flags = 0; flags <= ACCESS_SLOW; flags += ACCESS_SLOW) {
		memset(tmp, 0xee, 5 * PAGE_SIZE);
		assert_int_equal(access_rw(u.access, BASE + PAGE_SIZE - 3, tmp,
					   PAGE_SIZE + 3 + 50, flags),
				 0);
		assert_int_equal(tmp[2], 3);
		assert_int_equal(tmp[3], 4);
		assert_int_equal(tmp[PAGE_SIZE + 3], 9);
		assert_int_equal(tmp[PAGE_SIZE + 52], 9);
		assert_int_equal(tmp[PAGE_SIZE + 53], 0xee);
		memset(tmp, 0x5a, PAGE_SIZE);
		assert_int_equal(access_rw(u.access, file + PAGE_SIZE - 7, tmp, PAGE_SIZE,
					   flags | ACCESS_WRITE),
				 0);
	}
	assert_int_equal(pread(fd, tmp + PAGE_SIZE, 1, PAGE_SIZE - 8), 1);
	assert_int_equal(tmp[PAGE_SIZE], 0);
	assert_int_equal(pread(fd, tmp + PAGE_SIZE, 1, 2 * PAGE_SIZE - 8), 1);
	assert_int_equal(tmp[PAGE_SIZE], 0x5a);
	assert_int_equal(rig_pinned(r), 0);
	/* Memory that went away is an error of the copy, not a signal. */
	assert_int_equal(guard_install(), 0); /* cmocka has put its own handlers in */
	munmap(r->buf + 3 * PAGE_SIZE, 2 * PAGE_SIZE);
	assert_int_equal(access_rw(u.access, BASE, tmp, 8, 0), -EFAULT);
	assert_int_equal(access_rw(u.access, BASE, tmp, 2 * PAGE_SIZE, ACCESS_SLOW), -EFAULT);
	free(tmp);
	close(fd);
	access_destroy(u.access);
}

static void dmabufs(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r), *other = rig_ioas(r);
	u64 iova = AUTO, second = AUTO, copy = BASE;
	struct pinned_page page;
	struct dmabuf *d;
	struct user u;

	assert_int_equal(dmabuf_new(&r->env, &r->mem, 4 * PAGE_SIZE, &d), 0);
	user_up(r, &u, &pin_ops, ioas);
	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_int_equal(rig_attach(r, 1, other), 0);
	assert_int_equal(rig_map_dmabuf(r, ioas, d, 0, 0, &iova), -EINVAL);
	assert_int_equal(rig_map_dmabuf(r, ioas, d, 4 * PAGE_SIZE, 4 * PAGE_SIZE, &iova), -EINVAL);
	assert_int_equal(rig_map_dmabuf(r, ioas, d, 0, 4 * PAGE_SIZE + 1, &iova), -EINVAL);
	assert_int_equal(rig_map_dmabuf(r, ioas, d, PAGE_SIZE, 2 * PAGE_SIZE, &iova), 0);
	assert_int_equal(rig_copy(other, ioas, iova, PAGE_SIZE, &copy), 0);
	assert_int_equal(rig_pinned(r), 0);
	assert_ptr_equal(rig_dma(r, 0, iova, PERM_W), dmabuf_host(d) + PAGE_SIZE);
	assert_ptr_equal(rig_dma(r, 1, copy, PERM_W), dmabuf_host(d) + PAGE_SIZE);
	assert_int_equal(pin(&u, iova, PAGE_SIZE, &page), -EINVAL);
	assert_int_equal(access_rw(u.access, iova, &page, 1, 0), -EINVAL);
	dmabuf_revoke(d, true);
	assert_null(rig_dma(r, 0, iova, PERM_R));
	assert_null(rig_dma(r, 1, copy, PERM_R));
	assert_int_equal(rig_map_dmabuf(r, ioas, d, 0, PAGE_SIZE, &second), -ENODEV);
	/* A new table of the IOAS does not get it either. */
	assert_int_equal(rig_attach(r, 2, other), 0);
	dmabuf_revoke(d, false);
	assert_null(rig_dma(r, 0, iova, PERM_R));
	assert_int_equal(rig_map_dmabuf(r, ioas, d, 0, PAGE_SIZE, &second), 0);
	assert_ptr_equal(rig_dma(r, 0, second, PERM_R), dmabuf_host(d));
	dev_detach(r->dev[1], NO_PASID);
	dev_detach(r->dev[2], NO_PASID);
	assert_int_equal(rig_unmap(ioas, iova, 2 * PAGE_SIZE), 0);
	dmabuf_revoke(d, true);
	assert_null(rig_dma(r, 0, second, PERM_R));
	access_destroy(u.access);
	dmabuf_put(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(attaching),	 ON_BOTH(errnos_of_pin),  ON_BOTH(pins_and_areas_overlap),
		ON_BOTH(unmap_asks),	 ON_BOTH(read_and_write), ON_BOTH(dmabufs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
