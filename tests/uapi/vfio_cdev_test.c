/* SPDX-License-Identifier: MIT */
#include "vfio_rig.h"

static void before_bind(void **state)
{
	struct rig *r = *state;
	struct file_map map = {.len = 4096, .prot = PROT_READ, .flags = MAP_SHARED};
	static const unsigned cmds[] = {
		VFIO_DEVICE_GET_INFO,
		VFIO_DEVICE_GET_REGION_INFO,
		VFIO_DEVICE_GET_IRQ_INFO,
		VFIO_DEVICE_SET_IRQS,
		VFIO_DEVICE_RESET,
		VFIO_DEVICE_ATTACH_IOMMUFD_PT,
		VFIO_DEVICE_DETACH_IOMMUFD_PT,
		VFIO_DEVICE_FEATURE,
		0x1234,
	};
	char byte;

	for (unsigned i = 0; i < ARRAY_SIZE(cmds); i++)
		assert_int_equal(ioctl_of(r, cmds[i], NULL), -EINVAL);
	assert_int_equal(vfio_pread(r->file, &r->c, (u64)&byte, 1, 0), -EINVAL);
	assert_int_equal(vfio_pread(r->file, &r->c, (u64)&byte, 0, 0), -EINVAL);
	assert_int_equal(vfio_pwrite(r->file, &r->c, (u64)&byte, 1, 0), -EINVAL);
	assert_int_equal(vfio_mmap(r->file, &r->c, &map), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, 0, 0, 1), -EINVAL);
}

static void bind_checks(void **state)
{
	struct rig *r = *state;
	struct {
		struct vfio_device_bind_iommufd b;
		u64 tail;
	} x = {.b = {.argsz = 15, .iommufd = IOMMUFD_FD}};
	struct vfio_device_bind_iommufd *b = &x.b;
	int pipefd[2];

	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EINVAL);
	x.b.argsz = sizeof(x);
	x.tail = 1;
	b->iommufd = -1;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -E2BIG); /* before the rest */
	x.tail = 0;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EINVAL);
	b->iommufd = IOMMUFD_FD;
	b->flags = 2;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EINVAL);
	b->flags = VFIO_DEVICE_BIND_FLAG_TOKEN;
	b->token_uuid_ptr = (u64)r->hole;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EFAULT);
	b->token_uuid_ptr = (u64)b;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EINVAL);
	b->flags = 0;
	b->iommufd = 987;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EBADF);
	b->iommufd = OTHER_FD;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EBADFD);
	assert_int_equal(pipe(pipefd), 0);
	b->iommufd = pipefd[0];
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EBADFD);
	close(pipefd[0]);
	close(pipefd[1]);
	b->iommufd = IOMMUFD_FD;
	fakes.bind_rc = -EBUSY;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EBUSY);
	fakes.bind_rc = 0;
	b->argsz = 16; /* the oldest size: no token pointer */
	b->token_uuid_ptr = UINT64_MAX;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), 0);
	assert_int_equal(b->out_devid, 7);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EINVAL); /* twice */
}

/* The reply cannot be stored: nothing stays bound. */
static void bind_reply_faults(void **state)
{
	struct rig *r = *state;
	struct vfio_device_bind_iommufd *b = (void *)(r->hole - PAGE_SIZE);

	*b = (struct vfio_device_bind_iommufd){.argsz = sizeof(*b), .iommufd = IOMMUFD_FD};
	assert_int_equal(mprotect(b, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, b), -EFAULT);
	assert_int_equal(fakes.nr_bound, 0);
	assert_int_equal(fakes.ctx_refs, 0);
	rig_bind(r);
}

static void one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct vfio_device_bind_iommufd b = {.argsz = sizeof(b), .iommufd = IOMMUFD_FD};
	struct file *second;

	assert_int_equal(vfio_cdev_open(&r->ioasis, &r->c, 1, O_RDWR, &second), -ENODEV);
	assert_int_equal(vfio_cdev_open(&r->ioasis, &r->c, 0, O_RDWR, &second), 0);
	rig_bind(r);
	assert_int_equal(second->ops->ioctl(second, &r->c, VFIO_DEVICE_BIND_IOMMUFD, (u64)&b),
			 -EINVAL);
	assert_int_equal(fakes.ctx_refs, 1);
	file_put(r->file);
	assert_int_equal(fakes.nr_bound, 0);
	assert_int_equal(second->ops->ioctl(second, &r->c, VFIO_DEVICE_BIND_IOMMUFD, (u64)&b), 0);
	r->file = second;
}

