/* SPDX-License-Identifier: MIT */
/* What pci.c, bar.c and irq.c know of each other. */
#ifndef IOASIS_SRC_DEVICE_PCI_PRIV_H
#define IOASIS_SRC_DEVICE_PCI_PRIV_H

#include "device/device.h"

/* Where the capabilities of our functions are. */
#define PCI_CAP_MSIX 0x80u
#define PCI_CAP_EXP  0x90u

/* Store a little-endian field whatever the masks say. */
void pci_config_put(struct pci_dev *dev, u32 off, unsigned len, u32 value);

int irq_kick_init(struct irq_kick *kick) MUST_CHECK;
void irq_kick_fini(struct irq_kick *kick);
void pci_irq_reset(struct pci_dev *dev);
void pci_msix_table_write(struct pci_dev *dev, u32 off, u64 value, unsigned len);
u32 pci_msix_table_len(const struct pci_dev *dev);

void pci_bars_free(struct pci_dev *dev);

#endif
