// SPDX-License-Identifier: MIT
/*
 * The dispatcher of /dev/iommu: from bytes to a checked command, and back.
 *
 * Every byte of the program's struct is fetched once: its size word first, then what that word covers. The
 * program may change its memory meanwhile; what counts is what was fetched.
 *
 * Source: linux drivers/iommu/iommufd/main.c, lib/usercopy.c (order of checks, errnos).
 */
#include "uapi/iommufd.h"

#include <linux/capability.h>

static int cmd_not_here(struct req *req)
{
	return REJECT(req->env, -EOPNOTSUPP, uapi_dispatch, "not in this version");
}

#define CMD_ROW(_name, _ioctl, _struct, _last, _fn, _test)                                         \
	[_IOC_NR(_ioctl) - IOMMUFD_CMD_BASE] = {                                                   \
		.name = _name,                                                                     \
		.num = _ioctl,                                                                     \
		.size = sizeof(struct _struct),                                                    \
		.min_size = offsetofend(struct _struct, _last),                                    \
		.test_only = _test,                                                                \
		.execute = _fn,                                                                    \
	}
/* The last mandatory member gives the smallest size that Linux ever accepted. */
/* The name is taken here, before the next macro's argument would be expanded to a number. */
#define CMD(_ioctl, _struct, _last, _fn) CMD_ROW(#_ioctl, _ioctl, _struct, _last, _fn, false)

const struct cmd_op cmd_ops[] = {
	CMD(IOMMU_DESTROY, iommu_destroy, id, cmd_destroy),
	CMD(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id, cmd_ioas_alloc),
	CMD(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas, cmd_ioas_allow_iovas),
	CMD(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, cmd_ioas_copy),
	CMD(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, out_iova_alignment,
	    cmd_ioas_iova_ranges),
	CMD(IOMMU_IOAS_MAP, iommu_ioas_map, iova, cmd_ioas_map),
	CMD(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, cmd_ioas_unmap),
	CMD(IOMMU_OPTION, iommu_option, val64, cmd_option),
	CMD(IOMMU_VFIO_IOAS, iommu_vfio_ioas, __reserved, cmd_not_here),
	CMD(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, __reserved, cmd_hwpt_alloc),
	CMD(IOMMU_GET_HW_INFO, iommu_hw_info, __reserved, cmd_get_hw_info),
	CMD(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, __reserved,
	    cmd_hwpt_set_dirty_tracking),
	CMD(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, data,
	    cmd_hwpt_get_dirty_bitmap),
	CMD(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, __reserved, cmd_not_here),
	CMD(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, out_fault_fd, cmd_not_here),
	CMD(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, iova, cmd_ioas_map_file),
	CMD(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, out_viommu_id, cmd_not_here),
	CMD(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, virt_id, cmd_not_here),
	CMD(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, __reserved,
	    cmd_ioas_change_process),
	CMD(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, out_veventq_fd, cmd_not_here),
	CMD(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, length, cmd_not_here),
	CMD_ROW("IOMMU_TEST_CMD", IOMMU_TEST_CMD, iommu_test_cmd, last, cmd_test, true),
};
const unsigned nr_cmd_ops = ARRAY_SIZE(cmd_ops);

/* Fetch in pieces that end at page ends, so that what lies before a hole counts before the hole does. */
#define PIECE_MAX PAGE_SIZE

