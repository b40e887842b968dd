/* SPDX-License-Identifier: MIT */
/* Leaves two IOAS behind, or none: what the report at the end must and must not say. */
#include "prog.h"

#include <signal.h>

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	int fd = dev_iommu(0);

	if (fd < 0 || ioas_alloc(fd) != 1 || ioas_alloc(fd) != 2)
		return 1;
	if (!strcmp(how, "tidy"))
		return destroy(fd, 1) || destroy(fd, 2);
	if (!strcmp(how, "close"))
		return close(fd);
	if (!strcmp(how, "killed"))
		raise(SIGKILL);
	if (!strcmp(how, "wait")) { /* for whoever looks: until told to go on */
		char c;

		if (write(1, "ready\n", 6) != 6 || read(0, &c, 1) < 0)
			return 1;
	}
	return 0;
}
