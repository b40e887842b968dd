/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "mem/mem_priv.h"

#include <linux/falloc.h>
#include <sys/resource.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* What the client inherits: the same addresses there as here. */
static struct {
	u8 *anon;	   /* private, 3 pages; the middle one is unmapped */
	u8 *none;	   /* PROT_NONE */
	u8 *ro;		   /* private, read-only */
	u8 *shared_anon;   /* 4 MiB */
	u8 *memfd_rw, *memfd_ro;
	u8 *disk_shared, *disk_private;
	int memfd, disk;
} map;

static u8 *map_pages(u64 nr, int prot, int flags, int fd)
{
	u8 *p = mmap(NULL, nr * PAGE_SIZE, prot, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int make_disk_file(void)
{
	char name[] = "/var/tmp/ioasis-test-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	return fd;
}

static void make_maps(void)
{
	const int rw = PROT_READ | PROT_WRITE;

	map.anon = map_pages(3, rw, MAP_PRIVATE, -1);
	munmap(map.anon + PAGE_SIZE, PAGE_SIZE);
	map.none = map_pages(1, PROT_NONE, MAP_PRIVATE, -1);
	map.ro = map_pages(1, PROT_READ, MAP_PRIVATE, -1);
	map.shared_anon = map_pages(1024, rw, MAP_SHARED, -1);
	map.memfd = memfd_create("client", MFD_CLOEXEC);
	assert_return_code(ftruncate(map.memfd, 8 * PAGE_SIZE), errno);
	map.memfd_rw = map_pages(8, rw, MAP_SHARED, map.memfd);
	map.memfd_ro = map_pages(8, PROT_READ, MAP_SHARED, map.memfd);
	map.disk = make_disk_file();
	assert_return_code(ftruncate(map.disk, 8 * PAGE_SIZE), errno);
	map.disk_shared = map_pages(8, rw, MAP_SHARED, map.disk);
	map.disk_private = map_pages(8, rw, MAP_PRIVATE, map.disk);
}

static struct source user(struct client *c, void *at, bool writable)
{
	return (struct source){.kind = SOURCE_USER,
			       .mm = c->mm,
			       .uva = UVA((uintptr_t)at),
			       .writable = writable};
}

static struct source file(int fd, u64 offset, bool writable)
{
	return (struct source){
		.kind = SOURCE_FILE, .fd = fd, .offset = offset, .writable = writable};
}

static u8 *run_host(const struct run *r)
{
	return r->seg->host + (r->oa.v - r->seg->base.v);
}

static void expect_refused(struct fixture *f, struct source src, u64 first, u64 len, int err)
{
	struct runs runs = {.nr = 77};

	FAILS(source_resolve(&f->mem, &src, first, len, &runs), err);
	assert_int_equal(runs.nr, 77);
}

/* Resolve what one run must cover. */
static struct runs expect_run(struct fixture *f, struct source src, u64 first, u64 len,
			      enum seg_kind kind)
{
	struct runs runs;

	OK(source_resolve(&f->mem, &src, first, len, &runs));
	assert_int_equal(runs.nr, 1);
	assert_int_equal(runs.v[0].first, first);
	assert_int_equal(runs.v[0].len, len);
	assert_int_equal(runs.v[0].seg->kind, kind);
	assert_ptr_equal(seg_find(&f->mem, runs.v[0].oa), runs.v[0].seg);
	/* runs.v points into the copy that is gone: the caller uses .one. */
	runs.v = NULL;
	return runs;
}

static void release(struct fixture *f, struct runs *runs)
{
	if (!runs->v)
		runs->v = &runs->one;
	runs_release(&f->mem, runs);
	assert_int_equal(runs->nr, 0);
}

/* ---- own ---- */

static void own_memory_shares_a_segment_per_gib(void **state)
{
	struct fixture *f = *state;
	u8 *at = (u8 *)(5ull << 40); /* nothing is read: any address will do */
	struct source src = {.kind = SOURCE_OWN, .host = at, .writable = true};
	struct runs a = expect_run(f, src, 0, PAGE_SIZE, SEG_OWN);
	struct runs b = expect_run(f, src, 512 * MIB, PAGE_SIZE, SEG_OWN), c;

	assert_ptr_equal(a.one.seg, b.one.seg);
	assert_ptr_equal(run_host(&a.one), at);
	assert_ptr_equal(run_host(&b.one), at + 512 * MIB);
	assert_int_equal((a.one.oa.v - (uintptr_t)at) % GIB, 0);
	OK(source_resolve(&f->mem, &src, GIB - PAGE_SIZE, GIB + 2 * PAGE_SIZE, &c));
	assert_int_equal(c.nr, 3);
	assert_int_equal(c.v[0].len, PAGE_SIZE);
	assert_int_equal(c.v[1].len, GIB);
	assert_int_equal(c.v[1].first, GIB);
	assert_int_equal(c.v[2].first, 2 * GIB);
	assert_ptr_equal(run_host(&c.v[2]), at + 2 * GIB);
	release(f, &a);
	release(f, &b);
	release(f, &c);
}

static void own_memory_at_the_bottom_is_direct(void **state)
{
	struct fixture *f = *state;
	struct source src = {.kind = SOURCE_OWN, .host = (u8 *)0x400000};
	struct runs a = expect_run(f, src, 0, PAGE_SIZE, SEG_OWN);

	assert_non_null(a.one.seg->host);
	assert_ptr_equal(run_host(&a.one), (u8 *)0x400000);
	release(f, &a);
	src.host = NULL;
	expect_refused(f, src, 0, PAGE_SIZE, EFAULT);
	src.host = (u8 *)(UINTPTR_MAX - PAGE_SIZE + 1);
	expect_refused(f, src, 0, 2 * PAGE_SIZE, EFAULT);
	src.host = (u8 *)(1ull << 50);
	expect_refused(f, src, 0, PAGE_SIZE, EFAULT);
}

static void a_hundred_thousand_mappings_cost_few_segments(void **state)
{
	struct fixture *f = *state;
	struct source src = {.kind = SOURCE_OWN, .host = (u8 *)(7ull << 40)};
	static struct runs runs[100000];
	u64 before = atomic_load(&f->env.nr_allocs);

	for (u64 i = 0; i < ARRAY_SIZE(runs); i++)
		OK(source_resolve(&f->mem, &src, i * 2 * PAGE_SIZE, PAGE_SIZE, &runs[i]));
	assert_true(atomic_load(&f->env.nr_allocs) - before < 10);
	for (u64 i = 0; i < ARRAY_SIZE(runs); i++)
		runs_release(&f->mem, &runs[i]);
}

/* ---- a client's private memory ---- */

static long say_hello(void)
{
	strcpy((char *)map.anon, "hello");
	return 0;
}

static void private_memory_is_remote(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct runs a, b;
	char buf[6] = "";

	client_start(f, &c);
	client_do(&c, say_hello);
	a = expect_run(f, user(&c, map.anon, true), 0, PAGE_SIZE, SEG_REMOTE);
	b = expect_run(f, user(&c, map.anon, true), 2 * PAGE_SIZE, PAGE_SIZE, SEG_REMOTE);
	assert_null(a.one.seg->host);
	assert_int_equal((a.one.oa.v - (uintptr_t)map.anon) % GIB, 0);
	/* The same region of the same client: one segment. */
	if ((uintptr_t)map.anon >> 30 == ((uintptr_t)map.anon + 2 * PAGE_SIZE) >> 30)
		assert_ptr_equal(a.one.seg, b.one.seg);
	OK(mm_dma_read(a.one.seg->mm, UVA(a.one.seg->uva.v + a.one.oa.v - a.one.seg->base.v), buf, 6));
	assert_string_equal(buf, "hello");
	release(f, &a);
	release(f, &b);
	a = expect_run(f, user(&c, map.disk_private, true), 0, 8 * PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	client_end(&c);
}

static void holes_and_wrong_rights_are_refused(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct runs a;

	client_start(f, &c);
	expect_refused(f, user(&c, map.anon, true), 0, 3 * PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.anon, true), PAGE_SIZE, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.none, false), 0, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.none, true), 0, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.ro, true), 0, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.memfd_ro, true), 0, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, (void *)(UINTPTR_MAX - PAGE_SIZE + 1), true), 0, 2 * PAGE_SIZE,
		       EFAULT);
	a = expect_run(f, user(&c, map.ro, false), 0, PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	client_end(&c);
}

