/* SPDX-License-Identifier: MIT */
/*
 * What a VFIO device says of itself: GET_INFO, GET_REGION_INFO, GET_IRQ_INFO.
 *
 * Source: linux drivers/vfio/pci/vfio_pci_core.c, drivers/vfio/vfio_main.c (order of checks,
 * errnos).
 */
#include "uapi/vfio.h"

long vfio_get_info(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_device_info info = {0};
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);

	if (c->ops->fetch(c, &info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return c->ops->store(c, arg, &info, min((size_t)info.argsz, sizeof(info)));
}

/* Capabilities of a reply, laid out behind its fixed part. */
struct caps {
	u8 buf[512];
	u32 len;
	u32 last; /* offset of the last header */
};

/* Room for one more; NULL when there is none. */
static void *caps_add(struct caps *caps, u16 id, u32 len)
{
	struct vfio_info_cap_header *h = (void *)(caps->buf + caps->len);
	u32 aligned = (u32)align_up(len, 8), base = sizeof(struct vfio_region_info);

	if (aligned > sizeof(caps->buf) - caps->len)
		return NULL;
	if (caps->len)
		((struct vfio_info_cap_header *)(caps->buf + caps->last))->next = base + caps->len;
	*h = (struct vfio_info_cap_header){.id = id, .version = 1};
	caps->last = caps->len;
	caps->len += aligned;
	return h;
}

/* The ranges of a BAR that may be mapped are those between the unmapped ones. */
static void add_sparse_cap(const struct bar *bar, struct caps *caps)
{
	struct vfio_region_info_cap_sparse_mmap *cap;
	u32 at = 0, nr = 0, nr_max = bar->nr_ranges + 1;
	bool any = false;

	for (unsigned i = 0; i < bar->nr_ranges; i++)
		any |= bar->ranges[i].access == BAR_UNMAPPED;
	if (!any)
		return;
	cap = caps_add(caps, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
		       sizeof(*cap) + nr_max * sizeof(cap->areas[0]));
	if (!cap)
		return;
	for (unsigned i = 0; i <= bar->nr_ranges; i++) {
		bool end = i == bar->nr_ranges;
		u32 stop = end ? bar->len : bar->ranges[i].start;

		if (!end && bar->ranges[i].access != BAR_UNMAPPED)
			continue;
		if (stop > at)
			cap->areas[nr++] = (struct vfio_region_sparse_mmap_area){at, stop - at};
		at = end ? stop : stop + bar->ranges[i].len;
	}
	cap->nr_areas = nr;
	caps->len -= (nr_max - nr) * (u32)sizeof(cap->areas[0]);
}

static void describe_bar(const struct pci_dev *dev, struct vfio_region_info *info,
			 struct caps *caps)
{
	const struct bar *bar = &dev->bars[info->index];

	info->size = bar->len;
	info->flags = 0;
	if (!bar->len)
		return;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		      VFIO_REGION_INFO_FLAG_MMAP;
	add_sparse_cap(bar, caps);
	if (dev->model->nr_vectors && info->index == dev->msix_bar)
		caps_add(caps, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
			 sizeof(struct vfio_info_cap_header));
}

static int describe_region(const struct pci_dev *dev, struct vfio_region_info *info,
			   struct caps *caps)
{
	if (info->index >= VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info->offset = vfio_region_offset(info->index);
	if (info->index <= VFIO_PCI_BAR5_REGION_INDEX) {
		describe_bar(dev, info, caps);
	} else if (info->index == VFIO_PCI_ROM_REGION_INDEX) {
		info->size = 0;
		info->flags = 0;
	} else {
		info->size = PCI_CONFIG_LEN;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	}
	return 0;
}

long vfio_get_region_info(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_region_info info = {0};
	struct caps caps = {.len = 0};
	int rc;

	if (c->ops->fetch(c, &info, arg, sizeof(info)))
		return -EFAULT;
	if (info.argsz < sizeof(info))
		return -EINVAL;
	rc = describe_region(v->dev, &info, &caps);
	if (rc)
		return rc;
	if (caps.len) {
		info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		if (info.argsz < sizeof(info) + caps.len) {
			info.argsz = (u32)sizeof(info) + caps.len;
			info.cap_offset = 0;
		} else {
			if (c->ops->store(c, arg + sizeof(info), caps.buf, caps.len))
				return -EFAULT;
			info.cap_offset = sizeof(info);
		}
	}
	return c->ops->store(c, arg, &info, sizeof(info));
}

u32 vfio_irq_count(const struct vfio_file *v, u32 index)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return v->dev->model->nr_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX: /* every function of ours is PCI Express */
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0; /* INTx: the interrupt pin register is 0; MSI: no capability */
	}
}

long vfio_get_irq_info(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_irq_info info;

	if (c->ops->fetch(c, &info, arg, sizeof(info)))
		return -EFAULT;
	if (info.argsz < sizeof(info) || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	info.count = vfio_irq_count(v, info.index);
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info.index != VFIO_PCI_MSIX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_NORESIZE;
	return c->ops->store(c, arg, &info, sizeof(info));
}
