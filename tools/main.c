/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>

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

bool parse_number(const char *s, u64 last, u64 *out)
{
	char *end;
	u64 value;

	/* strtoull() takes a sign and spaces too. */
	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	value = strtoull(s, &end, 0);
	if (errno || *end || value > last)
		return false;
	*out = value;
	return true;
}

bool number_arg(const char *what, const char *s, u64 last, u64 *out)
{
	if (parse_number(s, last, out))
		return true;
	complain("%s '%s': expected a number up to %#llx", what, s, (unsigned long long)last);
	return false;
}

bool count_args(int nr, int least, int most)
{
	if (nr < least)
		complain("expected %d arguments, got %d", least, nr);
	else if (nr > most)
		complain("too many arguments: at most %d", most);
	return nr >= least && nr <= most;
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
