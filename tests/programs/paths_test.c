/* SPDX-License-Identifier: MIT */
/* The machine's /dev and /sys by every door the C library has, and nothing else changed. */
#include "prog.h"

#include <poll.h>
#include <sys/select.h>
#include <ioasis/iommufd_test.h>
#include <linux/vfio.h>

#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVS	 "/sys/bus/pci/devices"
#define DEV	 DEVS "/0000:01:00.0"
#define REAL_DEV "/sys/devices/pci0000:00/0000:01:00.0"

static void read_file(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(out, (int)size, f));
	out[strcspn(out, "\n")] = 0;
	fclose(f);
}

static void test_attributes(void **state)
{
	char text[64];
	u8 config[4];
	int fd;

	read_file(DEV "/vendor", text, sizeof(text));
	assert_string_equal(text, "0x8086");
	read_file(DEV "/device", text, sizeof(text));
	assert_string_equal(text, "0x2021");
	fd = open(DEV "/config", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, config, 4, 0), 4);
	assert_memory_equal(config, "\x86\x80\x21\x20", 4);
	close(fd);
	assert_int_equal(access(DEV "/vendor", R_OK), 0);
	assert_int_equal(access(DEV "/nothing", F_OK), -1);
	assert_int_equal(errno, ENOENT);
}

static void expect_link(const char *path, const char *last)
{
	char target[PATH_MAX] = "", *resolved;
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	assert_true(len > 0);
	assert_string_equal(strrchr(target, '/') ? strrchr(target, '/') + 1 : target, last);
	assert_null(strstr(target, "ioasis")); /* where the files are is nobody's business */
	resolved = realpath(path, NULL);
	assert_non_null(resolved);
	assert_int_equal(strncmp(resolved, "/sys/", 5), 0);
	assert_string_equal(strrchr(resolved, '/') + 1, last);
	free(resolved);
}

static void test_links(void **state)
{
	char buf[PATH_MAX], *group;

	expect_link(DEV, "0000:01:00.0");
	expect_link(DEV "/driver", "vfio-pci");
	group = realpath(DEV "/iommu_group", NULL);
	assert_int_equal(strncmp(group, "/sys/kernel/iommu_groups/", 25), 0);
	free(group);
	assert_string_equal(realpath(DEV, buf), REAL_DEV);
	/* "..", doubled slashes and dots, as programs write them. */
	assert_string_equal(realpath("/sys//bus/./pci/devices/../devices/0000:01:00.0", buf),
			    REAL_DEV);
	assert_string_equal(realpath("/sys/class/../bus/pci/devices/0000:01:00.0/vendor", buf),
			    REAL_DEV "/vendor");
	assert_string_equal(realpath(DEV "/../0000:01:00.0/device", buf), REAL_DEV "/device");
}

static unsigned char last_type; /* of what lists() found */

static bool lists(const char *path, const char *name)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;

	assert_non_null(dir);
	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, name))
			continue;
		found = true;
		last_type = e->d_type;
	}
	closedir(dir);
	return found;
}

static int not_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void test_directories(void **state)
{
	struct dirent **list;
	glob_t g = {0};
	int n;

	assert_true(lists(DEVS, "0000:01:00.0"));
	assert_true(lists(DEV "/vfio-dev", "vfio0"));
	assert_true(lists("/dev/vfio/devices", "vfio0"));
	assert_int_equal(last_type, DT_CHR);
	assert_true(lists("/sys/class/vfio-dev", "vfio0"));
	n = scandir("/sys/kernel/iommu_groups", &list, not_dots, alphasort);
	assert_true(n >= 1);
	while (n > 0)
		free(list[--n]);
	free(list);
	assert_int_equal(glob(DEVS "/*/vendor", 0, NULL, &g), 0);
	assert_int_equal(g.gl_pathc, 1);
	assert_string_equal(g.gl_pathv[0], DEV "/vendor");
	globfree(&g);
}

static void test_relative(void **state)
{
	char cwd[PATH_MAX], text[64];
	struct stat st;
	int dir, fd;

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	dir = open("/sys/bus", O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	fd = openat(dir, "pci/devices/0000:01:00.0/vendor", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, 6), 6);
	assert_memory_equal(text, "0x8086", 6);
	close(fd);
	close(dir);
	dir = open(DEV, O_RDONLY | O_DIRECTORY);
	fd = openat(dir, "../0000:01:00.0/vendor", O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	close(dir);

	assert_int_equal(chdir(DEVS), 0);
	assert_string_equal(getcwd(text, sizeof(text)), DEVS);
	read_file("0000:01:00.0/vendor", text, sizeof(text));
	assert_string_equal(text, "0x8086");
	assert_int_equal(chdir("/dev"), 0);
	fd = open("iommu", O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(ioas_alloc(fd), 1);
	close(fd);
	fd = open("vfio/devices/vfio0", O_RDWR);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chdir("/dev/vfio"), 0);
	fd = open("devices/vfio0", O_RDWR);
	assert_true(fd >= 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode));
	assert_int_equal(ioctl(fd, VFIO_DEVICE_RESET), -1); /* ours: it is not bound */
	assert_int_equal(errno, EINVAL);
	close(fd);
	dir = open("devices", O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0 && !fstatat(dir, "vfio0", &st, AT_SYMLINK_NOFOLLOW));
	assert_true(S_ISCHR(st.st_mode));
	close(dir);
	assert_int_equal(chdir("/tmp"), 0);
	fd = open("../dev/iommu", O_RDWR);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chdir(cwd), 0);
}

