/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>

#define TRACE_TEXT_MAX 512

void trace_init(struct trace *t)
{
	atomic_init(&t->on, false);
	lock_init(&t->lock, RANK_POOL);
	list_init(&t->sinks);
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

void trace_emit(struct trace *t, const char *hop, const char *fmt, ...)
{
	char text[TRACE_TEXT_MAX];
	struct list *pos;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	lock_take(&t->lock);
	list_for_each(pos, &t->sinks) {
		struct trace_sink *sink = list_entry(pos, struct trace_sink, node);

		sink->emit(sink, hop, text);
	}
	lock_drop(&t->lock);
}
