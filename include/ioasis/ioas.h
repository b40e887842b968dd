/* SPDX-License-Identifier: MIT */
/**
 * DOC: I/O address spaces
 *
 * A context is what an opened /dev/iommu is: it owns objects. An IOAS is an address space of DMA: what
 * is mapped in it, every device attached to it can reach. The functions here and the iommufd ioctls
 * are two doors to the same code, with the same errors.
 */
#ifndef IOASIS_IOAS_H
#define IOASIS_IOAS_H

#include <stdbool.h>
#include <stdint.h>

#include <ioasis/compiler.h>

IOASIS_BEGIN_DECLS

struct ioasis;
struct ioasis_ctx;
struct ioasis_dev;
struct ioasis_ioas;

enum ioasis_perm {
	IOASIS_R = 1,
	IOASIS_W = 2,
};

/**
 * ioasis_ctx_new() - Open a context
 * Return: 0; -ENOMEM.
 */
IOASIS_API int ioasis_ctx_new(struct ioasis *ioasis, struct ioasis_ctx **out) IOASIS_MUST_CHECK;

/**
 * ioasis_ctx_free() - Close a context: detaches its devices, unmaps and frees all it owns; NULL is fine
 * Context: no other call on it is running.
 */
IOASIS_API void ioasis_ctx_free(struct ioasis_ctx *ctx);

/**
 * ioasis_ioas_new() - Make an empty address space
 * Return: 0; -ENOMEM.
 */
IOASIS_API int ioasis_ioas_new(struct ioasis_ctx *ctx, struct ioasis_ioas **out) IOASIS_MUST_CHECK;

/**
 * ioasis_ioas_destroy() - Destroy an address space and its mappings
 * Return: 0; -EBUSY a device or an access is attached (nothing changed).
 */
IOASIS_API int ioasis_ioas_destroy(struct ioasis_ioas *ioas);

enum ioasis_map_flags {
	IOASIS_MAP_FIXED_IOVA = 1, /* use .iova; else one is chosen, never 0 */
};

/**
 * struct ioasis_map_args - One mapping
 * @size: sizeof(struct ioasis_map_args)
 * @flags: enum ioasis_map_flags
 * @perm: IOASIS_R | IOASIS_W, at least one
 * @host: memory of this process
 * @len: bytes
 * @iova: where, with IOASIS_MAP_FIXED_IOVA
 */
struct ioasis_map_args {
	uint32_t size;
	uint32_t flags;
	uint32_t perm;
	uint32_t reserved;
	void *host;
	uint64_t len;
	uint64_t iova;
};

/**
 * ioasis_ioas_map() - Make memory of this process reachable by DMA
 * @out_iova: first IOVA
 *
 * The whole range becomes valid or none of it. It is visible to every attached device on return.
 * The memory must stay mapped in this process until it is unmapped here.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL alignment, reserved range, or bad flags; -EOVERFLOW past 2^64; -EEXIST something
 * is mapped there; -ENOSPC no free IOVA; -ENOMEM.
 * Source: linux/iommufd.h, IOMMU_IOAS_MAP.
 */
IOASIS_API int ioasis_ioas_map(struct ioasis_ioas *ioas, const struct ioasis_map_args *args,
		    uint64_t *out_iova) IOASIS_MUST_CHECK;

/**
 * ioasis_ioas_map_file() - The same for a file's bytes (memfd, tmpfs, hugetlbfs)
 * @fd: stays the caller's; @offset: bytes; args->host is ignored
 * Return: as ioasis_ioas_map(); -EBADF.
 */
IOASIS_API int ioasis_ioas_map_file(struct ioasis_ioas *ioas, const struct ioasis_map_args *args, int fd,
			 uint64_t offset, uint64_t *out_iova) IOASIS_MUST_CHECK;

/**
 * ioasis_ioas_unmap() - Remove every mapping inside [iova, iova + len)
 * @out_unmapped: bytes removed; may be NULL
 *
 * When it returns no device can reach the memory, and none is inside it.
 * Context: may sleep; not while the calling thread holds a span of the range.
 * Return: 0; -EINVAL len 0; -EOVERFLOW; -ENOENT nothing there, or a mapping that sticks out.
 * Source: linux/iommufd.h, IOMMU_IOAS_UNMAP.
 */
IOASIS_API int ioasis_ioas_unmap(struct ioasis_ioas *ioas, uint64_t iova, uint64_t len,
		      uint64_t *out_unmapped);

/**
 * ioasis_dev_bind() - Give a device to a context, with its DMA blocked
 * Return: 0; -EBUSY another context has it; -ENOMEM.
 */
IOASIS_API int ioasis_dev_bind(struct ioasis_ctx *ctx, struct ioasis_dev *dev) IOASIS_MUST_CHECK;

/** ioasis_dev_unbind() - Take it back: detaches it first. */
IOASIS_API void ioasis_dev_unbind(struct ioasis_dev *dev);

/**
 * ioasis_dev_attach() - Let a bound device use an address space; replaces what it used before
 * Return: 0; -EADDRINUSE a mapping lies where the device's IOMMU cannot reach or must not; -EFAULT
 * memory of a mapping is gone; -ENOMEM.
 */
IOASIS_API int ioasis_dev_attach(struct ioasis_dev *dev, struct ioasis_ioas *ioas) IOASIS_MUST_CHECK;

/** ioasis_dev_detach() - Block its DMA again; harmless when it is not attached. */
IOASIS_API void ioasis_dev_detach(struct ioasis_dev *dev);

IOASIS_END_DECLS

#endif
