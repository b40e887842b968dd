/* SPDX-License-Identifier: MIT */
/* Runs the rows, prints them, writes them as JSON. */
#include "bench.h"

#include <dlfcn.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const struct side our_side;

static const struct row *const families[] = {
	pt_rows,
};

struct options {
	const char *json, *linux_src, *peer_build, *only;
	unsigned rounds;
};

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

void sample(struct measure *m, unsigned round, u64 start_ns, double nr)
{
	double ns = (double)(now_ns() - start_ns) / nr;

	m->samples[round] = !strcmp(m->row->unit, "us") ? ns / 1000 : ns;
}

void must_be(bool ok, const struct measure *m, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s, %s: %s went wrong\n", m->row->op, m->side->name, what);
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool measure_side(const struct bench *b, const struct row *row, const struct side *side,
			 struct figure *out)
{
	struct measure m = {b, row, side, calloc(b->rounds, sizeof(double))};
	bool ok = m.samples && row->run(&m);

	if (ok) {
		qsort(m.samples, b->rounds, sizeof(double), by_value);
		*out = (struct figure){m.samples[0], m.samples[b->rounds / 2]};
	}
	free(m.samples);
	return ok;
}

static json_t *row_json(const struct row *row, struct figure ours, const char *peer_name,
			struct figure peer)
{
	json_t *j = json_object();

	json_put(j, "op", json_string(row->op));
	json_put(j, "unit", json_string(row->unit));
	json_put(j, "ours", json_real(ours.min));
	json_put(j, "peer", peer_name ? json_real(peer.min) : json_null());
	json_put(j, "peer_name", peer_name ? json_string(peer_name) : json_null());
	json_put(j, "ratio", peer_name ? json_real(peer.min / ours.min) : json_null());
	json_put(j, "limit", row->limit ? json_real(row->limit) : json_null());
	return j;
}

static void run_row(const struct bench *b, const struct row *row, json_t *rows)
{
	struct figure ours, peer = {0}, f;
	char name[64] = "";

	if (!measure_side(b, row, b->sides[0], &ours))
		return;
	if (row->fixed_peer) {
		peer = (struct figure){row->fixed_peer, row->fixed_peer};
		snprintf(name, sizeof(name), "%s", row->peer);
	}
	for (unsigned i = 1; row->peer && !row->fixed_peer && i < b->nr_sides; i++) {
		if (!measure_side(b, row, b->sides[i], &f) || (name[0] && f.min >= peer.min))
			continue;
		peer = f;
		snprintf(name, sizeof(name), "linux %s, %s", row->peer, b->sides[i]->name);
	}
	printf("%-44s %10.2f %10.2f %-3s", row->op, ours.min, ours.median, row->unit);
	if (name[0])
		printf(" %10.2f %10.2f  %6.2fx  %s", peer.min, peer.median, peer.min / ours.min,
		       name);
	printf("\n");
	fflush(stdout);
	json_array_append_new(rows, row_json(row, ours, name[0] ? name : NULL, peer));
}

/* Build the peer with @cc into @dir and load it; NULL, and a reason, where that is impossible. */
static const struct side *load_peer(const struct options *o, const char *dir, const char *cc)
{
	const struct side *side = NULL;
	char so[256];
	void *lib;
	int status;
	pid_t pid;

	snprintf(so, sizeof(so), "%s/peer-%s.so", dir, cc);
	pid = fork();
	if (pid == 0) {
		execl(o->peer_build, o->peer_build, o->linux_src, so, cc, (char *)NULL);
		_exit(127);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0) {
		lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
		side = lib ? dlsym(lib, "linux_side") : NULL;
	}
	if (!side)
		printf("peer: could not be built with %s from %s\n", cc, o->linux_src);
	unlink(so);
	return side;
}

static void load_peers(struct bench *b, const struct options *o)
{
	static const char *const ccs[] = {"gcc", "clang"};
	char dir[] = "/tmp/ioasis-bench-XXXXXX";

	if (!o->linux_src || !*o->linux_src) {
		printf("peers: none, no Linux source tree was given (--linux DIR): ours only\n");
		return;
	}
	if (!mkdtemp(dir))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(ccs); i++) {
		const struct side *side = load_peer(o, dir, ccs[i]);

		if (side)
			b->sides[b->nr_sides++] = side;
	}
	rmdir(dir);
}

/* One processor, and ahead of others where that is allowed: figures of a shared machine are noise. */
static void settle(void)
{
	struct sched_param fifo = {.sched_priority = 1};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (sched_setscheduler(0, SCHED_FIFO, &fifo))
		printf("scheduling: ordinary (no right to SCHED_FIFO): medians may be far off\n");
}

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis-bench [--json FILE] [--linux DIR] [--peer-build SCRIPT]\n"
		    "                    [--rounds N] [--only TEXT]\n");
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"json", required_argument, NULL, 'j'},	      {"linux", required_argument, NULL, 'l'},
		{"peer-build", required_argument, NULL, 'p'}, {"rounds", required_argument, NULL, 'r'},
		{"only", required_argument, NULL, 'o'},	      {"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->json = optarg;
			break;
		case 'l':
			o->linux_src = optarg;
			break;
		case 'p':
			o->peer_build = optarg;
			break;
		case 'r':
			o->rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			return false;
		}
	}
	return optind == argc && o->rounds > 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.rounds = 11, .linux_src = BENCH_LINUX_SRC, .peer_build = BENCH_PEER_BUILD};
	struct bench b = {.nr_sides = 1, .sides = {&our_side}};
	json_t *rows = json_array(), *all = json_object();

	if (!parse(argc, argv, &o))
		return 2;
	b.rounds = o.rounds;
	load_peers(&b, &o);
	settle();
	printf("%-44s %10s %10s %-3s %10s %10s  %7s\n", "operation", "ours", "median", "", "peer",
	       "median", "ratio");
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
		for (const struct row *row = families[i]; row->op; row++)
			if (!o.only || strstr(row->op, o.only))
				run_row(&b, row, rows);
	json_put(all, "rows", rows);
	if (o.json && json_dump_file(all, o.json, JSON_INDENT(1))) {
		fprintf(stderr, "bench: cannot write %s\n", o.json);
		return 1;
	}
	json_decref(all);
	return 0;
}
