/* SPDX-License-Identifier: MIT */
#include "mem/mem_priv.h"

void source_table_fini(struct mem *mem)
{
}
