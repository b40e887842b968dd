/* SPDX-License-Identifier: MIT */
/* Every test of the suite, for every format, in every configuration that the format lists. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

struct instance {
	struct subject subject;
	const struct suite_test *test;
};

static void run_instance(void **state)
{
	const struct instance *in = *state;
	struct fixture *fx = malloc(sizeof(*fx));

	assert_non_null(fx);
	fixture_open(fx, &in->subject);
	in->test->run(fx);
	fixture_close(fx);
	free(fx);
}

struct list_of {
	struct CMUnitTest *test;
	size_t nr;
};

static void add(struct list_of *l, const struct pt_fmt *fmt, unsigned cfg,
		const struct suite_test *test)
{
	struct instance *in = malloc(sizeof(*in));
	char name[96];

	*in = (struct instance){{fmt, cfg}, test};
	snprintf(name, sizeof(name), "%s[%u] %s", fmt->name, cfg, test->name);
	l->test = realloc(l->test, (l->nr + 1) * sizeof(*l->test));
	l->test[l->nr++] = (struct CMUnitTest){strdup(name), run_instance, NULL, NULL, in};
}

int main(void)
{
	const struct suite_test *const suites[] = {map_tests, random_tests, walk_tests, dirty_tests,
						   corrupt_tests};
	struct list_of l = {0};
	int rc;

	for (const struct pt_fmt *const *fmt = pt_formats; *fmt; fmt++)
		for (unsigned cfg = 0; cfg < (*fmt)->nr_test_cfgs; cfg++)
			for (unsigned s = 0; s < ARRAY_SIZE(suites); s++)
				for (const struct suite_test *t = suites[s]; t->name; t++)
					add(&l, *fmt, cfg, t);
	rc = _cmocka_run_group_tests("formats", l.test, l.nr, NULL, NULL);
	for (size_t i = 0; i < l.nr; i++) {
		free((char *)l.test[i].name);
		free(l.test[i].initial_state);
	}
	free(l.test);
	return rc;
}
