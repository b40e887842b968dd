/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <getopt.h>

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis walk [--json] [--pasid N] [--name NAME] RID IOVA\n"
		    "Every step of one translation, each table entry decoded. Nothing is cached or "
		    "changed.\n"
		    "  RID     the device: 01:00.0, 0000:01:00.0, or a number\n"
		    "  IOVA    the address that the device would issue, 0x...\n"
		    "  --json  as JSON\n");
}

/* "[0000:]BB:DD.F" or a number. */
static bool parse_rid(const char *s, u32 *out)
{
	unsigned domain = 0, bus, dev, fn;
	u64 number;
	char extra;

	if (sscanf(s, "%x:%x:%x.%x%c", &domain, &bus, &dev, &fn, &extra) != 4) {
		domain = 0;
		if (sscanf(s, "%x:%x.%x%c", &bus, &dev, &fn, &extra) != 3) {
			if (!parse_number(s, 0xffff, &number))
				return false;
			*out = (u32)number;
			return true;
		}
	}
	*out = bus << 8 | dev << 3 | fn;
	return !domain && bus < 256 && dev < 32 && fn < 8;
}

static int ask(const char *name, u32 rid, u64 pasid, const char *iova, bool json)
{
	json_t *answer =
		control_ask(name, json_pack("{s:s,s:i,s:I,s:s}", "op", "walk", "rid", (int)rid,
					    "pasid", (json_int_t)pasid, "iova", iova));

	if (!answer)
		return 1;
	if (json)
		print_json(stdout, answer);
	else
		print_walk(stdout, answer);
	json_decref(answer);
	return 0;
}

int cmd_walk(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"pasid", required_argument, NULL, 'p'},
		{"name", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *name = NULL;
	bool json = false;
	u64 pasid = 0, iova;
	u32 rid;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 'p':
			if (!number_arg("--pasid", optarg, (1u << 20) - 1, &pasid))
				return EXIT_USAGE;
			break;
		case 'n':
			name = optarg;
			break;
		default:
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : EXIT_USAGE;
		}
	}
	if (!count_args(argc - optind, 2, 2)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!parse_rid(argv[optind], &rid)) {
		complain("RID '%s': expected 01:00.0, 0000:01:00.0 or a number up to 0xffff",
			 argv[optind]);
		return EXIT_USAGE;
	}
	if (!number_arg("IOVA", argv[optind + 1], UINT64_MAX, &iova))
		return EXIT_USAGE;
	return ask(name, rid, pasid, argv[optind + 1], json);
}
