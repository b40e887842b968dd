/* SPDX-License-Identifier: MIT */
/*
 * A program that does everything at once until it is killed: every ioctl of /dev/iommu and of the VFIO
 * device file, from two threads, stores to registers, while the device copies without end.
 *
 * Each call is announced in a page that outlives the program. Errors are expected: the threads take
 * objects away from each other; whether each call also worked is counted.
 */
#include "kill.h"

#include <linux/capability.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <ioasis/iommufd_test.h>

#define BUF_LEN	  (256u << 10)
#define RING	  0x1000000ull
#define SRC	  0x1100000ull
#define DST	  0x1200000ull
#define FREE_IOVA 0x2000000ull
#define NR_DESCS  64u
#define PIECE	  (64u << 10)
#define VFIO_PATH "/dev/vfio/devices/vfio0"

struct desc {
	u32 size, ctl;
	u64 src, dst, next, unused[4];
};

/* What the threads share; they race for it on purpose. */
struct world {
	const struct client_args *args;
	volatile int fd, change_fd, dev, memfd, access, dmabuf, efd;
	volatile u32 ioas, other, dev_id, stdev, hwpt, idev, spare, made, dirty, item, pasid;
	u8 *priv, *shared;
	u8 *ring;
	volatile u8 *regs;
	off_t config;
};

struct caller_state {
	struct world *w;
	unsigned idx;
	u32 row;
	u64 rnd;
};

static void enter(struct caller_state *c)
{
	atomic_store(&c->w->args->page->current[c->idx], c->row + 1);
}

static long leave(struct caller_state *c, long rc)
{
	atomic_store(&c->w->args->page->current[c->idx], 0);
	return rc;
}

static long marked(struct caller_state *c, int fd, unsigned long cmd, void *arg)
{
	long rc;

	enter(c);
	rc = ioctl(fd, cmd, arg);
	return leave(c, rc);
}

#define CALL(_c, _cmd, _arg) marked(_c, (_c)->w->fd, _cmd, _arg)

static void need_at(struct world *w, bool ok, unsigned line)
{
	if (ok)
		return;
	atomic_store(&w->args->page->error, errno);
	atomic_store(&w->args->page->failed, line);
	_exit(3);
}
#define NEED(_w, _ok) need_at(_w, _ok, __LINE__)

/* --- objects and address spaces --------------------------------------------------------------- */
static long go_destroy(struct caller_state *c)
{
	/* Mostly what was made for it, sometimes whatever there is. */
	u32 id = rnd(&c->rnd) % 8 ? c->w->spare : 1 + (u32)(rnd(&c->rnd) % 40);
	struct iommu_destroy cmd = {.size = sizeof(cmd), .id = id};

	if (id == c->w->ioas)
		cmd.id = 0;
	return CALL(c, IOMMU_DESTROY, &cmd);
}

static long go_ioas_alloc(struct caller_state *c)
{
	struct iommu_ioas_alloc cmd = {.size = sizeof(cmd)};
	long rc = CALL(c, IOMMU_IOAS_ALLOC, &cmd);

	if (!rc)
		c->w->spare = cmd.out_ioas_id;
	return rc;
}

static long go_allow(struct caller_state *c)
{
	struct iommu_iova_range r = {RING, 0x7effffff};
	struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd), .ioas_id = c->w->other,
					     .num_iovas = 1, .allowed_iovas = (uintptr_t)&r};

	return CALL(c, IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

static long go_ranges(struct caller_state *c)
{
	struct iommu_iova_range r[8];
	struct iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd), .ioas_id = c->w->ioas,
					     .num_iovas = 8, .allowed_iovas = (uintptr_t)r};

	return CALL(c, IOMMU_IOAS_IOVA_RANGES, &cmd);
}

