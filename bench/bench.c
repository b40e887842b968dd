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
	space_rows,
	daemon_rows,
};

struct options {
	const char *json, *linux_src, *only;
	unsigned rounds;
	bool quick;
	u64 rows; /* bits by number; 0: all */
};

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

void sample_ns(struct measure *m, unsigned round, u64 ns, double nr)
{
	m->samples[round] = (double)ns / (!strcmp(m->row->unit, "us") ? 1000 * nr : nr);
}

void sample(struct measure *m, unsigned round, u64 start_ns, double nr)
{
	sample_ns(m, round, now_ns() - start_ns, nr);
}

u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void shuffle(u64 *v, unsigned nr)
{
	u64 seed = 0x2545f4914f6cdd1dull;

	for (unsigned i = nr; i > 1; i--) {
		unsigned j = (unsigned)(next_random(&seed) % i);
		u64 tmp = v[i - 1];

		v[i - 1] = v[j];
		v[j] = tmp;
	}
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

static bool measure(const struct bench *all, const struct row *row, const struct side *side,
		    bool (*run)(struct measure *), struct figure *out)
{
	struct bench b = *all;
	struct measure m = {&b, row, side};
	bool ok;

	if (row->rounds)
		b.rounds = min(b.rounds, row->rounds);
	m.samples = calloc(b.rounds, sizeof(double));
	ok = m.samples && run(&m);
	if (ok) {
		qsort(m.samples, b.rounds, sizeof(double), by_value);
		*out = (struct figure){m.samples[0], m.samples[b.rounds / 2]};
	}
	free(m.samples);
	return ok;
}

/* What one row came to. */
struct result {
	const struct row *row;
	struct figure ours, peer, limit;
	char peer_name[64]; /* "": none */
};

static json_t *real_or_null(double v)
{
	return v > 0 ? json_real(v) : json_null();
}

static json_t *row_json(const struct result *r)
{
	bool peer = r->peer_name[0];
	json_t *j = json_object();

	json_put(j, "row", json_integer(r->row->nr));
	json_put(j, "op", json_string(r->row->op));
	json_put(j, "unit", json_string(r->row->unit));
	json_put(j, "ours", json_real(r->ours.min));
	json_put(j, "peer", peer ? json_real(r->peer.min) : json_null());
	json_put(j, "peer_name", peer ? json_string(r->peer_name) : json_null());
	json_put(j, "ratio", peer ? json_real(r->peer.min / r->ours.min) : json_null());
	json_put(j, "limit", real_or_null(r->limit.min));
	json_put(j, "goal", real_or_null(r->row->goal));
	json_put(j, "ours_median", json_real(r->ours.median));
	json_put(j, "peer_median", peer ? json_real(r->peer.median) : json_null());
	return j;
}

static void print_result(const struct result *r)
{
	printf("%2u  %-48s %10.2f %10.2f %-3s", r->row->nr, r->row->op, r->ours.min, r->ours.median,
	       r->row->unit);
	if (r->peer_name[0])
		printf(" %10.2f %10.2f  %6.2fx  %s", r->peer.min, r->peer.median,
		       r->peer.min / r->ours.min, r->peer_name);
	printf("\n");
	fflush(stdout);
}

/* The best of those that can do it. */
static void measure_peers(const struct bench *b, struct result *r)
{
	const struct row *row = r->row;
	struct figure f;

	if (row->fixed_peer) {
		r->peer = (struct figure){row->fixed_peer, row->fixed_peer};
		snprintf(r->peer_name, sizeof(r->peer_name), "%s", row->peer);
		return;
	}
	if (row->beside && measure(b, row, row->beside, row->run, &r->peer))
		snprintf(r->peer_name, sizeof(r->peer_name), "%s", row->beside->name);
	for (unsigned i = 1; row->peer && i < b->nr_sides; i++) {
		const struct side *s = b->sides[i];

		if (!measure(b, row, s, row->run, &f) || (r->peer_name[0] && f.min >= r->peer.min))
			continue;
		r->peer = f;
		snprintf(r->peer_name, sizeof(r->peer_name), "%s%s, %s", s->of, row->peer, s->name);
	}
}

static void run_row(const struct bench *b, const struct row *row, json_t *rows)
{
	struct result r = {.row = row, .limit = {row->limit, row->limit}};

	if (!measure(b, row, row->ours ? row->ours : b->sides[0], row->run, &r.ours)) {
		printf("%2u  %-48s could not be measured\n", row->nr, row->op);
		return;
	}
	measure_peers(b, &r);
	if (row->limit_run && !measure(b, row, NULL, row->limit_run, &r.limit))
		r.limit = (struct figure){0};
	print_result(&r);
	json_array_append_new(rows, row_json(&r));
}

/* Peers in shared objects, built here and now: by each compiler, by each script. */
static const char *const compilers[] = {"gcc", "clang"};

/* NULL, and a reason, where that is impossible. */
static const struct side *load_peer(char **argv, const char *so, const char *symbol)
{
	const struct side *side = NULL;
	void *lib;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0) {
		lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
		side = lib ? dlsym(lib, symbol) : NULL;
	}
	if (!side)
		fprintf(stderr, "bench: no peer %s from %s\n", symbol, argv[0]);
	unlink(so);
	return side;
}

