/* SPDX-License-Identifier: MIT */
/*
 * A user-space driver for Intel's QuickData DMA engine (8086:2021), on VFIO and iommufd alone.
 *
 * It has the device copy a file through two buffers, once watching memory for completions and once
 * sleeping until the device interrupts, and compares SHA-256 of both sides. Then it has the device
 * reach for memory that it must not touch, and shows that the IOMMU stopped it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Registers: offsets in BAR 0. */
enum {
	XFERCAP = 0x01,
	INTRCTRL = 0x03,
	CBVER = 0x08,
	CHANCTRL = 0x80,
	CHANCMD = 0x84,
	DMACOUNT = 0x86,
	CHAINADDR = 0x90,
	CHANCMP = 0x98,
	CHANERR = 0xa8,
};
#define INTRCTRL_MSIX 0x09 /* master enable, a vector per channel */
#define CHANCTRL_RUN  0x1d /* rearm, error completion, error abort, error interrupt */
#define CHANCMD_RESET 0x20
#define STATUS_MASK   7u
#define STATUS_HALTED 3u
#define ERR_SRC_ADDR  0x1u
#define ERR_DST_ADDR  0x2u
#define DESC_INT      0x1u
#define DESC_COMPLETE 0x8u

struct desc {
	uint32_t size, ctl;
	uint64_t src, dst, next, unused[4];
};

#define PAGE	   4096u
#define WINDOW	   (2u << 20) /* two of them fit an 8 MiB RLIMIT_MEMLOCK */
#define NR_DESCS   (PAGE / sizeof(struct desc))
#define TIMEOUT_MS 10000

struct buffer {
	uint8_t *va;
	uint64_t iova;
	size_t len;
};

struct device {
	char bdf[32];
	int fd, iommufd;
	uint32_t ioas;
	uint64_t config; /* where configuration space is in the file */
	volatile uint8_t *regs;
	size_t regs_len;
	struct buffer ring; /* a page of descriptors, a page for completions */
	uint16_t count;	    /* descriptors ever submitted since the last reset */
	uint32_t longest;   /* transfer */
	int interrupt;	    /* eventfd, or -1: poll */
	int memory;	    /* MAP_SHARED or MAP_PRIVATE */
	bool hold;	    /* at the end, until standard input ends */
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	int err = errno;
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "dma_copy: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, err ? ": %s\n" : "\n", strerror(err));
	va_end(args);
	exit(1);
}

static void call(int fd, unsigned long cmd, void *arg, const char *name)
{
	if (ioctl(fd, cmd, arg))
		die("%s", name);
}

/* ---- finding and opening the device ---- */

static bool read_text(const char *bdf, const char *attr, char *text, size_t len)
{
	char path[512];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, attr);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(text, (int)len, f);
	fclose(f);
	return ok;
}

static bool is_engine(const char *bdf)
{
	char vendor[16], device[16];

	return read_text(bdf, "vendor", vendor, sizeof(vendor)) &&
	       read_text(bdf, "device", device, sizeof(device)) &&
	       strtoul(vendor, NULL, 16) == 0x8086 && strtoul(device, NULL, 16) == 0x2021;
}

/* The first entry of a directory that begins with @prefix and, if asked, is an engine. */
static bool find_entry(const char *dir, const char *prefix, bool engine, char *out, size_t len)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) ||
		    strlen(e->d_name) >= len || (engine && !is_engine(e->d_name)))
			continue;
		strcpy(out, e->d_name);
		found = true;
	}
	if (d)
		closedir(d);
	return found;
}

static void open_device(struct device *dev)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	char dir[128], node[32], path[64];

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s/vfio-dev", dev->bdf);
	errno = 0;
	if (!find_entry(dir, "vfio", false, node, sizeof(node)))
		die("%s has no vfio-dev: it is not bound to vfio-pci", dev->bdf);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", node);
	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		die("%s", path);
	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		die("/dev/iommu");
	bind.iommufd = dev->iommufd;
	call(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind, "VFIO_DEVICE_BIND_IOMMUFD");
	call(dev->iommufd, IOMMU_IOAS_ALLOC, &alloc, "IOMMU_IOAS_ALLOC");
	dev->ioas = alloc.out_ioas_id;
	attach.pt_id = dev->ioas;
	call(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	printf("device     %s on %s, id %u, address space %u, page table %u\n", dev->bdf, path,
	       bind.out_devid, alloc.out_ioas_id, attach.pt_id);
}

