/* SPDX-License-Identifier: MIT */
/*
 * The daemon is killed: a call that waits for it answers ENODEV, be it one that nobody took up or one
 * that the daemon is stuck in; so do later ones; a store to a register returns; mapped BARs read all
 * ones, also to who watches them; the device's error and request eventfds wake sleepers. Nothing hangs.
 */
#include "prog.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <ioasis/iommufd_test.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>

struct waiter {
	pthread_t thread;
	_Atomic pid_t tid;
	int fd;
	int rc;
	volatile u32 *bar;
	u8 *page;
};
#define STORE_AT (0xb0 / 4) /* a register that any value may be stored to */

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

/* A store that the device takes no more: it returns, whatever became of it. */
static void *wait_in_store(void *arg)
{
	struct waiter *w = arg;

	w->bar[STORE_AT] = 1; /* the thread's link is made */
	w->tid = (pid_t)syscall(SYS_gettid);
	while (w->tid)
		sched_yield();
	w->bar[STORE_AT] = 2;
	return NULL;
}

static void *watch_bar(void *arg)
{
	struct waiter *w = arg;

	while (w->bar[0] != 0xffffffff)
		;
	return NULL;
}

static void *sleep_for_event(void *arg)
{
	struct waiter *w = arg;
	u64 n;

	w->rc = read(w->fd, &n, sizeof(n)) == sizeof(n) ? 0 : -errno;
	return NULL;
}

/* A page that is there when somebody answers for it: never. Return: the userfaultfd; -1: not allowed. */
static int absent_page(u8 **out)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (uffd < 0)
		return -1;
	reg.range.start = (uintptr_t)p;
	reg.range.len = 4096;
	assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	*out = p;
	return uffd;
}

/* A request whose argument goes on in memory that never comes: the daemon waits in the midst of it. */
static void *wait_for_page(void *arg)
{
	struct waiter *w = arg;
	struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .ioas_id = (u32)ioas_alloc(w->fd),
					     .num_iovas = 1, .allowed_iovas = (uintptr_t)w->page};

	w->rc = ioctl(w->fd, IOMMU_IOAS_ALLOW_IOVAS, &cmd) ? -errno : 0;
	return NULL;
}

/* Killed while it waits for a page of ours: it dies, and we hear of it. */
static void test_stuck_inside(void **state)
{
	pid_t daemon = atoi(getenv("IOASIS_PID"));
	struct waiter w = {.fd = dev_iommu(0)};
	int uffd = absent_page(&w.page);

	if (uffd < 0) {
		close(w.fd);
		skip_because("userfaultfd for the kernel's faults is refused to this user");
	}
	assert_int_equal(pthread_create(&w.thread, NULL, wait_for_page, &w), 0);
	assert_true(fired(uffd)); /* it is inside */
	kill(daemon, SIGKILL);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.rc, -ENODEV);
	assert_int_equal(ioas_alloc(w.fd), -ENODEV);
	assert_int_equal(close(w.fd), 0);
	close(uffd);
}

static void test_killed(void **state)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	int err = eventfd(0, EFD_CLOEXEC), req = eventfd(0, EFD_CLOEXEC), late = eventfd(0, 0);
	struct waiter w = {.fd = dev_iommu(0)};
	int dev = open("/dev/vfio/devices/vfio0", O_RDWR);
	struct waiter storer = {0}, watcher = {0}, sleeper = {0};
	pid_t daemon = atoi(getenv("IOASIS_PID")), tid, store_tid;
	volatile u32 *bar;

	assert_true(w.fd >= 0 && dev >= 0);
	bind.iommufd = w.fd;
	assert_int_equal(ioctl(dev, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_ERR_IRQ_INDEX, err), 0);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_REQ_IRQ_INDEX, req), 0);
	bar = map_bar(dev);
	assert_int_not_equal(bar[0], 0xffffffff);

	assert_int_equal(pthread_create(&w.thread, NULL, wait_in_call, &w), 0);
	storer.bar = watcher.bar = bar;
	assert_int_equal(pthread_create(&storer.thread, NULL, wait_in_store, &storer), 0);
	assert_int_equal(pthread_create(&watcher.thread, NULL, watch_bar, &watcher), 0);
	sleeper.fd = req;
	assert_int_equal(pthread_create(&sleeper.thread, NULL, sleep_for_event, &sleeper), 0);
	while (!(tid = w.tid) || !(store_tid = storer.tid))
		sched_yield();
	kill(daemon, SIGSTOP); /* nobody answers from now on */
	while (!stopped(daemon))
		sched_yield();
	w.tid = storer.tid = 0;
	while (!sleeps(tid) || !sleeps(store_tid))
		sched_yield();
	kill(daemon, SIGKILL);

	pthread_join(w.thread, NULL);
	pthread_join(storer.thread, NULL);
	pthread_join(watcher.thread, NULL);
	pthread_join(sleeper.thread, NULL);
	assert_int_equal(sleeper.rc, 0);
	assert_int_equal(w.rc, -ENODEV);
	assert_int_equal(bar[0], 0xffffffff);
	bar[0] = 1; /* goes nowhere */
	assert_true(fired(err));
	assert_int_equal(ioas_alloc(w.fd), -ENODEV);
	assert_int_equal(dev_iommu(0), -1);
	assert_int_equal(errno, ENODEV);
	assert_int_equal(set_eventfd(dev, VFIO_PCI_ERR_IRQ_INDEX, late), -ENODEV);
	assert_int_equal(close(dev), 0);
	assert_int_equal(close(w.fd), 0);
}

/* A daemon dies once: "inside" names the test that has it stuck, else the other runs. */
int main(int argc, char **argv)
{
	const struct CMUnitTest killed[] = {cmocka_unit_test(test_killed)};
	const struct CMUnitTest inside[] = {cmocka_unit_test(test_stuck_inside)};

	if (argc > 1 && !strcmp(argv[1], "inside"))
		return cmocka_run_group_tests(inside, NULL, NULL);
	return cmocka_run_group_tests(killed, NULL, NULL);
}
