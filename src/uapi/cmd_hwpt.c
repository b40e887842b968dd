// SPDX-License-Identifier: MIT
/*
 * IOMMU_HWPT_ALLOC.
 *
 * Source: linux drivers/iommu/iommufd/hw_pagetable.c, iommufd_hwpt_alloc().
 */
#include "uapi/iommufd.h"

struct user_data {
	struct caller *c;
	u64 uaddr;
};

/* What a driver calls when, and if, it wants its data. */
static int copy_user_data(const struct driver_data *d, u32 type, void *to, size_t len,
			  size_t min_len)
{
	const struct user_data *u = d->arg;

	if (d->type != type || d->len < min_len || d->len > len)
		return -EINVAL;
	return copy_struct_in(u->c, to, len, u->uaddr, d->len, 0);
}

int cmd_hwpt_alloc(struct req *req)
{
	struct iommu_hwpt_alloc *cmd = &req->cmd->hwpt_alloc;
	struct user_data user = {.c = req->c, .uaddr = cmd->data_uptr};
	struct driver_data data = {.type = cmd->data_type, .len = cmd->data_len,
				   .copy = copy_user_data, .arg = &user};
	struct hwpt_args args = {.pt_id = cmd->pt_id, .flags = cmd->flags,
				 .fault_id = cmd->fault_id,
				 .data = cmd->data_len ? &data : NULL};
	struct bound_dev *dev;
	int rc;

	if (cmd->__reserved)
		return -EOPNOTSUPP;
	if ((cmd->data_type == IOMMU_HWPT_DATA_NONE) != !cmd->data_len)
		return -EINVAL;
	rc = req_get_dev(req, cmd->dev_id, &dev);
	if (rc)
		return rc;
	rc = hwpt_alloc(dev, &args, &req->new_obj);
	obj_put(&dev->obj);
	if (rc)
		return rc;
	cmd->out_hwpt_id = req->new_obj->id;
	return req_respond(req, sizeof(*cmd));
}