static struct vfio_region_info region(struct device *dev, uint32_t index)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

	call(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info, "VFIO_DEVICE_GET_REGION_INFO");
	return info;
}

static void map_registers(struct device *dev)
{
	struct vfio_region_info bar = region(dev, VFIO_PCI_BAR0_REGION_INDEX);
	void *p = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
		       (off_t)bar.offset);

	if (p == MAP_FAILED)
		die("mmap of BAR 0");
	dev->regs = p;
	dev->regs_len = bar.size;
	dev->config = region(dev, VFIO_PCI_CONFIG_REGION_INDEX).offset;
	dev->longest = 1u << (dev->regs[XFERCAP] & 0x1f);
	printf("registers  %llu bytes, QuickData %u.%u, at most %u KiB per descriptor\n",
	       (unsigned long long)bar.size, dev->regs[CBVER] >> 4, dev->regs[CBVER] & 15,
	       dev->longest >> 10);
}

/* The device first: while it is attached, its address space cannot be destroyed. */
static void close_device(struct device *dev)
{
	struct iommu_destroy destroy = {.size = sizeof(destroy), .id = dev->ioas};

	munmap((void *)dev->regs, dev->regs_len);
	close(dev->fd);
	call(dev->iommufd, IOMMU_DESTROY, &destroy, "IOMMU_DESTROY");
	close(dev->iommufd);
}

static void enable_bus_master(struct device *dev)
{
	uint16_t command;

	if (pread(dev->fd, &command, 2, (off_t)dev->config + 4) != 2)
		die("reading configuration space");
	command |= 0x6; /* memory, bus master */
	if (pwrite(dev->fd, &command, 2, (off_t)dev->config + 4) != 2)
		die("writing configuration space");
}

/* ---- memory ---- */

