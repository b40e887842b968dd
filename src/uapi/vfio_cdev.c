/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/devices/vfioN: open, bind to a context, attach, dispatch.
 *
 * Nothing but BIND_IOMMUFD works before it has succeeded. A device is bound by one file at a time.
 *
 * Source: linux drivers/vfio/device_cdev.c, vfio_main.c, iommufd.c (order of checks, errnos).
 */
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

struct vfio_pasid {
	struct itree_node node;
};

unsigned vfio_nr_devices(struct ioasis *ioasis)
{
	struct list *p;
	unsigned nr = 0;

	list_for_each(p, &ioasis->pci_devs)
		nr++;
	return nr;
}

int vfio_cdev_open(struct ioasis *ioasis, struct caller *c, u32 index, int flags, struct file **out)
{
	struct pci_dev *dev = machine_pci_dev(ioasis, NULL, index);
	struct vfio_file *v;

	if (!dev)
		return -ENODEV;
	v = env_zalloc(&ioasis->env, sizeof(*v));
	if (!v)
		return -ENOMEM;
	file_init(&v->file, &vfio_cdev_file_ops, ioasis);
	v->dev = dev;
	v->flags = flags;
	v->irq_type = VFIO_PCI_NUM_IRQS;
	itree_init(&v->pasids);
	lock_init(&v->lock, RANK_VFIO);
	*out = &v->file;
	return 0;
}

/* ---- bind ---- */

static bool claim(struct pci_dev *dev)
{
	bool won;

	lock_take(&dev->lock);
	won = !dev->claimed;
	dev->claimed = true;
	lock_drop(&dev->lock);
	return won;
}

static void unclaim(struct pci_dev *dev)
{
	lock_take(&dev->lock);
	dev->claimed = false;
	lock_drop(&dev->lock);
}

/* As vfio-pci leaves a function it has opened: reset, its memory enabled, not a bus master. */
static void enable(struct pci_dev *dev)
{
	const u16 memory = 2;

	pci_dev_reset(dev);
	pci_config_write(dev, 4, &memory, sizeof(memory));
}

/* A function without virtual functions has no token: giving one is an error. */
static int check_token(struct caller *c, const struct vfio_device_bind_iommufd *bind)
{
	u8 uuid[16];

	if (!(bind->flags & VFIO_DEVICE_BIND_FLAG_TOKEN))
		return 0;
	if (c->ops->fetch(c, uuid, bind->token_uuid_ptr, sizeof(uuid)))
		return -EFAULT;
	return -EINVAL;
}

static int get_ctx(struct caller *c, int fd, struct ioasis_ctx **out)
{
	struct file *file;
	int rc = c->ops->file_get(c, fd, &file);

	if (rc)
		return rc == -ENOTTY ? -EBADFD : rc;
	rc = iommufd_file_ctx(file, out);
	file_put(file);
	return rc;
}

/* Undo a bind: no DMA of the device is in flight when its last attachment goes. */
static void unbind(struct vfio_file *v)
{
	struct itree_node *n;

	pci_dev_reset(v->dev);
	while ((n = itree_first(&v->pasids, 0, UINT64_MAX))) {
		dev_detach(v->bound, PASID((u32)n->start));
		itree_remove(&v->pasids, n);
		env_free(v->dev->env, container_of(n, struct vfio_pasid, node));
	}
	dev_unbind(v->bound);
	ctx_put(v->ctx);
	v->bound = NULL;
	v->ctx = NULL;
	lock_take(&v->lock); /* vfio_describe() looks at it */
	v->attached = false;
	lock_drop(&v->lock);
	unclaim(v->dev);
}

static int fetch_bind(struct caller *c, u64 arg, struct vfio_device_bind_iommufd *bind)
{
	u32 size;
	int rc;

	if (c->ops->fetch(c, &size, arg, sizeof(size)))
		return -EFAULT;
	if (size < offsetofend(struct vfio_device_bind_iommufd, out_devid))
		return -EINVAL;
	bind->argsz = size;
	rc = copy_struct_in(c, bind, sizeof(*bind), arg, size, sizeof(size));
	if (rc)
		return rc;
	return bind->iommufd < 0 || bind->flags & ~(u32)VFIO_DEVICE_BIND_FLAG_TOKEN ? -EINVAL : 0;
}

