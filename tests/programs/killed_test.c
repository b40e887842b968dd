/* SPDX-License-Identifier: MIT */
/*
 * A program is killed with each request in flight, at random moments: afterwards the daemon has no
 * object, pin, charge, mapping, client, thread or descriptor more than before.
 */
#include "prog.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <ioasis/iommufd_test.h>
#include <linux/vfio.h>

#define NR_KILLS 200
#define LEN	 (64u << 10)
#define IOVA_AT	 0x2000000ull

/* What the victim works with. */
struct rig {
	int fd, file, access;
	u32 ioas, stdev, hwpt, dev;
	u8 *mem;
};

/* Shared with the victim. */
struct window {
	_Atomic bool ready;
	_Atomic int in_flight; /* an op's index, or -1 */
};
static struct window *window;

static int test_cmd(int fd, struct iommu_test_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	return ioctl(fd, IOMMU_TEST_CMD, cmd);
}

static void op_ioas_alloc(struct rig *r)
{
	ioas_alloc(r->fd);
}

static void op_destroy(struct rig *r)
{
	destroy(r->fd, (u32)ioas_alloc(r->fd));
}

static void op_map(struct rig *r)
{
	struct iommu_ioas_map map = {.size = sizeof(map),
				     .ioas_id = r->ioas,
				     .length = LEN,
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				     .user_va = (uintptr_t)r->mem};

	ioctl(r->fd, IOMMU_IOAS_MAP, &map);
}

static void op_unmap(struct rig *r)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = r->ioas, .length = UINT64_MAX};

	op_map(r);
	ioctl(r->fd, IOMMU_IOAS_UNMAP, &unmap);
}

static void op_map_file(struct rig *r)
{
	struct iommu_ioas_map_file map = {.size = sizeof(map),
					  .ioas_id = r->ioas,
					  .length = LEN,
					  .flags = IOMMU_IOAS_MAP_READABLE |
						   IOMMU_IOAS_MAP_WRITEABLE,
					  .fd = r->file};

	ioctl(r->fd, IOMMU_IOAS_MAP_FILE, &map);
}

static void op_copy(struct rig *r)
{
	struct iommu_ioas_copy copy = {.size = sizeof(copy),
				       .dst_ioas_id = r->ioas,
				       .src_ioas_id = r->ioas,
				       .length = LEN,
				       .src_iova = IOVA_AT,
				       .flags = IOMMU_IOAS_MAP_READABLE};

	ioctl(r->fd, IOMMU_IOAS_COPY, &copy);
}

static void op_ranges(struct rig *r)
{
	struct iommu_iova_range ranges[4];
	struct iommu_ioas_iova_ranges get = {.size = sizeof(get),
					     .ioas_id = r->ioas,
					     .num_iovas = 4,
					     .allowed_iovas = (uintptr_t)ranges};
	struct iommu_ioas_allow_iovas allow = {.size = sizeof(allow), .ioas_id = r->ioas};

	ioctl(r->fd, IOMMU_IOAS_IOVA_RANGES, &get);
	ioctl(r->fd, IOMMU_IOAS_ALLOW_IOVAS, &allow);
}

static void op_option(struct rig *r)
{
	struct iommu_option opt = {.size = sizeof(opt),
				   .option_id = IOMMU_OPTION_HUGE_PAGES,
				   .op = IOMMU_OPTION_OP_SET,
				   .object_id = r->ioas,
				   .val64 = 1};

	ioctl(r->fd, IOMMU_OPTION, &opt);
}

static void op_change_process(struct rig *r)
{
	struct iommu_ioas_change_process cmd = {.size = sizeof(cmd)};

	ioctl(r->fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd);
}

static void op_hwpt(struct rig *r)
{
	struct iommu_hwpt_alloc cmd = {.size = sizeof(cmd), .dev_id = r->dev, .pt_id = r->ioas};

	if (!ioctl(r->fd, IOMMU_HWPT_ALLOC, &cmd))
		destroy(r->fd, cmd.out_hwpt_id);
}

