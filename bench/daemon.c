/* SPDX-License-Identifier: MIT */
/*
 * Requests of another process. Ours: an unmodified program under `ioasis run`; its peers: two
 * processes that exchange 64 bytes over a Unix socket, or, as the limit, over a line of shared
 * memory on which both spin.
 */
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE 64u
#define TRIPS	64u
#define TRIES	20u /* short stretches per round: in the best of them both sides had a processor */

enum cores {
	SAME_CORE,
	TWO_CORES,
};

/* Put this process, and those it makes, on processor @first or on all; as an ordinary one. */
static void place(enum cores cores, unsigned mine)
{
	struct sched_param none = {0};
	cpu_set_t set;

	sched_setscheduler(0, SCHED_OTHER, &none);
	CPU_ZERO(&set);
	CPU_SET(cores == TWO_CORES ? mine : 0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void place_anywhere(void)
{
	struct sched_param none = {0};
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	sched_setscheduler(0, SCHED_OTHER, &none);
	sched_setaffinity(0, sizeof(all), &all);
}

static bool has_cores(enum cores cores)
{
	return cores == SAME_CORE || sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

/* Stretch @i took @ns per trip. */
static void keep_best(double *samples, unsigned i, double ns)
{
	double *us = &samples[i / TRIES];

	if (i % TRIES == 0 || ns / 1000 < *us)
		*us = ns / 1000;
}

/* ---- ours ---- */

static void exec_client(const struct measure *m, int out)
{
	char rounds[16];

	snprintf(rounds, sizeof(rounds), "%u", m->bench->rounds * TRIES);
	if (m->row->order == SAME_CORE)
		place(SAME_CORE, 0);
	else
		place_anywhere();
	dup2(out, STDOUT_FILENO);
	execl(BENCH_TOOL, BENCH_TOOL, "run", "--quiet", "--machine", m->row->machine, "--",
	      BENCH_CLIENT, rounds, (char *)NULL);
	_exit(127);
}

/* Column @column of what the program prints. */
static bool read_samples(struct measure *m, FILE *from, unsigned column)
{
	unsigned nr = m->bench->rounds * TRIES, i;
	double ns[2];

	for (i = 0; i < nr && fscanf(from, "%lf %lf", &ns[0], &ns[1]) == 2; i++)
		keep_best(m->samples, i, ns[column]);
	return i == nr;
}

static bool run_client(struct measure *m)
{
	int out[2], status;
	bool ok = false;
	FILE *from;
	pid_t pid;

	if (!has_cores((enum cores)m->row->order) || pipe(out))
		return false;
	pid = fork();
	if (pid == 0) {
		close(out[0]);
		exec_client(m, out[1]);
	}
	close(out[1]);
	from = fdopen(out[0], "r");
	if (from) {
		ok = read_samples(m, from, m->row->arg);
		fclose(from);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && ok;
}

/* ---- two processes ---- */

struct line {
	alignas(CACHELINE) _Atomic u32 turn; /* odd: the server's */
	u8 bytes[MESSAGE - sizeof(u32)];
};

struct pair {
	int sock[2];
	struct line *line; /* NULL: the socket */
};

static bool pair_trip(struct pair *p, u8 *buf)
{
	if (!p->line)
		return send(p->sock[0], buf, MESSAGE, 0) == MESSAGE &&
		       recv(p->sock[0], buf, MESSAGE, 0) == MESSAGE;
	memcpy(p->line->bytes, buf, sizeof(p->line->bytes));
	atomic_fetch_add(&p->line->turn, 1);
	while (atomic_load_explicit(&p->line->turn, memory_order_acquire) & 1)
		;
	memcpy(buf, p->line->bytes, sizeof(p->line->bytes));
	return true;
}

/* Answers what comes, until told to stop: an end of file, or a turn of ~0. */
static void pair_serve(struct pair *p)
{
	u8 buf[MESSAGE];
	u32 turn;

	while (!p->line && recv(p->sock[1], buf, MESSAGE, 0) == MESSAGE)
		send(p->sock[1], buf, MESSAGE, 0);
	while (p->line) {
		turn = atomic_load_explicit(&p->line->turn, memory_order_acquire);
		if (turn == UINT32_MAX)
			break;
		if (turn & 1)
			atomic_store_explicit(&p->line->turn, turn + 1, memory_order_release);
	}
	_exit(0);
}

/* In a child of its own, so that the benchmark's own processor and priority stay. */
static void pair_time(const struct measure *m, struct pair *p, double *samples)
{
	u8 buf[MESSAGE] = {1};

	place((enum cores)m->row->order, 0);
	for (unsigned i = 0; i < m->bench->rounds * TRIES; i++) {
		u64 t = now_ns();

		for (unsigned trip = 0; trip < TRIPS; trip++)
			if (!pair_trip(p, buf))
				_exit(1);
		keep_best(samples, i, (double)(now_ns() - t) / TRIPS);
	}
	_exit(0);
}

static bool run_pair(struct measure *m, bool spin)
{
	size_t len = sizeof(struct line) + m->bench->rounds * sizeof(double);
	struct line *shared;
	struct pair p = {0};
	pid_t server, client;
	int status = 1;

	if (!has_cores((enum cores)m->row->order) || (spin && m->row->order == SAME_CORE))
		return false;
	shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p.sock))
		return false;
	p.line = spin ? shared : NULL;
	server = fork();
	if (server == 0) {
		close(p.sock[0]);
		place((enum cores)m->row->order, 1);
		pair_serve(&p);
	}
	client = fork();
	if (client == 0)
		pair_time(m, &p, (double *)(shared + 1));
	close(p.sock[0]);
	close(p.sock[1]);
	if (client > 0)
		waitpid(client, &status, 0);
	atomic_store(&shared->turn, UINT32_MAX);
	if (server > 0)
		waitpid(server, NULL, 0);
	memcpy(m->samples, shared + 1, m->bench->rounds * sizeof(double));
	munmap(shared, len);
	return status == 0;
}

/* ---- rows ---- */

static const struct side program = {.name = "ioasis run"};
static const struct side socket_pair = {.name = "Unix SEQPACKET, 64 B"};

static bool run_request(struct measure *m)
{
	return m->side == &program ? run_client(m) : run_pair(m, false);
}

static bool run_spin(struct measure *m)
{
	return run_pair(m, true);
}

#define REQUEST(text, arg_, cores, goal_)                                                          \
	{                                                                                          \
		text, "us", NULL, NULL, 0, 0, run_request, arg_, cores,                            \
			.nr = 19, .ours = &program, .beside = &socket_pair, .limit_run = run_spin, \
			.goal = goal_, .machine = "intel"                                          \
	}

const struct row daemon_rows[] = {
	REQUEST("IOMMU_IOAS_MAP 4K by the daemon, two cores", 0, TWO_CORES, 1.2),
	REQUEST("IOMMU_IOAS_UNMAP 4K by the daemon, two cores", 1, TWO_CORES, 1.2),
	REQUEST("IOMMU_IOAS_MAP 4K by the daemon, same core", 0, SAME_CORE, 5.6),
	{0},
};
