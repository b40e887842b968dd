// SPDX-License-Identifier: MIT
#include "fake_caller.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct fake_caller *to_fake(struct caller *c)
{
	return container_of(c, struct fake_caller, c);
}

static bool in_hole(struct fake_caller *f, u64 uaddr, u64 len, bool fetch)
{
	struct hole *h;
	unsigned i;

	for (i = 0; i < f->nr_holes; i++) {
		h = &f->holes[i];
		if ((fetch ? h->for_fetch : h->for_store) && uaddr <= h->last &&
		    h->start <= uaddr + (len - 1))
			return true;
	}
	return false;
}

/* Offset in the arena, or ARENA_LEN. */
static u64 arena_off(struct fake_caller *f, u64 uaddr, u64 len)
{
	u64 off = uaddr - (u64)f->arena;

	if (off >= ARENA_LEN || ARENA_LEN - off < len)
		return ARENA_LEN;
	return off;
}

static int fake_fetch(struct caller *c, void *to, u64 uaddr, size_t len)
{
	struct fake_caller *f = to_fake(c);
	u64 off = arena_off(f, uaddr, len), i;

	assert_true(len > 0);
	if (off == ARENA_LEN || in_hole(f, uaddr, len, true))
		return -EFAULT;
	for (i = 0; i < len; i++)
		if (f->fetched[off + i]++)
			f->nr_twice++;
	memcpy(to, f->arena + off, len);
	return 0;
}

static int fake_store(struct caller *c, u64 uaddr, const void *from, size_t len)
{
	struct fake_caller *f = to_fake(c);
	u64 off = arena_off(f, uaddr, len);

	assert_true(len > 0);
	if (f->queue) {
		assert_true(f->nr_queued < NR_QUEUED);
		f->queued[f->nr_queued].bytes = malloc(len);
		memcpy(f->queued[f->nr_queued].bytes, from, len);
		f->queued[f->nr_queued].uaddr = uaddr;
		f->queued[f->nr_queued++].len = len;
		return 0;
	}
	if (off == ARENA_LEN || in_hole(f, uaddr, len, false))
		return -EFAULT;
	memcpy(f->arena + off, from, len);
	f->nr_stored_bytes += len;
	return 0;
}

static int fake_commit(struct caller *c)
{
	struct fake_caller *f = to_fake(c);
	int rc = f->fail_commit ? -EFAULT : 0;
	unsigned i;

	f->queue = false;
	for (i = 0; i < f->nr_queued; i++) {
		if (!rc)
			rc = fake_store(c, f->queued[i].uaddr, f->queued[i].bytes,
					f->queued[i].len);
		free(f->queued[i].bytes);
	}
	f->nr_queued = 0;
	f->queue = true;
	return rc;
}

static int fake_file_get(struct caller *c, int fd, struct file **out)
{
	struct fake_caller *f = to_fake(c);

	if (fd >= FD_OURS && fd < FD_OURS + NR_FDS && f->fds[fd - FD_OURS]) {
		*out = file_get(f->fds[fd - FD_OURS]);
		return 0;
	}
	return fcntl(fd, F_GETFD) >= 0 ? -ENOTTY : -EBADF;
}

static int fake_fd_dup(struct caller *c, int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return own < 0 ? -EBADF : own;
}

static int fake_fd_install(struct caller *c, struct file *file, bool cloexec)
{
	struct fake_caller *f = to_fake(c);
	int i;

	for (i = 0; i < NR_FDS && !f->no_fds; i++) {
		if (f->fds[i])
			continue;
		f->fds[i] = file;
		return FD_OURS + i;
	}
	return -EMFILE;
}

static void fake_fd_undo(struct caller *c, int fd)
{
	fake_close(to_fake(c), fd);
}

static const struct caller_ops fake_ops = {
	.fetch = fake_fetch,
	.store = fake_store,
	.commit = fake_commit,
	.file_get = fake_file_get,
	.fd_dup = fake_fd_dup,
	.fd_install = fake_fd_install,
	.fd_undo = fake_fd_undo,
};

