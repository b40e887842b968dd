// SPDX-License-Identifier: MIT
/*
 * IOMMU_GET_HW_INFO.
 *
 * Source: linux drivers/iommu/iommufd/device.c, iommufd_get_hw_info().
 */
#include "uapi/iommufd.h"

static const u8 zeros[PAGE_SIZE];

/* The data, then zeros to the end of the room the program gave. */
static int store_data(struct caller *c, u64 uaddr, u64 room, const struct dev_hw_info *info)
{
	u64 n = min(room, (u64)info->len);
	int rc;

	if (n) {
		rc = c->ops->store(c, uaddr, info->data, n);
		if (rc)
			return rc;
	}
	for (uaddr += n, room -= n; room; uaddr += n, room -= n) {
		n = min(room, (u64)sizeof(zeros));
		rc = c->ops->store(c, uaddr, zeros, n);
		if (rc)
			return rc;
	}
	return 0;
}

int cmd_get_hw_info(struct req *req)
{
	struct iommu_hw_info *cmd = &req->cmd->hw_info;
	struct dev_hw_info info;
	struct bound_dev *dev;
	int rc;

	if (cmd->flags & ~IOMMU_HW_INFO_FLAG_INPUT_TYPE)
		return -EOPNOTSUPP;
	if (cmd->__reserved[0] || cmd->__reserved[1] || cmd->__reserved[2])
		return -EOPNOTSUPP;
	if (!(cmd->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE))
		cmd->in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	rc = req_get_dev(req, cmd->dev_id, &dev);
	if (rc)
		return rc;
	rc = dev_hw_info(dev, cmd->in_data_type, &info);
	obj_put(&dev->obj);
	if (rc)
		return rc;
	rc = store_data(req->c, cmd->data_uptr, cmd->data_len, &info);
	if (rc)
		return rc;
	cmd->out_data_type = info.type;
	cmd->data_len = info.len;
	cmd->out_capabilities = info.caps;
	cmd->out_max_pasid_log2 = info.max_pasid_log2;
	return req_respond(req, sizeof(*cmd));
}
