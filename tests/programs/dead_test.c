/* SPDX-License-Identifier: MIT */
/*
 * The daemon is killed: a call that waits for it answers ENODEV, so do later ones, mapped BARs read
 * all ones, the device's error and request eventfds fire. Nothing hangs.
 */
#include "prog.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/vfio.h>

struct waiter {
	pthread_t thread;
	_Atomic pid_t tid;
	int fd;
	int rc;
};

static void *wait_in_call(void *arg)
{
	struct waiter *w = arg;

	ioas_alloc(w->fd); /* the thread's link is made while somebody answers */
	w->tid = (pid_t)syscall(SYS_gettid);
	while (w->tid)
		sched_yield();
	w->rc = ioas_alloc(w->fd);
	w->tid = 1;
	return NULL;
}

/* Is the thread asleep in futex()? */
static bool sleeps(pid_t tid)
{
	char path[64], text[64] = "";
	FILE *f;
	long nr = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	f = fopen(path, "r");
	if (f && fgets(text, sizeof(text), f))
		sscanf(text, "%ld", &nr);
	if (f)
		fclose(f);
	return nr == SYS_futex;
}

static char task_state(pid_t pid, const char *task)
{
	char path[64], text[256] = "", *after;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", (int)pid, task);
	f = fopen(path, "r");
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = 0;
		fclose(f);
	}
	after = strrchr(text, ')');
	return after ? after[2] : 'X';
}

/* Every thread of it: a signal to stop takes its time. */
static bool stopped(pid_t pid)
{
	char path[64];
	struct dirent *e;
	bool all = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && !strchr("TX", task_state(pid, e->d_name)))
			all = false;
	closedir(dir);
	return all;
}

static int set_eventfd(int dev, u32 index, int efd)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(s32)];
	struct vfio_irq_set *set = (void *)buf;

	*set = (struct vfio_irq_set){.argsz = sizeof(buf),
				     .index = index,
				     .count = 1,
				     .flags = VFIO_IRQ_SET_DATA_EVENTFD |
					      VFIO_IRQ_SET_ACTION_TRIGGER};
	memcpy(set->data, &efd, sizeof(s32));
	return ioctl(dev, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
}

static bool fired(int efd)
{
	struct pollfd p = {.fd = efd, .events = POLLIN};

	return poll(&p, 1, 5000) == 1 && p.revents & POLLIN;
}

static volatile u32 *map_bar(int dev)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX};
	void *p;

	assert_int_equal(ioctl(dev, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, dev, (off_t)info.offset);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void test_killed(void **state)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	int err = eventfd(0, EFD_CLOEXEC), req = eventfd(0, EFD_CLOEXEC), late = eventfd(0, 0);
	struct waiter w = {.fd = dev_iommu(0)};
	int dev = open("/dev/vfio/devices/vfio0", O_RDWR);
	pid_t daemon = atoi(getenv("IOASIS_PID")), tid;
	volatile u32 *bar;

	assert_true(w.fd >= 0 && dev >= 0);
	bind.iommufd = w.fd;
	assert_int_equal(ioctl(dev, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_ERR_IRQ_INDEX, err), 0);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_REQ_IRQ_INDEX, req), 0);
	bar = map_bar(dev);
	assert_int_not_equal(bar[0], 0xffffffff);

	assert_int_equal(pthread_create(&w.thread, NULL, wait_in_call, &w), 0);
	while (!(tid = w.tid))
		sched_yield();
	kill(daemon, SIGSTOP); /* nobody answers from now on */
	while (!stopped(daemon))
		sched_yield();
	w.tid = 0;
	while (!sleeps(tid))
		sched_yield();
	kill(daemon, SIGKILL);

	pthread_join(w.thread, NULL);
	assert_int_equal(w.rc, -ENODEV);
	assert_int_equal(bar[0], 0xffffffff);
	bar[0] = 1; /* goes nowhere */
	assert_true(fired(err) && fired(req));
	assert_int_equal(ioas_alloc(w.fd), -ENODEV);
	assert_int_equal(dev_iommu(0), -1);
	assert_int_equal(errno, ENODEV);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_ERR_IRQ_INDEX, late), -ENODEV);
	assert_int_equal(close(dev), 0);
	assert_int_equal(close(w.fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
