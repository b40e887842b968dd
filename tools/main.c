/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <stdarg.h>

static const struct subcommand subcommands[] = {
	{"run", "run a program on a machine with IOMMUs", cmd_run},
	{"show", "show what is going on in a running machine", cmd_show},
	{"walk", "follow one DMA address through the tables", cmd_walk},
	{"trace", "watch requests and DMA hop by hop", cmd_trace},
};

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("ioasis: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis COMMAND [OPTIONS]\n\n");
	for (unsigned i = 0; i < ARRAY_SIZE(subcommands); i++)
		fprintf(to, "  %-8s%s\n", subcommands[i].name, subcommands[i].summary);
	fprintf(to, "\n`ioasis COMMAND --help` says more.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("ioasis " IOASIS_VERSION "\n");
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(subcommands); i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].run(argc - 1, argv + 1);
	complain("no command '%s'", argv[1]);
	usage(stderr);
	return EXIT_USAGE;
}
