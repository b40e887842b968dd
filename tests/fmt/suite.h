/* SPDX-License-Identifier: MIT */
/* The common suite: a format is accepted when all of it passes in every configuration it lists. */
#ifndef IOASIS_TESTS_FMT_SUITE_H
#define IOASIS_TESTS_FMT_SUITE_H

#include "fixture.h"

struct suite_test {
	const char *name;
	void (*run)(struct fixture *fx);
};

/* NULL-terminated by name. */
extern const struct suite_test map_tests[], random_tests[], walk_tests[], dirty_tests[],
	corrupt_tests[];

#endif
