/* SPDX-License-Identifier: MIT */
/*
 * What a daemon's death must not leave hanging, held by the process that outlives it: channels
 * whose sleepers it wakes, BARs that it fills with ones, eventfds that it fires.
 */
#ifndef IOASIS_TOOLS_KEEPER_H
#define IOASIS_TOOLS_KEEPER_H

#include "server/server.h"

struct kept {
	u32 kind; /* enum keep_kind */
	s64 key;
	int fd;
};

struct keeper {
	int sock; /* to the daemon; -1: gone */
	struct kept *v;
	size_t nr, cap;
	char *report; /* text of KEEP_REPORT so far */
	size_t report_len;
	bool report_done;
	bool ready;
	int ready_rc;
	char ready_text[256];
};

/* Take one message that is there. Return: 0; -EAGAIN none; -ENODEV the daemon hung up. */
int keeper_receive(struct keeper *k);
/* The daemon is dead: everything it would have done for its clients. */
void keeper_daemon_died(struct keeper *k);
void keeper_free(struct keeper *k);

#endif
