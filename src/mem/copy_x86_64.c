/* SPDX-License-Identifier: MIT */
/* The C side of copy_x86_64.S. */
#include "mem/copy.h"
#include "mem/mem.h"

#include <ucontext.h>

#define AVX_FROM 256u

extern const char copy_text_start[], copy_text_end[], copy_fault[];
int copy_sse(void *to, const void *from, size_t len);
int copy_avx(void *to, const void *from, size_t len);
int cas4(void *at, u64 *old, u64 new_value);
int cas8(void *at, u64 *old, u64 new_value);

const bool copy_can_guard = true;

bool copy_fixup(void *context)
{
	ucontext_t *uc = context;
	uintptr_t at = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	if (at - (uintptr_t)copy_text_start >= (uintptr_t)(copy_text_end - copy_text_start))
		return false;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)copy_fault;
	return true;
}

int copy_guarded(void *to, const void *from, size_t len)
{
	if (len >= AVX_FROM && __builtin_cpu_supports("avx2"))
		return copy_avx(to, from, len);
	return copy_sse(to, from, len);
}

int cmpxchg_guarded(void *at, u64 *old, u64 new_value, unsigned len)
{
	return len == 8 ? cas8(at, old, new_value) : cas4(at, old, new_value);
}
