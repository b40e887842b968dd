// SPDX-License-Identifier: MIT
/*
 * Requests: bytes -> a sequence of ioctls on an opened /dev/iommu of the mock machine, through the
 * product's own dispatcher and everything under it.
 *
 * The program is a child process with a few pages of its own, so that what it maps is checked as a
 * stranger's. Its commands lie in an arena here; what lies outside faults. After each input the files are
 * closed and nothing may be left: objects, pins, charges, table pages.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "uapi/iommufd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define ARENA_LEN  16384u
#define ARENA_BASE 0x10000ull	/* as the program numbers it */
#define CHILD_BASE 0x200000000ull /* where the child has memory */
#define CHILD_LEN  (64u << 12)
#define FD_OURS	   1000
#define FD_MEMFD   2000
#define NR_FDS	   16
#define MAX_OPS	   48

struct prog {
	struct caller c;
	u8 arena[ARENA_LEN];
	u8 fetched[ARENA_LEN];
	struct file *fds[NR_FDS];
	int memfd;
};

/* What one process fuzzes: libFuzzer keeps no state for us. */
static struct {
	struct ioasis *ioasis;
	struct prog prog;
	u64 tables;
} fz;

static struct prog *to_prog(struct caller *c)
{
	return container_of(c, struct prog, c);
}

static u8 *at(struct prog *p, u64 uaddr, size_t len)
{
	u64 off = uaddr - ARENA_BASE;

	return off < ARENA_LEN && ARENA_LEN - off >= len ? p->arena + off : NULL;
}

static int prog_fetch(struct caller *c, void *to, u64 uaddr, size_t len)
{
	struct prog *p = to_prog(c);
	u8 *from = at(p, uaddr, len);
	size_t i;

	if (!from)
		return -EFAULT;
	for (i = 0; i < len; i++)
		if (p->fetched[from - p->arena + i]++)
			abort(); /* a byte was fetched twice */
	memcpy(to, from, len);
	return 0;
}

static int prog_store(struct caller *c, u64 uaddr, const void *from, size_t len)
{
	u8 *to = at(to_prog(c), uaddr, len);

	if (!to)
		return -EFAULT;
	memcpy(to, from, len);
	return 0;
}

static int prog_commit(struct caller *c)
{
	return 0;
}

static int prog_file_get(struct caller *c, int fd, struct file **out)
{
	struct prog *p = to_prog(c);

	if (fd == FD_MEMFD)
		return -ENOTTY;
	if (fd < FD_OURS || fd >= FD_OURS + NR_FDS || !p->fds[fd - FD_OURS])
		return -EBADF;
	*out = file_get(p->fds[fd - FD_OURS]);
	return 0;
}

static int prog_fd_dup(struct caller *c, int fd)
{
	return fcntl(to_prog(c)->memfd, F_DUPFD_CLOEXEC, 3);
}

static int prog_fd_install(struct caller *c, struct file *file, bool cloexec)
{
	struct prog *p = to_prog(c);
	int i;

	for (i = 0; i < NR_FDS; i++) {
		if (p->fds[i])
			continue;
		p->fds[i] = file;
		return FD_OURS + i;
	}
	return -EMFILE;
}

static void prog_close(struct prog *p, int i)
{
	struct file *file = p->fds[i];

	p->fds[i] = NULL;
	if (file)
		file_put(file);
}

static void prog_fd_undo(struct caller *c, int fd)
{
	prog_close(to_prog(c), fd - FD_OURS);
}

static const struct caller_ops prog_ops = {
	.fetch = prog_fetch,
	.store = prog_store,
	.commit = prog_commit,
	.file_get = prog_file_get,
	.fd_dup = prog_fd_dup,
	.fd_install = prog_fd_install,
	.fd_undo = prog_fd_undo,
};

/* ---- from bytes to commands ---- */

struct input {
	const u8 *p;
	size_t left;
};

static u8 next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static const u64 words[] = {
	0, 1, 2, 4, 7, 11, 2048, 4095, 4096, 8192, 16384, 1 << 20, 2 << 20, MOCK_APERTURE_START,
	MOCK_APERTURE_START + 4096, MOCK_APERTURE_LAST, MOCK_APERTURE_LAST - 4095, UINT64_MAX,
	UINT64_MAX - 4095, 1ull << 32, 1ull << 63, CHILD_BASE, CHILD_BASE + 2048, CHILD_BASE + 4096,
	CHILD_BASE + CHILD_LEN - 4096, ARENA_BASE + 8192, ARENA_BASE + ARENA_LEN - 8, FD_OURS,
	FD_OURS + 1, FD_OURS + 2, FD_MEMFD, IOMMU_HWPT_DATA_SELFTEST,
};