static void add_side(struct bench *b, const struct side *side)
{
	if (side)
		b->sides[b->nr_sides++] = side;
}

static void load_peers(struct bench *b, const struct options *o)
{
	char dir[] = "/tmp/ioasis-bench-XXXXXX", linux_so[64], tree_so[64];

	if (!mkdtemp(dir))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(compilers); i++) {
		char *cc = (char *)(uintptr_t)compilers[i], *src = (char *)(uintptr_t)o->linux_src;
		char *linux_argv[] = {BENCH_PEERS "/build.sh", src, linux_so, cc, NULL};
		char *tree_argv[] = {BENCH_PEERS "/tree.sh", tree_so, cc, NULL};

		/* A name of its own each: dlopen() hands out the library it knows by that name. */
		snprintf(linux_so, sizeof(linux_so), "%s/linux-%s.so", dir, cc);
		snprintf(tree_so, sizeof(tree_so), "%s/tree-%s.so", dir, cc);
		if (src && *src)
			add_side(b, load_peer(linux_argv, linux_so, "linux_side"));
		add_side(b, load_peer(tree_argv, tree_so, "tree_side"));
	}
	rmdir(dir);
	if (!o->linux_src || !*o->linux_src)
		printf("no Linux source tree was given (--linux DIR): page tables without peers\n");
}

/* One processor, and ahead of others where that is allowed: figures of a shared machine are noise.
 */
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
	fprintf(to, "usage: ioasis-bench [--json FILE] [--linux DIR] [--rounds N] [--quick]\n"
		    "                    [--row NUMBER]... [--only TEXT]\n"
		    "Times each operation beside its peers; a figure is the least of the rounds.\n"
		    "`./dev bench` builds this with every compiler and compares.\n");
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"json", required_argument, NULL, 'j'},	  {"linux", required_argument, NULL, 'l'},
		{"rounds", required_argument, NULL, 'r'}, {"only", required_argument, NULL, 'o'},
		{"row", required_argument, NULL, 'n'},	  {"quick", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},	  {0},
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
		case 'n':
			o->rows |= 1ull << (strtoul(optarg, NULL, 10) & 63);
			break;
		case 'q':
			o->quick = true;
			o->rounds = 1;
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

static bool is_wanted(const struct options *o, const struct row *row)
{
	if (o->quick && row->heavy)
		return false;
	if (o->rows && !(o->rows >> row->nr & 1))
		return false;
	return !o->only || strstr(row->op, o->only);
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 11, .linux_src = BENCH_LINUX_SRC};
	struct bench b = {.nr_sides = 1, .sides = {&our_side}};
	json_t *rows = json_array(), *all = json_object();

	if (!parse(argc, argv, &o))
		return 2;
	b.rounds = o.rounds;
	b.quick = o.quick;
	load_peers(&b, &o);
	settle();
	printf("    %-48s %10s %10s %-3s %10s %10s  %7s\n", "operation", "ours", "median", "",
	       "peer", "median", "ratio");
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
		for (const struct row *row = families[i]; row->op; row++)
			if (is_wanted(&o, row))
				run_row(&b, row, rows);
	json_put(all, "rows", rows);
	if (o.json && json_dump_file(all, o.json, JSON_INDENT(1))) {
		fprintf(stderr, "bench: cannot write %s\n", o.json);
		return 1;
	}
	json_decref(all);
	return 0;
}
