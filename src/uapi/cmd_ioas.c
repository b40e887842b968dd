// SPDX-License-Identifier: MIT
/*
 * Requests on address spaces. Each handler's checks stand in Linux's order.
 *
 * Source: linux drivers/iommu/iommufd/ioas.c.
 */
#include <fcntl.h>
#include <unistd.h>

#include "uapi/iommufd.h"

#define MAP_FLAGS (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

int cmd_ioas_alloc(struct req *req)
{
	struct iommu_ioas_alloc *cmd = &req->cmd->ioas_alloc;
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	rc = ioas_new(req->ctx, &req->new_obj);
	if (rc)
		return rc;
	cmd->out_ioas_id = req->new_obj->id;
	return req_respond(req, sizeof(*cmd));
}

/*
 * The ranges as they were at one moment, at most @max, so that the program's memory is written without a
 * lock. Return: 0; -ENOMEM.
 */
static int snapshot_ranges(struct req *req, struct ioasis_ioas *ioas, u32 max,
			   struct iova_range **out_v, u32 *out_nr, u64 *out_align)
{
	struct iova_range *v = NULL;
	u32 room = 0, nr;

	for (;;) {
		nr = ioas_iova_ranges(ioas, v, room, out_align);
		if (room >= min(nr, max))
			break;
		env_free(req->env, v);
		room = min(nr, max);
		v = env_calloc(req->env, room, sizeof(*v));
		if (!v)
			return -ENOMEM;
	}
	*out_v = v;
	*out_nr = nr;
	return 0;
}

int cmd_ioas_iova_ranges(struct req *req)
{
	struct iommu_ioas_iova_ranges *cmd = &req->cmd->iova_ranges;
	u32 max = cmd->num_iovas, nr;
	struct ioasis_ioas *ioas;
	struct iova_range *v;
	u64 align;
	int rc;

	static_assert(sizeof(struct iova_range) == sizeof(struct iommu_iova_range), "uAPI");
	if (cmd->__reserved)
		return -EOPNOTSUPP;
	rc = req_get_ioas(req, cmd->ioas_id, &ioas);
	if (rc)
		return rc;
	rc = snapshot_ranges(req, ioas, max, &v, &nr, &align);
	obj_put(&ioas->obj);
	if (rc)
		return rc;
	if (min(nr, max))
		rc = req->c->ops->store(req->c, cmd->allowed_iovas, v, min(nr, max) * sizeof(*v));
	env_free(req->env, v);
	if (rc)
		return rc;
	cmd->num_iovas = nr;
	cmd->out_iova_alignment = align;
	rc = req_respond_now(req, sizeof(*cmd));
	if (!rc && nr > max)
		rc = -EMSGSIZE;
	return rc;
}

/*
 * Fetch the next ranges of the program's array: those that end within the page the first one begins in,
 * or the first alone where it straddles two. So a hole in the program's memory is met only after every
 * range before it was looked at.
 */
static int fetch_ranges(struct caller *c, u64 uaddr, u32 nr, struct iommu_iova_range *to,
			u32 *out_nr)
{
	u64 in_page = (PAGE_SIZE - (uaddr & (PAGE_SIZE - 1))) / sizeof(*to);
	u32 n = (u32)min((u64)nr, max(in_page, (u64)1));

	*out_nr = n;
	return c->ops->fetch(c, to, uaddr, n * sizeof(*to));
}

static int load_allowed(struct req *req, const struct iommu_ioas_allow_iovas *cmd,
			struct allowed_set *set)
{
	struct iommu_iova_range v[PAGE_SIZE / sizeof(struct iommu_iova_range)];
	u64 uaddr = cmd->allowed_iovas;
	u32 left, n, i;
	int rc;

	for (left = cmd->num_iovas; left; left -= n, uaddr += n * sizeof(*v)) {
		rc = fetch_ranges(req->c, uaddr, left, v, &n);
		for (i = 0; !rc && i < n; i++)
			rc = allowed_add(set, (struct iova_range){v[i].start, v[i].last});
		if (rc)
			return rc;
	}
	return 0;
}

