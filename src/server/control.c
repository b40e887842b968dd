/* SPDX-License-Identifier: MIT */
/*
 * Control connections: a line of JSON asks, lines of JSON answer. What `ioasis show`, `walk`,
 * `trace` and people's scripts use.
 *
 *   {"op":"describe"}                                  the live tree
 *   {"op":"ledger"}                                    numbers of all that programs can own
 *   {"op":"walk","rid":N,"pasid":N,"iova":"0x..."}     every step of one translation
 *   {"op":"trace","hops":bool,"faults":bool}           a line per event until the asker hangs up
 */
#include "server/daemon.h"

#include <dirent.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PACKET_LEN (32u << 10)

struct control {
	struct watch src;
	struct server *server;
	struct trace_sink sink;
	struct fault_listener faults;
	bool hops_on, faults_on;
	_Atomic u64 nr_lost; /* events the asker was too slow for */
};

/* A line may be longer than a packet: the last packet ends with the newline. */
static void send_line(int fd, json_t *line, int flags)
{
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t len = text ? strlen(text) : 0;

	if (len)
		text[len++] = '\n';
	for (size_t off = 0; off < len; off += PACKET_LEN)
		if (send(fd, text + off, min(len - off, (size_t)PACKET_LEN), flags) < 0)
			break;
	free(text);
	json_decref(line);
}

static json_t *error_line(const char *why)
{
	return json_pack("{s:s}", "error", why);
}