static long go_copy(struct caller_state *c)
{
	struct iommu_ioas_copy cmd = {.size = sizeof(cmd),
				      .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				      .dst_ioas_id = c->w->other, .src_ioas_id = c->w->ioas,
				      .length = BUF_LEN,
				      .src_iova = rnd(&c->rnd) & 1 ? SRC : DST};

	return CALL(c, IOMMU_IOAS_COPY, &cmd);
}

static long go_map(struct caller_state *c)
{
	u64 off = (rnd(&c->rnd) % 32) * 4096;
	struct iommu_ioas_map cmd = {.size = sizeof(cmd),
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				     .ioas_id = c->w->other, .length = BUF_LEN - off};

	cmd.user_va = (uintptr_t)(rnd(&c->rnd) & 1 ? c->w->priv : c->w->shared) + off;
	return CALL(c, IOMMU_IOAS_MAP, &cmd);
}

static long go_map_file(struct caller_state *c)
{
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = IOMMU_IOAS_MAP_READABLE,
					  .ioas_id = c->w->other, .fd = c->w->memfd,
					  .start = 4096, .length = 32768};

	if (c->w->args->mock && rnd(&c->rnd) & 1) {
		cmd.fd = c->w->dmabuf;
		cmd.length = 8192;
	}
	return CALL(c, IOMMU_IOAS_MAP_FILE, &cmd);
}

static long go_unmap(struct caller_state *c)
{
	struct iommu_ioas_unmap cmd = {.size = sizeof(cmd), .ioas_id = c->w->other,
				       .length = UINT64_MAX};

	return CALL(c, IOMMU_IOAS_UNMAP, &cmd);
}

static long go_change_process(struct caller_state *c)
{
	struct iommu_ioas_change_process cmd = {.size = sizeof(cmd)};

	return marked(c, c->w->change_fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd);
}

static long go_option(struct caller_state *c)
{
	struct iommu_option cmd = {.size = sizeof(cmd), .option_id = IOMMU_OPTION_HUGE_PAGES,
				   .op = IOMMU_OPTION_OP_SET, .object_id = c->w->other,
				   .val64 = rnd(&c->rnd) & 1};

	return CALL(c, IOMMU_OPTION, &cmd);
}

/* --- tables ----------------------------------------------------------------------------------- */
static long go_hwpt(struct caller_state *c)
{
	struct iommu_hwpt_alloc cmd = {.size = sizeof(cmd), .dev_id = c->w->dev_id,
				       .pt_id = c->w->ioas};
	long rc;

	destroy(c->w->fd, c->w->made);
	rc = CALL(c, IOMMU_HWPT_ALLOC, &cmd);
	if (!rc)
		c->w->made = cmd.out_hwpt_id;
	return rc;
}

static long go_hw_info(struct caller_state *c)
{
	u8 buf[64];
	struct iommu_hw_info cmd = {.size = sizeof(cmd), .dev_id = c->w->dev_id,
				    .data_len = sizeof(buf), .data_uptr = (uintptr_t)buf};

	return CALL(c, IOMMU_GET_HW_INFO, &cmd);
}

