// SPDX-License-Identifier: MIT
/*
 * Dirty tracking requests.
 *
 * Source: linux drivers/iommu/iommufd/{hw_pagetable,iova_bitmap}.c.
 */
#include "uapi/iommufd.h"

int cmd_hwpt_set_dirty_tracking(struct req *req)
{
	struct iommu_hwpt_set_dirty_tracking *cmd = &req->cmd->set_dirty;
	struct hwpt *hwpt;
	int rc;

	/* Linux looks at no reserved field here. */
	if (cmd->flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return -EOPNOTSUPP;
	rc = req_get_hwpt(req, cmd->hwpt_id, &hwpt);
	if (rc)
		return rc;
	rc = hwpt_set_dirty_tracking(hwpt, cmd->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
	obj_put(&hwpt->obj);
	return rc;
}

struct bitmap_out {
	struct caller *c;
	u64 uaddr; /* of bit 0 */
};

/*
 * OR bytes into the program's bitmap, within one page of it. A page that cannot be written loses its bits
 * and no other page does, as on Linux, where the request succeeds all the same.
 */
static void or_piece(struct bitmap_out *out, u64 uaddr, const u8 *bits, size_t len)
{
	u8 piece[PAGE_SIZE];
	size_t i;

	while (len && !bits[len - 1])
		len--;
	for (; len && !*bits; bits++, uaddr++)
		len--;
	if (!len || out->c->ops->fetch(out->c, piece, uaddr, len))
		return;
	for (i = 0; i < len; i++)
		piece[i] |= bits[i];
	/* Queued stores are sent now: their failure is this piece's alone. */
	if (!out->c->ops->store(out->c, uaddr, piece, len))
		(void)out->c->ops->commit(out->c);
}

static int put_bits(void *arg, u64 first, const u64 *words, u64 nr)
{
	struct bitmap_out *out = arg;
	const u8 *bits = (const u8 *)words;
	u64 uaddr = out->uaddr + first / 8;
	u64 len = (nr + 7) / 8;
	size_t n;

	for (; len; uaddr += n, bits += n, len -= n) {
		n = min(len, PAGE_SIZE - (uaddr & (PAGE_SIZE - 1)));
		or_piece(out, uaddr, bits, n);
	}
	return 0;
}

int cmd_hwpt_get_dirty_bitmap(struct req *req)
{
	struct iommu_hwpt_get_dirty_bitmap *cmd = &req->cmd->get_dirty;
	struct bitmap_out out = {.c = req->c, .uaddr = cmd->data};
	struct dirty_args args;
	struct hwpt *hwpt;
	int rc;

	if ((cmd->flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || cmd->__reserved)
		return -EOPNOTSUPP;
	rc = req_get_hwpt(req, cmd->hwpt_id, &hwpt);
	if (rc)
		return rc;
	args = (struct dirty_args){
		.iova = cmd->iova,
		.len = cmd->length,
		.page_size = cmd->page_size,
		.no_clear = cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
		.put = put_bits,
		.arg = &out,
	};
	rc = hwpt_get_dirty_bitmap(hwpt, &args);
	obj_put(&hwpt->obj);
	return rc;
}
