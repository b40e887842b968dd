/* SPDX-License-Identifier: MIT */
/*
 * device: device models behind the machine's IOMMUs. The room's one door.
 *
 * A model is one file and one line in device/models.c. It owns its registers and its engine thread;
 * everything PCI (configuration space, BARs, MSI-X table, interrupts) is device/pci.c's. It reaches
 * memory only through dma/dma.h.
 *
 * BARs live in memfds, so that a client can map them. A range whose registers have side effects is
 * `trapped`: the client maps it read-only and each store comes to bar_write(), which returns when
 * the device has taken the store and the page shows its effect. A register with effects on *read*
 * is left out of mmap altogether (`unmapped`): REGION_INFO's sparse areas say so and pread reaches
 * bar_read().
 */
#ifndef IOASIS_SRC_DEVICE_DEVICE_H
#define IOASIS_SRC_DEVICE_DEVICE_H

#include "dma/dma.h"
#include "hwpt/hwpt.h"

#define PCI_CONFIG_LEN	4096u /* PCIe extended */
#define PCI_NR_BARS	6u
#define PCI_MAX_VECTORS 32u

struct pci_dev;

enum bar_access {
	BAR_PLAIN,    /* memory: stores need no trap */
	BAR_TRAPPED,  /* loads from the page, stores to bar_write() */
	BAR_UNMAPPED, /* loads and stores by pread/pwrite only */
};

struct bar_range {
	u32 start, len;
	enum bar_access access;
};

struct bar {
	u32 len; /* 0: absent; a power of two, whole pages */
	int memfd;
	u8 *host;
	bool is_64bit;
	const struct bar_range *ranges; /* what is not PLAIN */
	unsigned nr_ranges;
};

struct device_model {
	const char *name; /* "ioat" */
	u16 vendor, device, subvendor, subdevice;
	u32 class_code; /* 24 bits */
	u8 revision;
	unsigned nr_vectors; /* MSI-X */
	u8 pasid_bits;
	/* Set up @dev->bars and @dev->priv, start threads. Return: 0 or -errno (nothing left
	 * behind). dev->config may be given more than the header and capabilities it comes with. */
	int (*init)(struct pci_dev *dev);
	void (*fini)(struct pci_dev *dev);
	/* Function level reset: registers as after power-on, no DMA in flight, when it returns. */
	void (*reset)(struct pci_dev *dev);
	/* A load from an UNMAPPED range or by pread. @len 1, 2, 4, 8, naturally aligned. */
	u64 (*bar_read)(struct pci_dev *dev, unsigned bar, u32 off, unsigned len);
	void (*bar_write)(struct pci_dev *dev, unsigned bar, u32 off, u64 value, unsigned len);
	void (*describe)(struct pci_dev *dev, json_t *out);
};

/* An interrupt's trigger: an eventfd of ours, or -1. */
struct irq_line {
	int eventfd;
	bool masked;
	bool pending;
};

/*
 * How eventfds are signalled: as the kernel does, never blocking. write() would block when a
 * program has filled its counter; the completion of an empty asynchronous read signals it
 * regardless.
 */
struct irq_kick {
	unsigned long aio; /* 0: the host has no AIO, write() after poll() */
	int null_fd;
};

struct pci_dev {
	const struct device_model *model;
	struct env *env;
	struct mem *mem;
	struct iommu_dev idev; /* its place behind the IOMMU */
	struct lock lock;      /* RANK_DEVICE: config space, irq lines, the model's registers */
	u8 config[PCI_CONFIG_LEN];
	u8 config_mask[PCI_CONFIG_LEN]; /* 1 bits: writable by the program */
	struct bar bars[PCI_NR_BARS];
	struct irq_line msix[PCI_MAX_VECTORS];
	struct irq_line err, req;
	struct irq_kick kick;
	u32 msix_bar, msix_table, msix_pba; /* where the table and the pending bits are */
	bool msix_on;			    /* SET_IRQS gave a vector a trigger; shown in config */
	_Atomic bool bus_master;	    /* command register bit 2: DMA is refused without it */
	_Atomic bool claimed;			    /* an open VFIO cdev is bound */
	void *priv;			    /* the model's */
	u32 index;			    /* its vfioN */
	struct list node;		    /* on the machine's list */
};

