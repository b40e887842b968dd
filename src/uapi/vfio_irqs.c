/* SPDX-License-Identifier: MIT */
/*
 * VFIO_DEVICE_SET_IRQS.
 *
 * The program's data and descriptors are fetched before the file's lock is taken; a descriptor that
 * is bad becomes an error at the place in the order where Linux would have looked at it.
 *
 * Source: linux drivers/vfio/vfio_main.c (vfio_set_irqs_validate_and_prepare),
 * drivers/vfio/pci/vfio_pci_intrs.c.
 */
#include <unistd.h>

#include "uapi/vfio.h"

/* One entry of data[]: for DATA_EVENTFD a descriptor of ours, -1, or an errno to give. */
struct irq_data {
	int fds[PCI_MAX_VECTORS];
	u8 bools[PCI_MAX_VECTORS];
};

#define NO_FD (-1) /* errnos of descriptors start below: EPERM is none of them */

static int check_header(const struct vfio_file *v, const struct vfio_irq_set *hdr, size_t *data_len)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count), each;
	u32 nr = vfio_irq_count(v, hdr->index);

	if (hdr->argsz < minsz || hdr->index >= VFIO_PCI_NUM_IRQS ||
	    hdr->count >= UINT32_MAX - hdr->start ||
	    hdr->flags & ~(u32)(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	if (hdr->start >= nr || hdr->start + hdr->count > nr)
		return -EINVAL;
	switch (hdr->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		each = 0;
		break;
	case VFIO_IRQ_SET_DATA_BOOL:
		each = sizeof(u8);
		break;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		each = sizeof(s32);
		break;
	default:
		return -EINVAL;
	}
	if (hdr->argsz - minsz < hdr->count * each)
		return -EINVAL;
	*data_len = hdr->count * each;
	return 0;
}

static bool is_eventfd(int fd)
{
	char path[32], name[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	return n == 20 && !memcmp(name, "anon_inode:[eventfd]", 20);
}

/* A descriptor of the program's as ours. Return: a fd; NO_FD; -EBADF; -EINVAL not an eventfd. */
static int import_eventfd(struct caller *c, int theirs)
{
	struct file *ours;
	int fd;

	if (theirs < 0)
		return NO_FD;
	fd = c->ops->fd_dup(c, theirs);
	if (fd < 0) {
		if (c->ops->file_get(c, theirs, &ours))
			return -EBADF;
		file_put(ours);
		return -EINVAL;
	}
	if (is_eventfd(fd))
		return fd;
	close(fd);
	return -EINVAL;
}

static int fetch_data(struct caller *c, const struct vfio_irq_set *hdr, u64 uaddr,
		      struct irq_data *data)
{
	s32 theirs[PCI_MAX_VECTORS];

	memset(data->fds, 0xff, sizeof(data->fds)); /* NO_FD */
	if (hdr->flags & VFIO_IRQ_SET_DATA_BOOL)
		return c->ops->fetch(c, data->bools, uaddr, hdr->count);
	if (!(hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return 0;
	if (c->ops->fetch(c, theirs, uaddr, hdr->count * sizeof(theirs[0])))
		return -EFAULT;
	for (u32 i = 0; i < hdr->count; i++) {
		data->fds[i] = import_eventfd(c, theirs[i]);
		/* err and req tell -1, which takes the trigger away, from other negative numbers.
		 */
		if (theirs[i] < -1 && hdr->index != VFIO_PCI_MSIX_IRQ_INDEX)
			data->fds[i] = -EINVAL;
	}
	return 0;
}

static int take_fd(struct irq_data *data, u32 i)
{
	int fd = data->fds[i];

	data->fds[i] = NO_FD;
	return fd;
}

static int set_msix_fds(struct vfio_file *v, const struct vfio_irq_set *hdr, struct irq_data *data)
{
	for (u32 i = 0; i < hdr->count; i++) {
		int fd = take_fd(data, i);

		if (fd < NO_FD) {
			for (u32 j = 0; j <= i; j++)
				pci_msix_set(v->dev, hdr->start + j, -1);
			return fd;
		}
		pci_msix_set(v->dev, hdr->start + i, fd);
	}
	return 0;
}

static int set_msix(struct vfio_file *v, const struct vfio_irq_set *hdr, struct irq_data *data)
{
	bool on = v->irq_type == VFIO_PCI_MSIX_IRQ_INDEX;
	int rc;

	if (on && !hdr->count && (hdr->flags & VFIO_IRQ_SET_DATA_NONE)) {
		pci_msix_disable(v->dev);
		v->irq_type = VFIO_PCI_NUM_IRQS;
		return 0;
	}
	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (!on && hdr->start + hdr->count == 0)
			return -ERANGE; /* no vectors to allocate */
		rc = set_msix_fds(v, hdr, data);
		if (rc && !on)
			pci_msix_disable(v->dev);
		else if (!on)
			v->irq_type = VFIO_PCI_MSIX_IRQ_INDEX;
		return rc;
	}
	if (!on)
		return -EINVAL;
	for (u32 i = 0; i < hdr->count; i++)
		if (!(hdr->flags & VFIO_IRQ_SET_DATA_BOOL) || data->bools[i])
			pci_line_test(v->dev, &v->dev->msix[hdr->start + i]);
	return 0;
}

static int set_single(struct vfio_file *v, struct irq_line *line, const struct vfio_irq_set *hdr,
		      struct irq_data *data)
{
	if (hdr->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (line->eventfd < 0)
			return -EINVAL;
		if (hdr->count)
			pci_line_test(v->dev, line);
		else
			pci_line_set(v->dev, line, -1);
		return 0;
	}
	if (!hdr->count)
		return -EINVAL;
	if (hdr->flags & VFIO_IRQ_SET_DATA_BOOL) {
		if (data->bools[0])
			pci_line_test(v->dev, line);
		return 0;
	}
	if (data->fds[0] < NO_FD)
		return data->fds[0];
	pci_line_set(v->dev, line, take_fd(data, 0));
	return 0;
}

static int set_irqs(struct vfio_file *v, const struct vfio_irq_set *hdr, struct irq_data *data)
{
	if ((hdr->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY; /* only INTx can be masked, and there is none */
	switch (hdr->index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return set_msix(v, hdr, data);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return set_single(v, &v->dev->err, hdr, data);
	case VFIO_PCI_REQ_IRQ_INDEX:
		return set_single(v, &v->dev->req, hdr, data);
	default:
		return -ENOTTY;
	}
}

long vfio_set_irqs(struct vfio_file *v, struct caller *c, u64 arg)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count), data_len;
	struct vfio_irq_set hdr;
	struct irq_data data;
	int rc;

	if (c->ops->fetch(c, &hdr, arg, minsz))
		return -EFAULT;
	rc = check_header(v, &hdr, &data_len);
	if (rc)
		return rc;
	rc = fetch_data(c, &hdr, arg + minsz, &data);
	if (rc)
		return rc;
	lock_take(&v->lock);
	rc = set_irqs(v, &hdr, &data);
	lock_drop(&v->lock);
	for (u32 i = 0; i < hdr.count; i++)
		if (data.fds[i] >= 0)
			close(data.fds[i]);
	return rc;
}
