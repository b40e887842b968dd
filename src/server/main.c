/* SPDX-License-Identifier: MIT */
/*
 * ioasisd: one machine as a server. Started by `ioasis run`; by hand for those who bring their own.
 */
#include "server/daemon.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/epoll.h>
#include <unistd.h>

struct options {
	const char *machine;
	const char *dir;
	int keep_fd;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: ioasisd --machine NAME|FILE --dir DIR [--keep FD]\n"
		"One machine as a server; `ioasis run` starts it by itself.\n"
		"  --machine NAME|FILE  a preset (intel, mock) or a file with a machine in JSON\n"
		"  --dir DIR            where its socket and its /dev and /sys go; must exist\n"
		"  --keep FD            socket to the process that outlives it\n");
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"machine", required_argument, NULL, 'm'},
		{"dir", required_argument, NULL, 'd'},
		{"keep", required_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int opt;

	*o = (struct options){.keep_fd = -1};
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'm':
			o->machine = optarg;
			break;
		case 'd':
			o->dir = optarg;
			break;
		case 'k':
			o->keep_fd = atoi(optarg);
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	return o->machine && o->dir && optind == argc ? 0 : -EINVAL;
}

#define MAX_MACHINE_LEN ((1u << 20) - 1)

/* What a file says, if it can be a machine: nothing else of it ever gets into a message. */
static char *machine_file(const char *path, char *why, size_t why_len)
{
	char *text = calloc(1, MAX_MACHINE_LEN + 2);
	FILE *f = text ? fopen(path, "re") : NULL;
	size_t len = f ? fread(text, 1, MAX_MACHINE_LEN + 1, f) : 0;

	if (!f || ferror(f))
		snprintf(why, why_len, "%s", strerror(errno));
	else if (len > MAX_MACHINE_LEN)
		snprintf(why, why_len, "longer than %u bytes: no machine", MAX_MACHINE_LEN);
	else if (text[strspn(text, " \t\r\n")] != '{')
		snprintf(why, why_len, "line 1: a machine in JSON starts with '{'");
	if (f)
		fclose(f);
	if (!*why)
		return text;
	free(text);
	return NULL;
}

/* A preset's name, or what the file of that name says. Freed by the caller. */
static char *machine_text(const char *machine, char *why, size_t why_len)
{
	if (!strchr(machine, '/') && !strchr(machine, '.'))
		return strdup(machine);
	return machine_file(machine, why, why_len);
}

/* A descriptor per client thread, token and memory: as many as we may have. */
static void raise_nofile(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* SIGTERM and SIGINT end the main loop; writing to a client that is gone is no reason to die. */
static int catch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void signal_ready(struct server *s, struct watch *src, u32 events)
{
	eventfd_write(s->stop_fd, 1);
}

static void signal_free(struct server *s, struct watch *src)
{
	watch_del(s, src);
	close(src->fd);
}

static int serve_machine(const struct options *o, struct ioasis *ioasis)
{
	struct watch sig = {.ready = signal_ready, .free = signal_free, .fd = catch_signals()};
	struct server *s = calloc(1, sizeof(*s));
	int rc = s ? server_init(s, ioasis, o->dir, o->keep_fd) : -ENOMEM;

	if (rc) {
		free(s);
		return rc;
	}
	list_init(&sig.node);
	rc = watch_add(s, &sig, EPOLLIN);
	if (!rc) {
		keep_ready(s, 0, ioasis->machine);
		rc = server_run(s);
	}
	server_fini(s);
	free(s);
	return rc;
}

int main(int argc, char **argv)
{
	struct server failed = {0};
	struct ioasis *ioasis;
	struct options o;
	char why[256] = "";
	char *machine;
	int rc;

	if (parse(argc, argv, &o)) {
		usage(stderr);
		return 2;
	}
	failed.keep_fd = o.keep_fd;
	if (o.keep_fd >= 0)
		fcntl(o.keep_fd, F_SETFD, FD_CLOEXEC);
	raise_nofile();
	machine = machine_text(o.machine, why, sizeof(why));
	rc = machine ? ioasis_guard_install() : -EINVAL;
	if (!rc)
		rc = machine_new(machine, 0, why, sizeof(why), &ioasis);
	free(machine);
	if (!rc) {
		rc = serve_machine(&o, ioasis);
		ioasis_free(ioasis);
	}
	if (rc) {
		if (o.keep_fd < 0)
			fprintf(stderr, "ioasisd: machine '%s': %s\n", o.machine,
				*why ? why : strerror(-rc));
		keep_ready(&failed, rc, *why ? why : strerror(-rc));
	}
	if (o.keep_fd >= 0)
		close(o.keep_fd);
	return rc ? 1 : 0;
}
