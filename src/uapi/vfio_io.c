/* SPDX-License-Identifier: MIT */
/*
 * Configuration space and BARs by pread and pwrite, BARs by mmap, trapped stores.
 *
 * Source: linux drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_config.c, vfio_pci_core.c.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "uapi/vfio.h"

#define MSIX_ENTRY_LEN 16u

/* One read or write on its way. */
struct vfio_io {
	struct vfio_file *v;
	struct caller *c;
	u64 uaddr;
	u32 bar;
	u32 off;
	size_t len;
	bool write;
};

static unsigned chunk_at(u32 off, size_t len, unsigned longest)
{
	for (unsigned n = longest; n > 1; n /= 2)
		if (len >= n && !(off % n))
			return n;
	return 1;
}

static ssize_t config_rw(struct vfio_io *io)
{
	size_t done = 0;

	if (io->off >= PCI_CONFIG_LEN || io->len > PCI_CONFIG_LEN - io->off)
		return -EFAULT;
	while (done < io->len) {
		unsigned n = chunk_at(io->off + done, io->len - done, 4);
		u32 v = 0;

		if (io->write) {
			if (io->c->ops->fetch(io->c, &v, io->uaddr + done, n))
				return -EFAULT;
			pci_config_write(io->v->dev, io->off + done, &v, n);
		} else {
			pci_config_read(io->v->dev, io->off + done, &v, n);
			if (io->c->ops->store(io->c, io->uaddr + done, &v, n))
				return -EFAULT;
		}
		done += n;
	}
	return (ssize_t)done;
}

/* Bytes from @off to where the MSI-X table begins or ends; *inside: they are the table's. */
static size_t to_msix_edge(const struct vfio_io *io, u32 off, size_t len, bool *inside)
{
	const struct pci_dev *dev = io->v->dev;
	u32 start = dev->msix_table, end = start + dev->model->nr_vectors * MSIX_ENTRY_LEN;

	*inside = false;
	if (!dev->model->nr_vectors || io->bar != dev->msix_bar || off >= end)
		return len;
	if (off < start)
		return min(len, (size_t)(start - off));
	*inside = true;
	return min(len, (size_t)(end - off));
}

/* The table is the kernel's: reads as ones, stores are dropped. */
static int msix_hidden(struct vfio_io *io, size_t done, size_t len)
{
	u8 ones[PCI_MAX_VECTORS * MSIX_ENTRY_LEN];

	if (io->write)
		return 0;
	memset(ones, 0xff, len);
	return io->c->ops->store(io->c, io->uaddr + done, ones, len);
}

static int bar_chunk(struct vfio_io *io, size_t done, unsigned n)
{
	u64 v = 0;
	int rc;

	if (io->write && io->c->ops->fetch(io->c, &v, io->uaddr + done, n))
		return -EFAULT;
	if (!pci_memory_enabled(io->v->dev))
		return -EIO;
	if (io->write)
		return pci_bar_write(io->v->dev, io->bar, io->off + done, &v, n);
	rc = pci_bar_read(io->v->dev, io->bar, io->off + done, &v, n);
	return rc ? rc : io->c->ops->store(io->c, io->uaddr + done, &v, n);
}

static ssize_t bar_rw(struct vfio_io *io)
{
	u32 bar_len = io->v->dev->bars[io->bar].len;
	size_t done = 0;

	if (io->off >= bar_len)
		return -EINVAL;
	io->len = min(io->len, (size_t)(bar_len - io->off));
	while (done < io->len) {
		bool inside;
		size_t n = to_msix_edge(io, io->off + done, io->len - done, &inside);
		int rc;

		if (inside) {
			rc = msix_hidden(io, done, n);
		} else {
			n = chunk_at(io->off + done, n, 8);
			rc = bar_chunk(io, done, (unsigned)n);
		}
		if (rc)
			return rc;
		done += n;
	}
	return (ssize_t)done;
}

static ssize_t region_rw(struct vfio_io *io, u64 pos)
{
	u64 index = pos >> VFIO_REGION_SHIFT, off = pos & VFIO_REGION_MASK;

	if (!atomic_load(&io->v->granted))
		return -EINVAL;
	if (!io->len)
		return 0;
	if (index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	io->bar = (u32)index;
	io->off = (u32)min(off, UINT32_MAX); /* past the end of every region either way */
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return config_rw(io);
	if (index <= VFIO_PCI_BAR5_REGION_INDEX)
		return bar_rw(io);
	return -EINVAL; /* no ROM, no VGA */
}

ssize_t vfio_pread(struct file *file, struct caller *c, u64 uaddr, size_t len, u64 pos)
{
	struct vfio_io io = {.v = to_vfio(file), .c = c, .uaddr = uaddr, .len = len};

	if ((io.v->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	return region_rw(&io, pos);
}

ssize_t vfio_pwrite(struct file *file, struct caller *c, u64 uaddr, size_t len, u64 pos)
{
	struct vfio_io io = {.v = to_vfio(file), .c = c, .uaddr = uaddr, .len = len, .write = true};

	if ((io.v->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return region_rw(&io, pos);
}

/* What the kernel asks of any shared mapping before the driver hears of it. */
static int check_open_mode(const struct vfio_file *v, const struct file_map *map)
{
	int mode = v->flags & O_ACCMODE;

	if (mode == O_WRONLY)
		return -EACCES;
	if (mode == O_RDONLY && (map->flags & MAP_SHARED) && (map->prot & PROT_WRITE))
		return -EACCES;
	return 0;
}

int vfio_mmap(struct file *file, struct caller *c, struct file_map *map)
{
	struct vfio_file *v = to_vfio(file);
	u64 index = map->offset >> VFIO_REGION_SHIFT, off = map->offset & VFIO_REGION_MASK;
	enum bar_access access;
	const struct bar *bar;
	int rc = check_open_mode(v, map);

	if (rc)
		return rc;
	if (!atomic_load(&v->granted) || index > VFIO_PCI_BAR5_REGION_INDEX ||
	    !(map->flags & MAP_SHARED))
		return -EINVAL;
	bar = &v->dev->bars[index];
	if (!bar->len || !map->len || off >= bar->len ||
	    map->len > align_up(bar->len, PAGE_SIZE) - off)
		return -EINVAL;
	access = pci_bar_access(v->dev, (unsigned)index, (u32)off, (u32)map->len);
	if (access == BAR_UNMAPPED)
		return -EINVAL;
	map->fd = bar->memfd;
	map->fd_offset = off;
	map->granted_prot = map->prot;
	map->trapped = access == BAR_TRAPPED; /* mprotect() may ask for stores later */
	if (access == BAR_TRAPPED)
		map->granted_prot &= ~PROT_WRITE;
	return 0;
}

int vfio_store_trap(struct file *file, u64 offset, u64 value, unsigned len)
{
	struct vfio_file *v = to_vfio(file);
	u64 index = offset >> VFIO_REGION_SHIFT, off = offset & VFIO_REGION_MASK;

	if (!atomic_load(&v->granted) || index > VFIO_PCI_BAR5_REGION_INDEX || off > UINT32_MAX ||
	    !len || len > sizeof(value))
		return -EINVAL;
	if (!pci_memory_enabled(v->dev))
		return -EIO;
	return pci_bar_write(v->dev, (unsigned)index, (u32)off, &value, len);
}
