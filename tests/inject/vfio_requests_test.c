// SPDX-License-Identifier: MIT
/* Every request to a VFIO device file with each of its allocations and look-ups failing. */
#include "sweep.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/vfio.h"

static long vcall(struct scene *s, unsigned nr, void *cmd, size_t len)
{
	struct file *iommufd = s->b->file;
	long rc;

	s->b->file = s->vfio;
	rc = call(s->b, nr, cmd, len);
	s->b->file = iommufd;
	return rc;
}

static int open_device(struct scene *s, struct file **out)
{
	return uapi_open(s->b->ioasis, &s->b->f->c, "/dev/vfio/devices/vfio0", O_RDWR, out);
}

static void prepare_open(struct scene *s)
{
	ok(open_device(s, &s->vfio));
}

static long go_open(struct scene *s)
{
	return open_device(s, &s->vfio);
}

static void undo_open(struct scene *s)
{
	file_put(s->vfio);
	s->vfio = NULL;
}

static long go_bind(struct scene *s)
{
	struct vfio_device_bind_iommufd cmd = {.argsz = sizeof(cmd), .iommufd = FD_OURS};

	return vcall(s, VFIO_DEVICE_BIND_IOMMUFD, &cmd, sizeof(cmd));
}

static void undo_bind(struct scene *s)
{
	file_put(s->vfio);
	prepare_open(s);
}

static void prepare_bound(struct scene *s)
{
	prepare_open(s);
	ok(go_bind(s));
}

static long attach_to(struct scene *s, u32 pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {.argsz = sizeof(cmd), .pt_id = pt};

	return vcall(s, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd, sizeof(cmd));
}

static long go_attach(struct scene *s)
{
	return attach_to(s, s->ioas);
}

static long go_attach_other(struct scene *s)
{
	return attach_to(s, s->other);
}

static long go_detach(struct scene *s)
{
	struct vfio_device_detach_iommufd_pt cmd = {.argsz = sizeof(cmd)};

	return vcall(s, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd, sizeof(cmd));
}

static void undo_attach(struct scene *s)
{
	ok(go_detach(s));
}

static void attach_again(struct scene *s)
{
	ok(go_attach(s));
}

static void prepare_attached(struct scene *s)
{
	prepare_bound(s);
	attach_again(s);
}

static long go_info(struct scene *s)
{
	struct vfio_device_info cmd = {.argsz = sizeof(cmd)};

	return vcall(s, VFIO_DEVICE_GET_INFO, &cmd, sizeof(cmd));
}

/* With capabilities: BAR 0 can be mapped. */
static long go_region_info(struct scene *s)
{
	struct {
		struct vfio_region_info info;
		u8 caps[256];
	} cmd = {.info = {.argsz = sizeof(cmd), .index = VFIO_PCI_BAR0_REGION_INDEX}};

	return vcall(s, VFIO_DEVICE_GET_REGION_INFO, &cmd, sizeof(cmd));
}

static long go_irq_info(struct scene *s)
{
	struct vfio_irq_info cmd = {.argsz = sizeof(cmd), .index = VFIO_PCI_MSIX_IRQ_INDEX};

	return vcall(s, VFIO_DEVICE_GET_IRQ_INFO, &cmd, sizeof(cmd));
}

/* @data: a DATA_* flag; of one interrupt, of none with DATA_NONE and @count 0. */
static long set_irqs(struct scene *s, u32 index, u32 data, u32 count)
{
	struct {
		struct vfio_irq_set set;
		s32 value;
	} cmd = {.set = {.argsz = sizeof(cmd), .flags = data | VFIO_IRQ_SET_ACTION_TRIGGER,
			 .index = index, .count = count}, .value = s->eventfd};

	if (data == VFIO_IRQ_SET_DATA_BOOL)
		cmd.value = 1;
	return vcall(s, VFIO_DEVICE_SET_IRQS, &cmd, sizeof(cmd));
}

