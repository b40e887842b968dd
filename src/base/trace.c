/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define TRACE_TEXT_MAX 512

/*
 * Of the request that this thread is in. Thread-local, because a trace point has nothing but the env at
 * hand, and because beginning a request may cost no more than a store while nobody listens.
 */
static _Thread_local struct {
	const struct trace *of; /* which instance gave .request; NULL: none did yet */
	u64 request;
	pid_t tid;
} here;

void trace_init(struct trace *t)
{
	atomic_init(&t->on, false);
	lock_init(&t->lock, RANK_POOL);
	list_init(&t->sinks);
	t->nr_requests = 0;
}

void trace_fini(struct trace *t)
{
	assert(list_empty(&t->sinks));
	lock_fini(&t->lock);
}

void trace_listen(struct trace *t, struct trace_sink *sink)
{
	lock_take(&t->lock);
	list_push_back(&t->sinks, &sink->node);
	atomic_store(&t->on, true);
	lock_drop(&t->lock);
}

void trace_unlisten(struct trace *t, struct trace_sink *sink)
{
	lock_take(&t->lock);
	list_del(&sink->node);
	atomic_store(&t->on, !list_empty(&t->sinks));
	lock_drop(&t->lock);
}

void trace_begin(pid_t tid)
{
	here.of = NULL;
	here.tid = tid;
}

static void number(struct trace *t, struct trace_line *line) MUST_HOLD(t->lock)
{
	if (here.of != t) {
		here.of = t;
		here.request = ++t->nr_requests;
	}
	line->request = here.request;
	line->tid = here.tid ? here.tid : gettid();
}

void trace_emit(struct trace *t, const char *hop, const char *fmt, ...)
{
	char text[TRACE_TEXT_MAX];
	struct trace_line line = {.hop = hop, .text = text};
	struct list *pos;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	lock_take(&t->lock);
	number(t, &line);
	list_for_each(pos, &t->sinks) {
		struct trace_sink *sink = list_entry(pos, struct trace_sink, node);

		sink->emit(sink, &line);
	}
	lock_drop(&t->lock);
}
