/* SPDX-License-Identifier: MIT */
/*
 * A program as the uapi room sees one, without a process behind it.
 *
 * Everything the room may fetch or store lies in the arena, so that each fetch can be checked: no byte
 * twice in one request. Holes in the arena fault. Descriptors from FD_OURS up are ours, the others are
 * this process's. Mapped memory is this process's own (c.mm is the library's).
 */
#ifndef IOASIS_TESTS_UAPI_FAKE_CALLER_H
#define IOASIS_TESTS_UAPI_FAKE_CALLER_H

#include "../unit/unit.h"

#include <linux/iommufd.h>
#include "ioasis/iommufd_test.h"

#include "uapi/uapi.h"

#define ARENA_LEN (64u << 10)
#define FD_OURS	  1000
#define NR_FDS	  64
#define NR_HOLES  4
#define NR_QUEUED 64

struct hole {
	u64 start, last;
	bool for_fetch, for_store;
};

struct fake_caller {
	struct caller c;
	u8 *arena;	     /* page aligned */
	u8 fetched[ARENA_LEN]; /* by this request */
	unsigned nr_twice;   /* bytes that were fetched more than once, ever */
	struct hole holes[NR_HOLES];
	unsigned nr_holes;
	/* Stores are kept until commit(), as a channel does. */
	bool queue;
	bool fail_commit;
	struct {
		u64 uaddr;
		u8 *bytes;
		size_t len;
	} queued[NR_QUEUED];
	unsigned nr_queued;
	unsigned nr_stored_bytes;
	struct file *fds[NR_FDS];
	bool no_fds; /* fd_install() is -EMFILE */
	size_t used; /* of the arena: room() */
	void (*spy)(void *spy_arg, unsigned cmd, const void *arg); /* sees each ioctl; may be NULL */
	void *spy_arg;
};

void fake_init(struct fake_caller *f, struct mm *mm);
void fake_fini(struct fake_caller *f);
void fake_hole(struct fake_caller *f, const void *at, u64 len, bool fetch, bool store);
void fake_heal(struct fake_caller *f);
/* One ioctl, as the program makes it. */
long fake_ioctl(struct fake_caller *f, struct file *file, unsigned cmd, const void *arg);
void fake_close(struct fake_caller *f, int fd);
struct file *fake_file(struct fake_caller *f, int fd);

/* ---- the mock machine with one opened /dev/iommu, and the usual requests ---- */

struct bench {
	struct ioasis *ioasis;
	struct fake_caller *f;
	struct file *file;
	struct ioasis_ctx *ctx;
	u8 *buf; /* BUF_LEN bytes of this process, to map */
};
#define BUF_LEN (64u * 4096u)

int bench_up(void **state);   /* the mock machine */
int bench_down(void **state); /* checks that nothing is left */
void bench_start(struct bench *b, const char *machine);
void bench_stop(struct bench *b);

/* Bytes in the arena, zeroed, 8-aligned; given back by the next bench_ioctl's caller: reset(). */
void *room(struct bench *b, size_t len);
void reset(struct bench *b);

/* Copy @cmd into the arena, make the request, copy back what the program would read. */
long call(struct bench *b, unsigned nr, void *cmd, size_t len);

u32 mk_ioas(struct bench *b);
/* A test device attached to @pt_id: returns 0 or -errno. */
long mk_dev(struct bench *b, u32 pt_id, u32 flags, u32 *out_stdev, u32 *out_hwpt, u32 *out_idev);
long map(struct bench *b, u32 ioas, const void *at, u64 len, u64 *inout_iova, u32 flags);
long map_fixed(struct bench *b, u32 ioas, const void *at, u64 len, u64 iova);
long unmap(struct bench *b, u32 ioas, u64 iova, u64 *inout_len);
long destroy(struct bench *b, u32 id);
long test_cmd(struct bench *b, struct iommu_test_cmd *cmd);
u32 nr_objs(struct bench *b);

#define MAP_RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

/* The reply is refused wherever it goes: -EFAULT, and nothing is left behind. */
void check_reply_fault(struct bench *b, unsigned nr, const void *cmd, size_t len);

#endif
