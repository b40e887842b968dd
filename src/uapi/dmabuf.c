// SPDX-License-Identifier: MIT
/*
 * The file of a dma-buf token, and the test operations on it.
 *
 * Source: linux drivers/iommu/iommufd/selftest.c.
 */
#include <fcntl.h>

#include "uapi/iommufd.h"

#define DMABUF_LEN_MAX (512 * PAGE_SIZE)

struct dmabuf_file {
	struct file file;
	struct dmabuf *buf; /* a reference */
};

static struct dmabuf_file *to_dmabuf(struct file *file)
{
	return container_of(file, struct dmabuf_file, file);
}

static void dmabuf_release(struct file *file)
{
	struct dmabuf_file *f = to_dmabuf(file);
	struct env *env = &file->ioasis->env;

	dmabuf_put(f->buf);
	env_free(env, f);
}

static void dmabuf_describe(struct file *file, json_t *out)
{
	json_put(out, "length", json_hex(dmabuf_len(to_dmabuf(file)->buf)));
}

const struct file_ops dmabuf_file_ops = {
	.name = "dmabuf",
	.release = dmabuf_release,
	.describe = dmabuf_describe,
};

struct dmabuf *dmabuf_of_file(struct file *file)
{
	return file->ops == &dmabuf_file_ops ? dmabuf_get(to_dmabuf(file)->buf) : NULL;
}

int test_dmabuf_get(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 len = align_up(cmd->dmabuf_get.length, PAGE_SIZE);
	struct dmabuf_file *f;
	int rc;

	if (!len || len > DMABUF_LEN_MAX)
		return -EINVAL;
	f = env_zalloc(req->env, sizeof(*f));
	if (!f)
		return -ENOMEM;
	rc = dmabuf_new(req->env, &req->ioasis->mem, len, &f->buf);
	if (rc) {
		env_free(req->env, f);
		return rc;
	}
	file_init(&f->file, &dmabuf_file_ops, req->ioasis);
	rc = req->c->ops->fd_install(req->c, &f->file, cmd->dmabuf_get.open_flags & O_CLOEXEC);
	if (rc < 0) {
		file_put(&f->file);
		return rc;
	}
	req->new_fd = rc;
	return rc;
}

int test_dmabuf_revoke(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct dmabuf *buf;
	struct file *file;
	int rc;

	rc = req->c->ops->file_get(req->c, cmd->dmabuf_revoke.dmabuf_fd, &file);
	if (rc)
		return rc == -EBADF ? -EBADF : -EINVAL;
	buf = dmabuf_of_file(file);
	file_put(file);
	if (!buf)
		return -EINVAL;
	dmabuf_revoke(buf, cmd->dmabuf_revoke.revoked);
	dmabuf_put(buf);
	return 0;
}
