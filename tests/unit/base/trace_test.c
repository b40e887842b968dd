/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

struct keeper {
	struct trace_sink sink;
	unsigned nr;
	char hop[32], text[600];
	u64 request;
	pid_t tid;
};

static void keep(struct trace_sink *sink, const struct trace_line *line)
{
	struct keeper *k = container_of(sink, struct keeper, sink);

	k->nr++;
	k->request = line->request;
	k->tid = line->tid;
	strncpy(k->hop, line->hop, sizeof(k->hop) - 1);
	strncpy(k->text, line->text, sizeof(k->text) - 1);
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

/* A request that begins on another thread, while this one is in the middle of its own. */
static void *other_thread(void *arg)
{
	trace_begin(77);
	TRACE((struct env *)arg, hop, "of the other");
	return NULL;
}

static void requests(void **unused)
{
	struct keeper k = {.sink.emit = keep};
	struct env env, env2;
	pthread_t thread;

	assert_int_equal(env_init(&env), 0);
	assert_int_equal(env_init(&env2), 0);
	trace_begin(5);
	TRACE(&env, hop, "nobody listens, so no number is taken");
	trace_listen(&env.trace, &k.sink);
	trace_begin(0);
	TRACE(&env, hop, "first");
	assert_int_equal(k.request, 1);
	assert_int_equal(k.tid, gettid());
	TRACE(&env, other_hop, "first too");
	assert_int_equal(k.request, 1);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &env), 0);
	pthread_join(thread, NULL);
	assert_int_equal(k.request, 2);
	assert_int_equal(k.tid, 77);
	TRACE(&env, hop, "still the first");
	assert_int_equal(k.request, 1);
	trace_begin(6);
	TRACE(&env, hop, "third");
	assert_int_equal(k.request, 3);
	assert_int_equal(k.tid, 6);
	/* Instances count for themselves. */
	trace_unlisten(&env.trace, &k.sink);
	trace_listen(&env2.trace, &k.sink);
	TRACE(&env2, hop, "elsewhere");
	assert_int_equal(k.request, 1);
	trace_unlisten(&env2.trace, &k.sink);
	env_fini(&env);
	env_fini(&env2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sinks),
		cmocka_unit_test(requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