int cmd_ioas_allow_iovas(struct req *req)
{
	struct iommu_ioas_allow_iovas *cmd = &req->cmd->allow_iovas;
	struct ioasis_ioas *ioas;
	struct allowed_set set;
	int rc;

	if (cmd->__reserved)
		return -EOPNOTSUPP;
	rc = req_get_ioas(req, cmd->ioas_id, &ioas);
	if (rc)
		return rc;
	allowed_init(&set, req->env);
	rc = load_allowed(req, cmd, &set);
	if (!rc)
		rc = ioas_allow_iovas(ioas, &set);
	allowed_fini(&set);
	obj_put(&ioas->obj);
	return rc;
}

static u8 map_perm(u32 flags)
{
	return (flags & IOMMU_IOAS_MAP_READABLE ? PERM_R : 0) |
	       (flags & IOMMU_IOAS_MAP_WRITEABLE ? PERM_W : 0);
}

/* The checks that MAP, MAP_FILE and COPY share once the flags are known. */
static int check_map(u32 flags, u64 iova, u64 length)
{
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	return map_perm(flags) ? 0 : -EINVAL;
}

static struct map_args base_args(struct req *req, u32 flags, u64 iova, u64 length)
{
	return (struct map_args){
		.src = {.mm = mm_get(req->c->mm), .fd = -1,
			.writable = flags & IOMMU_IOAS_MAP_WRITEABLE},
		.len = length,
		.perm = map_perm(flags),
		.fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA,
		.iova = IOVA(iova),
	};
}

/* Where a command takes the IOVA, and how long the command is. */
struct reply {
	__aligned_u64 *iova;
	size_t len;
};

static int map_and_respond(struct req *req, struct ioasis_ioas *ioas, struct map_args *args,
			   struct reply reply)
{
	iova_t iova;
	int rc = ioas_map(ioas, args, &iova);

	if (rc)
		return rc;
	*reply.iova = iova.v;
	return req_respond(req, reply.len);
}

int cmd_ioas_map(struct req *req)
{
	struct iommu_ioas_map *cmd = &req->cmd->map;
	u64 in_page = cmd->user_va & (PAGE_SIZE - 1);
	struct ioasis_ioas *ioas;
	enum account_mode mode;
	struct map_args args;
	int rc;

	if ((cmd->flags & ~MAP_FLAGS) || cmd->__reserved)
		return -EOPNOTSUPP;
	rc = check_map(cmd->flags, cmd->iova, cmd->length);
	if (rc)
		return rc;
	rc = req_get_ioas(req, cmd->ioas_id, &ioas);
	if (rc)
		return rc;
	rc = req_account_mode(req, &mode);
	if (rc)
		goto put_ioas;
	args = base_args(req, cmd->flags, cmd->iova, cmd->length);
	args.src.kind = SOURCE_USER;
	args.src.uva = UVA(cmd->user_va - in_page);
	args.start_byte = in_page;
	args.account = mode;
	rc = map_and_respond(req, ioas, &args, (struct reply){&cmd->iova, sizeof(*cmd)});
put_ioas:
	obj_put(&ioas->obj);
	return rc;
}

/* A token of ours: its size is checked here, where Linux checks a dma-buf's. */
static int source_token(const struct iommu_ioas_map_file *cmd, struct file *file,
			struct map_args *args)
{
	struct dmabuf *buf = dmabuf_of_file(file);

	if (!buf)
		return -EINVAL; /* a file that has no pages: one of our nodes */
	if (dmabuf_len(buf) <= cmd->start + cmd->length - 1) {
		dmabuf_put(buf);
		return -EINVAL;
	}
	args->src.kind = SOURCE_TOKEN;
	args->dmabuf = buf;
	args->account = ACCOUNT_NONE;
	return 0;
}

static int source_file(struct req *req, int fd, struct map_args *args)
{
	int own = req->c->ops->fd_dup(req->c, fd);
	int mode;

	if (own < 0)
		return own;
	mode = fcntl(own, F_GETFL);
	if (mode < 0 || (mode & O_PATH)) {
		close(own);
		return -EBADF;
	}
	args->src.kind = SOURCE_FILE;
	args->src.fd = own;
	return 0;
}

static int find_source(struct req *req, const struct iommu_ioas_map_file *cmd,
		       struct map_args *args)
{
	struct file *file;
	u64 last;
	int rc;