/* @line: given away; may be NULL. */
static void send_event(struct control *c, json_t *line)
{
	char *s = line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	char buf[1024];
	int len = s ? snprintf(buf, sizeof(buf), "%s\n", s) : 0;

	/* Emitters hold a lock: an asker that does not read loses events, nobody waits for it. */
	if (len > 0 && len < (int)sizeof(buf) &&
	    send(c->src.fd, buf, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		c->nr_lost++;
	free(s);
	json_decref(line);
}

static void on_hop(struct trace_sink *sink, const struct trace_line *l)
{
	send_event(container_of(sink, struct control, sink),
		   json_pack("{s:s,s:s,s:I,s:i}", "hop", l->hop, "text", l->text, "request",
			     (json_int_t)l->request, "tid", (int)l->tid));
}

static void on_fault(struct fault_listener *l, const struct dma_fault *f)
{
	char text[256];

	dma_fault_text(f, text, sizeof(text));
	send_event(container_of(l, struct control, faults),
		   json_pack("{s:s,s:s}", "hop", "fault", "text", text));
}

static void control_free(struct server *s, struct watch *src)
{
	struct control *c = container_of(src, struct control, src);

	watch_del(s, src);
	if (c->hops_on)
		trace_unlisten(&s->ioasis->env.trace, &c->sink);
	if (c->faults_on)
		fault_log_unlisten(&s->ioasis->log, &c->faults);
	close(src->fd);
	env_free(&s->ioasis->env, c);
}

static json_t *answer_walk(struct server *s, const json_t *ask)
{
	const char *iova = json_string_value(json_object_get(ask, "iova"));
	json_int_t rid = json_integer_value(json_object_get(ask, "rid"));
	json_int_t pasid = json_integer_value(json_object_get(ask, "pasid"));
	char *end = NULL;
	json_t *out;
	u64 at;

	errno = 0;
	at = iova ? strtoull(iova, &end, 0) : 0;
	if (!iova || end == iova || *end || errno || strchr(iova, '-') || rid < 0 || rid > 0xffff ||
	    pasid < 0 || pasid >= 1 << 20)
		return error_line(
			"walk needs rid (0..65535), pasid (20 bits) and iova (64 bits, a string)");
	out = machine_walk(s->ioasis, RID((u32)rid), PASID((u32)pasid), IOVA(at));
	return out ? out : error_line("no such device");
}

static void start_trace(struct control *c, const json_t *ask)
{
	struct server *s = c->server;

	if (json_is_true(json_object_get(ask, "hops")) && !c->hops_on) {
		c->sink.emit = on_hop;
		trace_listen(&s->ioasis->env.trace, &c->sink);
		c->hops_on = true;
	}
	if (json_is_true(json_object_get(ask, "faults")) && !c->faults_on) {
		c->faults.fault = on_fault;
		fault_log_listen(&s->ioasis->log, &c->faults);
		c->faults_on = true;
	}
	/* Only now: who reads it relies on every event from here on. */
	send_line(c->src.fd, json_pack("{s:b}", "listening", 1), MSG_NOSIGNAL);
}

static void answer(struct control *c, const char *text, size_t len)
{
	struct server *s = c->server;
	json_t *ask = json_loadb(text, len, 0, NULL);
	const char *op = json_string_value(json_object_get(ask, "op"));
	json_t *line = NULL;

	if (!op)
		line = error_line("not a request");
	else if (!strcmp(op, "describe"))
		line = server_describe(s);
	else if (!strcmp(op, "ledger"))
		line = server_ledger(s);
	else if (!strcmp(op, "walk"))
		line = answer_walk(s, ask);
	else if (!strcmp(op, "trace"))
		start_trace(c, ask);
	else
		line = error_line("unknown op");
	if (line)
		send_line(c->src.fd, line, MSG_NOSIGNAL);
	json_decref(ask);
}

static void control_ready(struct server *s, struct watch *src, u32 events)
{
	struct control *c = container_of(src, struct control, src);
	char text[4096];
	ssize_t len = recv(src->fd, text, sizeof(text), MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0)
		control_free(s, src);
	else
		answer(c, text, (size_t)len);
}

int control_start(struct server *s, int sock, const char *first, size_t len)
{
	const struct timeval patience = {.tv_sec = 2};
	struct control *c = env_zalloc(&s->ioasis->env, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->src = (struct watch){.ready = control_ready, .free = control_free, .fd = sock};
	list_init(&c->src.node);
	list_init(&c->sink.node);
	list_init(&c->faults.node);
	/* The main thread answers: an asker that does not read may not hold it for ever. */
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	rc = watch_add(s, &c->src, EPOLLIN);
	if (rc) {
		env_free(&s->ioasis->env, c);
		return rc;
	}
	answer(c, first, len);
	return 0;
}

/* Entries of a directory of /proc, without the descriptor that reads it. */
static json_int_t count_entries(const char *path, int except)
{
	DIR *dir = opendir(path);
	json_int_t nr = 0;
	struct dirent *e;

	if (!dir)
		return -1;
	while ((e = readdir(dir)))
		nr += e->d_name[0] != '.';
	closedir(dir);
	return nr - except;
}

json_t *server_ledger(struct server *s)
{
	json_t *out = machine_ledger(s->ioasis);

	if (!out)
		return NULL;
	clients_count(s, out);
	lock_take(&s->count_lock);
	json_put(out, "channels", json_integer(s->nr_workers));
	lock_drop(&s->count_lock);
	json_put(out, "fds", json_integer(count_entries("/proc/self/fd", 1)));
	json_put(out, "threads", json_integer(count_entries("/proc/self/task", 0)));
	return out;
}

json_t *server_describe(struct server *s)
{
	json_t *out = machine_describe(s->ioasis);

	if (!out)
		out = json_object();
	if (out) {
		json_put(out, "pid", json_integer(getpid()));
		json_put(out, "allocations", json_integer((json_int_t)s->ioasis->env.nr_allocs));
		json_put(out, "clients", clients_describe(s));
		json_put(out, "files", tokens_describe(s));
	}
	return out;
}

static json_t *faults_list(struct server *s)
{
	json_t *out = json_array();
	struct dma_fault f[16];
	char text[256];
	u64 seq = 0;
	unsigned n;

	do {
		n = fault_log_read(&s->ioasis->log, &seq, f, ARRAY_SIZE(f));
		for (unsigned i = 0; out && i < n; i++) {
			dma_fault_text(&f[i], text, sizeof(text));
			json_array_append_new(out, json_string(text));
		}
	} while (n);
	return out;
}

/* What `ioasis run` prints at the end. */
json_t *server_report(struct server *s)
{
	json_t *out = tokens_left(s);

	if (out)
		json_put(out, "faults", faults_list(s));
	return out;
}