static long go_track(struct caller_state *c)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {.size = sizeof(cmd), .hwpt_id = c->w->dirty,
						    .flags = rnd(&c->rnd) & 1};

	return CALL(c, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

static long go_bitmap(struct caller_state *c)
{
	u64 bits[8];
	struct iommu_hwpt_get_dirty_bitmap cmd = {.size = sizeof(cmd), .hwpt_id = c->w->dirty,
						  .iova = SRC, .length = BUF_LEN,
						  .page_size = 4096, .data = (uintptr_t)bits};

	return CALL(c, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

/* Commands that this version has no answer to: nothing but their size. */
static long empty_call(struct caller_state *c, unsigned long cmd, u32 size)
{
	u32 buf[64] = {size};

	return CALL(c, cmd, buf);
}
#define EMPTY_ROW(_fn, _cmd, _struct)                                                              \
	static long _fn(struct caller_state *c)                                                    \
	{                                                                                          \
		return empty_call(c, _cmd, sizeof(struct _struct));                                \
	}
EMPTY_ROW(go_vfio_ioas, IOMMU_VFIO_IOAS, iommu_vfio_ioas)
EMPTY_ROW(go_invalidate, IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate)
EMPTY_ROW(go_fault_queue, IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc)
EMPTY_ROW(go_viommu, IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc)
EMPTY_ROW(go_vdevice, IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc)
EMPTY_ROW(go_veventq, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc)
EMPTY_ROW(go_hw_queue, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc)

/* --- the mock machine's own ------------------------------------------------------------------- */
static long test_op(struct caller_state *c, u32 op, u32 id, struct iommu_test_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return CALL(c, IOMMU_TEST_CMD, cmd);
}

static long go_reserve(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.add_reserved = {.start = 0x70000000, .length = 4096}};

	return test_op(c, IOMMU_TEST_OP_ADD_RESERVED, c->w->other, &cmd);
}

static long go_mock_domain(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {0};
	long rc;

	destroy(c->w->fd, c->w->stdev);
	rc = test_op(c, IOMMU_TEST_OP_MOCK_DOMAIN, c->w->other, &cmd);
	if (!rc)
		c->w->stdev = cmd.mock_domain.out_stdev_id;
	return rc;
}

static long go_mock_domain_flags(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.mock_domain_flags.dev_flags = MOCK_FLAGS_DEVICE_PASID};
	long rc;

	destroy(c->w->fd, c->w->stdev);
	rc = test_op(c, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, c->w->other, &cmd);
	if (!rc) {
		c->w->stdev = cmd.mock_domain_flags.out_stdev_id;
		c->w->hwpt = cmd.mock_domain_flags.out_hwpt_id;
		c->w->idev = cmd.mock_domain_flags.out_idev_id;
	}
	return rc;
}

static long go_mock_replace(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {
		.mock_domain_replace.pt_id = rnd(&c->rnd) & 1 ? c->w->ioas : c->w->other};

	return test_op(c, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, c->w->stdev, &cmd);
}

static long go_check_map(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.check_map = {.iova = SRC, .length = 4096,
						   .uptr = (uintptr_t)c->w->priv}};

	return test_op(c, IOMMU_TEST_OP_MD_CHECK_MAP, c->w->dirty, &cmd);
}

static long go_check_refs(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.check_refs = {.length = 4096,
						    .uptr = (uintptr_t)c->w->ring, .refs = 1}};

	return test_op(c, IOMMU_TEST_OP_MD_CHECK_REFS, 0, &cmd);
}

static long go_create_access(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {
		.create_access.flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES};
	int old = c->w->access;
	long rc = test_op(c, IOMMU_TEST_OP_CREATE_ACCESS, c->w->ioas, &cmd);

	if (rc)
		return rc;
	c->w->access = (int)cmd.create_access.out_access_fd;
	if (old >= 0)
		close(old);
	return 0;
}

static long go_access_pages(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.access_pages = {.iova = SRC, .length = 16384,
						      .uptr = (uintptr_t)c->w->priv}};
	long rc = test_op(c, IOMMU_TEST_OP_ACCESS_PAGES, (u32)c->w->access, &cmd);

	if (!rc)
		c->w->item = cmd.access_pages.out_access_pages_id;
	return rc;
}

static long go_destroy_pages(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.destroy_access_pages.access_pages_id = c->w->item};

	return test_op(c, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, (u32)c->w->access, &cmd);
}

static long go_access_rw(struct caller_state *c)
{
	u8 buf[8192] = {0};
	struct iommu_test_cmd cmd = {.access_rw = {.iova = SRC + 100, .length = sizeof(buf),
						   .uptr = (uintptr_t)buf,
						   .flags = rnd(&c->rnd) & 1
								    ? MOCK_ACCESS_RW_WRITE
								    : 0}};

	return test_op(c, IOMMU_TEST_OP_ACCESS_RW, (u32)c->w->access, &cmd);
}