static void test_nodes(void **state)
{
	char dev[32];
	struct stat st, lst, fst;
	struct statx sx;
	int fd = open("/dev/vfio/devices/vfio0", O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(stat("/dev/vfio/devices/vfio0", &st), 0);
	assert_int_equal(lstat("/dev/vfio/devices/vfio0", &lst), 0);
	assert_int_equal(fstat(fd, &fst), 0);
	assert_int_equal(statx(AT_FDCWD, "/dev/vfio/devices/vfio0", 0, STATX_BASIC_STATS, &sx), 0);
	assert_true(S_ISCHR(st.st_mode) && S_ISCHR(lst.st_mode) && S_ISCHR(fst.st_mode));
	assert_true(S_ISCHR(sx.stx_mode));
	assert_true(st.st_rdev == lst.st_rdev && st.st_rdev == fst.st_rdev);
	assert_int_equal(makedev(sx.stx_rdev_major, sx.stx_rdev_minor), st.st_rdev);
	/* The numbers that sysfs says. */
	read_file(DEV "/vfio-dev/vfio0/dev", dev, sizeof(dev));
	assert_int_equal(atoi(dev), major(st.st_rdev));
	assert_int_equal(atoi(strchr(dev, ':') + 1), minor(st.st_rdev));
	close(fd);
	assert_int_equal(stat("/dev/vfio", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(open("/dev/vfio/devices/vfio99", O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(open("/dev/iommu", O_RDWR | O_CREAT | O_EXCL, 0600), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(open("/dev/iommu", O_RDWR | O_DIRECTORY), -1);
	assert_int_equal(errno, ENOTDIR);
}

static void test_others_untouched(void **state)
{
	struct stat st;

	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	assert_int_equal(stat("/sys/kernel/mm", &st), 0);
	assert_true(lists("/proc/self", "status"));
	assert_int_equal(open("/no/such/file", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
}

/* What is pinned for the program is charged to it where it looks. */
static long status_kb(const char *path, const char *key)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kb = atol(line + strlen(key));
	fclose(f);
	return kb;
}

static int pin_page(int fd, u32 ioas, void *mem)
{
	struct iommu_test_cmd access = {
		.size = sizeof(access),
		.op = IOMMU_TEST_OP_CREATE_ACCESS,
		.id = ioas,
		.create_access = {.flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES}};
	struct iommu_test_cmd pages = {.size = sizeof(pages),
				       .op = IOMMU_TEST_OP_ACCESS_PAGES,
				       .access_pages = {.length = 4096}};
	struct iommu_ioas_map map = {.size = sizeof(map),
				     .ioas_id = ioas,
				     .user_va = (uintptr_t)mem,
				     .length = 4096,
				     .iova = 0x10000,
				     .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
					      IOMMU_IOAS_MAP_WRITEABLE};

	assert_int_equal(ioctl(fd, IOMMU_IOAS_MAP, &map), 0);
	assert_int_equal(ioctl(fd, IOMMU_TEST_CMD, &access), 0);
	pages.id = access.create_access.out_access_fd;
	pages.access_pages.iova = 0x10000;
	pages.access_pages.uptr = (uintptr_t)mem;
	assert_int_equal(ioctl(fd, IOMMU_TEST_CMD, &pages), 0);
	return (int)access.create_access.out_access_fd;
}

static void test_status(void **state)
{
	u8 *mem = aligned_alloc(4096, 4096);
	int fd = dev_iommu(0), access;
	char by_pid[64];
	long before = status_kb("/proc/self/status", "VmPin:");

	snprintf(by_pid, sizeof(by_pid), "/proc/%d/status", (int)getpid());
	memset(mem, 1, 4096);
	access = pin_page(fd, (u32)ioas_alloc(fd), mem);
	assert_int_equal(status_kb("/proc/self/status", "VmPin:"), before + 4);
	assert_int_equal(status_kb(by_pid, "VmPin:"), before + 4);
	assert_int_equal(status_kb(by_pid, "Pid:"), getpid());
	close(access);
	close(fd);
	assert_int_equal(status_kb("/proc/self/status", "VmPin:"), before);
	free(mem);
}

/* What cannot be read is the kernel's to refuse, before the first request of the program and after. */
static void test_bad_pointers(void **state)
{
	void *volatile bad = (void *)8;
	struct stat st;
	char c;

#define REFUSED(call)                                                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal((call), -1);                                                      \
		assert_int_equal(errno, EFAULT);                                                   \
	} while (0)
	REFUSED(open(bad, O_RDONLY));
	REFUSED(access(bad, R_OK));
	REFUSED(stat(bad, &st));
	REFUSED(readlink(bad, &c, 1));
	REFUSED(poll(bad, 1, 0));
	REFUSED(select(4, bad, NULL, NULL, NULL));
#undef REFUSED
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_pointers), cmocka_unit_test(test_attributes),  cmocka_unit_test(test_links),
		cmocka_unit_test(test_directories), cmocka_unit_test(test_relative),
		cmocka_unit_test(test_nodes),	    cmocka_unit_test(test_others_untouched),
		cmocka_unit_test(test_status), cmocka_unit_test(test_bad_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
