/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an instruction, with registers that point near the trapped mapping: what is decoded
 * lies inside it, and nothing else is read or written.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/store_decode.h"

#define AREA 4096u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct input {
	u8 code[15];
	u8 regs[16]; /* signed distances from the middle of the mapping */
	u16 flags;
} __attribute__((packed));

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 *pages; /* code, then what is mapped, between pages that are not there */
	struct input in;
	struct _libc_fpstate fp;
	ucontext_t uc;
	struct store s = {.len = 0};
	u64 lo;

	if (size < sizeof(in))
		return 0;
	if (!pages) {
		pages = mmap(NULL, 5 * AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pages == MAP_FAILED || mprotect(pages + AREA, AREA, PROT_READ | PROT_WRITE) ||
		    mprotect(pages + 3 * AREA, AREA, PROT_READ | PROT_WRITE))
			abort();
	}
	memcpy(&in, data, sizeof(in));
	memcpy(pages + 2 * AREA - sizeof(in.code), in.code, sizeof(in.code));
	lo = (u64)(pages + 3 * AREA);
	memset(&uc, 0, sizeof(uc));
	memset(&fp, 0, sizeof(fp));
	uc.uc_mcontext.fpregs = &fp;
	for (int i = 0; i < 16; i++)
		uc.uc_mcontext.gregs[i] =
			(greg_t)(lo + AREA / 2 + 16 * (s64)(signed char)in.regs[i]);
	/* A source that faults would have done so before the store. */
	uc.uc_mcontext.gregs[REG_RSI] = (greg_t)(lo + in.regs[0]);
	uc.uc_mcontext.gregs[REG_RIP] = (greg_t)(pages + 2 * AREA - sizeof(in.code));
	uc.uc_mcontext.gregs[REG_EFL] = in.flags;
	if (store_decode(&uc, lo, lo + AREA, &s))
		return 0;
	if (!s.len || s.len > STORE_MAX || s.nr_regs > STORE_MAX_REGS || s.addr < lo ||
	    s.addr + s.len > lo + AREA)
		abort();
	store_apply(&uc, &s);
	return 0;
}
