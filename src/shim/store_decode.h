/* SPDX-License-Identifier: MIT */
/*
 * A store that trapped: what it would have stored and what it does to the registers.
 *
 * A BAR whose registers have side effects is mapped read-only. A store to it raises SIGSEGV; the
 * handler decodes the instruction here, has the device take the bytes, and then lets the program go
 * on behind the instruction. One file per processor implements this.
 *
 * Everything here is fit for a signal handler: no allocation, no lock, no call into libc beyond
 * memcpy.
 */
#ifndef IOASIS_SRC_SHIM_STORE_DECODE_H
#define IOASIS_SRC_SHIM_STORE_DECODE_H

#include <signal.h>
#include <ucontext.h>

#include "base/base.h"

#define STORE_MAX      64u
#define STORE_MAX_REGS 4u

struct store {
	u64 addr;     /* of the first byte */
	unsigned len; /* 1 … STORE_MAX */
	u8 value[STORE_MAX];
	/* private: the registers once the device has taken it */
	u64 rip, eflags;
	unsigned nr_regs;
	struct {
		int greg;
		u64 value;
	} regs[STORE_MAX_REGS];
};

/**
 * store_decode() - What the instruction at @uc would store
 * @lo, @hi: the trapped mapping, [lo, hi): readable; the store must lie inside
 *
 * A read-modify-write instruction is computed whole, from what the page shows now. A repeated
 * string instruction yields as many elements as fit; it is met again for the rest. Return: 0;
 * -EOPNOTSUPP an instruction it does not know; -EFAULT not inside [lo, hi).
 */
int store_decode(const ucontext_t *uc, u64 lo, u64 hi, struct store *out) MUST_CHECK;

/* Registers, flags and instruction pointer as behind the instruction. */
void store_apply(ucontext_t *uc, const struct store *s);

#endif
