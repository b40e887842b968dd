/* SPDX-License-Identifier: MIT */
/* What `ioasis run` says on stderr when its program has ended. */
#ifndef IOASIS_TOOLS_REPORT_H
#define IOASIS_TOOLS_REPORT_H

#include "base/base.h"

/* @text: the daemon's JSON report; NULL when it died. */
void report_print(const char *text, size_t len, bool faults, bool json);

#endif
