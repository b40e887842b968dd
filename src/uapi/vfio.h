/* SPDX-License-Identifier: MIT */
/*
 * VFIO device files inside the room: an open /dev/vfio/devices/vfioN.
 *
 * Files: vfio_cdev.c (open, bind, attach, dispatch), vfio_info.c (what the device is), vfio_irqs.c
 * (SET_IRQS), vfio_io.c (configuration space and BARs: read, write, mmap, trapped stores).
 */
#ifndef IOASIS_SRC_UAPI_VFIO_H
#define IOASIS_SRC_UAPI_VFIO_H

#include <linux/vfio.h>

#include "uapi/uapi.h"

/* A region's place in the file: its index above these bits. */
#define VFIO_REGION_SHIFT 40
#define VFIO_REGION_MASK  ((1ull << VFIO_REGION_SHIFT) - 1)

struct vfio_file {
	struct file file;
	struct pci_dev *dev;
	int flags;	      /* of open() */
	_Atomic bool granted; /* bound: everything else works */
	struct lock lock;     /* VFIO: all below */
	struct bound_dev *bound;
	struct ioasis_ctx *ctx; /* a reference */
	_Atomic bool attached; /* changed under lock; read by who only shows it */
	struct itree pasids; /* of struct vfio_pasid: attached by ATTACH_PASID */
	u32 irq_type;	     /* VFIO_PCI_*_IRQ_INDEX in use; VFIO_PCI_NUM_IRQS: none */
};

static inline struct vfio_file *to_vfio(struct file *file)
{
	return container_of(file, struct vfio_file, file);
}

static inline u64 vfio_region_offset(u32 index)
{
	return (u64)index << VFIO_REGION_SHIFT;
}

long vfio_get_info(struct vfio_file *v, struct caller *c, u64 arg);
long vfio_get_region_info(struct vfio_file *v, struct caller *c, u64 arg);
long vfio_get_irq_info(struct vfio_file *v, struct caller *c, u64 arg);
/* How many interrupts an index has. */
u32 vfio_irq_count(const struct vfio_file *v, u32 index);
long vfio_set_irqs(struct vfio_file *v, struct caller *c, u64 arg);

ssize_t vfio_pread(struct file *file, struct caller *c, u64 uaddr, size_t len, u64 pos);
ssize_t vfio_pwrite(struct file *file, struct caller *c, u64 uaddr, size_t len, u64 pos);
int vfio_mmap(struct file *file, struct caller *c, struct file_map *map);
int vfio_store_trap(struct file *file, u64 offset, u64 value, unsigned len);

#endif
