/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int control_send(struct control *c, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int rc = -ENOMEM;

	if (text)
		rc = send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -errno : 0;
	free(text);
	json_decref(request);
	return rc;
}

static bool receive(struct control *c)
{
	ssize_t n;

	if (c->cap - c->len < 65536) {
		char *buf = realloc(c->buf, c->cap * 2 + 131072);

		if (!buf)
			return false;
		c->buf = buf;
		c->cap = c->cap * 2 + 131072;
	}
	do
		n = recv(c->fd, c->buf + c->len, c->cap - c->len, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	return true;
}

json_t *control_next(struct control *c)
{
	char *end;
	json_t *line;

	while (!c->len || !(end = memchr(c->buf, '\n', c->len)))
		if (!receive(c))
			return NULL;
	line = json_loadb(c->buf, (size_t)(end - c->buf), 0, NULL);
	c->len -= (size_t)(end + 1 - c->buf);
	memmove(c->buf, end + 1, c->len);
	return line;
}

void control_close(struct control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	*c = (struct control){.fd = -1};
}

json_t *control_ask(const char *name, json_t *request)
{
	struct control c = {.fd = instance_connect(name)};
	json_t *answer = NULL;
	const char *error;

	if (c.fd < 0) {
		json_decref(request);
		return NULL;
	}
	if (!control_send(&c, request))
		answer = control_next(&c);
	control_close(&c);
	if (!answer) {
		complain("the instance did not answer");
		return NULL;
	}
	error = json_string_value(json_object_get(answer, "error"));
	if (error) {
		complain("%s", error);
		json_decref(answer);
		return NULL;
	}
	return answer;
}
