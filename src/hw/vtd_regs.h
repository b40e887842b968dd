/* SPDX-License-Identifier: MIT */
/* VT-d register offsets, descriptor and entry layouts (Intel VT-d specification, chapters 6, 9, 10, 11). */
#ifndef IOASIS_SRC_HW_VTD_REGS_H
#define IOASIS_SRC_HW_VTD_REGS_H
#endif
