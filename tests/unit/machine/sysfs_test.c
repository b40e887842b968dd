/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "machine/machine.h"

#define BDF "0000:01:00.0"
#define DEV "bus/pci/devices/" BDF

struct sys {
	struct ioasis *ioasis;
	char dir[64];
	int fd;
};

static void sys_init(struct sys *s, const char *machine)
{
	struct ioasis_args args = {.size = sizeof(args), .machine = machine};

	assert_int_equal(ioasis_new(&args, &s->ioasis), 0);
	strcpy(s->dir, "/tmp/ioasis-sysfs-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY);
	assert_true(s->fd >= 0);
	assert_int_equal(machine_sysfs_write(s->ioasis, s->fd), 0);
}

static void sys_fini(struct sys *s)
{
	char cmd[100];

	close(s->fd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", s->dir);
	assert_int_equal(system(cmd), 0);
	ioasis_free(s->ioasis);
}

static void file_is(struct sys *s, const char *path, const char *want)
{
	char got[2048] = {0};
	int fd = openat(s->fd, path, O_RDONLY);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	close(fd);
	assert_string_equal(got, want);
}

/* Where a link leads, below the tree. */
static void leads_to(struct sys *s, const char *path, const char *want)
{
	char from[256], got[PATH_MAX], expect[256];

	snprintf(from, sizeof(from), "%s/%s", s->dir, path);
	snprintf(expect, sizeof(expect), "%s/%s", s->dir, want);
	if (!realpath(from, got))
		fail_msg("%s: %s", path, strerror(errno));
	assert_string_equal(got, expect);
}

static void link_ends_with(struct sys *s, const char *path, const char *want)
{
	char got[256] = {0};
	ssize_t len = readlinkat(s->fd, path, got, sizeof(got) - 1);

	assert_true(len > (ssize_t)strlen(want));
	assert_string_equal(got + len - strlen(want), want);
}

/* What a VFIO program does to find its device: identity, group, IOMMU, cdev. */
static void intel(void **unused)
{
	struct stat st;
	struct sys s;
	u8 config[4];
	int fd;

	sys_init(&s, "intel");
	file_is(&s, DEV "/vendor", "0x8086\n");
	file_is(&s, DEV "/device", "0x2021\n");
	link_ends_with(&s, DEV "/iommu_group", "/kernel/iommu_groups/0");
	link_ends_with(&s, DEV "/driver", "/vfio-pci");
	leads_to(&s, DEV, "devices/pci0000:00/" BDF);
	leads_to(&s, DEV "/iommu", "devices/virtual/iommu/dmar0");
	leads_to(&s, DEV "/iommu_group/devices/" BDF, "devices/pci0000:00/" BDF);
	leads_to(&s, "class/iommu/dmar0/devices/" BDF, "devices/pci0000:00/" BDF);
	leads_to(&s, "bus/pci/drivers/vfio-pci/" BDF, "devices/pci0000:00/" BDF);
	leads_to(&s, "class/vfio-dev/vfio0/device", "devices/pci0000:00/" BDF);
	leads_to(&s, DEV "/subsystem", "bus/pci");
	file_is(&s, DEV "/vfio-dev/vfio0/dev", "511:0\n");
	file_is(&s, "kernel/iommu_groups/0/reserved_regions",
		"0x00000000fee00000 0x00000000feefffff msi\n");
	file_is(&s, "class/iommu/dmar0/intel-iommu/version", "4:0\n");
	file_is(&s, "class/iommu/dmar0/intel-iommu/address", "fed90000\n");
	file_is(&s, "class/iommu/dmar0/intel-iommu/domains_supported", "65536\n");
	file_is(&s, DEV "/reset_method", "flr\n");
	file_is(&s, "module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	leads_to(&s, "dev/char/511:0", "devices/pci0000:00/" BDF "/vfio-dev/vfio0");
	assert_int_equal(fstatat(s.fd, DEV "/resource0", &st, 0), 0);
	assert_int_equal(st.st_size, 0x4000);
	fd = openat(s.fd, DEV "/config", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, config, 4), 4);
	assert_memory_equal(config, "\x86\x80\x21\x20", 4);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, PCI_CONFIG_LEN);
	close(fd);
	sys_fini(&s);
}

static void resource_lines(void **unused)
{
	char line[128];
	struct pci_dev *dev;
	struct sys s;
	FILE *f;
	unsigned nr = 0;

	sys_init(&s, "intel");
	dev = machine_pci_dev(s.ioasis, BDF, 0);
	f = fdopen(openat(s.fd, DEV "/resource", O_RDONLY), "r");
	assert_non_null(f);
	for (; fgets(line, sizeof(line), f); nr++) {
		unsigned long long start, last, flags;

		assert_int_equal(sscanf(line, "%llx %llx %llx", &start, &last, &flags), 3);
		if (nr >= PCI_NR_BARS || !dev->bars[nr].len) {
			assert_int_equal(start | last | flags, 0);
			continue;
		}
		assert_int_equal(start, pci_bar_address(dev, nr));
		assert_int_equal(last - start + 1, dev->bars[nr].len);
		assert_int_equal(flags & 0x200, 0x200);
	}
	assert_int_equal(nr, 13);
	fclose(f);
	sys_fini(&s);
}

static void mock_and_bare(void **unused)
{
	struct sys s;
	struct stat st;

	sys_init(&s, "mock");
	leads_to(&s, DEV "/iommu", "devices/virtual/iommu/mock0");
	sys_fini(&s);
	sys_init(&s, "{\"iommus\": [{\"type\": \"vtd\", \"name\": \"dmar0\"}]}");
	assert_int_equal(fstatat(s.fd, "bus/pci/devices", &st, 0), 0);
	assert_int_equal(fstatat(s.fd, "kernel/iommu_groups", &st, 0), 0);
	assert_int_equal(fstatat(s.fd, DEV, &st, 0), -1);
	sys_fini(&s);
}

static void not_writable(void **unused)
{
	struct sys s;
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY); /* where nothing can be made */

	sys_init(&s, "mock");
	assert_true(fd >= 0);
	assert_true(machine_sysfs_write(s.ioasis, fd) < 0);
	close(fd);
	sys_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intel),
		cmocka_unit_test(resource_lines),
		cmocka_unit_test(mock_and_bare),
		cmocka_unit_test(not_writable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
