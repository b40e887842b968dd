/* SPDX-License-Identifier: MIT */
/*
 * A PCI function: configuration space, life, bus mastering, DMA.
 *
 * Configuration space is what a program sees through vfio-pci: identity is read-only, BAR registers
 * are the program's own copy that only sizes as hardware does, the command register is real.
 *
 * Source: PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification 5.0, 7.5;
 * linux drivers/vfio/pci/vfio_pci_config.c for what a program may write.
 */
#include <unistd.h>

#include "device/device.h"
#include "device/pci_priv.h"
#include "iommu/iommu.h"

#define CFG_COMMAND	   0x04u
#define CFG_STATUS	   0x06u
#define CFG_REVISION	   0x08u
#define CFG_CLASS	   0x09u
#define CFG_BAR0	   0x10u
#define CFG_SUBSYSTEM	   0x2cu
#define CFG_CAP_PTR	   0x34u
#define CFG_IRQ_LINE	   0x3cu

#define COMMAND_MEMORY	   0x0002u
#define COMMAND_MASTER	   0x0004u
#define COMMAND_WRITABLE   0x0546u /* memory, master, parity, SERR, INTx disable */
#define STATUS_CAP_LIST	   0x0010u
#define CAP_ID_EXP	   0x10u
#define CAP_ID_MSIX	   0x11u
#define EXP_FLAGS_ENDPOINT 0x0002u /* version 2, type 0: endpoint */
#define EXP_DEVCAP	   0x04u
#define EXP_DEVCAP_FLR	   (1u << 28)
#define EXP_DEVCAP_RBER	   (1u << 15)
#define EXP_DEVCTL	   0x08u
#define EXP_DEVCTL_FLR	   0x8000u
#define EXP_DEVCTL_PHANTOM 0x0200u
#define EXP_LNKCAP	   0x0cu
#define EXP_LNKSTA	   0x12u
#define EXP_DEVCAP2	   0x24u
#define EXP_DEVCTL2	   0x28u

#define BAR_64BIT	   0x4u

/* Where our functions' BARs seem to be in the machine's physical space: apart from RAM. */
#define BAR_SPACE	   0x383000000000ull
#define BAR_SPACING	   0x10000000ull

void pci_config_put(struct pci_dev *dev, u32 off, unsigned len, u32 value)
{
	memcpy(dev->config + off, &value, len);
}

static void mask_put(struct pci_dev *dev, u32 off, unsigned len, u32 value)
{
	memcpy(dev->config_mask + off, &value, len);
}

static u16 config_get16(const struct pci_dev *dev, u32 off)
{
	u16 v;

	memcpy(&v, dev->config + off, sizeof(v));
	return v;
}

static void init_exp_cap(struct pci_dev *dev)
{
	u32 cap = PCI_CAP_EXP;

	pci_config_put(dev, cap, 2, CAP_ID_EXP);
	pci_config_put(dev, cap + 2, 2, EXP_FLAGS_ENDPOINT);
	pci_config_put(dev, cap + EXP_DEVCAP, 4, EXP_DEVCAP_FLR | EXP_DEVCAP_RBER);
	pci_config_put(dev, cap + EXP_DEVCTL, 2,
		       0x2810); /* as firmware leaves it: MRRS 512, relaxed */
	pci_config_put(dev, cap + EXP_LNKCAP, 4, 0x0103); /* 16 lanes of 8 GT/s */
	pci_config_put(dev, cap + EXP_LNKSTA, 2, 0x0103);
	mask_put(dev, cap + EXP_DEVCTL, 2, 0xffffu & ~EXP_DEVCTL_PHANTOM & ~EXP_DEVCTL_FLR);
	mask_put(dev, cap + EXP_DEVCTL2, 2, 0x041fu);
}

