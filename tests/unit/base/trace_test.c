/* SPDX-License-Identifier: MIT */
#include "unit.h"

struct keeper {
	struct trace_sink sink;
	unsigned nr;
	char hop[32], text[600];
};

static void keep(struct trace_sink *sink, const char *hop, const char *text)
{
	struct keeper *k = container_of(sink, struct keeper, sink);

	k->nr++;
	strncpy(k->hop, hop, sizeof(k->hop) - 1);
	strncpy(k->text, text, sizeof(k->text) - 1);
}

static void sinks(void **unused)
{
	struct keeper a = {.sink.emit = keep}, b = {.sink.emit = keep};
	struct env env;
	char longer[2000];

	assert_int_equal(env_init(&env), 0);
	TRACE(&env, nobody, "%d", 1);
	trace_listen(&env.trace, &a.sink);
	TRACE(&env, ioas_map, "iova %#x", 0x1000);
	assert_string_equal(a.hop, "ioas_map");
	assert_string_equal(a.text, "iova 0x1000");
	trace_listen(&env.trace, &b.sink);
	assert_int_equal(REJECT(&env, -EEXIST, ioas_map, "overlap"), -EEXIST);
	assert_string_equal(b.text, "refused: overlap (-17)");
	trace_unlisten(&env.trace, &a.sink);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	TRACE(&env, hop, "%s", longer); /* cut, not overrun */
	assert_int_equal(strlen(b.text), 511);
	trace_unlisten(&env.trace, &b.sink);
	TRACE(&env, hop, "%d", 2);
	assert_int_equal(a.nr, 2);
	assert_int_equal(b.nr, 2);
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