static bool is_zero(const u8 *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* Are @len bytes at @uaddr zero? Return: 0; -E2BIG; -EFAULT. */
static int check_zero_tail(struct caller *c, u64 uaddr, u64 len)
{
	u8 piece[PIECE_MAX];
	size_t n;
	int rc;

	for (; len; uaddr += n, len -= n) {
		n = min(len, PAGE_SIZE - (uaddr & (PAGE_SIZE - 1)));
		rc = c->ops->fetch(c, piece, uaddr, n);
		if (rc)
			return rc;
		if (!is_zero(piece, n))
			return -E2BIG;
	}
	return 0;
}

int copy_struct_in(struct caller *c, void *to, size_t len, u64 uaddr, u64 user_len, size_t done)
{
	size_t have = min((u64)len, user_len);
	int rc;

	if (user_len > len) {
		rc = check_zero_tail(c, uaddr + len, user_len - len);
		if (rc)
			return rc;
	}
	memset((u8 *)to + have, 0, len - have);
	if (have <= done)
		return 0;
	return c->ops->fetch(c, (u8 *)to + done, uaddr + done, have - done);
}

int req_respond(struct req *req, size_t len)
{
	return req->c->ops->store(req->c, req->uaddr, req->cmd, min(len, (size_t)req->user_size));
}

int req_respond_now(struct req *req, size_t len)
{
	int rc = req_respond(req, len);

	return rc ? rc : req->c->ops->commit(req->c);
}

static int req_get(struct req *req, u32 id, enum obj_type type, struct obj **out)
{
	int rc = obj_get(&req->ctx->objs, id, type, out);

	if (rc)
		return REJECT(req->env, rc, uapi_dispatch, "no such object");
	return 0;
}

int req_get_ioas(struct req *req, u32 id, struct ioasis_ioas **out)
{
	struct obj *obj;
	int rc = req_get(req, id, OBJ_IOAS, &obj);

	if (!rc)
		*out = container_of(obj, struct ioasis_ioas, obj);
	return rc;
}

int req_get_dev(struct req *req, u32 id, struct bound_dev **out)
{
	struct obj *obj;
	int rc = req_get(req, id, OBJ_DEVICE, &obj);

	if (!rc)
		*out = container_of(obj, struct bound_dev, obj);
	return rc;
}

int req_get_hwpt(struct req *req, u32 id, struct hwpt **out)
{
	struct obj *obj;
	int rc = req_get(req, id, OBJ_HWPT_PAGING, &obj);

	if (!rc)
		*out = container_of(obj, struct hwpt, obj);
	return rc;
}

int req_account_mode(struct req *req, enum account_mode *out)
{
	bool may_lock;
	int rc = task_capable(req->c->tid, CAP_IPC_LOCK, &may_lock);

	if (rc)
		return rc;
	*out = may_lock ? ACCOUNT_NONE : ACCOUNT_USER;
	return 0;
}

/*
 * The row of a number, or NULL. A number inside the table that no row has still costs the program its
 * fetch, as on Linux: that decides between -EFAULT and -ENOTTY.
 */
static const struct cmd_op *find_op(struct ioasis_ctx *ctx, unsigned cmd, bool *out_known_nr)
{
	unsigned nr = _IOC_NR(cmd);
	unsigned last = _IOC_NR(ctx->ioasis->test_ops ? IOMMU_TEST_CMD : IOMMU_HW_QUEUE_ALLOC);
	const struct cmd_op *op;

	*out_known_nr = nr >= IOMMUFD_CMD_BASE && nr <= last;
	if (!*out_known_nr)
		return NULL;
	op = &cmd_ops[nr - IOMMUFD_CMD_BASE];
	return op->num == cmd ? op : NULL;
}

/* The reply is out (or not): what the handler made becomes visible (or goes away). */
static int settle(struct req *req, const struct cmd_op *op, int rc)
{
	int commit_rc = req->c->ops->commit(req->c);

	if (rc >= 0 && commit_rc)
		rc = commit_rc;
	if (rc < 0) {
		if (req->new_fd >= 0)
			req->c->ops->fd_undo(req->c, req->new_fd);
		if (req->new_obj)
			obj_abort_filled(req->new_obj);
	} else if (req->new_obj) {
		req->new_obj->made_by = op->name;
		obj_publish(req->new_obj);
	}
	return rc;
}

long uapi_dispatch(struct ioasis_ctx *ctx, struct caller *c, unsigned cmd, u64 arg)
{
	union cmd_buffer buf;
	struct req req = {.ioasis = ctx->ioasis, .ctx = ctx, .env = ctx->env, .c = c, .uaddr = arg,
			  .cmd = &buf, .new_fd = -1};
	const struct cmd_op *op;
	bool known_nr;
	int rc;

	op = find_op(ctx, cmd, &known_nr);
	if (!known_nr)
		return REJECT(ctx->env, -ENOTTY, uapi_dispatch, "number out of range");
	rc = c->ops->fetch(c, &req.user_size, arg, sizeof(req.user_size));
	if (rc)
		return rc;
	if (!op)
		return REJECT(ctx->env, -ENOTTY, uapi_dispatch, "no such number");
	if (req.user_size < op->min_size)
		return REJECT(ctx->env, -EINVAL, uapi_dispatch, "size too small");
	memcpy(&buf, &req.user_size, sizeof(req.user_size));
	rc = copy_struct_in(c, &buf, op->size, arg, req.user_size, sizeof(req.user_size));
	if (rc)
		return REJECT(ctx->env, rc, uapi_dispatch, "struct");
	rc = op->execute(&req);
	rc = settle(&req, op, rc);
	TRACE(ctx->env, uapi_dispatch, "%s by tid %d: %d", op->name, (int)c->tid, rc);
	return rc;
}
