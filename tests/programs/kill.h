/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of kill_test share: the program that is killed (kill_client.c), and who kills
 * it, asks the daemon's ledger and looks into /proc (kill_test.c).
 */
#ifndef IOASIS_TESTS_KILL_H
#define IOASIS_TESTS_KILL_H

#include "prog.h"

#define NR_CALLERS 2u /* threads of the client */
#define MAX_ROWS   80u

enum row_flags {
	ROW_MOCK = 1,	    /* not asked on other machines */
	ROW_ALONE = 2,	    /* by the first thread only */
	ROW_MAY_FAIL = 4,   /* need not succeed: nothing here answers it */
	ROW_OK_ON_MOCK = 8, /* need not succeed elsewhere */
};

struct caller_state;

struct row {
	const char *name;
	long (*go)(struct caller_state *c); /* marks its call; negative: it failed */
	u32 flags;
};
extern const struct row rows[];
extern const unsigned nr_rows;

/* A page that outlives the client. */
struct watch_page {
	_Atomic u32 current[NR_CALLERS]; /* row in flight + 1; 0: none */
	_Atomic u32 ok[MAX_ROWS];
	_Atomic u32 ready;  /* the client has all it works with */
	_Atomic u32 failed; /* the line where the client could not go on */
	_Atomic int error;  /* and its errno */
};

struct client_args {
	struct watch_page *page;
	u64 seed;
	u32 target; /* the row to be called every second time */
	bool mock;
	bool drop_caps; /* without CAP_IPC_LOCK: the charges are limited */
};

/* Call and call, until killed. */
void client_run(const struct client_args *args) __attribute__((noreturn));

#endif
