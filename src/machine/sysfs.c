/* SPDX-License-Identifier: MIT */
/*
 * The machine's /sys, as a VFIO program reads it: real files and relative links below a directory.
 *
 * Written once, when the machine is made: what is in it does not change while it runs.
 * Source: Linux Documentation/ABI/testing/sysfs-bus-pci, sysfs-kernel-iommu_groups, sysfs-class-iommu,
 * sysfs-class-vfio-dev (behaviour and spelling of the attributes).
 */
#include "machine/spec.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_BRIDGE "devices/pci0000:00"
#define NR_RESOURCES 13u /* six BARs, the ROM, and what bridges and SR-IOV would have */

/* linux/ioport.h */
#define RES_MEM	     0x00000200ull
#define RES_SIZEALIGN 0x00040000ull
#define RES_MEM_64   0x00100000ull

/* The first error ends the writing: later calls do nothing. */
struct tree {
	int dirfd;
	int rc;
};

static void make_parents(struct tree *t, const char *path)
{
	char part[PATH_MAX];
	const char *slash;

	for (slash = strchr(path, '/'); slash && !t->rc; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(t->dirfd, part, 0755) && errno != EEXIST)
			t->rc = -errno;
	}
}

static void put_bytes(struct tree *t, const char *path, mode_t mode, const void *bytes, size_t len)
{
	int fd;

	make_parents(t, path);
	if (t->rc)
		return;
	fd = openat(t->dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		t->rc = -errno;
		return;
	}
	if (write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode))
		t->rc = -EIO;
	close(fd);
}

/* An attribute of @dir: one line. */
static void PRINTF_LIKE(4, 5)
	put(struct tree *t, const char *dir, const char *name, const char *fmt, ...)
{
	char path[PATH_MAX], text[1024];
	va_list args;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put_bytes(t, path, 0444, text, strlen(text));
}

/* A link @path to @target, both from the top: it is written relative, as sysfs's are. */
static void PRINTF_LIKE(3, 4)
	put_link(struct tree *t, const char *target, const char *fmt, ...)
{
	char path[256], relative[PATH_MAX] = "";
	const char *slash;
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	make_parents(t, path);
	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
		strncat(relative, "../", sizeof(relative) - strlen(relative) - 1);
	strncat(relative, target, sizeof(relative) - strlen(relative) - 1);
	if (!t->rc && symlinkat(relative, t->dirfd, path) && errno != EEXIST)
		t->rc = -errno;
}

static void put_resource(struct tree *t, const char *dir, const struct pci_dev *dev)
{
	char text[NR_RESOURCES * 64];
	size_t len = 0;
	unsigned i;

	for (i = 0; i < NR_RESOURCES; i++) {
		u64 start = 0, last = 0, flags = 0;

		if (i < PCI_NR_BARS && dev->bars[i].len) {
			start = pci_bar_address(dev, i);
			last = start + dev->bars[i].len - 1;
			flags = RES_MEM | RES_SIZEALIGN;
			if (dev->bars[i].is_64bit)
				flags |= RES_MEM_64 | 4; /* the BAR's own low bits */
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n", start,
					last, flags);
	}
	put(t, dir, "resource", "%s", text);
}

static void put_identity(struct tree *t, const char *dir, const struct pci_dev *dev)
{
	const struct device_model *m = dev->model;
	char modalias[128];

	snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", m->vendor,
		 m->device, m->subvendor, m->subdevice, m->class_code >> 16 & 0xff,
		 m->class_code >> 8 & 0xff, m->class_code & 0xff);
	put(t, dir, "vendor", "0x%04x\n", m->vendor);
	put(t, dir, "device", "0x%04x\n", m->device);
	put(t, dir, "subsystem_vendor", "0x%04x\n", m->subvendor);
	put(t, dir, "subsystem_device", "0x%04x\n", m->subdevice);
	put(t, dir, "class", "0x%06x\n", m->class_code);
	put(t, dir, "revision", "0x%02x\n", m->revision);
	put(t, dir, "irq", "0\n");
	put(t, dir, "enable", "1\n");
	put(t, dir, "numa_node", "-1\n");
	put(t, dir, "driver_override", "vfio-pci\n");
	put(t, dir, "modalias", "%s\n", modalias);
	put(t, dir, "uevent",
	    "DRIVER=vfio-pci\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
	    "PCI_SLOT_NAME=%s\nMODALIAS=%s\n",
	    m->class_code, m->vendor, m->device, m->subvendor, m->subdevice, dev->idev.name, modalias);
}