static long go_access_replace(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {
		.access_replace_ioas.ioas_id = rnd(&c->rnd) % 4 ? c->w->ioas : c->w->other};

	return test_op(c, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, (u32)c->w->access, &cmd);
}

static long go_memory_limit(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.memory_limit.limit = 65536};

	return test_op(c, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0, &cmd);
}

static long go_soil(struct caller_state *c)
{
	u64 bits[8];
	struct iommu_test_cmd cmd = {.dirty = {.iova = SRC, .length = BUF_LEN, .page_size = 4096,
					       .uptr = (uintptr_t)bits}};

	memset(bits, 0xff, sizeof(bits));
	return test_op(c, IOMMU_TEST_OP_DIRTY, c->w->dirty, &cmd);
}

static long pasid_op(struct caller_state *c, u32 op)
{
	/* A device takes PASIDs where its own table is made for them. */
	struct iommu_test_cmd own = {.size = sizeof(own), .op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
				     .id = c->w->stdev, .mock_domain_replace.pt_id = c->w->pasid};
	/* The four have the PASID at the same place; the table follows where there is one. */
	struct iommu_test_cmd cmd = {.pasid_attach = {.pasid = 7, .pt_id = c->w->pasid}};

	ioctl(c->w->fd, IOMMU_TEST_CMD, &own);
	return test_op(c, op, c->w->stdev, &cmd);
}

#define PASID_ROW(_fn, _op)                                                                        \
	static long _fn(struct caller_state *c)                                                    \
	{                                                                                          \
		return pasid_op(c, _op);                                                           \
	}
PASID_ROW(go_pasid_attach, IOMMU_TEST_OP_PASID_ATTACH)
PASID_ROW(go_pasid_replace, IOMMU_TEST_OP_PASID_REPLACE)
PASID_ROW(go_pasid_detach, IOMMU_TEST_OP_PASID_DETACH)
PASID_ROW(go_pasid_check, IOMMU_TEST_OP_PASID_CHECK_HWPT)

static long go_dmabuf_get(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {.dmabuf_get.length = 32768};
	int old = c->w->dmabuf;
	long rc = test_op(c, IOMMU_TEST_OP_DMABUF_GET, 0, &cmd);

	if (rc < 0)
		return rc;
	c->w->dmabuf = (int)rc;
	if (old >= 0)
		close(old);
	return 0;
}

static long go_dmabuf_revoke(struct caller_state *c)
{
	struct iommu_test_cmd cmd = {
		.dmabuf_revoke = {.dmabuf_fd = c->w->dmabuf, .revoked = rnd(&c->rnd) & 1}};

	return test_op(c, IOMMU_TEST_OP_DMABUF_REVOKE, 0, &cmd);
}