static long bind_iommufd(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_device_bind_iommufd bind;
	struct ioasis_ctx *ctx;
	u64 out = arg + offsetof(struct vfio_device_bind_iommufd, out_devid);
	int rc = fetch_bind(c, arg, &bind);

	if (rc)
		return rc;
	if (atomic_load(&v->granted))
		return -EINVAL;
	rc = check_token(c, &bind);
	if (rc)
		return rc;
	rc = get_ctx(c, bind.iommufd, &ctx);
	if (rc)
		return rc;
	if (!claim(v->dev)) {
		ctx_put(ctx);
		return REJECT(v->dev->env, -EINVAL, bind_iommufd, "open elsewhere");
	}
	rc = dev_bind(ctx, &v->dev->idev, &v->bound);
	if (rc) {
		unclaim(v->dev);
		ctx_put(ctx);
		return rc;
	}
	v->ctx = ctx;
	enable(v->dev);
	if (c->ops->store(c, out, &v->bound->obj.id, sizeof(u32)) || c->ops->commit(c)) {
		unbind(v);
		return -EFAULT;
	}
	TRACE(v->dev->env, bind_iommufd, "%s devid %u", v->dev->idev.name, v->bound->obj.id);
	atomic_store(&v->granted, true);
	return 0;
}

/* ---- attach, detach ---- */

static int attach_plain(struct vfio_file *v, u32 *pt_id)
{
	int rc = v->attached ? dev_replace(v->bound, NO_PASID, pt_id)
			     : dev_attach(v->bound, NO_PASID, pt_id);

	if (!rc)
		v->attached = true;
	return rc;
}

static struct vfio_pasid *find_pasid(struct vfio_file *v, u32 pasid)
{
	struct itree_node *n = itree_first(&v->pasids, pasid, pasid);

	return n ? container_of(n, struct vfio_pasid, node) : NULL;
}

static int attach_pasid(struct vfio_file *v, u32 pasid, u32 *pt_id)
{
	struct vfio_pasid *p;
	int rc;

	if (find_pasid(v, pasid))
		return dev_replace(v->bound, PASID(pasid), pt_id);
	if (pasid > INT32_MAX)
		return -ENOSPC;
	p = env_zalloc(v->dev->env, sizeof(*p));
	if (!p)
		return -ENOMEM;
	rc = dev_attach(v->bound, PASID(pasid), pt_id);
	if (rc) {
		env_free(v->dev->env, p);
		return rc;
	}
	p->node.start = p->node.last = pasid;
	itree_insert(&v->pasids, &p->node);
	return 0;
}

static void detach_plain(struct vfio_file *v)
{
	if (v->attached)
		dev_detach(v->bound, NO_PASID);
	v->attached = false;
}

static void detach_pasid(struct vfio_file *v, u32 pasid)
{
	struct vfio_pasid *p = find_pasid(v, pasid);

	if (!p)
		return;
	dev_detach(v->bound, PASID(pasid));
	itree_remove(&v->pasids, &p->node);
	env_free(v->dev->env, p);
}

static void detach(struct vfio_file *v, bool has_pasid, u32 pasid)
{
	lock_take(&v->lock);
	if (has_pasid)
		detach_pasid(v, pasid);
	else
		detach_plain(v);
	lock_drop(&v->lock);
}

static long attach_pt(struct vfio_file *v, struct caller *c, u64 arg)
{
	size_t minsz = offsetofend(struct vfio_device_attach_iommufd_pt, pt_id);
	struct vfio_device_attach_iommufd_pt a = {0};
	u64 out = arg + offsetof(struct vfio_device_attach_iommufd_pt, pt_id);
	bool has_pasid;
	int rc;

	if (c->ops->fetch(c, &a, arg, minsz))
		return -EFAULT;
	if (a.argsz < minsz || a.flags & ~(u32)VFIO_DEVICE_ATTACH_PASID)
		return -EINVAL;
	has_pasid = a.flags & VFIO_DEVICE_ATTACH_PASID;
	if (has_pasid && a.argsz < sizeof(a))
		return -EINVAL;
	if (has_pasid && c->ops->fetch(c, &a.pasid, arg + minsz, sizeof(a.pasid)))
		return -EFAULT;
	lock_take(&v->lock);
	rc = has_pasid ? attach_pasid(v, a.pasid, &a.pt_id) : attach_plain(v, &a.pt_id);
	lock_drop(&v->lock);
	if (rc)
		return rc;
	if (c->ops->store(c, out, &a.pt_id, sizeof(a.pt_id)) || c->ops->commit(c)) {
		detach(v, has_pasid, a.pasid);
		return -EFAULT;
	}
	return 0;
}