static void map(struct device *dev, struct buffer *b, bool writable)
{
	struct iommu_ioas_map m = {
		.size = sizeof(m),
		.flags = IOMMU_IOAS_MAP_READABLE | (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = dev->ioas,
		.user_va = (uintptr_t)b->va,
		.length = b->len,
	};

	call(dev->iommufd, IOMMU_IOAS_MAP, &m, "IOMMU_IOAS_MAP");
	b->iova = m.iova;
}

static void unmap(struct device *dev, struct buffer *b)
{
	struct iommu_ioas_unmap u = {
		.size = sizeof(u),
		.ioas_id = dev->ioas,
		.iova = b->iova,
		.length = b->len,
	};

	call(dev->iommufd, IOMMU_IOAS_UNMAP, &u, "IOMMU_IOAS_UNMAP");
}

static struct buffer new_buffer(struct device *dev, size_t len)
{
	struct buffer b = {.len = len};

	b.va = mmap(NULL, len, PROT_READ | PROT_WRITE, dev->memory | MAP_ANONYMOUS, -1, 0);
	if (b.va == MAP_FAILED)
		die("memory");
	return b;
}

/* ---- the channel ---- */

static void put8(struct device *dev, unsigned off, uint8_t v)
{
	dev->regs[off] = v;
}

static void put16(struct device *dev, unsigned off, uint16_t v)
{
	*(volatile uint16_t *)(dev->regs + off) = v;
}

static void put64(struct device *dev, unsigned off, uint64_t v)
{
	*(volatile uint32_t *)(dev->regs + off) = (uint32_t)v;
	*(volatile uint32_t *)(dev->regs + off + 4) = (uint32_t)(v >> 32);
}

static volatile uint64_t *completion(struct device *dev)
{
	return (volatile uint64_t *)(dev->ring.va + PAGE);
}

static struct desc *descs(struct device *dev)
{
	return (struct desc *)dev->ring.va;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void reset_channel(struct device *dev)
{
	uint64_t start = now_ns();

	put8(dev, CHANCMD, CHANCMD_RESET);
	while (dev->regs[CHANCMD] & CHANCMD_RESET)
		if (now_ns() - start > TIMEOUT_MS * 1000000ull) {
			errno = 0;
			die("the channel does not come out of reset");
		}
	for (unsigned i = 0; i < NR_DESCS; i++)
		descs(dev)[i].next = dev->ring.iova + (i + 1) % NR_DESCS * sizeof(struct desc);
	*completion(dev) = 0;
	dev->count = 0;
	put16(dev, CHANCTRL, CHANCTRL_RUN);
	put64(dev, CHANCMP, dev->ring.iova + PAGE);
	put64(dev, CHAINADDR, dev->ring.iova);
}

/* Sleep until the device interrupts, and let it do so again. */
static void sleep_for_interrupt(struct device *dev)
{
	struct pollfd p = {.fd = dev->interrupt, .events = POLLIN};
	uint64_t n;

	errno = 0;
	if (poll(&p, 1, TIMEOUT_MS) != 1)
		die("no interrupt");
	if (read(dev->interrupt, &n, sizeof(n)) != sizeof(n))
		die("eventfd");
	put16(dev, CHANCTRL, CHANCTRL_RUN);
}

/* Until the last descriptor submitted is completed. Return: CHANERR, 0 when all went well. */
static uint32_t wait_done(struct device *dev)
{
	uint64_t last =
		dev->ring.iova + (uint16_t)(dev->count - 1) % NR_DESCS * sizeof(struct desc);
	uint64_t start = now_ns(), v;

	for (;;) {
		v = __atomic_load_n(completion(dev), __ATOMIC_ACQUIRE);
		if ((v & STATUS_MASK) == STATUS_HALTED)
			return *(volatile uint32_t *)(dev->regs + CHANERR);
		if ((v & ~0x3full) == last)
			return 0;
		if (dev->interrupt >= 0)
			sleep_for_interrupt(dev);
		else if (now_ns() - start > TIMEOUT_MS * 1000000ull)
			break;
	}
	errno = 0;
	die("no completion within %d s", TIMEOUT_MS / 1000);
}

/* Have the device copy @len bytes from one address of its own to another. Return: CHANERR. */
static uint32_t copy(struct device *dev, uint64_t src, uint64_t dst, uint32_t len)
{
	for (uint32_t n; len; src += n, dst += n, len -= n, dev->count++) {
		struct desc *d = &descs(dev)[dev->count % NR_DESCS];

		n = len < dev->longest ? len : dev->longest;
		d->size = n;
		d->src = src;
		d->dst = dst;
		d->ctl = n == len ? DESC_COMPLETE | (dev->interrupt >= 0 ? DESC_INT : 0) : 0;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	put16(dev, DMACOUNT, dev->count);
	return wait_done(dev);
}

/* ---- the two halves of the demonstration ---- */

static void hash_file(int fd, uint8_t out[32])
{
	EVP_MD_CTX *h = EVP_MD_CTX_new();
	uint8_t buf[65536];
	off_t at = 0;
	ssize_t n;

	EVP_DigestInit_ex(h, EVP_sha256(), NULL);
	for (; (n = pread(fd, buf, sizeof(buf), at)) > 0; at += n)
		EVP_DigestUpdate(h, buf, (size_t)n);
	if (n < 0)
		die("reading the file");
	EVP_DigestFinal_ex(h, out, NULL);
	EVP_MD_CTX_free(h);
}

static void print_hash(const char *what, const uint8_t hash[32])
{
	printf("  %-9s", what);
	for (int i = 0; i < 32; i++)
		printf("%02x", hash[i]);
	printf("\n");
}

/* Copy the whole file window by window. Return: whether what arrived is what was sent. */
static bool copy_file(struct device *dev, int fd, struct buffer *src, struct buffer *dst)
{
	EVP_MD_CTX *h = EVP_MD_CTX_new();
	uint8_t want[32], got[32];
	uint64_t total = 0, ns = 0, start;
	uint32_t err = 0;
	ssize_t n;

	EVP_DigestInit_ex(h, EVP_sha256(), NULL);
	while (!err && (n = pread(fd, src->va, src->len, (off_t)total)) > 0) {
		memset(dst->va, 0xdd, dst->len); /* what the device does not write cannot pass */
		start = now_ns();
		err = copy(dev, src->iova, dst->iova, (uint32_t)n);
		ns += now_ns() - start;
		EVP_DigestUpdate(h, dst->va, (size_t)n);
		total += (uint64_t)n;
	}
	EVP_DigestFinal_ex(h, got, NULL);
	EVP_MD_CTX_free(h);
	if (err) {
		printf("  the device reports CHANERR 0x%x\n", err);
		return false;
	}
	hash_file(fd, want);
	print_hash("source", want);
	print_hash("copy", got);
	printf("  %.1f MB in %.2f ms of the device: %.0f MB/s\n", (double)total / 1e6,
	       (double)ns / 1e6, ns ? (double)total * 1e3 / (double)ns : 0);
	return !memcmp(want, got, sizeof(want));
}

static bool all_bytes(const uint8_t *p, size_t len, uint8_t v)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != v)
			return false;
	return true;
}

/* Have the device do what it must not. Return: whether it was stopped, for the right reason. */
static bool must_fail(struct device *dev, const char *what, uint64_t src, uint64_t dst,
		      const struct buffer *watched, uint8_t fill, uint32_t want)
{
	uint32_t err = copy(dev, src, dst, PAGE);
	bool kept = all_bytes(watched->va, watched->len, fill);

	printf("%s\n  the device recorded CHANERR 0x%x (%s), the memory %s\n", what, err,
	       err & ERR_DST_ADDR   ? "destination address"
	       : err & ERR_SRC_ADDR ? "source address"
	       : err		    ? "something else"
				    : "nothing",
	       kept ? "is as it was" : "WAS CHANGED");
	reset_channel(dev);
	return kept && err == want;
}

static bool try_forbidden(struct device *dev, struct buffer *src, struct buffer *dst)
{
	struct buffer page = new_buffer(dev, PAGE);
	bool ok;

	memset(src->va, 0x11, src->len);
	memset(page.va, 0x5a, page.len);
	map(dev, &page, true);
	unmap(dev, &page); /* its address is one that nothing is mapped at any more */
	ok = must_fail(dev, "write      to an address that is not mapped", src->iova, page.iova,
		       &page, 0x5a, ERR_DST_ADDR);
	memset(dst->va, 0xc3, dst->len);
	ok &= must_fail(dev, "read       from an address that is not mapped", page.iova, dst->iova,
			dst, 0xc3, ERR_SRC_ADDR);
	map(dev, &page, false);
	ok &= must_fail(dev, "write      to a page that is mapped read-only", src->iova, page.iova,
			&page, 0x5a, ERR_DST_ADDR);
	/* The same page can be read: the mapping is there. */
	if (copy(dev, page.iova, dst->iova, PAGE) || !all_bytes(dst->va, PAGE, 0x5a)) {
		printf("  but the page cannot be read either\n");
		ok = false;
	}
	unmap(dev, &page);
	munmap(page.va, page.len);
	return ok;
}

static void use_interrupts(struct device *dev)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} irq = {
		.set =
			{
				.argsz = sizeof(irq),
				.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				.index = VFIO_PCI_MSIX_IRQ_INDEX,
				.count = 1,
			},
	};

	dev->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dev->interrupt < 0)
		die("eventfd");
	irq.fd = dev->interrupt;
	call(dev->fd, VFIO_DEVICE_SET_IRQS, &irq, "VFIO_DEVICE_SET_IRQS");
	put8(dev, INTRCTRL, INTRCTRL_MSIX);
}