/* --- the device ------------------------------------------------------------------------------- */
static long attach(struct caller_state *c, u32 pt_id)
{
	struct vfio_device_attach_iommufd_pt a = {.argsz = sizeof(a), .pt_id = pt_id};

	return marked(c, c->w->dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static long go_attach(struct caller_state *c)
{
	return attach(c, rnd(&c->rnd) % 4 ? c->w->ioas : c->w->other);
}

static long go_detach(struct caller_state *c)
{
	struct vfio_device_detach_iommufd_pt d = {.argsz = sizeof(d)};

	return marked(c, c->w->dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

static long map_regs(struct caller_state *c)
{
	void *p;

	enter(c);
	p = mmap((void *)c->w->regs, 0x4000, PROT_READ | PROT_WRITE,
		 MAP_SHARED | (c->w->regs ? MAP_FIXED : 0), c->w->dev, 0);
	leave(c, 0);
	if (p == MAP_FAILED)
		return -1;
	c->w->regs = p;
	return 0;
}

/* The device from anew: what was mapped of the old file is mapped over. */
static long go_bind(struct caller_state *c)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = c->w->fd};
	u16 command = 6;
	long rc;

	if (c->w->dev >= 0)
		close(c->w->dev);
	c->w->dev = open(VFIO_PATH, O_RDWR | O_CLOEXEC);
	if (c->w->dev < 0)
		return -1;
	rc = marked(c, c->w->dev, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (rc)
		return rc;
	c->w->dev_id = bind.out_devid;
	if (pwrite(c->w->dev, &command, 2, c->w->config + 4) != 2)
		return -1;
	return 0;
}

static long go_info(struct caller_state *c)
{
	struct vfio_device_info i = {.argsz = sizeof(i)};

	return marked(c, c->w->dev, VFIO_DEVICE_GET_INFO, &i);
}

static long go_region_info(struct caller_state *c)
{
	struct vfio_region_info i = {.argsz = sizeof(i), .index = VFIO_PCI_BAR0_REGION_INDEX};

	return marked(c, c->w->dev, VFIO_DEVICE_GET_REGION_INFO, &i);
}

static long go_irq_info(struct caller_state *c)
{
	struct vfio_irq_info i = {.argsz = sizeof(i), .index = VFIO_PCI_MSIX_IRQ_INDEX};

	return marked(c, c->w->dev, VFIO_DEVICE_GET_IRQ_INFO, &i);
}

static long go_set_irqs(struct caller_state *c)
{
	static const u32 indices[] = {VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_ERR_IRQ_INDEX,
				      VFIO_PCI_REQ_IRQ_INDEX};
	struct {
		struct vfio_irq_set set;
		s32 fd;
	} irq = {.set = {.argsz = sizeof(irq),
			 .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			 .index = indices[rnd(&c->rnd) % 3], .count = 1},
		 .fd = c->w->efd};

	return marked(c, c->w->dev, VFIO_DEVICE_SET_IRQS, &irq);
}

static long go_reset(struct caller_state *c)
{
	return marked(c, c->w->dev, VFIO_DEVICE_RESET, NULL);
}

static long go_feature(struct caller_state *c)
{
	struct vfio_device_feature f = {.argsz = sizeof(f), .flags = VFIO_DEVICE_FEATURE_PROBE};

	return marked(c, c->w->dev, VFIO_DEVICE_FEATURE, &f);
}

static long go_hot_info(struct caller_state *c)
{
	struct vfio_pci_hot_reset_info h = {.argsz = sizeof(h)};

	return marked(c, c->w->dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &h);
}

static long go_hot_reset(struct caller_state *c)
{
	struct vfio_pci_hot_reset h = {.argsz = sizeof(h)};

	return marked(c, c->w->dev, VFIO_DEVICE_PCI_HOT_RESET, &h);
}

static long go_pread(struct caller_state *c)
{
	u32 id;

	enter(c);
	return leave(c, pread(c->w->dev, &id, 4, c->w->config) == 4 ? 0 : -1);
}

static long go_pwrite(struct caller_state *c)
{
	u16 command = 6;

	enter(c);
	return leave(c, pwrite(c->w->dev, &command, 2, c->w->config + 4) == 2 ? 0 : -1);
}

static long go_store(struct caller_state *c)
{
	enter(c);
	*(volatile u64 *)(c->w->regs + 0x98) = RING + 8192;
	return leave(c, 0);
}

/* A chain without an end, 32,000 copies of it: nobody lives to see the last. */
static long go_dma(struct caller_state *c)
{
	volatile u8 *regs = c->w->regs;
	u16 command = 6;

	attach(c, c->w->ioas);
	(void)!pwrite(c->w->dev, &command, 2, c->w->config + 4);
	regs[0x84] = 0x20;
	*(volatile u16 *)(regs + 0x80) = 0x1d;
	*(volatile u64 *)(regs + 0x98) = RING + 8192;
	*(volatile u64 *)(regs + 0x90) = RING;
	enter(c);
	*(volatile u16 *)(regs + 0x86) = 32000;
	return leave(c, 0);
}

/* --- files ------------------------------------------------------------------------------------ */
static long go_open_close(struct caller_state *c)
{
	int fd;

	enter(c);
	fd = dev_iommu(O_CLOEXEC);
	ioas_alloc(fd);
	close(fd);
	return leave(c, fd);
}

static long go_fork(struct caller_state *c)
{
	pid_t pid;

	enter(c);
	pid = fork();
	if (!pid) {
		atomic_store(&c->w->args->page->current[c->idx], c->row + 1);
		for (int i = 0; i < 20; i++)
			ioas_alloc(c->w->fd);
		_exit(0);
	}
	return leave(c, pid > 0 ? 0 : -1);
}

#define ROW(_name, _fn, ...)   {#_name, _fn, __VA_ARGS__ + 0}
#define TEST_ROW(_name, _fn)   {"IOMMU_TEST_OP_" #_name, _fn, ROW_MOCK}
#define DEVICE_ROW(_name, _fn, ...) {"VFIO_DEVICE_" #_name, _fn, __VA_ARGS__ + 0}

const struct row rows[] = {
	ROW(IOMMU_DESTROY, go_destroy),
	ROW(IOMMU_IOAS_ALLOC, go_ioas_alloc),
	ROW(IOMMU_IOAS_ALLOW_IOVAS, go_allow),
	ROW(IOMMU_IOAS_COPY, go_copy),
	ROW(IOMMU_IOAS_IOVA_RANGES, go_ranges),
	ROW(IOMMU_IOAS_MAP, go_map),
	ROW(IOMMU_IOAS_UNMAP, go_unmap),
	ROW(IOMMU_OPTION, go_option),
	ROW(IOMMU_VFIO_IOAS, go_vfio_ioas, ROW_MAY_FAIL),
	ROW(IOMMU_HWPT_ALLOC, go_hwpt),
	ROW(IOMMU_GET_HW_INFO, go_hw_info),
	ROW(IOMMU_HWPT_SET_DIRTY_TRACKING, go_track, ROW_OK_ON_MOCK),
	ROW(IOMMU_HWPT_GET_DIRTY_BITMAP, go_bitmap, ROW_OK_ON_MOCK),
	ROW(IOMMU_HWPT_INVALIDATE, go_invalidate, ROW_MAY_FAIL),
	ROW(IOMMU_FAULT_QUEUE_ALLOC, go_fault_queue, ROW_MAY_FAIL),
	ROW(IOMMU_IOAS_MAP_FILE, go_map_file),
	ROW(IOMMU_VIOMMU_ALLOC, go_viommu, ROW_MAY_FAIL),
	ROW(IOMMU_VDEVICE_ALLOC, go_vdevice, ROW_MAY_FAIL),
	ROW(IOMMU_IOAS_CHANGE_PROCESS, go_change_process),
	ROW(IOMMU_VEVENTQ_ALLOC, go_veventq, ROW_MAY_FAIL),
	ROW(IOMMU_HW_QUEUE_ALLOC, go_hw_queue, ROW_MAY_FAIL),
	TEST_ROW(ADD_RESERVED, go_reserve),
	TEST_ROW(MOCK_DOMAIN, go_mock_domain),
	TEST_ROW(MOCK_DOMAIN_FLAGS, go_mock_domain_flags),
	TEST_ROW(MOCK_DOMAIN_REPLACE, go_mock_replace),
	TEST_ROW(MD_CHECK_MAP, go_check_map),
	TEST_ROW(MD_CHECK_REFS, go_check_refs),
	TEST_ROW(CREATE_ACCESS, go_create_access),
	TEST_ROW(ACCESS_PAGES, go_access_pages),
	TEST_ROW(DESTROY_ACCESS_PAGES, go_destroy_pages),
	TEST_ROW(ACCESS_RW, go_access_rw),
	TEST_ROW(ACCESS_REPLACE_IOAS, go_access_replace),
	TEST_ROW(SET_TEMP_MEMORY_LIMIT, go_memory_limit),
	TEST_ROW(DIRTY, go_soil),
	TEST_ROW(PASID_ATTACH, go_pasid_attach),
	TEST_ROW(PASID_REPLACE, go_pasid_replace),
	TEST_ROW(PASID_DETACH, go_pasid_detach),
	TEST_ROW(PASID_CHECK_HWPT, go_pasid_check),
	TEST_ROW(DMABUF_GET, go_dmabuf_get),
	TEST_ROW(DMABUF_REVOKE, go_dmabuf_revoke),
	DEVICE_ROW(BIND_IOMMUFD, go_bind, ROW_ALONE),
	DEVICE_ROW(ATTACH_IOMMUFD_PT, go_attach),
	DEVICE_ROW(DETACH_IOMMUFD_PT, go_detach),
	DEVICE_ROW(GET_INFO, go_info),
	DEVICE_ROW(GET_REGION_INFO, go_region_info),
	DEVICE_ROW(GET_IRQ_INFO, go_irq_info),
	DEVICE_ROW(SET_IRQS, go_set_irqs),
	DEVICE_ROW(RESET, go_reset),
	DEVICE_ROW(FEATURE, go_feature, ROW_MAY_FAIL),
	DEVICE_ROW(GET_PCI_HOT_RESET_INFO, go_hot_info, ROW_MAY_FAIL),
	DEVICE_ROW(PCI_HOT_RESET, go_hot_reset, ROW_MAY_FAIL),
	{"pread of the device", go_pread, 0},
	{"pwrite of the device", go_pwrite, 0},
	{"mmap of a BAR", map_regs, ROW_ALONE},
	{"a store to a register", go_store, ROW_ALONE},
	{"a start of the device", go_dma, ROW_ALONE},
	{"open and close", go_open_close, 0},
	{"fork", go_fork, ROW_ALONE},
};
const unsigned nr_rows = ARRAY_SIZE(rows);
static_assert(ARRAY_SIZE(rows) <= MAX_ROWS, "watch_page.ok");

static void run_row(struct caller_state *c, u32 row)
{
	c->row = row;
	if (rows[row].go(c) >= 0)
		atomic_fetch_add(&c->w->args->page->ok[row], 1);
}

static bool may_run(const struct caller_state *c, u32 row)
{
	if (rows[row].flags & ROW_MOCK && !c->w->args->mock)
		return false;
	return !c->idx || !(rows[row].flags & ROW_ALONE);
}

static void *call_for_ever(void *arg)
{
	struct caller_state *c = arg;
	u32 target = c->w->args->target, row;

	for (;;) {
		row = rnd(&c->rnd) & 1 ? target : (u32)(rnd(&c->rnd) % nr_rows);
		if (may_run(c, row))
			run_row(c, row);
		if (!c->idx && !(rnd(&c->rnd) % 16))
			go_dma(c);
	}
	return NULL;
}

static u32 row_of(long (*go)(struct caller_state *c))
{
	u32 i = 0;

	while (rows[i].go != go)
		i++;
	return i;
}

static void map_at(struct world *w, void *at, u64 len, u64 iova)
{
	struct iommu_ioas_map cmd = {.size = sizeof(cmd),
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
					      IOMMU_IOAS_MAP_FIXED_IOVA,
				     .ioas_id = w->ioas, .user_va = (uintptr_t)at, .length = len,
				     .iova = iova};

	NEED(w, !ioctl(w->fd, IOMMU_IOAS_MAP, &cmd));
}

static void *memory(u32 len, int kind)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		memset(p, 0x5a, len);
	return p;
}

static void make_memory(struct world *w)
{
	struct desc *d;

	w->priv = memory(BUF_LEN, MAP_PRIVATE);
	w->shared = memory(BUF_LEN, MAP_SHARED);
	w->ring = memory(16384, MAP_SHARED);
	w->memfd = memfd_create("kill", MFD_CLOEXEC);
	NEED(w, w->memfd >= 0 && !ftruncate(w->memfd, BUF_LEN));
	d = (struct desc *)w->ring;
	for (u32 i = 0; i < NR_DESCS; i++)
		d[i] = (struct desc){.size = PIECE, .src = SRC + i % 4 * PIECE,
				     .dst = DST + i % 4 * PIECE,
				     .next = RING + (i + 1) % NR_DESCS * sizeof(*d)};
}

static void make_change_ctx(struct world *w)
{
	struct iommu_ioas_map_file cmd = {.size = sizeof(cmd), .flags = IOMMU_IOAS_MAP_READABLE,
					  .length = 8192, .fd = w->memfd};
	int id;

	w->change_fd = dev_iommu(O_CLOEXEC);
	id = ioas_alloc(w->change_fd);
	NEED(w, id > 0);
	cmd.ioas_id = (u32)id;
	NEED(w, !ioctl(w->change_fd, IOMMU_IOAS_MAP_FILE, &cmd));
}

static void make_mock_objects(struct caller_state *c)
{
	struct world *w = c->w;
	struct iommu_hwpt_alloc cmd = {.size = sizeof(cmd), .pt_id = w->ioas,
				       .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING};

	run_row(c, row_of(go_mock_domain_flags));
	run_row(c, row_of(go_create_access));
	run_row(c, row_of(go_dmabuf_get));
	cmd.dev_id = w->idev;
	NEED(w, w->stdev && w->access >= 0 && w->dmabuf >= 0);
	NEED(w, !ioctl(w->fd, IOMMU_HWPT_ALLOC, &cmd));
	w->dirty = cmd.out_hwpt_id;
	cmd.flags = IOMMU_HWPT_ALLOC_PASID;
	NEED(w, !ioctl(w->fd, IOMMU_HWPT_ALLOC, &cmd));
	w->pasid = cmd.out_hwpt_id;
}

static void make_world(struct caller_state *c)
{
	struct world *w = c->w;
	struct vfio_region_info info = {.argsz = sizeof(info),
					.index = VFIO_PCI_CONFIG_REGION_INDEX};
	int id;

	w->fd = dev_iommu(O_CLOEXEC);
	NEED(w, w->fd >= 0);
	id = ioas_alloc(w->fd);
	NEED(w, id > 0);
	w->ioas = (u32)id;
	w->other = (u32)ioas_alloc(w->fd);
	w->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	make_memory(w);
	w->config = (off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40;
	run_row(c, row_of(go_bind));
	NEED(w, w->dev_id);
	NEED(w, !ioctl(w->dev, VFIO_DEVICE_GET_REGION_INFO, &info));
	w->config = (off_t)info.offset;
	run_row(c, row_of(map_regs));
	NEED(w, w->regs);
	map_at(w, w->ring, 16384, RING);
	map_at(w, w->priv, BUF_LEN, SRC);
	map_at(w, w->shared, BUF_LEN, DST);
	make_change_ctx(w);
	if (w->args->mock)
		make_mock_objects(c);
	run_row(c, row_of(go_dma));
}

static void drop_ipc_lock(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &head, data))
		return;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	syscall(SYS_capset, &head, data);
}

void client_run(const struct client_args *args)
{
	struct world w = {.args = args, .fd = -1, .change_fd = -1, .dev = -1, .memfd = -1,
			  .access = -1, .dmabuf = -1};
	struct caller_state c[NR_CALLERS];
	pthread_t thread;

	setpgid(0, 0);
	if (args->drop_caps)
		drop_ipc_lock();
	for (unsigned i = 0; i < NR_CALLERS; i++)
		c[i] = (struct caller_state){&w, i, 0, args->seed * 2 + i + 1};
	make_world(&c[0]);
	for (unsigned i = 1; i < NR_CALLERS; i++)
		NEED(&w, !pthread_create(&thread, NULL, call_for_ever, &c[i]));
	atomic_store(&args->page->ready, 1);
	call_for_ever(&c[0]);
	_exit(4);
}