extern const struct device_model *const device_models[]; /* NULL-terminated */
const struct device_model *device_model_find(const char *name);

/* Make the PCI function of @model behind @iommu at @rid; the model's init() runs last. */
int pci_dev_new(struct env *env, struct mem *mem, struct iommu *iommu,
		const struct device_model *model, rid_t rid, u32 index,
		struct pci_dev **out) MUST_CHECK;
void pci_dev_free(struct pci_dev *dev);
void pci_dev_reset(struct pci_dev *dev); /* configuration space, interrupts and model */
/* Function level reset as VFIO_DEVICE_RESET and DEVCTL do it: the model only; configuration space
 * and interrupt triggers are what they were. */
void pci_dev_flr(struct pci_dev *dev);

/* Configuration space as the program sees it, masks and side effects included. */
void pci_config_read(struct pci_dev *dev, u32 off, void *to, u32 len);
void pci_config_write(struct pci_dev *dev, u32 off, const void *from, u32 len);
bool pci_memory_enabled(struct pci_dev *dev); /* command register bit 1 */
/* Where the machine's firmware put a BAR: what sysfs and the BAR register say. */
u64 pci_bar_address(const struct pci_dev *dev, unsigned bar);
/* BAR access by pread/pwrite or a trapped store. Return: 0; -EINVAL outside the BAR. */
int pci_bar_read(struct pci_dev *dev, unsigned bar, u32 off, void *to, u32 len);
int pci_bar_write(struct pci_dev *dev, unsigned bar, u32 off, const void *from, u32 len);
/* The strictest access of [off, off+len) inside the BAR. */
enum bar_access pci_bar_access(const struct pci_dev *dev, unsigned bar, u32 off, u32 len);

/*
 * Interrupt triggers. @fd is a descriptor of ours (consumed), or -1: none. A vector that gets a
 * trigger is unmasked, one that loses it is masked, and MSI-X is on while any has one, as a kernel
 * leaves it.
 */
void pci_msix_set(struct pci_dev *dev, unsigned vector, int fd);
void pci_msix_disable(struct pci_dev *dev);
/* err, req. */
void pci_line_set(struct pci_dev *dev, struct irq_line *line, int fd);
/* Signal a trigger regardless of masks (SET_IRQS' loopback). Return: false when there is none. */
bool pci_line_test(struct pci_dev *dev, struct irq_line *line);

/* For models. */
int pci_bar_add(struct pci_dev *dev, unsigned bar, u32 len, const struct bar_range *ranges,
		unsigned nr_ranges) MUST_CHECK;
/* Put the MSI-X table and pending bits into a BAR and their capability into configuration space. */
void pci_msix_place(struct pci_dev *dev, unsigned bar, u32 table_off, u32 pba_off);
void pci_msix_raise(struct pci_dev *dev, unsigned vector);
/* DMA of the device: -EFAULT also while bus mastering is off (no fault is recorded then). */
int pci_dma_read(struct pci_dev *dev, u64 iova, void *to, size_t len) MUST_CHECK;
int pci_dma_write(struct pci_dev *dev, u64 iova, const void *from, size_t len) MUST_CHECK;

/* Which half of a copy was refused. */
enum pci_copy_side { PCI_COPY_SRC, PCI_COPY_DST };
/*
 * Memory to memory, at most @len <= PCI_COPY_MAX bytes, without a bounce where the source is
 * direct.
 * @bounce: PCI_COPY_MAX bytes of the caller's. Return: 0; -EFAULT and *side.
 */
#define PCI_COPY_MAX 65536u
struct pci_copy {
	u64 src, dst;
	size_t len;
	u8 *bounce;
};
int pci_dma_copy(struct pci_dev *dev, const struct pci_copy *copy,
		 enum pci_copy_side *side) MUST_CHECK;

#endif