/* A file of which only the size is real: registers are reached through VFIO. */
static void put_bar(struct tree *t, const char *dir, unsigned bar, u64 len)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/resource%u", dir, bar);
	put_bytes(t, path, 0600, "", 0);
	if (t->rc)
		return;
	fd = openat(t->dirfd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || ftruncate(fd, (off_t)len))
		t->rc = -errno;
	if (fd >= 0)
		close(fd);
}

/* Near every processor there is: as "f,ffffffff" and "0-35". */
static void put_cpus(struct tree *t, const char *dir)
{
	long nr = max(sysconf(_SC_NPROCESSORS_CONF), 1L), word;
	char mask[512] = "";
	size_t n = 0;

	for (word = (nr - 1) / 32; word >= 0 && n < sizeof(mask) - 16; word--) {
		long bits = min(nr - word * 32, 32L);

		n += (size_t)snprintf(mask + n, sizeof(mask) - n, n ? ",%08x" : "%x",
				      bits == 32 ? UINT32_MAX : (1u << bits) - 1);
	}
	put(t, dir, "local_cpus", "%s\n", mask);
	put(t, dir, "local_cpulist", "0-%ld\n", nr - 1);
}

/* What programs ask beyond who the function is. */
static void put_link_state(struct tree *t, const char *dir, const struct pci_dev *dev)
{
	unsigned i;

	put(t, dir, "dma_mask_bits", "64\n");
	put(t, dir, "consistent_dma_mask_bits", "64\n");
	put(t, dir, "current_link_speed", "8.0 GT/s PCIe\n");
	put(t, dir, "current_link_width", "16\n");
	put(t, dir, "max_link_speed", "8.0 GT/s PCIe\n");
	put(t, dir, "max_link_width", "16\n");
	put(t, dir, "reset_method", "flr\n");
	put_cpus(t, dir);
	for (i = 0; i < PCI_NR_BARS; i++)
		if (dev->bars[i].len)
			put_bar(t, dir, i, dev->bars[i].len);
}

static void put_vfio(struct tree *t, const char *dir, const struct pci_dev *dev)
{
	char vfio[160];

	snprintf(vfio, sizeof(vfio), "%s/vfio-dev/vfio%u", dir, dev->index);
	put(t, vfio, "dev", "%u:%u\n", VFIO_DEV_MAJOR, dev->index);
	put(t, vfio, "uevent", "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/devices/vfio%u\n",
	    VFIO_DEV_MAJOR, dev->index, dev->index);
	put_link(t, dir, "%s/device", vfio);
	put_link(t, "class/vfio-dev", "%s/subsystem", vfio);
	put_link(t, vfio, "class/vfio-dev/vfio%u", dev->index);
	put_link(t, vfio, "dev/char/%u:%u", VFIO_DEV_MAJOR, dev->index);
}

static void put_reserved(struct tree *t, const char *group, const struct iommu_dev *idev)
{
	struct resv_region r[8];
	char text[ARRAY_SIZE(r) * 64] = "";
	size_t len = 0;
	unsigned i, nr = 0;

	if (idev->iommu->ops->resv_regions)
		nr = idev->iommu->ops->resv_regions(idev, r, ARRAY_SIZE(r));
	for (i = 0; i < min(nr, (unsigned)ARRAY_SIZE(r)); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"0x%016" PRIx64 " 0x%016" PRIx64 " %s\n", r[i].range.start,
					r[i].range.last,
					r[i].msi ? "msi" :
					r[i].relaxable ? "direct-relaxable" : "reserved");
	put(t, group, "reserved_regions", "%s", text);
}