static void op_hw_info(struct rig *r)
{
	struct iommu_hw_info cmd = {.size = sizeof(cmd), .dev_id = r->dev};

	ioctl(r->fd, IOMMU_GET_HW_INFO, &cmd);
}

static void op_dirty(struct rig *r)
{
	u64 bitmap[64];
	struct iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set), .hwpt_id = r->hwpt, .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE};
	struct iommu_hwpt_get_dirty_bitmap get = {.size = sizeof(get),
						  .hwpt_id = r->hwpt,
						  .iova = IOVA_AT,
						  .length = LEN,
						  .page_size = 4096,
						  .data = (uintptr_t)bitmap};

	ioctl(r->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set);
	ioctl(r->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get);
}

static void op_mock_domain(struct rig *r)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_MOCK_DOMAIN, .id = r->ioas};

	if (!test_cmd(r->fd, &cmd))
		destroy(r->fd, cmd.mock_domain.out_stdev_id);
}

static void op_access(struct rig *r)
{
	struct iommu_test_cmd make = {.op = IOMMU_TEST_OP_CREATE_ACCESS, .id = r->ioas};

	make.create_access.flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES;
	if (!test_cmd(r->fd, &make))
		close((int)make.create_access.out_access_fd);
}

static void op_access_pages(struct rig *r)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_PAGES, .id = (u32)r->access};

	cmd.access_pages.iova = IOVA_AT;
	cmd.access_pages.length = LEN;
	cmd.access_pages.uptr = (uintptr_t)r->mem;
	test_cmd(r->fd, &cmd);
}

static void op_access_rw(struct rig *r)
{
	struct iommu_test_cmd cmd = {.op = IOMMU_TEST_OP_ACCESS_RW, .id = (u32)r->access};
	char text[4096];

	cmd.access_rw.iova = IOVA_AT;
	cmd.access_rw.length = sizeof(text);
	cmd.access_rw.uptr = (uintptr_t)text;
	test_cmd(r->fd, &cmd);
}

static void op_vfio(struct rig *r)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = r->fd};
	struct vfio_device_attach_iommufd_pt at = {.argsz = sizeof(at), .pt_id = r->ioas};
	int dev = open("/dev/vfio/devices/vfio0", O_RDWR);

	ioctl(dev, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	ioctl(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at);
	ioctl(dev, VFIO_DEVICE_RESET);
	close(dev);
}

static void op_open_close(struct rig *r)
{
	close(dev_iommu(0));
}