static void a_dead_client_is_refused(void **state)
{
	struct fixture *f = *state;
	struct client c;

	client_start(f, &c);
	client_kill(&c);
	expect_refused(f, user(&c, map.anon, true), 0, PAGE_SIZE, EFAULT);
	expect_refused(f, user(&c, map.shared_anon, true), 0, PAGE_SIZE, EFAULT);
	client_end(&c);
}

/* A long-term pin of such a page for writing is refused by the kernel; for reading it is not. */
static void a_shared_file_on_disk_is_read_only(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct runs a;

	client_start(f, &c);
	expect_refused(f, user(&c, map.disk_shared, true), 0, PAGE_SIZE, EFAULT);
	a = expect_run(f, user(&c, map.disk_shared, false), 0, 8 * PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	client_end(&c);
}

/* ---- a client's shared memory ---- */

static long write_shared(void)
{
	memset(map.shared_anon, 0x31, PAGE_SIZE);
	memset(map.memfd_rw, 0x32, PAGE_SIZE);
	return 0;
}

static long unmap_shared(void)
{
	return munmap(map.shared_anon, 1024 * PAGE_SIZE);
}

static void shared_is_zero_copy_and_outlives_the_client(struct fixture *f)
{
	struct client c;
	struct runs a, b;

	client_start(f, &c);
	client_do(&c, write_shared);
	a = expect_run(f, user(&c, map.shared_anon, true), 0, 4 * MIB, SEG_SHARED);
	assert_int_equal(*run_host(&a.one), 0x31);
	assert_int_equal((a.one.oa.v - a.one.seg->file_offset) % (2 * MIB), a.one.seg->base.v % (2 * MIB));
	/* Whichever mapping of the file names it, it is mapped once. */
	b = expect_run(f, user(&c, map.memfd_rw, true), PAGE_SIZE, PAGE_SIZE, SEG_SHARED);
	release(f, &b);
	b = expect_run(f, user(&c, map.shared_anon, true), PAGE_SIZE, PAGE_SIZE, SEG_SHARED);
	assert_ptr_equal(b.one.seg, a.one.seg);
	assert_int_equal(b.one.oa.v, a.one.oa.v + PAGE_SIZE);
	*run_host(&a.one) = 0x55;
	OK(client_do(&c, unmap_shared));
	assert_int_equal(*run_host(&a.one), 0x55);
	expect_refused(f, user(&c, map.shared_anon, true), 0, PAGE_SIZE, EFAULT);
	client_end(&c);
	assert_int_equal(*run_host(&a.one), 0x55);
	release(f, &b);
	release(f, &a);
}

static void shared_by_map_files(void **state)
{
	struct fixture *f = *state;

	if (!f->mem.host.map_files) {
		print_message("SKIP the rung map_files: refused to uid %d\n", (int)getuid());
		return;
	}
	shared_is_zero_copy_and_outlives_the_client(f);
}

/* A memfd whose users the kernel counts: opened, not just created. */
static int counted_memfd(u64 len)
{
	int fd = memfd_create("counted", MFD_CLOEXEC), opened;
	char path[64];

	assert_return_code(ftruncate(fd, (off_t)len), errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_RDWR | O_CLOEXEC);
	assert_return_code(opened, errno);
	close(fd);
	return opened;
}

/* Shared anonymous memory as the shim makes it: from a memfd. */
static int make_shared_anon_of_memfd(void)
{
	int fd = counted_memfd(4 * MIB);

	munmap(map.shared_anon, 4 * MIB);
	map.shared_anon = map_pages(1024, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	return fd;
}

static long nothing(void)
{
	return 0;
}

static void shared_by_offer(void **state)
{
	struct fixture *f = *state;
	int fd = make_shared_anon_of_memfd();

	f->mem.host.map_files = false;
	OK(mem_offer_file(&f->mem, map.memfd));
	OK(mem_offer_file(&f->mem, fd));
	OK(mem_offer_file(&f->mem, fd)); /* twice is once */
	assert_int_equal(f->mem.priv->nr_files, 2);
	close(fd);
	shared_is_zero_copy_and_outlives_the_client(f);
	assert_int_equal(f->mem.priv->nr_files, 2);
	FAILS(mem_offer_file(&f->mem, map.disk), EINVAL);
	FAILS(mem_offer_file(&f->mem, -1), EBADF);
}

static void an_offer_is_forgotten_when_nobody_has_the_file(void **state)
{
	struct fixture *f = *state;
	int fd = counted_memfd(PAGE_SIZE);
	struct client c;
	u8 *p;

	p = map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	client_start(f, &c);
	OK(client_do(&c, nothing));
	OK(mem_offer_file(&f->mem, fd));
	mem_sweep_files(&f->mem);
	assert_int_equal(f->mem.priv->nr_files, 1); /* we have it open and mapped */
	close(fd);
	mem_sweep_files(&f->mem);
	assert_int_equal(f->mem.priv->nr_files, 1); /* we and the client have it mapped */
	munmap(p, PAGE_SIZE);
	mem_sweep_files(&f->mem);
	assert_int_equal(f->mem.priv->nr_files, 1); /* the client has */
	client_kill(&c);
	mem_sweep_files(&f->mem);
	assert_int_equal(f->mem.priv->nr_files, 0);
	client_end(&c);
}

static void an_offer_without_a_free_descriptor(void **state)
{
	struct fixture *f = *state;
	int fd = counted_memfd(PAGE_SIZE);
	u64 allocs = atomic_load(&f->env.nr_allocs);
	struct rlimit old, none;

	OK(getrlimit(RLIMIT_NOFILE, &old));
	none = (struct rlimit){0, old.rlim_max};
	OK(setrlimit(RLIMIT_NOFILE, &none));
	FAILS(mem_offer_file(&f->mem, fd), EMFILE);
	OK(setrlimit(RLIMIT_NOFILE, &old));
	assert_int_equal(f->mem.priv->nr_files, 0);
	assert_int_equal(atomic_load(&f->env.nr_allocs), allocs);
	close(fd);
}

static void many_short_lived_offers_do_not_pile_up(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 500; i++) {
		int fd = counted_memfd(PAGE_SIZE);

		OK(mem_offer_file(&f->mem, fd));
		close(fd);
		assert_true(f->mem.priv->nr_files <= 2);
	}
}

/* Neither privileged nor offered: memory by address, for writing too, since it is a memory file. */
static void shared_that_cannot_be_opened_is_remote(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct runs a;

	f->mem.host.map_files = false;
	client_start(f, &c);
	a = expect_run(f, user(&c, map.memfd_rw, true), 0, PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	a = expect_run(f, user(&c, map.shared_anon, true), 0, PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	expect_refused(f, user(&c, map.disk_shared, true), 0, PAGE_SIZE, EFAULT);
	client_end(&c);
}

static void by_the_text_of_maps_too(void **state)
{
	struct fixture *f = *state;

	if (!f->mem.host.procmap_query)
		print_message("SKIP the rung PROCMAP_QUERY: this kernel has none\n");
	f->mem.host.procmap_query = false;
	private_memory_is_remote(state);
	holes_and_wrong_rights_are_refused(state);
	a_dead_client_is_refused(state);
	a_shared_file_on_disk_is_read_only(state);
	shared_by_map_files(state);
	shared_that_cannot_be_opened_is_remote(state);
}

/* A tmpfs file that has a name, and one that lost it, without privilege. */
static void tmpfs_files_by_name(void **state)
{
	struct fixture *f = *state;
	char name[] = "/dev/shm/ioasis-test-XXXXXX";
	int fd = mkstemp(name);
	struct client c;
	struct runs a;
	u8 *p;

	if (fd < 0) {
		print_message("SKIP tmpfs by name: no /dev/shm\n");
		return;
	}
	f->mem.host.map_files = false;
	assert_return_code(ftruncate(fd, PAGE_SIZE), errno);
	p = map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	client_start(f, &c);
	a = expect_run(f, user(&c, p, true), 0, PAGE_SIZE, SEG_SHARED);
	release(f, &a);
	unlink(name);
	a = expect_run(f, user(&c, p, true), 0, PAGE_SIZE, SEG_REMOTE);
	release(f, &a);
	client_end(&c);
	munmap(p, PAGE_SIZE);
	close(fd);
}

/* ---- files ---- */

static void a_file_is_mapped_once_and_may_grow(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("grows", MFD_CLOEXEC);
	struct runs a, b, c;
	u32 nr = 0;
	struct list *n;

	assert_return_code(ftruncate(fd, 3 * MIB), errno);
	a = expect_run(f, file(fd, 0, true), 0, MIB, SEG_SHARED);
	b = expect_run(f, file(fd, MIB, true), PAGE_SIZE, PAGE_SIZE, SEG_SHARED);
	assert_ptr_equal(a.one.seg, b.one.seg);
	assert_ptr_equal(run_host(&b.one), run_host(&a.one) + MIB + PAGE_SIZE);
	expect_refused(f, file(fd, 0, true), 0, 3 * MIB + PAGE_SIZE, EINVAL);
	assert_return_code(ftruncate(fd, 64 * MIB), errno);
	OK(source_resolve(&f->mem, &(struct source){.kind = SOURCE_FILE, .fd = fd, .writable = true},
			  0, 64 * MIB, &c));
	assert_ptr_equal(c.v[0].seg, a.one.seg);
	memset(run_host(&c.v[c.nr - 1]), 0x77, PAGE_SIZE);
	/* Growing by a page at a time makes few mappings. */
	for (u64 len = 64 * MIB; len < 128 * MIB; len += 64 * 1024) {
		struct runs r;

		assert_return_code(ftruncate(fd, (off_t)len + PAGE_SIZE), errno);
		r = expect_run(f, file(fd, len, true), 0, PAGE_SIZE, SEG_SHARED);
		release(f, &r);
	}
	list_for_each(n, &f->mem.segs)
		nr++;
	assert_true(nr < 12);
	release(f, &a);
	release(f, &b);
	release(f, &c);
	close(fd);
}

static void windows_of_a_large_file(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("large", MFD_CLOEXEC);
	struct runs r;

	assert_return_code(ftruncate(fd, 5 * (off_t)GIB), errno);
	OK(source_resolve(&f->mem, &(struct source){.kind = SOURCE_FILE,
						    .fd = fd,
						    .offset = 3 * GIB - PAGE_SIZE,
						    .writable = true},
			  0, 2 * PAGE_SIZE, &r));
	assert_int_equal(r.nr, 2);
	assert_int_equal(r.v[0].oa.v % GIB, GIB - PAGE_SIZE);
	assert_int_equal(r.v[1].oa.v % GIB, 0);
	release(f, &r);
	close(fd);
}

static void files_that_are_not_memory_or_not_writable(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("ro", MFD_CLOEXEC | MFD_ALLOW_SEALING), ro;
	struct runs a;
	char path[64];

	assert_return_code(ftruncate(fd, PAGE_SIZE), errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	expect_refused(f, file(map.disk, 0, false), 0, PAGE_SIZE, EINVAL);
	expect_refused(f, file(-1, 0, false), 0, PAGE_SIZE, EBADF);
	expect_refused(f, file(fd, UINT64_MAX - PAGE_SIZE + 1, false), 0, 2 * PAGE_SIZE, EINVAL);
	expect_refused(f, file(ro, 0, true), 0, PAGE_SIZE, EPERM);
	a = expect_run(f, file(ro, 0, false), 0, PAGE_SIZE, SEG_SHARED);
	assert_false(a.one.seg->writable);
	/* A read-only mapping must not serve one who writes. */
	release(f, &a);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	expect_refused(f, file(fd, 0, true), 0, PAGE_SIZE, EPERM);
	a = expect_run(f, file(fd, 0, false), 0, PAGE_SIZE, SEG_SHARED);
	release(f, &a);
	close(ro);
	close(fd);
}

static void hugetlb_is_not_made_longer(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << 26));
	struct runs a;
	int rc;

	if (fd < 0 || ftruncate(fd, 2 * MIB)) {
		print_message("SKIP hugetlb: none here\n");
		return;
	}
	rc = source_resolve(&f->mem, &(struct source){.kind = SOURCE_FILE, .fd = fd, .writable = true},
			    0, 4096, &a);
	if (rc) {
		print_message("SKIP hugetlb contents: no free huge page\n");
	} else {
		assert_int_equal(a.one.seg->pgsz_lg2, 21);
		release(f, &a);
	}
	assert_int_equal(lseek(fd, 0, SEEK_END), 2 * MIB);
	close(fd);
}

/* ---- tokens ---- */

static void tokens_are_checked_against_their_segment(void **state)
{
	struct fixture *f = *state;
	static u8 bar[4 * PAGE_SIZE];
	struct source src = {.kind = SOURCE_TOKEN, .offset = PAGE_SIZE, .writable = true};
	struct runs a;

	OK(seg_add(&f->mem, SEG_TOKEN, bar, sizeof(bar), &src.seg));
	a = expect_run(f, src, PAGE_SIZE, 2 * PAGE_SIZE, SEG_TOKEN);
	assert_ptr_equal(run_host(&a.one), bar + 2 * PAGE_SIZE);
	expect_refused(f, src, PAGE_SIZE, 3 * PAGE_SIZE, EINVAL);
	expect_refused(f, src, UINT64_MAX - PAGE_SIZE + 1, PAGE_SIZE, EINVAL);
	src.seg->writable = false;
	expect_refused(f, src, 0, PAGE_SIZE, EPERM);
	release(f, &a);
	seg_put(&f->mem, src.seg);
}

/* ---- failures ---- */

static void sweep(struct fixture *f, struct source src, u64 len)
{
	for (s64 n = 1;; n++) {
		u64 before = atomic_load(&f->env.nr_allocs);
		struct runs runs = {.nr = 77};
		int rc;

		fault_arm(&f->env.fault, n);
		rc = source_resolve(&f->mem, &src, 0, len, &runs);
		fault_arm(&f->env.fault, 0);
		if (!rc) {
			release(f, &runs);
			return;
		}
		FAILS(rc, ENOMEM);
		assert_int_equal(runs.nr, 77);
		if (src.kind != SOURCE_OWN) /* own segments stay, by design */
			assert_in_range(atomic_load(&f->env.nr_allocs), before, before + 8);
	}
}

static void a_failed_resolve_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("sweep", MFD_CLOEXEC);
	struct client c;

	assert_return_code(ftruncate(fd, 3 * MIB), errno);
	client_start(f, &c);
	sweep(f, (struct source){.kind = SOURCE_OWN, .host = (u8 *)(9ull << 40)}, 12 * GIB);
	sweep(f, file(fd, 0, true), 3 * MIB);
	sweep(f, user(&c, map.disk_private, true), 8 * PAGE_SIZE);
	sweep(f, user(&c, map.memfd_rw, true), 8 * PAGE_SIZE);
	client_end(&c);
	close(fd);
	/* Only what stays by design: own segments and the tables of the segment table. */
	mem_sweep_files(&f->mem);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_memory_shares_a_segment_per_gib),
		TEST(own_memory_at_the_bottom_is_direct),
		TEST(a_hundred_thousand_mappings_cost_few_segments),
		TEST(private_memory_is_remote),
		TEST(holes_and_wrong_rights_are_refused),
		TEST(a_dead_client_is_refused),
		TEST(a_shared_file_on_disk_is_read_only),
		TEST(shared_by_map_files),
		TEST(shared_that_cannot_be_opened_is_remote),
		TEST(by_the_text_of_maps_too),
		TEST(shared_by_offer),
		TEST(an_offer_is_forgotten_when_nobody_has_the_file),
		TEST(an_offer_without_a_free_descriptor),
		TEST(many_short_lived_offers_do_not_pile_up),
		TEST(tmpfs_files_by_name),
		TEST(a_file_is_mapped_once_and_may_grow),
		TEST(windows_of_a_large_file),
		TEST(files_that_are_not_memory_or_not_writable),
		TEST(hugetlb_is_not_made_longer),
		TEST(tokens_are_checked_against_their_segment),
		TEST(a_failed_resolve_leaves_nothing),
	};

	make_maps();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_both(run);
}