/* Everything that does not depend on the BARs, as after power-on. */
static void init_config(struct pci_dev *dev)
{
	const struct device_model *m = dev->model;

	memset(dev->config, 0, sizeof(dev->config));
	memset(dev->config_mask, 0, sizeof(dev->config_mask));
	pci_config_put(dev, 0x00, 2, m->vendor);
	pci_config_put(dev, 0x02, 2, m->device);
	pci_config_put(dev, CFG_STATUS, 2, STATUS_CAP_LIST);
	pci_config_put(dev, CFG_REVISION, 1, m->revision);
	pci_config_put(dev, CFG_CLASS, 3, m->class_code);
	pci_config_put(dev, CFG_SUBSYSTEM, 2, m->subvendor);
	pci_config_put(dev, CFG_SUBSYSTEM + 2, 2, m->subdevice);
	mask_put(dev, CFG_COMMAND, 2, COMMAND_WRITABLE);
	mask_put(dev, 0x0c, 1, 0xff); /* cache line size */
	mask_put(dev, CFG_IRQ_LINE, 1, 0xff);
	init_exp_cap(dev);
	pci_config_put(dev, CFG_CAP_PTR, 1, PCI_CAP_EXP);
	if (m->nr_vectors) {
		pci_config_put(dev, CFG_CAP_PTR, 1, PCI_CAP_MSIX);
		pci_config_put(dev, PCI_CAP_MSIX, 2, CAP_ID_MSIX | PCI_CAP_EXP << 8);
		pci_config_put(dev, PCI_CAP_MSIX + 2, 2, m->nr_vectors - 1);
	}
}

u64 pci_bar_address(const struct pci_dev *dev, unsigned bar)
{
	return BAR_SPACE + dev->index * BAR_SPACING +
	       bar * (BAR_SPACING / PCI_NR_BARS & ~0xfffffull);
}

/* BAR registers: the address a kernel assigned; writable down to the BAR's size. */
static void init_bar_regs(struct pci_dev *dev)
{
	for (unsigned i = 0; i < PCI_NR_BARS; i++) {
		u64 mask = ~((u64)dev->bars[i].len - 1), addr = pci_bar_address(dev, i);

		if (!dev->bars[i].len)
			continue;
		pci_config_put(dev, CFG_BAR0 + 4 * i, 4, (u32)addr | BAR_64BIT);
		mask_put(dev, CFG_BAR0 + 4 * i, 4, (u32)mask);
		if (i + 1 < PCI_NR_BARS) {
			pci_config_put(dev, CFG_BAR0 + 4 * i + 4, 4, (u32)(addr >> 32));
			mask_put(dev, CFG_BAR0 + 4 * i + 4, 4, (u32)(mask >> 32));
		}
	}
	if (dev->model->nr_vectors && dev->bars[dev->msix_bar].len) {
		pci_config_put(dev, PCI_CAP_MSIX + 4, 4, dev->msix_table | dev->msix_bar);
		pci_config_put(dev, PCI_CAP_MSIX + 8, 4, dev->msix_pba | dev->msix_bar);
	}
}

void pci_config_read(struct pci_dev *dev, u32 off, void *to, u32 len)
{
	lock_take(&dev->lock);
	memcpy(to, dev->config + off, len);
	lock_drop(&dev->lock);
}

void pci_config_write(struct pci_dev *dev, u32 off, const void *from, u32 len)
{
	const u8 *in = from;
	bool flr = false;

	lock_take(&dev->lock);
	for (u32 i = 0; i < len; i++) {
		u8 mask = dev->config_mask[off + i], *at = &dev->config[off + i];

		*at = (u8)((*at & ~mask) | (in[i] & mask));
		if (off + i == PCI_CAP_EXP + EXP_DEVCTL + 1)
			flr = in[i] & EXP_DEVCTL_FLR >> 8;
	}
	atomic_store(&dev->bus_master, config_get16(dev, CFG_COMMAND) & COMMAND_MASTER);
	lock_drop(&dev->lock);
	if (flr)
		pci_dev_flr(dev);
}

bool pci_memory_enabled(struct pci_dev *dev)
{
	u16 command;

	pci_config_read(dev, CFG_COMMAND, &command, sizeof(command));
	return command & COMMAND_MEMORY;
}

void pci_dev_flr(struct pci_dev *dev)
{
	TRACE(dev->env, pci_dev_flr, "%s", dev->idev.name);
	dev->model->reset(dev);
}

void pci_dev_reset(struct pci_dev *dev)
{
	/* Bus mastering goes first, so that nothing new starts while the model stops. */
	atomic_store(&dev->bus_master, false);
	dev->model->reset(dev);
	pci_msix_disable(dev);
	pci_line_set(dev, &dev->err, -1);
	pci_line_set(dev, &dev->req, -1);
	pci_irq_reset(dev);
	lock_take(&dev->lock);
	init_config(dev);
	init_bar_regs(dev);
	lock_drop(&dev->lock);
}

