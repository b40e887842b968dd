/* SPDX-License-Identifier: MIT */
/*
 * The public functions of include/ioasis/ioas.h that need no device: thin, ioas_map() and the others
 * are the same functions that ioctls end in.
 */
#include "ioas/priv.h"

#include <fcntl.h>

int ioasis_ioas_new(struct ioasis_ctx *ctx, struct ioasis_ioas **out)
{
	struct obj *obj;
	int rc = ioas_new(ctx, &obj);

	if (rc)
		return rc;
	obj_publish(obj);
	*out = to_ioas(obj);
	return 0;
}

int ioasis_ioas_destroy(struct ioasis_ioas *ioas)
{
	return obj_destroy(&ioas->ctx->objs, ioas->obj.id);
}

static int check_args(const struct ioasis_map_args *args)
{
	if (args->size < sizeof(*args) || args->flags & ~(u32)IOASIS_MAP_FIXED_IOVA ||
	    args->reserved)
		return -EINVAL;
	if (!args->perm || args->perm & ~(u32)(IOASIS_R | IOASIS_W))
		return -EINVAL;
	return 0;
}

static int map(struct ioasis_ioas *ioas, const struct ioasis_map_args *args, struct map_args *m,
	       uint64_t *out_iova)
{
	iova_t iova;
	int rc;

	m->len = args->len;
	m->perm = (u8)args->perm;
	m->fixed = args->flags & IOASIS_MAP_FIXED_IOVA;
	m->iova = IOVA(args->iova);
	/* The caller's own process: what it may pin is between it and its kernel. */
	m->account = ACCOUNT_NONE;
	rc = ioas_map(ioas, m, &iova);
	if (!rc)
		*out_iova = iova.v;
	return rc;
}

int ioasis_ioas_map(struct ioasis_ioas *ioas, const struct ioasis_map_args *args,
		    uint64_t *out_iova)
{
	uintptr_t at = (uintptr_t)args->host;
	struct map_args m = {
		.src = {.kind = SOURCE_OWN, .fd = -1, .host = (void *)align_down(at, PAGE_SIZE)},
		.start_byte = at % PAGE_SIZE,
	};
	int rc = check_args(args);

	if (rc)
		return rc;
	m.src.mm = mm_self(ioas->ctx->mem);
	return map(ioas, args, &m, out_iova);
}

int ioasis_ioas_map_file(struct ioasis_ioas *ioas, const struct ioasis_map_args *args, int fd,
			 uint64_t offset, uint64_t *out_iova)
{
	struct map_args m = {
		.src = {.kind = SOURCE_FILE, .offset = align_down(offset, PAGE_SIZE)},
		.start_byte = offset % PAGE_SIZE,
	};
	u64 last;
	int rc = check_args(args);

	if (rc)
		return rc;
	if (!args->len)
		return -EINVAL;
	if (__builtin_add_overflow(offset, args->len - 1, &last))
		return -EOVERFLOW;
	m.src.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (m.src.fd < 0)
		return -errno;
	m.src.mm = mm_self(ioas->ctx->mem);
	return map(ioas, args, &m, out_iova);
}

int ioasis_ioas_unmap(struct ioasis_ioas *ioas, uint64_t iova, uint64_t len,
		      uint64_t *out_unmapped)
{
	struct iova_range r;
	u64 unmapped = 0;
	int rc;

	if (!iova && len == UINT64_MAX) {
		rc = ioas_unmap_all(ioas, &unmapped);
	} else {
		rc = range_make(&r, iova, len);
		if (!rc)
			rc = ioas_unmap(ioas, r, &unmapped);
		if (!rc && !unmapped)
			rc = -ENOENT;
	}
	if (out_unmapped && !rc)
		*out_unmapped = unmapped;
	return rc;
}
