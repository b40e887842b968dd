/* SPDX-License-Identifier: MIT */
/*
 * Memory as an IOMMU reads and writes it: whole words at an OA that anyone may have chosen.
 */
#include "hw/hw.h"

static bool in_pool(const struct mem *mem, const void *p)
{
	return (const u8 *)p >= mem->tables.host &&
	       (const u8 *)p < mem->tables.host + mem->tables.len;
}

/* Table pages are written by other threads meanwhile: word by word. Elsewhere memory may vanish. */
int hw_mem_read(struct mem *mem, oa_t oa, void *to, size_t len)
{
	_Atomic u64 *at = oa.v % 8 || len % 8 ? NULL : table_at(mem, oa, len);
	u64 *words = to;

	if (!at)
		return -EFAULT;
	if (!in_pool(mem, at))
		return copy_guarded(to, at, len);
	for (size_t i = 0; i < len / 8; i++)
		words[i] = atomic_load_explicit(&at[i], memory_order_acquire);
	return 0;
}

int hw_mem_write(struct mem *mem, oa_t oa, const void *from, size_t len)
{
	const u32 *words = from;
	_Atomic u32 *at = oa.v % 4 || len % 4 ? NULL : table_at(mem, oa, len);

	if (!at)
		return -EFAULT;
	if (!in_pool(mem, at))
		return copy_guarded(at, from, len);
	for (size_t i = 0; i < len / 4; i++)
		atomic_store_explicit(&at[i], words[i], memory_order_release);
	return 0;
}
