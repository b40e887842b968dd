/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of a PCI function: MSI-X table, mask and pending bits, triggers.
 *
 * The table page that a program sees is output only: what it stores there comes as a trapped store
 * and lands in struct irq_line, so that a program that maps the memfd writable by other means
 * changes nothing but its own view.
 *
 * Source: PCI Express Base Specification 5.0, 7.7.2 (MSI-X); linux
 * drivers/vfio/pci/vfio_pci_intrs.c.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/device.h"
#include "device/pci_priv.h"

#define MSIX_ENTRY_LEN	 16u
#define MSIX_ENTRY_CTRL	 12u
#define MSIX_CTRL_MASK	 1u
#define MSIX_FLAG_ENABLE 0x80u /* of the flags' high byte */

int irq_kick_init(struct irq_kick *kick)
{
	aio_context_t aio = 0;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	kick->null_fd = fd;
	kick->aio = syscall(SYS_io_setup, 4, &aio) ? 0 : aio;
	return 0;
}

void irq_kick_fini(struct irq_kick *kick)
{
	if (kick->aio)
		syscall(SYS_io_destroy, kick->aio);
	close(kick->null_fd);
}

static void kick_by_write(int eventfd)
{
	struct pollfd pfd = {.fd = eventfd, .events = POLLOUT};
	u64 one = 1;

	/* A full counter has been signalled already. */
	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT))
		(void)!write(eventfd, &one, sizeof(one));
}

static void kick(struct irq_kick *kick, int eventfd)
{
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (u32)kick->null_fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (u32)eventfd,
	};
	struct iocb *list = &iocb;
	struct io_event done;

	if (!kick->aio || syscall(SYS_io_submit, kick->aio, 1, &list) != 1) {
		kick_by_write(eventfd);
		return;
	}
	(void)syscall(SYS_io_getevents, kick->aio, 0, 1, &done, NULL);
}

static u8 *table_entry(struct pci_dev *dev, unsigned vector)
{
	return dev->bars[dev->msix_bar].host + dev->msix_table + vector * MSIX_ENTRY_LEN;
}

static void show_pending(struct pci_dev *dev, unsigned vector)
{
	u8 *byte = dev->bars[dev->msix_bar].host + dev->msix_pba + vector / 8;
	u8 bit = (u8)(1u << (vector % 8));

	*byte = dev->msix[vector].pending ? *byte | bit : *byte & (u8)~bit;
}

static void set_masked(struct pci_dev *dev, unsigned vector, bool masked)
{
	struct irq_line *line = &dev->msix[vector];

	line->masked = masked;
	table_entry(dev, vector)[MSIX_ENTRY_CTRL] = masked ? MSIX_CTRL_MASK : 0;
	if (!masked && line->pending && line->eventfd >= 0) {
		line->pending = false;
		kick(&dev->kick, line->eventfd);
	}
	show_pending(dev, vector);
}

void pci_msix_place(struct pci_dev *dev, unsigned bar, u32 table_off, u32 pba_off)
{
	unsigned nr = dev->model->nr_vectors;

	dev->msix_bar = bar;
	dev->msix_table = table_off;
	dev->msix_pba = pba_off;
	pci_config_put(dev, PCI_CAP_MSIX + 2, 2, nr - 1);
	pci_config_put(dev, PCI_CAP_MSIX + 4, 4, table_off | bar);
	pci_config_put(dev, PCI_CAP_MSIX + 8, 4, pba_off | bar);
	pci_irq_reset(dev);
}

/* Vectors as after power-on: masked, nothing pending, entries zero. Triggers stay. */
void pci_irq_reset(struct pci_dev *dev)
{
	if (!dev->model->nr_vectors || !dev->bars[dev->msix_bar].host)
		return;
	lock_take(&dev->lock);
	for (unsigned v = 0; v < dev->model->nr_vectors; v++) {
		memset(table_entry(dev, v), 0, MSIX_ENTRY_LEN);
		dev->msix[v].pending = false;
		set_masked(dev, v, true);
	}
	lock_drop(&dev->lock);
}

/* A store to the table: only the mask bit does anything, address and data are the kernel's. */
void pci_msix_table_write(struct pci_dev *dev, u32 off, u64 value, unsigned len)
{
	unsigned vector = off / MSIX_ENTRY_LEN;
	u32 in = off % MSIX_ENTRY_LEN;
	u8 bytes[8];

	memcpy(bytes, &value, sizeof(bytes));
	lock_take(&dev->lock);
	for (unsigned i = 0; i < len; i++) {
		if (in + i == MSIX_ENTRY_CTRL)
			set_masked(dev, vector, bytes[i] & MSIX_CTRL_MASK);
		else if (in + i < MSIX_ENTRY_CTRL)
			table_entry(dev, vector)[in + i] = bytes[i];
	}
	lock_drop(&dev->lock);
}

u32 pci_msix_table_len(const struct pci_dev *dev)
{
	return dev->model->nr_vectors * MSIX_ENTRY_LEN;
}

static void replace_fd(struct irq_line *line, int fd)
{
	if (line->eventfd >= 0)
		close(line->eventfd);
	line->eventfd = fd;
}

static void show_enabled(struct pci_dev *dev)
{
	u8 *flags_high = &dev->config[PCI_CAP_MSIX + 3];

	*flags_high =
		dev->msix_on ? *flags_high | MSIX_FLAG_ENABLE : *flags_high & (u8)~MSIX_FLAG_ENABLE;
}

void pci_msix_set(struct pci_dev *dev, unsigned vector, int fd)
{
	lock_take(&dev->lock);
	replace_fd(&dev->msix[vector], fd);
	dev->msix_on = true;
	show_enabled(dev);
	set_masked(dev, vector, fd < 0);
	lock_drop(&dev->lock);
}

void pci_msix_disable(struct pci_dev *dev)
{
	lock_take(&dev->lock);
	for (unsigned v = 0; v < dev->model->nr_vectors; v++) {
		replace_fd(&dev->msix[v], -1);
		dev->msix[v].pending = false;
		set_masked(dev, v, true);
	}
	dev->msix_on = false;
	show_enabled(dev);
	lock_drop(&dev->lock);
}

void pci_line_set(struct pci_dev *dev, struct irq_line *line, int fd)
{
	lock_take(&dev->lock);
	replace_fd(line, fd);
	lock_drop(&dev->lock);
}

bool pci_line_test(struct pci_dev *dev, struct irq_line *line)
{
	bool there;

	lock_take(&dev->lock);
	there = line->eventfd >= 0;
	if (there)
		kick(&dev->kick, line->eventfd);
	lock_drop(&dev->lock);
	return there;
}

void pci_msix_raise(struct pci_dev *dev, unsigned vector)
{
	struct irq_line *line = &dev->msix[vector];

	lock_take(&dev->lock);
	if (dev->msix_on && line->masked) {
		line->pending = true;
		show_pending(dev, vector);
	} else if (dev->msix_on && line->eventfd >= 0) {
		TRACE(dev->env, pci_msix_raise, "%s vector %u", dev->idev.name, vector);
		kick(&dev->kick, line->eventfd);
	}
	lock_drop(&dev->lock);
}