static void op_fork(struct rig *r)
{
	pid_t pid = fork();

	if (!pid) {
		ioas_alloc(r->fd);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void (*const ops[])(struct rig *r) = {
	op_ioas_alloc, op_destroy, op_map,	   op_unmap,	      op_map_file,
	op_copy,       op_ranges,  op_option,	   op_change_process, op_hwpt,
	op_hw_info,    op_dirty,   op_mock_domain, op_access,	      op_access_pages,
	op_access_rw,  op_vfio,	   op_open_close,  op_fork,
};
#define NR_OPS ((int)ARRAY_SIZE(ops))

static bool rig_make(struct rig *r)
{
	struct iommu_test_cmd dom = {.op = IOMMU_TEST_OP_MOCK_DOMAIN};
	struct iommu_test_cmd acc = {.op = IOMMU_TEST_OP_CREATE_ACCESS};
	struct iommu_ioas_map map = {.size = sizeof(map),
				     .length = LEN,
				     .iova = IOVA_AT,
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
					      IOMMU_IOAS_MAP_FIXED_IOVA};

	r->fd = dev_iommu(0);
	r->file = memfd_create("file", 0);
	r->mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->fd < 0 || ftruncate(r->file, LEN))
		return false;
	r->ioas = (u32)ioas_alloc(r->fd);
	dom.id = acc.id = map.ioas_id = r->ioas;
	map.user_va = (uintptr_t)r->mem;
	acc.create_access.flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES;
	if (test_cmd(r->fd, &dom) || test_cmd(r->fd, &acc) || ioctl(r->fd, IOMMU_IOAS_MAP, &map))
		return false;
	r->stdev = dom.mock_domain.out_stdev_id;
	r->hwpt = dom.mock_domain.out_hwpt_id;
	r->dev = dom.mock_domain.out_idev_id;
	r->access = (int)acc.create_access.out_access_fd;
	return true;
}

static void victim(int op)
{
	struct rig r;

	if (!rig_make(&r))
		_exit(1);
	window->ready = true;
	for (;;) {
		window->in_flight = op;
		ops[op](&r);
		window->in_flight = -1;
	}
}

/* What must be as before. */
struct ledger {
	int allocations, contexts, clients, files, segments, table_pages, fds, threads;
};

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

/* Threads first: when they are as few as ever, what they held is gone when the daemon describes
 * itself. One connection for all looks: it is part of what is counted. */
static struct ledger look(int control)
{
	char path[64];
	struct ledger l;
	json_t *t, *mem;

	snprintf(path, sizeof(path), "/proc/%s/task", getenv("IOASIS_PID"));
	l.threads = count_entries(path);
	t = describe_on(control);
	assert_non_null(t);
	mem = json_object_get(t, "memory");
	l.allocations = (int)json_integer_value(json_object_get(t, "allocations"));
	l.contexts = (int)json_array_size(json_object_get(t, "contexts"));
	l.clients = (int)json_array_size(json_object_get(t, "clients"));
	l.files = (int)json_array_size(json_object_get(t, "files"));
	l.segments = (int)json_array_size(json_object_get(mem, "segments"));
	l.table_pages = (int)json_integer_value(
		json_object_get(json_object_get(mem, "tables"), "used_pages"));
	json_decref(t);
	snprintf(path, sizeof(path), "/proc/%s/fd", getenv("IOASIS_PID"));
	l.fds = count_entries(path);
	return l;
}

static bool kill_during(int op, u64 *seed)
{
	bool hit;
	pid_t pid;

	window->ready = false;
	window->in_flight = -1;
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		victim(op);
	}
	setpgid(pid, pid);
	while (!window->ready)
		sched_yield();
	for (u64 n = rnd(seed) % 20000; n; n--)
		__asm__ volatile("" ::: "memory");
	kill(-pid, SIGKILL);
	hit = window->in_flight == op;
	assert_int_equal(reap(pid), 128 + SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0) /* its children are ours now */
		;
	return hit;
}

/* What it is when nobody but this process has anything; meson's timeout ends a wait in vain. */
static struct ledger look_when_quiet(int control, int threads)
{
	struct ledger l;

	do
		l = look(control);
	while ((l.threads != threads || l.clients != 1 || l.contexts || l.files) && !sched_yield());
	return l;
}

static void assert_same(struct ledger a, struct ledger b)
{
	assert_int_equal(a.allocations, b.allocations);
	assert_int_equal(a.segments, b.segments);
	assert_int_equal(a.table_pages, b.table_pages);
	assert_int_equal(a.fds, b.fds);
}

static void test_killed(void **state)
{
	bool hit[ARRAY_SIZE(ops)] = {false};
	struct ledger before;
	int threads, control = control_socket();
	u64 seed = 0x9e3779b97f4a7c15ull;
	int nr_hit = 0, fd = dev_iommu(0); /* this process is a client too */

	close(fd);
	threads = look(control).threads;
	for (int op = 0; op < NR_OPS; op++) /* what is made once and kept is made */
		kill_during(op, &seed);
	before = look_when_quiet(control, threads);
	for (int i = 0; i < NR_KILLS || nr_hit < NR_OPS; i++) {
		int op = i % NR_OPS;

		if (kill_during(op, &seed) && !hit[op]) {
			hit[op] = true;
			nr_hit++;
		}
	}
	assert_same(look_when_quiet(control, threads), before);
	fd = dev_iommu(0);
	assert_int_equal(ioas_alloc(fd), 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	window = mmap(NULL, sizeof(*window), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