/* ---- what to copy, and options ---- */

/* The largest real text, up to 64 MiB, among those that machines have. */
static void find_text(char *path, size_t len)
{
	static const char *const patterns[] = {
		"/usr/share/dict/words",
		"/usr/share/misc/pci.ids",
		"/usr/share/hwdata/*.ids",
		"/usr/share/mime/packages/freedesktop.org.xml",
		"/usr/share/perl/*/unicore/*.pl",
		"/usr/share/perl/*/unicore/Name.*",
		"/usr/share/i18n/locales/iso14651_t1_common",
		"/usr/include/linux/*.h",
		"/usr/share/common-licenses/GPL-3",
		"/proc/self/exe",
	};
	off_t best = 0;
	struct stat st;
	glob_t g;

	snprintf(path, len, "/proc/self/exe");
	for (unsigned i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (glob(patterns[i], 0, NULL, &g))
			continue;
		for (size_t j = 0; j < g.gl_pathc; j++) {
			if (stat(g.gl_pathv[j], &st) || !S_ISREG(st.st_mode) ||
			    st.st_size <= best || st.st_size > 64 << 20 ||
			    access(g.gl_pathv[j], R_OK))
				continue;
			best = st.st_size;
			snprintf(path, len, "%s", g.gl_pathv[j]);
		}
		globfree(&g);
		if (best > 1 << 20)
			break; /* in order of preference */
	}
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: dma_copy [--device BDF] [--private] [--hold] [FILE]\n"
		"Have a QuickData DMA engine (8086:2021) copy FILE, then reach for what it must "
		"not.\n"
		"  --device BDF  this PCI function, not the first one found\n"
		"  --private     use private memory for the buffers, not shared\n"
		"  --hold        at the end keep everything open until standard input ends\n"
		"FILE: by default some large text of this machine.\n"
		"Exit: 0 all as it should be; 1 not; 2 wrong usage; 3 there is no such device.\n");
}

