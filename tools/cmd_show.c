/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <getopt.h>

static void usage(FILE *to)
{
	fprintf(to,
		"usage: ioasis show [--json] [--list | --ledger] [NAME]\n"
		"The live tree of an instance: IOMMUs, devices, open files and what they own.\n"
		"Without NAME the only one that runs.\n"
		"  --list    the names of those that run\n"
		"  --ledger  numbers of all that programs own: back where they were when they end\n"
		"  --json    as JSON\n");
}

static int show_list(bool json)
{
	json_t *names = instance_list(), *v;
	size_t i;

	if (json)
		print_json(stdout, names);
	else
		json_array_foreach(names, i, v) printf("%s\n", json_string_value(v));
	json_decref(names);
	return 0;
}

static void print_head(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	if (s)
		printf("%s %s\n", key, s);
}

static void print_ledger(json_t *answer)
{
	const char *key;
	json_t *v;

	json_object_foreach(answer, key, v)
		printf("%-24s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
}

int cmd_show(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"list", no_argument, NULL, 'l'},
		{"ledger", no_argument, NULL, 'L'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool json = false, list = false, ledger = false;
	json_t *answer;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (opt == 'j') {
			json = true;
		} else if (opt == 'l') {
			list = true;
		} else if (opt == 'L') {
			ledger = true;
		} else {
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : EXIT_USAGE;
		}
	}
	if (!count_args(argc - optind, 0, 1)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (list)
		return show_list(json);
	answer = control_ask(optind < argc ? argv[optind] : NULL,
			     json_pack("{s:s}", "op", ledger ? "ledger" : "describe"));
	if (!answer)
		return 1;
	if (json) {
		print_json(stdout, answer);
	} else if (ledger) {
		print_ledger(answer);
	} else {
		print_head(answer, "machine");
		print_show(stdout, answer);
	}
	json_decref(answer);
	return 0;
}