static void init_lines(struct pci_dev *dev)
{
	for (unsigned v = 0; v < PCI_MAX_VECTORS; v++)
		dev->msix[v] = (struct irq_line){.eventfd = -1, .masked = true};
	dev->err = dev->req = (struct irq_line){.eventfd = -1};
	for (unsigned i = 0; i < PCI_NR_BARS; i++)
		dev->bars[i].memfd = -1;
}

int pci_dev_new(struct env *env, struct mem *mem, struct iommu *iommu,
		const struct device_model *model, rid_t rid, u32 index, struct pci_dev **out)
{
	struct pci_dev *dev = env_zalloc(env, sizeof(*dev));
	char name[32];
	int rc;

	if (!dev)
		return -ENOMEM;
	dev->model = model;
	dev->env = env;
	dev->mem = mem;
	dev->index = index;
	lock_init(&dev->lock, RANK_DEVICE);
	list_init(&dev->node);
	init_lines(dev);
	init_config(dev);
	rc = irq_kick_init(&dev->kick);
	if (rc)
		goto undo_alloc;
	snprintf(name, sizeof(name), "0000:%02x:%02x.%x", rid.v >> 8 & 0xff, rid.v >> 3 & 0x1f,
		 rid.v & 7);
	rc = iommu_dev_init(iommu, &dev->idev, rid, name);
	if (rc)
		goto undo_kick;
	rc = model->init(dev);
	if (rc)
		goto undo_dev;
	init_bar_regs(dev);
	*out = dev;
	return 0;
undo_dev:
	pci_bars_free(dev);
	iommu_dev_fini(&dev->idev);
undo_kick:
	irq_kick_fini(&dev->kick);
undo_alloc:
	lock_fini(&dev->lock);
	env_free(env, dev);
	return rc;
}

void pci_dev_free(struct pci_dev *dev)
{
	if (!dev)
		return;
	pci_dev_reset(dev);
	dev->model->fini(dev);
	iommu_dev_fini(&dev->idev);
	pci_bars_free(dev);
	irq_kick_fini(&dev->kick);
	list_del(&dev->node);
	lock_fini(&dev->lock);
	env_free(dev->env, dev);
}

static bool may_dma(struct pci_dev *dev)
{
	return atomic_load_explicit(&dev->bus_master, memory_order_relaxed);
}

static struct dma_req request(struct pci_dev *dev, u64 iova)
{
	return (struct dma_req){.port = &dev->idev.port, .pasid = NO_PASID, .iova = IOVA(iova)};
}

int pci_dma_read(struct pci_dev *dev, u64 iova, void *to, size_t len)
{
	struct dma_req req = request(dev, iova);

	return may_dma(dev) ? dma_read(&req, to, len, NULL) : -EFAULT;
}

int pci_dma_write(struct pci_dev *dev, u64 iova, const void *from, size_t len)
{
	struct dma_req req = request(dev, iova);

	return may_dma(dev) ? dma_write(&req, from, len, NULL) : -EFAULT;
}

static int copy_bounced(struct pci_dev *dev, const struct pci_copy *c, enum pci_copy_side *side)
{
	if (pci_dma_read(dev, c->src, c->bounce, c->len)) {
		*side = PCI_COPY_SRC;
		return -EFAULT;
	}
	if (pci_dma_write(dev, c->dst, c->bounce, c->len)) {
		*side = PCI_COPY_DST;
		return -EFAULT;
	}
	return 0;
}

int pci_dma_copy(struct pci_dev *dev, const struct pci_copy *copy, enum pci_copy_side *side)
{
	struct pci_copy c = *copy;

	while (c.len) {
		struct dma_req req = request(dev, c.src);
		struct ioasis_span span;
		size_t n;
		int rc = may_dma(dev) ? dma_span(&req, c.len, PERM_R, &span) : -EFAULT;

		if (rc == -EOPNOTSUPP)
			return copy_bounced(dev, &c, side);
		if (rc) {
			*side = PCI_COPY_SRC;
			return -EFAULT;
		}
		n = span.len;
		rc = pci_dma_write(dev, c.dst, span.host, n);
		dma_unspan(&span);
		if (rc) {
			*side = PCI_COPY_DST;
			return -EFAULT;
		}
		c.src += n;
		c.dst += n;
		c.len -= n;
	}
	return 0;
}
