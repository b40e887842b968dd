/* SPDX-License-Identifier: MIT */
/* A machine with one device attached to an address space, and the faults it makes. */
#ifndef TESTS_UNIT_DMA_RIG_H
#define TESTS_UNIT_DMA_RIG_H

#include "client.h"

#include "dma/dma.h"
#include "ioasis/ioas.h"
#include "machine/machine.h"

#include <pthread.h>
#include <sched.h>

#define BASE 0x10000000ull /* inside every machine's aperture */

struct rig {
	struct ioasis *ioasis;
	struct ioasis_ctx *ctx;
	struct ioasis_ioas *ioas;
	struct ioasis_dev *dev;
	u64 fault_seq;
};

extern const char *rig_machine;

static inline int rig_setup(void **state)
{
	struct ioasis_args args = {sizeof(args), IOASIS_NO_DEVICES, rig_machine};
	static struct rig r;

	r = (struct rig){.fault_seq = 1};
	OK(ioasis_new(&args, &r.ioasis));
	OK(ioasis_dev_new(r.ioasis, 0x0108, &r.dev));
	OK(ioasis_ctx_new(r.ioasis, &r.ctx));
	OK(ioasis_ioas_new(r.ctx, &r.ioas));
	OK(ioasis_dev_bind(r.ctx, r.dev));
	OK(ioasis_dev_attach(r.dev, r.ioas));
	*state = &r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	ioasis_ctx_free(r->ctx);
	ioasis_dev_free(r->dev);
	ioasis_free(r->ioasis);
	return 0;
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

static inline u8 *rig_pages(u64 len)
{
	u8 *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static inline void rig_map(struct rig *r, u64 iova, void *host, u64 len, u32 perm)
{
	struct ioasis_map_args a = {.size = sizeof(a),
				    .flags = IOASIS_MAP_FIXED_IOVA,
				    .perm = perm,
				    .host = host,
				    .len = len,
				    .iova = iova};
	u64 got;

	OK(ioasis_ioas_map(r->ioas, &a, &got));
	assert_int_equal(got, iova);
}

static inline void rig_map_file(struct rig *r, u64 iova, int fd, u64 offset, u64 len)
{
	struct ioasis_map_args a = {.size = sizeof(a),
				    .flags = IOASIS_MAP_FIXED_IOVA,
				    .perm = IOASIS_R | IOASIS_W,
				    .len = len,
				    .iova = iova};
	u64 got;

	OK(guard_install()); /* cmocka puts its own handlers in before each test */
	OK(ioasis_ioas_map_file(r->ioas, &a, fd, offset, &got));
}

static inline void rig_map_client(struct rig *r, u64 iova, struct client *c, void *at, u64 len)
{
	struct map_args m = {
		.src = {.kind = SOURCE_USER,
			.mm = mm_get(c->mm),
			.fd = -1,
			.uva = UVA((uintptr_t)at),
			.writable = true},
		.len = len,
		.perm = PERM_RW,
		.fixed = true,
		.iova = IOVA(iova),
	};
	iova_t got;

	OK(ioas_map(r->ioas, &m, &got));
}

static inline void rig_unmap(struct rig *r, u64 iova, u64 len)
{
	u64 done = 0;

	OK(ioasis_ioas_unmap(r->ioas, iova, len, &done));
	assert_int_equal(done, len);
}

/* The next recorded fault is this one, and there is no other. */
static inline void rig_expect_fault(struct rig *r, u64 iova, u8 perm, enum xlate_reason reason)
{
	struct dma_fault f[4];

	assert_int_equal(fault_log_read(&r->ioasis->log, &r->fault_seq, f, 4), 1);
	assert_int_equal(f[0].f.rid.v, 0x0108);
	assert_int_equal(f[0].f.iova.v & ~(PAGE_SIZE - 1), iova & ~(PAGE_SIZE - 1));
	/* VT-d records an atomic access as a write: its records have one bit for the direction. */
	assert_true(f[0].f.perm == perm || (perm == PERM_RW && f[0].f.perm == PERM_W));
	assert_int_equal(f[0].f.reason, reason);
}

static inline void rig_expect_no_fault(struct rig *r)
{
	struct dma_fault f;

	assert_int_equal(fault_log_read(&r->ioasis->log, &r->fault_seq, &f, 1), 0);
}

#endif
