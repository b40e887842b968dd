// SPDX-License-Identifier: MIT
/*
 * Requests about any object, and options.
 *
 * Source: linux drivers/iommu/iommufd/{main,ioas}.c.
 */
#include "uapi/iommufd.h"

#include <linux/capability.h>

int cmd_destroy(struct req *req)
{
	return obj_destroy(&req->ctx->objs, req->cmd->destroy.id);
}

static int option_rlimit_mode(struct req *req, struct iommu_option *cmd)
{
	bool capable;
	int rc;

	if (cmd->object_id)
		return -EOPNOTSUPP;
	switch (cmd->op) {
	case IOMMU_OPTION_OP_GET:
		cmd->val64 = ctx_rlimit_mode(req->ctx);
		return 0;
	case IOMMU_OPTION_OP_SET:
		rc = task_capable(req->c->tid, CAP_SYS_RESOURCE, &capable);
		if (rc)
			return rc;
		return ctx_set_rlimit_mode(req->ctx, capable, cmd->val64);
	default:
		return -EOPNOTSUPP;
	}
}

static int set_huge_pages(struct ioasis_ioas *ioas, u64 val)
{
	if (val > 1)
		return -EINVAL;
	return ioas_set_huge_pages(ioas, val);
}

static int option_huge_pages(struct req *req, struct iommu_option *cmd)
{
	struct ioasis_ioas *ioas;
	int rc;

	rc = req_get_ioas(req, cmd->object_id, &ioas);
	if (rc)
		return rc;
	switch (cmd->op) {
	case IOMMU_OPTION_OP_GET:
		cmd->val64 = ioas_huge_pages(ioas);
		break;
	case IOMMU_OPTION_OP_SET:
		rc = set_huge_pages(ioas, cmd->val64);
		break;
	default:
		rc = -EOPNOTSUPP;
	}
	obj_put(&ioas->obj);
	return rc;
}

int cmd_option(struct req *req)
{
	struct iommu_option *cmd = &req->cmd->option;
	int rc;

	if (cmd->__reserved)
		return -EOPNOTSUPP;
	switch (cmd->option_id) {
	case IOMMU_OPTION_RLIMIT_MODE:
		rc = option_rlimit_mode(req, cmd);
		break;
	case IOMMU_OPTION_HUGE_PAGES:
		rc = option_huge_pages(req, cmd);
		break;
	default:
		rc = -EOPNOTSUPP;
	}
	if (rc)
		return rc;
	/* Only the value is written back: the rest is the program's. */
	return req->c->ops->store(req->c, req->uaddr + offsetof(struct iommu_option, val64),
				  &cmd->val64, sizeof(cmd->val64));
}
