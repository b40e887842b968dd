// SPDX-License-Identifier: MIT
/*
 * The mock machine's access file: a user of an IOAS inside this process, driven by test operations.
 *
 * It pins ranges and lists them as items; when the IOAS unmaps what an item covers, the item lets
 * go.
 *
 * Source: linux drivers/iommu/iommufd/selftest.c.
 */
#include <fcntl.h>

#include "uapi/iommufd.h"

#define ACCESS_LEN_MAX (16u << 20) /* of one request */

struct access_file {
	struct file file;
	struct ioasis_ctx *ctx; /* a reference */
	struct access *access;
	bool can_pin;
	/*
	 * Held over pinning and listing, so that an unmap finds either nothing pinned or an item.
	 * Ranked as a device's: the access object's own lock is taken inside it.
	 */
	struct lock lock;
	struct list items; /* GUARDED_BY(lock) */
	u32 next_id;	   /* GUARDED_BY(lock) */
};

struct access_item {
	struct list node;
	u64 iova, len;
	u32 id;
};

static struct access_file *to_access(struct file *file)
{
	return container_of(file, struct access_file, file);
}

static void item_release(struct access_file *f, struct access_item *item) MUST_HOLD(f->lock)
{
	list_del(&item->node);
	access_unpin_pages(f->access, item->iova, item->len);
	env_free(f->ctx->env, item);
}

static void access_unmap(void *data, u64 iova, u64 len)
{
	struct iova_range gone = {iova, iova + (len - 1)};
	struct access_file *f = data;
	struct access_item *item;
	struct list *p, *next;

	lock_take(&f->lock);
	list_for_each_safe (p, next, &f->items) {
		item = list_entry(p, struct access_item, node);
		if (range_overlaps(gone,
				   (struct iova_range){item->iova, item->iova + (item->len - 1)}))
			item_release(f, item);
	}
	lock_drop(&f->lock);
}

static const struct access_ops ops_pin = {.needs_pin_pages = true, .unmap = access_unmap};
static const struct access_ops ops_rw = {.unmap = access_unmap};

static void access_release(struct file *file)
{
	struct access_file *f = to_access(file);
	struct ioasis_ctx *ctx = f->ctx;

	if (f->access) {
		access_unmap(f, 0, UINT64_MAX);
		access_destroy(f->access);
	}
	lock_fini(&f->lock);
	env_free(ctx->env, f);
	ctx_put(ctx);
}

static void access_describe(struct file *file, json_t *out)
{
	struct access_file *f = to_access(file);
	struct list *p;
	u32 nr = 0;

	lock_take(&f->lock);
	list_for_each (p, &f->items)
		nr++;
	lock_drop(&f->lock);
	json_put(out, "id", json_integer(access_id(f->access)));
	json_put(out, "pinned_items", json_integer(nr));
}

const struct file_ops access_file_ops = {
	.name = "access",
	.release = access_release,
	.describe = access_describe,
};

/* Linux answers every wrong descriptor alike here. */
static int req_get_access(struct req *req, u32 fd, struct access_file **out)
{
	struct file *file;

	if (req->c->ops->file_get(req->c, (int)fd, &file))
		return -EBADFD;
	if (file->ops != &access_file_ops) {
		file_put(file);
		return -EBADFD;
	}
	*out = to_access(file);
	return 0;
}

