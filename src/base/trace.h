/* SPDX-License-Identifier: MIT */
/*
 * Trace points: one per hop of the data's way, named after the hop's function.
 *
 * Each is a USDT probe (provider `ioasis`) and, while a sink listens, one line of text. The cost with
 * nobody listening is a load and a branch.
 *
 * A line carries the number of the request it belongs to: the thread that begins one says so with
 * trace_begin(), and the first line of it takes the next number. A thread that never begins any is
 * one request.
 */
#ifndef IOASIS_SRC_BASE_TRACE_H
#define IOASIS_SRC_BASE_TRACE_H

#include <sys/sdt.h>

#include "base/list.h"
#include "base/lock.h"

struct trace_line {
	const char *hop, *text;
	u64 request; /* 1, 2, ... of this instance */
	pid_t tid;   /* who asked: a client's thread, or the thread that works for nobody */
};

/* A listener. emit() is called with the trace lock held: it must not block and may not trace. */
struct trace_sink {
	struct list node;
	void (*emit)(struct trace_sink *sink, const struct trace_line *line);
};

struct trace {
	_Atomic bool on;
	struct lock lock;
	struct list sinks; /* GUARDED_BY(lock) */
	u64 nr_requests;   /* GUARDED_BY(lock) */
};

void trace_init(struct trace *t);
void trace_fini(struct trace *t);
void trace_listen(struct trace *t, struct trace_sink *sink);
void trace_unlisten(struct trace *t, struct trace_sink *sink);
/* What this thread does from now on is a new request, of @tid (0: of the thread itself). */
void trace_begin(pid_t tid);
void trace_emit(struct trace *t, const char *hop, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define TRACE(env, hop, ...)                                                                       \
	do {                                                                                       \
		DTRACE_PROBE(ioasis, hop);                                                         \
		if (unlikely(atomic_load_explicit(&(env)->trace.on, memory_order_relaxed)))        \
			trace_emit(&(env)->trace, #hop, __VA_ARGS__);                              \
	} while (0)

/* A refusal: the number is ABI, the reason is a trace event, never text on stderr. Value: @rc. */
#define REJECT(env, rc, hop, why)                                                                  \
	({                                                                                         \
		int reject_rc_ = (rc);                                                             \
		TRACE(env, hop, "refused: %s (%d)", why, reject_rc_);                              \
		reject_rc_;                                                                        \
	})

#endif