static void attach(void **state)
{
	struct rig *r = *state;
	struct vfio_device_attach_iommufd_pt a = {.argsz = 11, .pt_id = 5};

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), -EINVAL);
	a.argsz = 12;
	a.flags = 2;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), -EINVAL);
	a.flags = VFIO_DEVICE_ATTACH_PASID;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), -EINVAL);
	a.flags = 0;
	fakes.attach_rc = -ENOENT;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), -ENOENT);
	assert_int_equal(a.pt_id, 5);
	assert_int_equal(fakes.last_pt, 5);
	fakes.attach_rc = 0;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	assert_int_equal(a.pt_id, 99);
	assert_int_equal(fakes.nr_attach, 2);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	assert_int_equal(a.pt_id, 98); /* what is attached is replaced */
	a = (struct vfio_device_attach_iommufd_pt){.argsz = 16, .flags = 1, .pasid = 0x80000000};
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), -ENOSPC);
	a.pasid = 3;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	assert_int_equal(fakes.last_pasid, 3);
	assert_int_equal(fakes.nr_attach, 3);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	assert_int_equal(fakes.nr_replace, 2);
}

static void attach_reply_faults(void **state)
{
	struct rig *r = *state;
	struct vfio_device_attach_iommufd_pt *a = (void *)(r->hole - PAGE_SIZE);

	rig_bind(r);
	*a = (struct vfio_device_attach_iommufd_pt){.argsz = sizeof(*a)};
	assert_int_equal(mprotect(a, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, a), -EFAULT);
	assert_int_equal(fakes.nr_attach, 1);
	assert_int_equal(fakes.nr_detach, 1);
	assert_int_equal(mprotect(a, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	*a = (struct vfio_device_attach_iommufd_pt){.argsz = sizeof(*a), .flags = 1, .pasid = 6};
	assert_int_equal(mprotect(a, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, a), -EFAULT);
	assert_int_equal(fakes.nr_detach, 2);
	assert_int_equal(fakes.last_pasid, 6); /* what this request attached */
}

static void detach(void **state)
{
	struct rig *r = *state;
	struct vfio_device_detach_iommufd_pt d = {.argsz = 7};
	struct vfio_device_attach_iommufd_pt a = {.argsz = sizeof(a), .flags = 1, .pasid = 9};

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
	d.argsz = 8;
	d.flags = 4;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
	d.flags = 1;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
	d.flags = 0;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0); /* harmless */
	assert_int_equal(fakes.nr_detach, 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	a.flags = 0;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0);
	assert_int_equal(fakes.nr_detach, 1);
	d = (struct vfio_device_detach_iommufd_pt){.argsz = 12, .flags = 1, .pasid = 8};
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0);
	assert_int_equal(fakes.nr_detach, 1);
	d.pasid = 9;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0);
	assert_int_equal(fakes.nr_detach, 2);
	assert_int_equal(fakes.last_pasid, 9);
}

static void info(void **state)
{
	struct rig *r = *state;
	struct vfio_device_info i = {.argsz = 15};

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_INFO, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_INFO, &i), -EINVAL);
	i = (struct vfio_device_info){.argsz = 16, .cap_offset = 77};
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_INFO, &i), 0);
	assert_int_equal(i.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(i.num_regions, 9);
	assert_int_equal(i.num_irqs, 5);
	assert_int_equal(i.cap_offset, 77); /* past argsz */
	i.argsz = 100;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_INFO, &i), 0);
	assert_int_equal(i.cap_offset, 0);
}

static void region_info(void **state)
{
	struct rig *r = *state;
	struct {
		struct vfio_region_info i;
		struct vfio_info_cap_header cap;
	} x = {.i = {.argsz = 31}};

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), -EINVAL);
	x.i.argsz = 32;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), 0);
	assert_int_equal(x.i.size, 0x4000);
	assert_int_equal(x.i.flags, 0xf); /* read, write, mmap, capabilities */
	assert_int_equal(x.i.argsz, 40);  /* what it would take */
	assert_int_equal(x.i.cap_offset, 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), 0);
	assert_int_equal(x.i.cap_offset, 32);
	assert_int_equal(x.cap.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(x.cap.version, 1);
	assert_int_equal(x.cap.next, 0);
	for (u32 n = 1; n < 7; n++) {
		x.i = (struct vfio_region_info){.argsz = 32, .index = n};
		assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), 0);
		assert_int_equal(x.i.size, 0);
		assert_int_equal(x.i.flags, 0);
		assert_int_equal(x.i.offset, (u64)n << 40);
	}
	x.i = (struct vfio_region_info){.argsz = 32, .index = VFIO_PCI_CONFIG_REGION_INDEX};
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), 0);
	assert_int_equal(x.i.size, 4096);
	assert_int_equal(x.i.flags, 3);
	for (u32 n = 8; n < 11; n++) {
		x.i.index = n;
		assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), -EINVAL);
	}
}

