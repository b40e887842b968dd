/* SPDX-License-Identifier: MIT */
/*
 * ioasis: the command line. One file per subcommand, one line each in main.c.
 *
 * Exit codes: 0; 1 the answer is no (no such instance, no such device); 2 a wrong command line;
 * `run` exits as its program does, or 125 (no daemon), 126 (program refused), 127 (not found).
 */
#ifndef IOASIS_TOOLS_TOOL_H
#define IOASIS_TOOLS_TOOL_H

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"

enum {
	EXIT_USAGE = 2,
	EXIT_NO_DAEMON = 125,
	EXIT_REFUSED = 126,
	EXIT_NOT_FOUND = 127,
};

struct subcommand {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

int cmd_run(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_walk(int argc, char **argv);
int cmd_trace(int argc, char **argv);

/* A sentence on stderr, "ioasis: " in front. */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* "12", "0x1f": all of it, without a sign. */
bool parse_number(const char *s, u64 last, u64 *out);
/* The same for an argument; says which one is bad and what it should be. */
bool number_arg(const char *what, const char *s, u64 last, u64 *out);
bool count_args(int nr, int least, int most);

/* --- instance.c: where running instances are ------------------------------------------------ */
#define NAME_LEN 40u
/* Make the directory of instance @name. Return: 0; -EEXIST; -errno. */
int instance_make(const char *name, char *out_dir, size_t len);
void instance_remove(const char *dir);
/* The instance to talk to: @name, or the only one. Complains. Return: a connected socket; -1. */
int instance_connect(const char *name_or_null);
/* Names of those that answer, as a JSON array. */
json_t *instance_list(void);

/* --- control.c: asking one ------------------------------------------------------------------ */
struct control {
	int fd;
	char *buf;
	size_t len, cap;
};
/* Send one request. Return: 0; -errno. */
int control_send(struct control *c, json_t *request);
/* The next line. NULL: the instance is gone. */
json_t *control_next(struct control *c);
void control_close(struct control *c);
/* One question, one answer; complains about an "error" in it and returns NULL then. */
json_t *control_ask(const char *name_or_null, json_t *request);

/* --- program.c: what may run ---------------------------------------------------------------- */
/* Find @program along PATH and look whether a preloaded library reaches it.
 * Return: 0 and its path; EXIT_REFUSED or EXIT_NOT_FOUND, with a sentence in @why. */
int program_check(const char *program, char *out_path, char *why, size_t why_len);

/* --- print*.c ------------------------------------------------------------------------------- */
void print_scalar(FILE *to, const json_t *v);
void print_json(FILE *to, const json_t *v);
/* The live machine. */
void print_show(FILE *to, const json_t *v);
/* The steps of a translation. */
void print_walk(FILE *to, const json_t *v);

#endif
