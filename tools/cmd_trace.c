/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>

/* What to show. */
struct view {
	bool json, faults;
	json_int_t lines;	 /* below 0: all */
	json_int_t request, tid; /* 0: any */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis trace [--json] [--faults] [--request N] [--tid N] [-n LINES] "
		    "[NAME]\n"
		    "What happens in an instance, a line per hop, until interrupted or it ends. "
		    "Lines of\n"
		    "one request start with the same number.\n"
		    "  --faults     DMA faults only\n"
		    "  --request N  the hops of this request only\n"
		    "  --tid N      the hops of this thread's requests only\n"
		    "  -n LINES     stop after so many\n"
		    "  --json       each line as JSON\n");
}

static bool wanted(const json_t *event, const char *key, json_int_t value)
{
	return !value || json_integer_value(json_object_get(event, key)) == value;
}

static void print_event(const json_t *event, bool json)
{
	const char *hop = json_string_value(json_object_get(event, "hop"));
	const char *text = json_string_value(json_object_get(event, "text"));

	if (json)
		json_dumpf(event, stdout, JSON_COMPACT);
	else
		printf("%6lld %-18s %s", json_integer_value(json_object_get(event, "request")),
		       hop ? hop : "?", text ? text : "");
	putchar('\n');
	fflush(stdout);
}

static int watch(const char *name, struct view *v)
{
	struct control c = {.fd = instance_connect(name)};
	json_t *event;
	int rc;

	if (c.fd < 0)
		return 1;
	rc = control_send(&c,
			  json_pack("{s:s,s:b,s:b}", "op", "trace", "hops", !v->faults, "faults",
				    v->faults)); /* among the hops a fault is fault_log_add */
	while (!rc && v->lines && (event = control_next(&c))) {
		if (json_object_get(event, "hop") && wanted(event, "request", v->request) &&
		    wanted(event, "tid", v->tid)) {
			print_event(event, v->json);
			v->lines -= v->lines > 0;
		}
		json_decref(event);
	}
	control_close(&c);
	return rc ? 1 : 0;
}

/* A number above 0. */
static bool positive(const char *what, const char *text, json_int_t *out)
{
	u64 n;

	if (!parse_number(text, INT64_MAX, &n) || !n) {
		complain("%s '%s': expected a number above 0", what, text);
		return false;
	}
	*out = (json_int_t)n;
	return true;
}

int cmd_trace(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},	   {"faults", no_argument, NULL, 'f'},
		{"request", required_argument, NULL, 'r'}, {"tid", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},	   {0},
	};
	struct view v = {.lines = -1};
	bool good = true;
	int opt;

	while ((opt = getopt_long(argc, argv, "hn:", longs, NULL)) != -1) {
		switch (opt) {
		case 'j':
			v.json = true;
			break;
		case 'f':
			v.faults = true;
			break;
		case 'r':
			good &= positive("--request", optarg, &v.request);
			break;
		case 't':
			good &= positive("--tid", optarg, &v.tid);
			break;
		case 'n':
			good &= positive("-n", optarg, &v.lines);
			break;
		default:
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : EXIT_USAGE;
		}
	}
	/* A fault is reported by the hardware: it belongs to no request. */
	if (v.faults && (v.request || v.tid)) {
		complain("--faults: expected neither --request nor --tid beside it");
		good = false;
	}
	if (!good || !count_args(argc - optind, 0, 1)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return watch(optind < argc ? argv[optind] : NULL, &v);
}