void fake_init(struct fake_caller *f, struct mm *mm)
{
	memset(f, 0, sizeof(*f));
	f->c = (struct caller){.ops = &fake_ops, .mm = mm, .tid = getpid()};
	f->arena = mmap(NULL, ARENA_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->arena, MAP_FAILED);
	f->queue = true;
}

void fake_fini(struct fake_caller *f)
{
	int i;

	for (i = 0; i < NR_FDS; i++)
		if (f->fds[i])
			fake_close(f, FD_OURS + i);
	munmap(f->arena, ARENA_LEN);
}

void fake_hole(struct fake_caller *f, const void *at, u64 len, bool fetch, bool store)
{
	assert_true(f->nr_holes < NR_HOLES);
	f->holes[f->nr_holes++] =
		(struct hole){(u64)at, (u64)at + len - 1, .for_fetch = fetch, .for_store = store};
}

void fake_heal(struct fake_caller *f)
{
	f->nr_holes = 0;
	f->fail_commit = false;
}

long fake_ioctl(struct fake_caller *f, struct file *file, unsigned cmd, const void *arg)
{
	long rc;

	memset(f->fetched, 0, sizeof(f->fetched));
	if (f->spy)
		f->spy(f->spy_arg, cmd, arg);
	rc = file->ops->ioctl(file, &f->c, cmd, (u64)arg);
	fake_commit(&f->c); /* what a front does when the call returns */
	assert_int_equal(f->nr_twice, 0);
	return rc;
}

void fake_close(struct fake_caller *f, int fd)
{
	struct file *file = f->fds[fd - FD_OURS];

	f->fds[fd - FD_OURS] = NULL;
	file_put(file);
}

struct file *fake_file(struct fake_caller *f, int fd)
{
	return fd >= FD_OURS && fd < FD_OURS + NR_FDS ? f->fds[fd - FD_OURS] : NULL;
}

/* ---- the bench ---- */

void bench_start(struct bench *b, const char *machine)
{
	struct ioasis_args args = {.size = sizeof(args), .machine = machine};

	memset(b, 0, sizeof(*b));
	assert_int_equal(ioasis_new(&args, &b->ioasis), 0);
	b->f = calloc(1, sizeof(*b->f));
	fake_init(b->f, mm_self(&b->ioasis->mem));
	assert_int_equal(uapi_open(b->ioasis, &b->f->c, "/dev/iommu", O_RDWR, &b->file), 0);
	assert_int_equal(iommufd_file_ctx(b->file, &b->ctx), 0);
	b->buf = mmap(NULL, BUF_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(b->buf, MAP_FAILED);
	memset(b->buf, 0x5a, BUF_LEN);
}

void bench_stop(struct bench *b)
{
	struct mm *mm = b->f->c.mm;

	fake_fini(b->f);
	ctx_put(b->ctx);
	file_put(b->file);
	assert_int_equal(atomic_load(&mm->pinned_pages), 0);
	assert_int_equal(atomic_load(&mm->locked_pages), 0);
	mm_put(mm);
	ioasis_free(b->ioasis);
	munmap(b->buf, BUF_LEN);
	free(b->f);
}

int bench_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	bench_start(b, "mock");
	*state = b;
	return 0;
}

int bench_down(void **state)
{
	bench_stop(*state);
	free(*state);
	return 0;
}

void *room(struct bench *b, size_t len)
{
	void *p = b->f->arena + b->f->used;

	b->f->used += align_up(len, 8);
	assert_true(b->f->used <= ARENA_LEN);
	memset(p, 0, len);
	return p;
}

void reset(struct bench *b)
{
	b->f->used = 0;
	fake_heal(b->f);
}