/* A BAR with ranges that only pread reaches says which others can be mapped. */
static void sparse_regions(void **state)
{
	struct rig *r = *state;
	static const struct bar_range ranges[] = {{0x0000, 0x1000, BAR_UNMAPPED},
						  {0x1000, 0x1000, BAR_TRAPPED},
						  {0x3000, 0x1000, BAR_UNMAPPED}};
	struct {
		struct vfio_region_info i;
		struct vfio_region_info_cap_sparse_mmap sparse;
		struct vfio_region_sparse_mmap_area area[2];
	} x = {.i = {.argsz = sizeof(x), .index = 2}};
	struct file_map map = {
		.offset = 2ull << 40, .len = 0x1000, .prot = PROT_READ, .flags = MAP_SHARED};

	assert_int_equal(pci_bar_add(r->dev, 2, 0x8000, ranges, 3), 0);
	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_REGION_INFO, &x), 0);
	assert_int_equal(x.i.flags, 0xf);
	assert_int_equal(x.sparse.header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(x.sparse.nr_areas, 2);
	assert_int_equal(x.area[0].offset, 0x1000);
	assert_int_equal(x.area[0].size, 0x2000);
	assert_int_equal(x.area[1].offset, 0x4000);
	assert_int_equal(x.area[1].size, 0x4000);
	assert_int_equal(vfio_mmap(r->file, &r->c, &map), -EINVAL);
	map.offset += 0x4000;
	map.prot = PROT_READ | PROT_WRITE;
	assert_int_equal(vfio_mmap(r->file, &r->c, &map), 0);
	assert_int_equal(map.granted_prot, PROT_READ | PROT_WRITE);
	assert_false(map.trapped);
	assert_int_equal(vfio_store_trap(r->file, (2ull << 40) + 0x4008, 0x1122334455667788, 8), 0);
	assert_int_equal(r->dev->bars[2].host[0x4008], 0x88);
}

static void irq_info(void **state)
{
	struct rig *r = *state;
	static const struct {
		u32 flags, count;
	} want[] = {{7, 0}, {9, 0}, {1, 1}, {9, 1}, {9, 1}};
	struct vfio_irq_info i = {.argsz = 15};

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_IRQ_INFO, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
	for (u32 n = 0; n < 5; n++) {
		i = (struct vfio_irq_info){.argsz = 16, .index = n};
		assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_IRQ_INFO, &i), 0);
		assert_int_equal(i.flags, want[n].flags);
		assert_int_equal(i.count, want[n].count);
	}
	i.index = 5;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
}

static void other_requests(void **state)
{
	struct rig *r = *state;
	struct vfio_device_feature f = {.argsz = 7};
	struct vfio_pci_hot_reset h = {.argsz = 11};
	u64 v = 0x1000;

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_FEATURE, r->hole), -EFAULT);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f = (struct vfio_device_feature){.argsz = 8, .flags = 1 << 20};
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | 1;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.flags |= VFIO_DEVICE_FEATURE_PROBE;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_FEATURE, &f), -ENOTTY);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &h), -EINVAL);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_PCI_HOT_RESET, &h), -EINVAL);
	h.argsz = 12;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &h), -ENODEV);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_PCI_HOT_RESET, &h), -ENODEV);
	h.count = 1;
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_PCI_HOT_RESET, &h), -EINVAL);
	assert_int_equal(ioctl_of(r, 0x12345, &h), -ENOTTY);
	assert_int_equal(pci_bar_write(r->dev, 0, 0x98, &v, 8), 0);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(pci_bar_read(r->dev, 0, 0x98, &v, 8), 0);
	assert_int_equal(v, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(before_bind),	   T(bind_checks), T(bind_reply_faults),
		T(one_at_a_time),  T(attach),	   T(attach_reply_faults),
		T(detach),	   T(info),	   T(region_info),
		T(sparse_regions), T(irq_info),	   T(other_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