static int access_file_new(struct req *req, bool can_pin, struct access_file **out)
{
	struct access_file *f = env_zalloc(req->env, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	file_init(&f->file, &access_file_ops, req->ioasis);
	f->ctx = req->ctx;
	ctx_get(f->ctx);
	f->can_pin = can_pin;
	lock_init(&f->lock, RANK_DEVICE);
	list_init(&f->items);
	rc = access_new(req->ctx, can_pin ? &ops_pin : &ops_rw, f, &f->access);
	if (rc) {
		file_put(&f->file);
		return rc;
	}
	*out = f;
	return 0;
}

int test_create_access(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u32 flags = cmd->create_access.flags;
	struct access_file *f;
	int rc;

	if (flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES)
		return -EOPNOTSUPP;
	rc = access_file_new(req, flags & MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES, &f);
	if (rc)
		return rc;
	/* The program may be killed as soon as it has the descriptor, and the file goes with it:
	 * keep a reference until we are through. */
	rc = req->c->ops->fd_install(req->c, file_get(&f->file), true);
	if (rc < 0) {
		file_put(&f->file);
		rc = -ENOMEM;
		goto put;
	}
	/* From here on the dispatcher takes the descriptor back if we fail. */
	req->new_fd = rc;
	cmd->create_access.out_access_fd = (u32)rc;
	rc = access_attach(f->access, cmd->id);
	if (!rc)
		rc = req_respond(req, sizeof(*cmd));
put:
	file_put(&f->file);
	return rc;
}

int test_access_replace_ioas(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct access_file *f;
	int rc;

	rc = req_get_access(req, cmd->id, &f);
	if (rc)
		return rc;
	rc = access_replace(f->access, cmd->access_replace_ioas.ioas_id);
	file_put(&f->file);
	return rc;
}

/* Pin and list in one step, as an unmap sees it. */
static int pin_item(struct access_file *f, u64 iova, u64 len, unsigned flags,
		    struct pinned_page *pages, u32 *out_id)
{
	struct access_item *item = env_zalloc(f->ctx->env, sizeof(*item));
	int rc;

	if (!item)
		return -ENOMEM;
	lock_take(&f->lock);
	rc = access_pin_pages(f->access, iova, len, pages, flags);
	if (!rc) {
		item->iova = iova;
		item->len = len;
		item->id = *out_id = f->next_id++;
		list_push_back(&f->items, &item->node);
	}
	lock_drop(&f->lock);
	if (rc)
		env_free(f->ctx->env, item);
	return rc;
}

/* Return: 0; -ENOENT no such item, or an unmap was faster. */
static int drop_item(struct access_file *f, u32 id)
{
	struct access_item *item;
	struct list *p;
	int rc = -ENOENT;

	lock_take(&f->lock);
	list_for_each (p, &f->items) {
		item = list_entry(p, struct access_item, node);
		if (item->id != id)
			continue;
		item_release(f, item);
		rc = 0;
		break;
	}
	lock_drop(&f->lock);
	return rc;
}

/* Are the pinned pages those that lie at @uaddr now? */
static int check_pages(struct req *req, u64 uaddr, const struct pinned_page *pages, u64 nr)
{
	oa_t oa;
	u64 i;
	int rc;

	for (i = 0; i < nr; i++) {
		rc = req_page_oa(req, uaddr + i * PAGE_SIZE, &oa);
		if (rc)
			return rc;
		if (oa.v != pages[i].oa.v)
			return -EBADE;
	}
	return 0;
}

static int access_pages(struct req *req, struct access_file *f)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 iova = cmd->access_pages.iova, len = cmd->access_pages.length;
	u64 first = align_down(iova, PAGE_SIZE);
	u64 nr = (align_up(iova + len, PAGE_SIZE) - first) / PAGE_SIZE;
	struct pinned_page *pages;
	u32 id;
	int rc;

	pages = env_calloc(req->env, nr ? nr : 1, sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	rc = pin_item(f, iova, len,
		      cmd->access_pages.flags & MOCK_FLAGS_ACCESS_WRITE ? ACCESS_WRITE : 0, pages,
		      &id);
	if (rc)
		goto free_pages;
	if (cmd->access_pages.uptr)
		rc = check_pages(req, cmd->access_pages.uptr - (iova - first), pages, nr);
	if (!rc) {
		cmd->access_pages.out_access_pages_id = id;
		rc = req_respond_now(req, sizeof(*cmd));
	}
	if (rc)
		drop_item(f, id);
free_pages:
	env_free(req->env, pages);
	return rc;
}

int test_access_pages(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct access_file *f;
	int rc;

	if (cmd->access_pages.length > ACCESS_LEN_MAX)
		return -ENOMEM;
	if (cmd->access_pages.flags & ~MOCK_FLAGS_ACCESS_WRITE)
		return -EOPNOTSUPP;
	rc = req_get_access(req, cmd->id, &f);
	if (rc)
		return rc;
	rc = f->can_pin ? access_pages(req, f) : -EOPNOTSUPP;
	file_put(&f->file);
	return rc;
}

int test_destroy_access_pages(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct access_file *f;
	int rc;

	rc = req_get_access(req, cmd->id, &f);
	if (rc)
		return rc;
	rc = drop_item(f, cmd->destroy_access_pages.access_pages_id);
	file_put(&f->file);
	return rc;
}

static int access_copy(struct req *req, struct access_file *f, void *tmp)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	u64 len = cmd->access_rw.length, uaddr = cmd->access_rw.uptr;
	bool write = cmd->access_rw.flags & MOCK_ACCESS_RW_WRITE;
	bool slow = cmd->access_rw.flags & MOCK_ACCESS_RW_SLOW_PATH;
	int rc = 0;

	if (write && len)
		rc = req->c->ops->fetch(req->c, tmp, uaddr, len);
	if (!rc)
		rc = access_rw(f->access, cmd->access_rw.iova, tmp, len,
			       (write ? ACCESS_WRITE : 0) | (slow ? ACCESS_SLOW : 0));
	if (!rc && !write)
		rc = req->c->ops->store(req->c, uaddr, tmp, len);
	return rc;
}

int test_access_rw(struct req *req)
{
	struct iommu_test_cmd *cmd = &req->cmd->test;
	struct access_file *f;
	void *tmp;
	int rc;

	if (cmd->access_rw.length > ACCESS_LEN_MAX)
		return -ENOMEM;
	if (cmd->access_rw.flags & ~(MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH))
		return -EOPNOTSUPP;
	rc = req_get_access(req, cmd->id, &f);
	if (rc)
		return rc;
	tmp = env_zalloc(req->env, cmd->access_rw.length ? cmd->access_rw.length : 1);
	rc = tmp ? access_copy(req, f, tmp) : -ENOMEM;
	env_free(req->env, tmp);
	file_put(&f->file);
	return rc;
}
