/* SPDX-License-Identifier: MIT */
/* What every cmocka program needs, in the order cmocka wants it. */
#ifndef IOASIS_TESTS_UNIT_H
#define IOASIS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

/* A skip says why: scripts/run-suites.py looks for it. */
#define skip_because(why)                                                                          \
	do {                                                                                       \
		print_message("SKIP: %s\n", why);                                                  \
		skip();                                                                            \
	} while (0)

/* A small deterministic generator (xorshift64*): the same run everywhere. */
static inline u64 rnd(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

#endif
