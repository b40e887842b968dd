// SPDX-License-Identifier: MIT
/*
 * The file that opening /dev/iommu makes: one context each. What is in it the machine describes.
 *
 * Source: linux drivers/iommu/iommufd/main.c.
 */
#include <sys/mman.h>

#include "uapi/iommufd.h"

static struct iommufd_file *to_iommufd(struct file *file)
{
	return container_of(file, struct iommufd_file, file);
}

static long iommufd_ioctl(struct file *file, struct caller *c, unsigned cmd, u64 arg)
{
	return uapi_dispatch(to_iommufd(file)->ctx, c, cmd, arg);
}

/* Only virtual IOMMUs have something to map, and there are none yet. */
static int iommufd_mmap(struct file *file, struct caller *c, struct file_map *map)
{
	if (!(map->flags & MAP_SHARED))
		return -EINVAL;
	if (map->prot & PROT_EXEC)
		return -EPERM;
	return -ENXIO;
}

static void iommufd_release(struct file *file)
{
	struct iommufd_file *f = to_iommufd(file);
	struct env *env = f->ctx->env;

	ctx_put(f->ctx);
	env_free(env, f);
}

/* What `ioasis run` reports when the file goes with its program. */
static void iommufd_describe(struct file *file, json_t *out)
{
	json_t *ctx = machine_ctx_describe(to_iommufd(file)->ctx);

	if (ctx)
		json_object_update(out, ctx);
	json_decref(ctx);
}

const struct file_ops iommufd_file_ops = {
	.name = "iommufd",
	.ioctl = iommufd_ioctl,
	.mmap = iommufd_mmap,
	.release = iommufd_release,
	.describe = iommufd_describe,
};

int iommufd_open(struct ioasis *ioasis, struct caller *c, u32 index, int flags, struct file **out)
{
	struct iommufd_file *f = env_zalloc(&ioasis->env, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	rc = machine_ctx_new(ioasis, &f->ctx);
	if (rc) {
		env_free(&ioasis->env, f);
		return rc;
	}
	file_init(&f->file, &iommufd_file_ops, ioasis);
	*out = &f->file;
	return 0;
}

int iommufd_file_ctx(struct file *file, struct ioasis_ctx **out)
{
	if (file->ops != &iommufd_file_ops)
		return -EBADFD;
	ctx_get(to_iommufd(file)->ctx);
	*out = to_iommufd(file)->ctx;
	return 0;
}