static long detach_pt(struct vfio_file *v, struct caller *c, u64 arg)
{
	size_t minsz = offsetofend(struct vfio_device_detach_iommufd_pt, flags);
	struct vfio_device_detach_iommufd_pt d = {0};
	bool has_pasid;

	if (c->ops->fetch(c, &d, arg, minsz))
		return -EFAULT;
	if (d.argsz < minsz || d.flags & ~(u32)VFIO_DEVICE_DETACH_PASID)
		return -EINVAL;
	has_pasid = d.flags & VFIO_DEVICE_DETACH_PASID;
	if (has_pasid && d.argsz < sizeof(d))
		return -EINVAL;
	if (has_pasid && c->ops->fetch(c, &d.pasid, arg + minsz, sizeof(d.pasid)))
		return -EFAULT;
	detach(v, has_pasid, d.pasid);
	return 0;
}

/* ---- the rest ---- */

/* No feature is offered, but a malformed request is told so first. */
static long device_feature(struct vfio_file *v, struct caller *c, u64 arg)
{
	const u32 known = VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_SET |
			  VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PROBE;
	const u32 both = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET;
	struct vfio_device_feature f;

	if (c->ops->fetch(c, &f, arg, sizeof(f)))
		return -EFAULT;
	if (f.argsz < sizeof(f) || f.flags & ~known)
		return -EINVAL;
	if (!(f.flags & VFIO_DEVICE_FEATURE_PROBE) && (f.flags & both) == both)
		return -EINVAL;
	return -ENOTTY;
}

/* The functions of the machine cannot be reset together with a bus or a slot. */
static long hot_reset_info(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_pci_hot_reset_info h;

	if (c->ops->fetch(c, &h, arg, sizeof(h)))
		return -EFAULT;
	return h.argsz < sizeof(h) ? -EINVAL : -ENODEV;
}

static long hot_reset(struct vfio_file *v, struct caller *c, u64 arg)
{
	struct vfio_pci_hot_reset h;

	if (c->ops->fetch(c, &h, arg, sizeof(h)))
		return -EFAULT;
	if (h.argsz < sizeof(h) || h.flags)
		return -EINVAL;
	return h.count ? -EINVAL : -ENODEV; /* a device file names no groups */
}

static long vfio_ioctl(struct file *file, struct caller *c, unsigned cmd, u64 arg)
{
	struct vfio_file *v = to_vfio(file);

	if (cmd == VFIO_DEVICE_BIND_IOMMUFD)
		return bind_iommufd(v, c, arg);
	if (!atomic_load(&v->granted))
		return REJECT(v->dev->env, -EINVAL, vfio_ioctl, "not bound yet");
	switch (cmd) {
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return attach_pt(v, c, arg);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return detach_pt(v, c, arg);
	case VFIO_DEVICE_FEATURE:
		return device_feature(v, c, arg);
	case VFIO_DEVICE_GET_INFO:
		return vfio_get_info(v, c, arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return vfio_get_region_info(v, c, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return vfio_get_irq_info(v, c, arg);
	case VFIO_DEVICE_SET_IRQS:
		return vfio_set_irqs(v, c, arg);
	case VFIO_DEVICE_RESET:
		pci_dev_flr(v->dev);
		return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return hot_reset_info(v, c, arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return hot_reset(v, c, arg);
	default:
		return -ENOTTY;
	}
}

static void vfio_release(struct file *file)
{
	struct vfio_file *v = to_vfio(file);

	if (v->bound)
		unbind(v);
	lock_fini(&v->lock);
	env_free(v->dev->env, v);
}

static void vfio_describe(struct file *file, json_t *out)
{
	struct vfio_file *v = to_vfio(file);

	json_put(out, "device", json_string(v->dev->idev.name));
	json_put(out, "bound", json_boolean(atomic_load(&v->granted)));
	json_put(out, "attached", json_boolean(v->attached));
}

const struct file_ops vfio_cdev_file_ops = {
	.name = "vfio-device",
	.ioctl = vfio_ioctl,
	.pread = vfio_pread,
	.pwrite = vfio_pwrite,
	.mmap = vfio_mmap,
	.store_trap = vfio_store_trap,
	.release = vfio_release,
	.describe = vfio_describe,
};
