/* SPDX-License-Identifier: MIT */
/*
 * BARs: memory that a program maps, and loads and stores that do not come through a mapping.
 *
 * A BAR is a memfd sealed against changes of its size: a program that holds it cannot pull pages
 * from under the device.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/device.h"
#include "device/pci_priv.h"

#define BAR_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int pci_bar_add(struct pci_dev *dev, unsigned bar, u32 len, const struct bar_range *ranges,
		unsigned nr_ranges)
{
	struct bar *b = &dev->bars[bar];
	void *host;
	int fd, rc;

	if (fault_hit(&dev->env->fault))
		return -ENOMEM;
	fd = memfd_create("ioasis-bar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	host = ftruncate(fd, len) ? MAP_FAILED
				  : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (host == MAP_FAILED || fcntl(fd, F_ADD_SEALS, BAR_SEALS)) {
		rc = -errno;
		if (host != MAP_FAILED)
			munmap(host, len);
		close(fd);
		return rc;
	}
	*b = (struct bar){
		.len = len,
		.memfd = fd,
		.host = host,
		.is_64bit = true,
		.ranges = ranges,
		.nr_ranges = nr_ranges,
	};
	return 0;
}

void pci_bars_free(struct pci_dev *dev)
{
	for (unsigned i = 0; i < PCI_NR_BARS; i++) {
		struct bar *b = &dev->bars[i];

		if (!b->len)
			continue;
		munmap(b->host, b->len);
		close(b->memfd);
		*b = (struct bar){.memfd = -1};
	}
}

enum bar_access pci_bar_access(const struct pci_dev *dev, unsigned bar, u32 off, u32 len)
{
	const struct bar *b = &dev->bars[bar];
	enum bar_access strictest = BAR_PLAIN;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		const struct bar_range *r = &b->ranges[i];

		if (off < r->start + r->len && r->start < off + len)
			strictest = max(strictest, r->access);
	}
	return strictest;
}

/* The longest naturally aligned access at @off within @len bytes. */
static unsigned step_at(u32 off, u32 len)
{
	for (unsigned n = 8; n > 1; n /= 2)
		if (len >= n && !(off % n))
			return n;
	return 1;
}

static bool in_bar(const struct pci_dev *dev, unsigned bar, u32 off, u32 len)
{
	return bar < PCI_NR_BARS && off < dev->bars[bar].len && len <= dev->bars[bar].len - off;
}

static bool is_msix_range(const struct pci_dev *dev, unsigned bar, u32 off)
{
	return dev->model->nr_vectors && bar == dev->msix_bar &&
	       (off - dev->msix_table < pci_msix_table_len(dev) ||
		off - dev->msix_pba < align_up(dev->model->nr_vectors, 64) / 8);
}

int pci_bar_read(struct pci_dev *dev, unsigned bar, u32 off, void *to, u32 len)
{
	u8 *out = to;

	if (!in_bar(dev, bar, off, len))
		return -EINVAL;
	while (len) {
		unsigned n = step_at(off, len);

		if (pci_bar_access(dev, bar, off, n) == BAR_PLAIN || is_msix_range(dev, bar, off)) {
			memcpy(out, dev->bars[bar].host + off, n);
		} else {
			u64 value = dev->model->bar_read(dev, bar, off, n);

			memcpy(out, &value, n);
		}
		off += n;
		out += n;
		len -= n;
	}
	return 0;
}

static void write_step(struct pci_dev *dev, unsigned bar, u32 off, u64 value, unsigned n)
{
	if (pci_bar_access(dev, bar, off, n) == BAR_PLAIN)
		memcpy(dev->bars[bar].host + off, &value, n);
	else if (!is_msix_range(dev, bar, off))
		dev->model->bar_write(dev, bar, off, value, n);
	else if (off - dev->msix_table < pci_msix_table_len(dev))
		pci_msix_table_write(dev, off - dev->msix_table, value, n);
	/* Pending bits are read-only. */
}

int pci_bar_write(struct pci_dev *dev, unsigned bar, u32 off, const void *from, u32 len)
{
	const u8 *in = from;

	if (!in_bar(dev, bar, off, len))
		return -EINVAL;
	while (len) {
		unsigned n = step_at(off, len);
		u64 value = 0;

		memcpy(&value, in, n);
		TRACE(dev->env, pci_bar_write, "%s bar%u+0x%x = 0x%llx (%u)", dev->idev.name, bar, off,
		      (unsigned long long)value, n);
		write_step(dev, bar, off, value, n);
		off += n;
		in += n;
		len -= n;
	}
	return 0;
}