long call(struct bench *b, unsigned nr, void *cmd, size_t len)
{
	size_t mark = b->f->used;
	void *p = room(b, len);
	long rc;

	memcpy(p, cmd, len);
	rc = fake_ioctl(b->f, b->file, nr, p);
	memcpy(cmd, p, len);
	b->f->used = mark;
	return rc;
}

u32 mk_ioas(struct bench *b)
{
	struct iommu_ioas_alloc cmd = {.size = sizeof(cmd)};

	assert_int_equal(call(b, IOMMU_IOAS_ALLOC, &cmd, sizeof(cmd)), 0);
	assert_int_not_equal(cmd.out_ioas_id, 0);
	return cmd.out_ioas_id;
}

long mk_dev(struct bench *b, u32 pt_id, u32 flags, u32 *out_stdev, u32 *out_hwpt, u32 *out_idev)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, .id = pt_id,
				     .mock_domain_flags.dev_flags = flags};
	long rc = test_cmd(b, &cmd);

	if (rc)
		return rc;
	if (out_stdev)
		*out_stdev = cmd.mock_domain_flags.out_stdev_id;
	if (out_hwpt)
		*out_hwpt = cmd.mock_domain_flags.out_hwpt_id;
	if (out_idev)
		*out_idev = cmd.mock_domain_flags.out_idev_id;
	return 0;
}

long map(struct bench *b, u32 ioas, const void *at, u64 len, u64 *inout_iova, u32 flags)
{
	struct iommu_ioas_map cmd = {.size = sizeof(cmd), .flags = flags, .ioas_id = ioas,
				     .user_va = (u64)at, .length = len, .iova = *inout_iova};
	long rc = call(b, IOMMU_IOAS_MAP, &cmd, sizeof(cmd));

	*inout_iova = cmd.iova;
	return rc;
}

long map_fixed(struct bench *b, u32 ioas, const void *at, u64 len, u64 iova)
{
	return map(b, ioas, at, len, &iova, MAP_RW | IOMMU_IOAS_MAP_FIXED_IOVA);
}

long unmap(struct bench *b, u32 ioas, u64 iova, u64 *inout_len)
{
	struct iommu_ioas_unmap cmd = {.size = sizeof(cmd), .ioas_id = ioas, .iova = iova,
				       .length = *inout_len};
	long rc = call(b, IOMMU_IOAS_UNMAP, &cmd, sizeof(cmd));

	*inout_len = cmd.length;
	return rc;
}

long destroy(struct bench *b, u32 id)
{
	struct iommu_destroy cmd = {.size = sizeof(cmd), .id = id};

	return call(b, IOMMU_DESTROY, &cmd, sizeof(cmd));
}

long test_cmd(struct bench *b, struct iommu_test_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	return call(b, IOMMU_TEST_CMD, cmd, sizeof(*cmd));
}

u32 nr_objs(struct bench *b)
{
	u32 nr;

	lock_take(&b->ctx->objs.lock);
	nr = b->ctx->objs.nr_objs;
	lock_drop(&b->ctx->objs.lock);
	return nr;
}

void check_reply_fault(struct bench *b, unsigned nr, const void *cmd, size_t len)
{
	u32 objs = nr_objs(b);
	size_t mark = b->f->used;
	void *p = room(b, len);
	u64 allocs = 0;
	int i;

	/* Refused at once, and refused when the queue is flushed. The first round warms the tables up. */
	for (i = 0; i < 3; i++) {
		memcpy(p, cmd, len);
		b->f->queue = i == 1;
		fake_hole(b->f, p, len, false, true);
		assert_int_equal(fake_ioctl(b->f, b->file, nr, p), -EFAULT);
		fake_heal(b->f);
		assert_memory_equal(p, cmd, len);
		assert_int_equal(nr_objs(b), objs);
		if (!i)
			allocs = atomic_load(&b->ioasis->env.nr_allocs);
		assert_int_equal(atomic_load(&b->ioasis->env.nr_allocs), allocs);
	}
	b->f->queue = true;
	b->f->used = mark;
}
