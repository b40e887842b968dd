/* SPDX-License-Identifier: MIT */
/* A program closes its device while a DMA of it waits for a page that never comes: nobody else
 * waits for that, and when the program dies the device is free. */
#include "prog.h"

#include <linux/userfaultfd.h>
#include <linux/vfio.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RING_IOVA 0x100000ull
#define HOLE_IOVA 0x200000ull
#define NO_UFFD	  2

/* A page whose first touch waits. Return: it; NULL when the kernel refuses. */
static u8 *page_that_waits(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	u8 *hole = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {.range = {(uintptr_t)hole, 4096},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return NULL;
	return hole;
}

static int map_at(int fd, u32 ioas, void *at, u64 len, u64 iova)
{
	struct iommu_ioas_map map = {.size = sizeof(map),
				     .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
					      IOMMU_IOAS_MAP_WRITEABLE,
				     .ioas_id = ioas,
				     .user_va = (uintptr_t)at,
				     .length = len,
				     .iova = iova};

	return ioctl(fd, IOMMU_IOAS_MAP, &map);
}

static int bind_device(int dev, int fd)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = fd};

	return ioctl(dev, VFIO_DEVICE_BIND_IOMMUFD, &bind) ? -errno : 0;
}

static int write_at(int dev, u64 pos, u64 value, size_t len)
{
	return pwrite(dev, &value, len, (off_t)pos) == (ssize_t)len ? 0 : -1;
}

/* One copy from the ring's second page into the hole. */
static int start_copy(int dev, u64 *ring)
{
	const u64 config = (u64)VFIO_PCI_CONFIG_REGION_INDEX << 40;

	ring[0] = 4096 | 8ull << 32; /* size; control: write the completion */
	ring[1] = RING_IOVA + 0x1000;
	ring[2] = HOLE_IOVA;
	return write_at(dev, config + 4, 6, 2) || write_at(dev, 0x98, RING_IOVA + 0x1800, 8) ||
	       write_at(dev, 0x90, RING_IOVA, 8) || write_at(dev, 0x86, 1, 2);
}

/* The program: starts the copy, closes the device, stays. */
static void closer(int tell)
{
	int fd = dev_iommu(0), dev = open("/dev/vfio/devices/vfio0", O_RDWR);
	u64 *ring = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *hole = page_that_waits();
	struct iommu_ioas_alloc ioas = {.size = sizeof(ioas)};
	struct vfio_device_attach_iommufd_pt at = {.argsz = sizeof(at)};

	if (!hole)
		_exit(NO_UFFD);
	memset(ring, 0, 8192);
	if (bind_device(dev, fd) || ioctl(fd, IOMMU_IOAS_ALLOC, &ioas))
		_exit(1);
	at.pt_id = ioas.out_ioas_id;
	if (ioctl(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at) ||
	    map_at(fd, ioas.out_ioas_id, ring, 8192, RING_IOVA) ||
	    map_at(fd, ioas.out_ioas_id, hole, 4096, HOLE_IOVA) || start_copy(dev, ring))
		_exit(1);
	if (write(tell, "x", 1) != 1)
		_exit(1);
	close(dev);
	pause();
	_exit(1);
}

/* Is it open, and not being closed? */
static bool vfio0_is_listed(void)
{
	json_t *tree = describe(), *file;
	bool found = false;
	size_t i;

	assert_non_null(tree);
	json_array_foreach (json_object_get(tree, "files"), i, file) {
		const char *path = json_string_value(json_object_get(file, "path"));

		found |= path && strstr(path, "vfio0");
	}
	json_decref(tree);
	return found;
}

static void test_stuck_device(void **state)
{
	int p[2], fd, dev, rc;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid)
		closer(p[1]);
	close(p[1]);
	if (read(p[0], &byte, 1) != 1) {
		assert_int_equal(reap(pid), NO_UFFD);
		skip_because("userfaultfd for the kernel's faults is refused to this user");
	}
	alarm(30); /* the daemon does not answer */
	while (vfio0_is_listed())
		sched_yield();
	for (int i = 0; i < 3; i++) {
		fd = dev_iommu(0);
		assert_int_equal(ioas_alloc(fd), 1);
		assert_int_equal(destroy(fd, 1), 0);
		close(fd);
	}
	kill(pid, SIGKILL);
	assert_int_equal(reap(pid), 128 + SIGKILL);
	fd = dev_iommu(0);
	dev = open("/dev/vfio/devices/vfio0", O_RDWR);
	assert_true(dev >= 0);
	do /* "open elsewhere" until the release, which nobody waits for any more, has ended */
		rc = bind_device(dev, fd);
	while (rc == -EINVAL);
	assert_int_equal(rc, 0);
	alarm(0);
	close(dev);
	close(fd);
	assert_int_equal(open_contexts(), 0);
}

static void on_alarm(int sig)
{
	kill(getppid(), SIGCONT);
	_exit(1);
}

static int set_err(int dev, int efd)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(s32)];
	struct vfio_irq_set *set = (void *)buf;

	*set = (struct vfio_irq_set){.argsz = sizeof(buf),
				     .index = VFIO_PCI_ERR_IRQ_INDEX,
				     .count = 1,
				     .flags = VFIO_IRQ_SET_DATA_EVENTFD |
					      VFIO_IRQ_SET_ACTION_TRIGGER};
	memcpy(set->data, &efd, sizeof(s32));
	return ioctl(dev, VFIO_DEVICE_SET_IRQS, set);
}

/* `ioasis run` is stopped and reads nothing: the daemon answers. */
static void test_stopped_keeper(void **state)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int fd = dev_iommu(0), dev = open("/dev/vfio/devices/vfio0", O_RDWR);
	int efd = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(bind_device(dev, fd), 0);
	signal(SIGALRM, on_alarm);
	alarm(30);
	kill(getppid(), SIGSTOP);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(ioctl(dev, VFIO_DEVICE_GET_INFO, &info), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(set_err(dev, efd), 0);
	close(dev);
	close(fd);
	assert_int_equal(open_contexts(), 0);
	kill(getppid(), SIGCONT);
	alarm(0);
	signal(SIGALRM, SIG_DFL);
	close(efd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stuck_device),
		cmocka_unit_test(test_stopped_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
