/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis trace [--json] [--faults] [-n LINES] [NAME]\n"
		    "What happens in an instance, a line per hop, until interrupted or it ends.\n"
		    "  --faults  DMA faults only\n"
		    "  -n LINES  stop after so many\n"
		    "  --json    each line as JSON\n");
}

static void print_event(const json_t *event, bool json)
{
	const char *hop = json_string_value(json_object_get(event, "hop"));
	const char *text = json_string_value(json_object_get(event, "text"));

	if (json)
		json_dumpf(event, stdout, JSON_COMPACT);
	else
		printf("%-18s %s", hop ? hop : "?", text ? text : "");
	putchar('\n');
	fflush(stdout);
}

static int watch(const char *name, bool faults_only, long lines, bool json)
{
	struct control c = {.fd = instance_connect(name)};
	json_t *event;
	int rc;

	if (c.fd < 0)
		return 1;
	rc = control_send(
		&c, json_pack("{s:s,s:b,s:b}", "op", "trace", "hops", !faults_only, "faults",
			      faults_only)); /* among the hops a fault is fault_log_add */
	while (!rc && lines && (event = control_next(&c))) {
		if (json_object_get(event, "hop")) {
			print_event(event, json);
			lines -= lines > 0;
		}
		json_decref(event);
	}
	control_close(&c);
	return rc ? 1 : 0;
}

int cmd_trace(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"faults", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool json = false, faults = false;
	long lines = -1;
	int opt;

	while ((opt = getopt_long(argc, argv, "hn:", longs, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 'f':
			faults = true;
			break;
		case 'n':
			lines = atol(optarg);
			break;
		default:
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : EXIT_USAGE;
		}
	}
	if (argc - optind > 1 || !lines) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return watch(optind < argc ? argv[optind] : NULL, faults, lines, json);
}