/* One group per device: each has a requester id of its own and nothing to reach its neighbours by. */
static void put_group(struct tree *t, const char *dir, const struct pci_dev *dev)
{
	char group[64];

	snprintf(group, sizeof(group), "kernel/iommu_groups/%u", dev->index);
	put(t, group, "type", "DMA\n");
	put_reserved(t, group, &dev->idev);
	put_link(t, dir, "%s/devices/%s", group, dev->idev.name);
	put_link(t, group, "%s/iommu_group", dir);
}

static void put_dev(struct tree *t, struct pci_dev *dev)
{
	u8 config[PCI_CONFIG_LEN];
	char dir[96], path[128], iommu[64];

	snprintf(dir, sizeof(dir), HOST_BRIDGE "/%s", dev->idev.name);
	snprintf(iommu, sizeof(iommu), "devices/virtual/iommu/%s", dev->idev.iommu->name);
	put_identity(t, dir, dev);
	put_resource(t, dir, dev);
	put_link_state(t, dir, dev);
	pci_config_read(dev, 0, config, sizeof(config));
	snprintf(path, sizeof(path), "%s/config", dir);
	put_bytes(t, path, 0644, config, sizeof(config));
	put_vfio(t, dir, dev);
	put_group(t, dir, dev);
	put_link(t, "bus/pci", "%s/subsystem", dir);
	put_link(t, "bus/pci/drivers/vfio-pci", "%s/driver", dir);
	put_link(t, iommu, "%s/iommu", dir);
	put_link(t, dir, "%s/devices/%s", iommu, dev->idev.name);
	put_link(t, dir, "bus/pci/devices/%s", dev->idev.name);
	put_link(t, dir, "bus/pci/drivers/vfio-pci/%s", dev->idev.name);
}

/* Where the registers of the first VT-d seem to be, the others behind. */
#define VTD_REGS_BASE 0xfed90000ull

static void put_vtd(struct tree *t, const struct iommu *iommu, unsigned idx)
{
	struct hw_iommu *hw = iommu->hw;
	u64 cap = hw->ops->reg_read(hw, VTD_CAP, 8), ver = hw->ops->reg_read(hw, VTD_VER, 4);
	char dir[80];

	snprintf(dir, sizeof(dir), "devices/virtual/iommu/%s/intel-iommu", iommu->name);
	put(t, dir, "address", "%" PRIx64 "\n", (u64)(VTD_REGS_BASE + idx * VTD_REGS_LEN));
	put(t, dir, "cap", "%" PRIx64 "\n", cap);
	put(t, dir, "ecap", "%" PRIx64 "\n", hw->ops->reg_read(hw, VTD_ECAP, 8));
	put(t, dir, "version", "%u:%u\n", (unsigned)(ver >> 4 & 15), (unsigned)(ver & 15));
	put(t, dir, "domains_supported", "%u\n", 1u << (4 + 2 * (cap & 7)));
}

static void put_iommu(struct tree *t, const struct iommu *iommu, unsigned idx)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "devices/virtual/iommu/%s", iommu->name);
	put(t, dir, "uevent", "%s", "");
	put_link(t, "class/iommu", "%s/subsystem", dir);
	put_link(t, dir, "class/iommu/%s", iommu->name);
	if (!strcmp(iommu->ops->name, "vtd"))
		put_vtd(t, iommu, idx);
}

int machine_sysfs_write(struct ioasis *ioasis, int dirfd)
{
	/* Directories that are there though nothing is in them. */
	static const char *const always[] = {
		"bus/pci/devices/", "bus/pci/drivers/vfio-pci/", "class/iommu/", "class/vfio-dev/",
		"kernel/iommu_groups/",	 "module/vfio/parameters/",	 "module/vfio_pci/",
		"module/iommufd/",
	};
	struct tree t = {.dirfd = dirfd};
	struct list *pos;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(always); i++)
		make_parents(&t, always[i]);
	put(&t, "module/vfio/parameters", "enable_unsafe_noiommu_mode", "N\n");
	for (i = 0; i < ioasis->nr_iommus; i++)
		put_iommu(&t, ioasis->iommus[i], i);
	list_for_each(pos, &ioasis->pci_devs)
		put_dev(&t, list_entry(pos, struct pci_dev, node));
	return t.rc;
}