/* Members are four or eight bytes: a word of the list, a small number, or bytes as they come. */
static void fill(struct input *in, u8 *cmd, size_t len)
{
	size_t pos = 4, n;
	u64 v;
	u8 s;

	while (pos < len) {
		s = next(in);
		n = s & 0x40 && pos % 8 == 0 && len - pos >= 8 ? 8 : 4;
		if (len - pos < n)
			n = len - pos;
		if (s & 0x80)
			v = words[s % ARRAY_SIZE(words)];
		else if (s & 0x20)
			v = next(in) | (u64)next(in) << 8 | (u64)next(in) << 16 | (u64)next(in) << 24;
		else
			v = s & 0x1f;
		memcpy(cmd + pos, &v, n);
		pos += n;
	}
}

static void one_ioctl(struct prog *p, struct file *file, struct input *in)
{
	const struct cmd_op *op;
	unsigned num = next(in) % (nr_cmd_ops + 2);
	u8 shape = next(in);
	u32 size;

	/* The last row is the test operations': as likely as all others together. */
	if (shape & 0x80 || num >= nr_cmd_ops || !cmd_ops[num].num)
		num = nr_cmd_ops - 1;
	op = &cmd_ops[num];
	size = op->size;
	if ((shape & 7) == 1)
		size = op->min_size;
	if ((shape & 7) == 2)
		size = next(in) * 16u;
	fill(in, p->arena, min((size_t)size, (size_t)4096));
	memcpy(p->arena, &size, sizeof(size));
	if ((shape & 0x18) == 0x08)
		fault_arm(&fz.ioasis->env.fault, 1 + next(in) % 24);
	memset(p->fetched, 0, sizeof(p->fetched));
	(void)file->ops->ioctl(file, &p->c, op->num, ARENA_BASE);
	fault_arm(&fz.ioasis->env.fault, 0);
}

static void check_nothing_left(struct prog *p)
{
	if (atomic_load(&p->c.mm->pinned_pages) || atomic_load(&p->c.mm->locked_pages))
		abort();
	if (atomic_load(&fz.ioasis->mem.tables.nr_used) != fz.tables)
		abort();
}

static struct file *open_iommu(struct prog *p)
{
	struct file *file;

	if (uapi_open(fz.ioasis, &p->c, "/dev/iommu", O_RDWR, &file))
		abort();
	return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = {data, len};
	struct prog *p = &fz.prog;
	struct file *file = open_iommu(p);
	unsigned i;

	memset(p->arena, 0, sizeof(p->arena));
	for (i = 0; in.left && i < MAX_OPS; i++) {
		if (*in.p < 8) /* the program closes one of its files */
			prog_close(p, next(&in));
		else
			one_ioctl(p, file, &in);
	}
	for (i = 0; i < NR_FDS; i++)
		prog_close(p, (int)i);
	file_put(file);
	check_nothing_left(p);
	return 0;
}

/* The program: it has memory and does nothing. */
static pid_t start_child(void)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		abort();
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		void *m = mmap((void *)CHILD_BASE, CHILD_LEN, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (m == MAP_FAILED || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (pid < 0 || read(ready[0], &c, 1) != 1)
		abort();
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* One device, gone again: what the IOMMU makes for its bus stays. */
static void warm_up(struct prog *p)
{
	const struct iommu_ioas_alloc ioas = {.size = sizeof(ioas)};
	const struct iommu_test_cmd dev = {.size = sizeof(dev), .op = IOMMU_TEST_OP_MOCK_DOMAIN,
					   .id = 1};
	struct file *file = open_iommu(p);

	memcpy(p->arena, &ioas, sizeof(ioas));
	if (file->ops->ioctl(file, &p->c, IOMMU_IOAS_ALLOC, ARENA_BASE))
		abort();
	memset(p->fetched, 0, sizeof(p->fetched));
	memcpy(p->arena, &dev, sizeof(dev));
	if (file->ops->ioctl(file, &p->c, IOMMU_TEST_CMD, ARENA_BASE))
		abort();
	file_put(file);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct ioasis_args args = {.size = sizeof(args), .machine = "mock"};
	pid_t pid = start_child();

	if (guard_install() || ioasis_new(&args, &fz.ioasis))
		abort();
	fz.prog.c = (struct caller){.ops = &prog_ops, .tid = pid};
	fz.prog.memfd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fz.prog.memfd < 0 || ftruncate(fz.prog.memfd, 1 << 20) ||
	    mm_attach(&fz.ioasis->mem, pid, &fz.prog.c.mm))
		abort();
	warm_up(&fz.prog);
	fz.tables = atomic_load(&fz.ioasis->mem.tables.nr_used);
	return 0;
}