	if (!cmd->length)
		return -EINVAL;
	if (__builtin_add_overflow(cmd->start, cmd->length - 1, &last))
		return -EOVERFLOW;
	args->start_byte = cmd->start & (PAGE_SIZE - 1);
	args->src.offset = cmd->start - args->start_byte;
	rc = req->c->ops->file_get(req->c, cmd->fd, &file);
	if (rc == -ENOTTY)
		return source_file(req, cmd->fd, args);
	if (rc)
		return rc;
	rc = source_token(cmd, file, args);
	file_put(file);
	return rc;
}

int cmd_ioas_map_file(struct req *req)
{
	struct iommu_ioas_map_file *cmd = &req->cmd->map_file;
	struct ioasis_ioas *ioas;
	struct map_args args;
	int rc;

	if (cmd->flags & ~MAP_FLAGS)
		return -EOPNOTSUPP;
	rc = check_map(cmd->flags, cmd->iova, cmd->length);
	if (rc)
		return rc;
	rc = req_get_ioas(req, cmd->ioas_id, &ioas);
	if (rc)
		return rc;
	args = base_args(req, cmd->flags, cmd->iova, cmd->length);
	rc = req_account_mode(req, &args.account);
	if (!rc)
		rc = find_source(req, cmd, &args);
	if (rc) {
		mm_put(args.src.mm);
		goto put_ioas;
	}
	rc = map_and_respond(req, ioas, &args, (struct reply){&cmd->iova, sizeof(*cmd)});
put_ioas:
	obj_put(&ioas->obj);
	return rc;
}

static int copy_to_id(struct req *req, struct iommu_ioas_copy *cmd, struct copy_src *src)
{
	struct ioasis_ioas *dst;
	iova_t iova;
	int rc;

	rc = req_get_ioas(req, cmd->dst_ioas_id, &dst);
	if (rc)
		return rc;
	rc = copy_to(dst, src, map_perm(cmd->flags), cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA,
		     IOVA(cmd->dst_iova), &iova);
	obj_put(&dst->obj);
	if (rc)
		return rc;
	cmd->dst_iova = iova.v;
	return req_respond(req, sizeof(*cmd));
}

int cmd_ioas_copy(struct req *req)
{
	struct iommu_ioas_copy *cmd = &req->cmd->copy;
	struct ioasis_ioas *ioas;
	struct copy_src src;
	int rc;

	if (cmd->flags & ~MAP_FLAGS)
		return -EOPNOTSUPP;
	if (cmd->src_iova == UINT64_MAX)
		return -EOVERFLOW;
	rc = check_map(cmd->flags, cmd->dst_iova, cmd->length);
	if (rc)
		return rc;
	rc = req_get_ioas(req, cmd->src_ioas_id, &ioas);
	if (rc)
		return rc;
	rc = copy_from(ioas, cmd->src_iova, cmd->length, &src);
	obj_put(&ioas->obj);
	if (rc)
		return rc;
	rc = copy_to_id(req, cmd, &src);
	copy_fini(&src);
	return rc;
}

static int unmap_range(struct ioasis_ioas *ioas, u64 iova, u64 length, u64 *out_unmapped)
{
	struct iova_range range;
	int rc;

	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	rc = range_make(&range, iova, length);
	if (!rc)
		rc = ioas_unmap(ioas, range, out_unmapped);
	if (!rc && !*out_unmapped)
		rc = -ENOENT;
	return rc;
}

int cmd_ioas_unmap(struct req *req)
{
	struct iommu_ioas_unmap *cmd = &req->cmd->unmap;
	struct ioasis_ioas *ioas;
	u64 unmapped = 0;
	int rc;

	rc = req_get_ioas(req, cmd->ioas_id, &ioas);
	if (rc)
		return rc;
	if (cmd->iova == 0 && cmd->length == UINT64_MAX)
		rc = ioas_unmap_all(ioas, &unmapped);
	else
		rc = unmap_range(ioas, cmd->iova, cmd->length, &unmapped);
	obj_put(&ioas->obj);
	if (rc)
		return rc;
	cmd->length = unmapped;
	return req_respond(req, sizeof(*cmd));
}

int cmd_ioas_change_process(struct req *req)
{
	if (req->cmd->change_process.__reserved)
		return -EOPNOTSUPP;
	return ctx_change_process(req->ctx, req->c->mm);
}