static const char *parse(int argc, char **argv, struct device *dev)
{
	const char *file = NULL;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage(stdout);
			exit(0);
		} else if (!strcmp(argv[i], "--private")) {
			dev->memory = MAP_PRIVATE;
		} else if (!strcmp(argv[i], "--hold")) {
			dev->hold = true;
		} else if (!strcmp(argv[i], "--device") && i + 1 < argc) {
			snprintf(dev->bdf, sizeof(dev->bdf), "%s", argv[++i]);
		} else if (argv[i][0] == '-' || file) {
			usage(stderr);
			exit(2);
		} else {
			file = argv[i];
		}
	}
	return file;
}

int main(int argc, char **argv)
{
	struct device dev = {.interrupt = -1, .memory = MAP_SHARED};
	const char *file = parse(argc, argv, &dev);
	struct buffer src, dst;
	char path[512];
	bool ok;
	int fd;

	if (!dev.bdf[0] &&
	    !find_entry("/sys/bus/pci/devices", "", true, dev.bdf, sizeof(dev.bdf))) {
		fprintf(stderr, "dma_copy: no DMA engine 8086:2021 in /sys/bus/pci/devices\n");
		return 3;
	}
	if (!file) {
		find_text(path, sizeof(path));
		file = path;
	}
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s", file);
	open_device(&dev);
	map_registers(&dev);
	enable_bus_master(&dev);
	dev.ring = new_buffer(&dev, 2 * PAGE);
	src = new_buffer(&dev, WINDOW);
	dst = new_buffer(&dev, WINDOW);
	map(&dev, &dev.ring, true);
	map(&dev, &src, false);
	map(&dev, &dst, true);
	printf("memory     source at iova 0x%llx, copy at 0x%llx, ring at 0x%llx\n",
	       (unsigned long long)src.iova, (unsigned long long)dst.iova,
	       (unsigned long long)dev.ring.iova);
	reset_channel(&dev);
	printf("copy       %s, watching memory for completions\n", file);
	ok = copy_file(&dev, fd, &src, &dst);
	use_interrupts(&dev);
	printf("copy       again, sleeping until the device interrupts (MSI-X)\n");
	ok &= copy_file(&dev, fd, &src, &dst);
	ok &= try_forbidden(&dev, &src, &dst);
	printf("%s\n", ok ? "all as it should be" : "FAILED");
	fflush(stdout);
	while (dev.hold && read(STDIN_FILENO, path, sizeof(path)) > 0)
		;
	close_device(&dev);
	return ok ? 0 : 1;
}
