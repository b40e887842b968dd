/* SPDX-License-Identifier: MIT */
/* The mock IOMMU's registers, device table entry, commands and fault log: our own layout. */
#ifndef IOASIS_SRC_HW_MOCK_REGS_H
#define IOASIS_SRC_HW_MOCK_REGS_H
#endif
