/* SPDX-License-Identifier: MIT */
#include "vfio_rig.h"

struct fakes fakes;

/* ---- the caller ---- */

static int copy_self(void *local, u64 remote, size_t len, bool in)
{
	struct iovec l = {local, len}, r = {(void *)(uintptr_t)remote, len};
	ssize_t n = in ? process_vm_readv(getpid(), &l, 1, &r, 1, 0)
		       : process_vm_writev(getpid(), &l, 1, &r, 1, 0);

	return n == (ssize_t)len ? 0 : -EFAULT;
}

static int rig_fetch(struct caller *c, void *to, u64 uaddr, size_t len)
{
	return copy_self(to, uaddr, len, true);
}

static int rig_store(struct caller *c, u64 uaddr, const void *from, size_t len)
{
	return copy_self((void *)(uintptr_t)from, uaddr, len, false);
}

static int rig_commit(struct caller *c)
{
	return 0;
}

static int rig_file_get(struct caller *c, int fd, struct file **out)
{
	struct file *f = fd == IOMMUFD_FD ? fakes.iommufd : fd == OTHER_FD ? fakes.other : NULL;

	if (!f)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -ENOTTY;
	*out = file_get(f);
	return 0;
}

static int rig_fd_dup(struct caller *c, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -EBADF : copy;
}

static const struct caller_ops ops = {
	.fetch = rig_fetch,
	.store = rig_store,
	.commit = rig_commit,
	.file_get = rig_file_get,
	.fd_dup = rig_fd_dup,
};

/* ---- other rooms ---- */

struct pci_dev *machine_pci_dev(struct ioasis *ioasis, const char *bdf, u32 index)
{
	return index == 0 ? fakes.dev : NULL;
}

int iommufd_file_ctx(struct file *file, struct ioasis_ctx **out)
{
	if (file != fakes.iommufd)
		return -EBADFD;
	fakes.ctx_refs++;
	*out = fakes.ctx;
	return 0;
}

void ctx_put(struct ioasis_ctx *ctx)
{
	fakes.ctx_refs--;
}

int copy_struct_in(struct caller *c, void *to, size_t len, u64 uaddr, u64 user_len, size_t done)
{
	u8 byte;

	for (u64 i = len; i < user_len; i++) {
		if (c->ops->fetch(c, &byte, uaddr + i, 1))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	memset((u8 *)to + done, 0, len - done);
	return c->ops->fetch(c, (u8 *)to + done, uaddr + done, min(len, user_len) - done);
}

int dev_bind(struct ioasis_ctx *ctx, struct iommu_dev *idev, struct bound_dev **out)
{
	if (fakes.bind_rc)
		return fakes.bind_rc;
	fakes.nr_bound++;
	fakes.bound.obj.id = 7;
	*out = &fakes.bound;
	return 0;
}

void dev_unbind(struct bound_dev *dev)
{
	fakes.nr_bound--;
}

int dev_attach(struct bound_dev *dev, pasid_t pasid, u32 *pt_id)
{
	fakes.nr_attach++;
	fakes.last_pt = *pt_id;
	fakes.last_pasid = pasid.v;
	if (!fakes.attach_rc)
		*pt_id = 99;
	return fakes.attach_rc;
}

int dev_replace(struct bound_dev *dev, pasid_t pasid, u32 *pt_id)
{
	fakes.nr_replace++;
	fakes.last_pasid = pasid.v;
	if (!fakes.attach_rc)
		*pt_id = 98;
	return fakes.attach_rc;
}

void dev_detach(struct bound_dev *dev, pasid_t pasid)
{
	fakes.nr_detach++;
	fakes.last_pasid = pasid.v;
}

/* ---- the rig ---- */

static void no_release(struct file *f)
{
}

static const struct file_ops plain_ops = {.name = "fake", .release = no_release};

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	fake_bus_reset();
	assert_int_equal(env_init(&r->ioasis.env), 0);
	assert_int_equal(pci_dev_new(&r->ioasis.env, NULL, NULL, device_model_find("ioat"),
				     RID(0x100), 0, &r->dev),
			 0);
	file_init(&r->iommufd, &plain_ops, &r->ioasis);
	fakes = (struct fakes){.dev = r->dev, .iommufd = &r->iommufd, .ctx = &r->ctx};
	r->c.ops = &ops;
	assert_int_equal(vfio_cdev_open(&r->ioasis, &r->c, 0, O_RDWR, &r->file), 0);
	fakes.other = r->file;
	r->hole = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	assert_int_equal(munmap(r->hole + PAGE_SIZE, PAGE_SIZE), 0);
	r->hole += PAGE_SIZE;
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	file_put(r->file);
	assert_int_equal(fakes.nr_bound, 0);
	assert_int_equal(fakes.ctx_refs, 0);
	pci_dev_free(r->dev);
	assert_int_equal(r->ioasis.env.nr_allocs, 0);
	env_fini(&r->ioasis.env);
	munmap(r->hole - PAGE_SIZE, PAGE_SIZE);
	free(r);
	return 0;
}

void rig_bind(struct rig *r)
{
	struct vfio_device_bind_iommufd b = {.argsz = sizeof(b), .iommufd = IOMMUFD_FD};

	assert_int_equal(ioctl_of(r, VFIO_DEVICE_BIND_IOMMUFD, &b), 0);
	assert_int_equal(b.out_devid, 7);
}