#define IRQ_CASES(name, index)                                                                     \
	static long go_##name##_eventfd(struct scene *s)                                           \
	{                                                                                          \
		return set_irqs(s, index, VFIO_IRQ_SET_DATA_EVENTFD, 1);                           \
	}                                                                                          \
	static long go_##name##_bool(struct scene *s)                                              \
	{                                                                                          \
		return set_irqs(s, index, VFIO_IRQ_SET_DATA_BOOL, 1);                              \
	}                                                                                          \
	static long go_##name##_none(struct scene *s)                                              \
	{                                                                                          \
		return set_irqs(s, index, VFIO_IRQ_SET_DATA_NONE, 1);                              \
	}                                                                                          \
	static void undo_##name(struct scene *s)                                                   \
	{                                                                                          \
		ok(set_irqs(s, index, VFIO_IRQ_SET_DATA_NONE, 0));                                 \
	}                                                                                          \
	static void prepare_##name(struct scene *s)                                                \
	{                                                                                          \
		prepare_bound(s);                                                                  \
		ok(go_##name##_eventfd(s));                                                        \
	}
IRQ_CASES(msix, VFIO_PCI_MSIX_IRQ_INDEX)
IRQ_CASES(err, VFIO_PCI_ERR_IRQ_INDEX)
IRQ_CASES(req, VFIO_PCI_REQ_IRQ_INDEX)

static long go_reset(struct scene *s)
{
	u32 none = 0;

	return vcall(s, VFIO_DEVICE_RESET, &none, sizeof(none));
}

static long go_feature(struct scene *s)
{
	struct vfio_device_feature cmd = {
		.argsz = sizeof(cmd), .flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET};

	return vcall(s, VFIO_DEVICE_FEATURE, &cmd, sizeof(cmd));
}

static long go_hot_info(struct scene *s)
{
	struct vfio_pci_hot_reset_info cmd = {.argsz = sizeof(cmd)};

	return vcall(s, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &cmd, sizeof(cmd));
}

static long go_hot_reset(struct scene *s)
{
	struct vfio_pci_hot_reset cmd = {.argsz = sizeof(cmd)};

	return vcall(s, VFIO_DEVICE_PCI_HOT_RESET, &cmd, sizeof(cmd));
}

static u64 at_region(u32 index)
{
	return vfio_region_offset(index);
}

static long bytes(struct scene *s, bool write, u32 index, size_t len)
{
	const struct file_ops *ops = s->vfio->ops;
	long rc = (write ? ops->pwrite : ops->pread)(s->vfio, &s->b->f->c, (u64)s->room, len,
						     at_region(index));

	ok(s->b->f->c.ops->commit(&s->b->f->c)); /* as a front does when the call returns */
	return rc == (long)len ? 0 : rc;
}

static long go_pread(struct scene *s)
{
	long rc = bytes(s, false, VFIO_PCI_CONFIG_REGION_INDEX, 64);

	return rc ? rc : bytes(s, false, VFIO_PCI_BAR0_REGION_INDEX, 8);
}

static long go_pwrite(struct scene *s)
{
	long rc = bytes(s, true, VFIO_PCI_CONFIG_REGION_INDEX, 4);

	return rc ? rc : bytes(s, true, VFIO_PCI_BAR0_REGION_INDEX, 8);
}

static void prepare_io(struct scene *s)
{
	prepare_bound(s);
	memset(s->room, 0, 64);
	*(u16 *)((u8 *)s->room + 4) = 2;
}

static void prepare_write(struct scene *s)
{
	prepare_bound(s);
	memset(s->room, 0, 64); /* writes the read-only ids */
}

static long go_mmap(struct scene *s)
{
	struct file_map map = {.offset = at_region(VFIO_PCI_BAR0_REGION_INDEX), .len = PAGE_SIZE,
			       .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED, .fd = -1};

	map.granted_prot = map.prot;
	return s->vfio->ops->mmap(s->vfio, &s->b->f->c, &map);
}

static long go_store(struct scene *s)
{
	return s->vfio->ops->store_trap(s->vfio, at_region(VFIO_PCI_BAR0_REGION_INDEX), 0, 8);
}

#define NO_FAULTS .cannot_fail = true
static const struct request requests[] = {
	{"open", NULL, go_open, undo_open},
	{"BIND_IOMMUFD", prepare_open, go_bind, undo_bind},
	{"ATTACH_IOMMUFD_PT", prepare_bound, go_attach, undo_attach},
	{"ATTACH_IOMMUFD_PT replace", prepare_attached, go_attach_other, attach_again},
	{"DETACH_IOMMUFD_PT", prepare_attached, go_detach, attach_again, NO_FAULTS},
	{"GET_INFO", prepare_bound, go_info, NULL, NO_FAULTS},
	{"GET_REGION_INFO", prepare_bound, go_region_info, NULL, NO_FAULTS},
	{"GET_IRQ_INFO", prepare_bound, go_irq_info, NULL, NO_FAULTS},
	{"SET_IRQS msix eventfd", prepare_bound, go_msix_eventfd, undo_msix, NO_FAULTS},
	{"SET_IRQS msix bool", prepare_msix, go_msix_bool, NULL, NO_FAULTS},
	{"SET_IRQS msix none", prepare_msix, go_msix_none, NULL, NO_FAULTS},
	{"SET_IRQS err eventfd", prepare_bound, go_err_eventfd, undo_err, NO_FAULTS},
	{"SET_IRQS err bool", prepare_err, go_err_bool, NULL, NO_FAULTS},
	{"SET_IRQS err none", prepare_err, go_err_none, NULL, NO_FAULTS},
	{"SET_IRQS req eventfd", prepare_bound, go_req_eventfd, undo_req, NO_FAULTS},
	{"SET_IRQS req bool", prepare_req, go_req_bool, NULL, NO_FAULTS},
	{"SET_IRQS req none", prepare_req, go_req_none, NULL, NO_FAULTS},
	{"RESET", prepare_bound, go_reset, NULL, NO_FAULTS},
	{"FEATURE", prepare_bound, go_feature, NULL, NO_FAULTS, .want = -ENOTTY},
	{"HOT_RESET_INFO", prepare_bound, go_hot_info, NULL, NO_FAULTS, .want = -ENODEV},
	{"HOT_RESET", prepare_bound, go_hot_reset, NULL, NO_FAULTS, .want = -ENODEV},
	{"pread", prepare_io, go_pread, NULL, NO_FAULTS},
	{"pwrite", prepare_write, go_pwrite, NULL, NO_FAULTS},
	{"mmap", prepare_bound, go_mmap, NULL, NO_FAULTS},
	{"store", prepare_bound, go_store, NULL, NO_FAULTS},
};

static void scene_start(struct scene *s, struct bench *b, const char *machine)
{
	bench_start(b, machine);
	b->f->fds[0] = file_get(b->file);
	*s = (struct scene){.b = b, .room = room(b, 4096), .eventfd = eventfd(0, EFD_CLOEXEC)};
	s->ioas = mk_ioas(b);
	s->other = mk_ioas(b);
	ok(map_fixed(b, s->ioas, b->buf, 64 << 10, APERTURE));
	ok(map_fixed(b, s->other, b->buf, 64 << 10, APERTURE));
}

static void scene_stop(struct scene *s)
{
	if (s->vfio)
		file_put(s->vfio);
	close(s->eventfd);
	bench_stop(s->b);
}

/* Whatever number a bound device answers was swept. */
static void check_all_swept(const struct swept *swept, const char *machine)
{
	struct bench b;
	struct scene s;
	unsigned i;

	scene_start(&s, &b, machine);
	prepare_bound(&s);
	for (i = 0; i < 256; i++)
		if (!swept->ioctls[i] &&
		    s.vfio->ops->ioctl(s.vfio, &b.f->c, _IO(VFIO_TYPE, i), 0) != -ENOTTY)
			fail_msg("VFIO request %u is not swept", i);
	scene_stop(&s);
}

static void every_request(void **state)
{
	struct swept swept = {{false}};
	struct bench b;
	struct scene s;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		scene_start(&s, &b, *state);
		sweep(&requests[i], &s, &swept);
		scene_stop(&s);
	}
	check_all_swept(&swept, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(every_request, "mock"),
		cmocka_unit_test_prestate(every_request, "intel"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
