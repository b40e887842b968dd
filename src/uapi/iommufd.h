/* SPDX-License-Identifier: MIT */
/*
 * iommufd inside the room: one request on its way from bytes to a handler and back.
 *
 * A handler gets its command already copied and checked for size; it reads no user byte that the
 * dispatcher read. What it makes is left in req->new_obj and req->new_fd: the dispatcher publishes them
 * when the reply has reached the program, and takes them back when it has not, so that handlers have no
 * code for that.
 */
#ifndef IOASIS_SRC_UAPI_IOMMUFD_H
#define IOASIS_SRC_UAPI_IOMMUFD_H

#include <linux/iommufd.h>
#include "ioasis/iommufd_test.h"

#include "uapi/uapi.h"

struct iommufd_file {
	struct file file;
	struct ioasis_ctx *ctx; /* a reference */
};

union cmd_buffer {
	struct iommu_destroy destroy;
	struct iommu_ioas_alloc ioas_alloc;
	struct iommu_ioas_allow_iovas allow_iovas;
	struct iommu_ioas_copy copy;
	struct iommu_ioas_iova_ranges iova_ranges;
	struct iommu_ioas_map map;
	struct iommu_ioas_map_file map_file;
	struct iommu_ioas_unmap unmap;
	struct iommu_ioas_change_process change_process;
	struct iommu_option option;
	struct iommu_vfio_ioas vfio_ioas;
	struct iommu_hwpt_alloc hwpt_alloc;
	struct iommu_hw_info hw_info;
	struct iommu_hwpt_set_dirty_tracking set_dirty;
	struct iommu_hwpt_get_dirty_bitmap get_dirty;
	struct iommu_hwpt_invalidate invalidate;
	struct iommu_fault_alloc fault_alloc;
	struct iommu_viommu_alloc viommu_alloc;
	struct iommu_vdevice_alloc vdevice_alloc;
	struct iommu_veventq_alloc veventq_alloc;
	struct iommu_hw_queue_alloc hw_queue_alloc;
	struct iommu_test_cmd test;
};

struct req {
	struct ioasis *ioasis;
	struct ioasis_ctx *ctx;
	struct env *env;
	struct caller *c;
	u64 uaddr;     /* of the command in the program */
	u32 user_size; /* its first word, as it was fetched */
	union cmd_buffer *cmd;
	struct obj *new_obj; /* reserved and filled, not published; NULL: none */
	int new_fd;	     /* from fd_install(); -1: none */
};

struct cmd_op {
	const char *name; /* "IOMMU_IOAS_MAP" */
	u32 num;	  /* the whole ioctl number; 0: a hole in the table */
	u32 size;
	u32 min_size;
	bool test_only; /* the mock machine's */
	int (*execute)(struct req *req);
};

/* By _IOC_NR() - IOMMUFD_CMD_BASE. */
extern const struct cmd_op cmd_ops[];
extern const unsigned nr_cmd_ops;

long uapi_dispatch(struct ioasis_ctx *ctx, struct caller *c, unsigned cmd, u64 arg);

/* Copy the command back, as much of it as the program has room for. Return: 0; -EFAULT. */
int req_respond(struct req *req, size_t len) MUST_CHECK;
/* The same, and it has arrived on return: for what must be undone here if it does not. */
int req_respond_now(struct req *req, size_t len) MUST_CHECK;

/*
 * Copy a struct of which this side knows @len bytes and the program gave @user_len, from byte @done on
 * (those before were fetched already). What the program left out reads as zeros.
 * Return: 0; -E2BIG a byte past @len is not zero; -EFAULT.
 */
int copy_struct_in(struct caller *c, void *to, size_t len, u64 uaddr, u64 user_len,
		   size_t done) MUST_CHECK;

/* Look-ups of a request; put with obj_put(&x->obj). Return: 0; -ENOENT. */
int req_get_ioas(struct req *req, u32 id, struct ioasis_ioas **out) MUST_CHECK;
int req_get_dev(struct req *req, u32 id, struct bound_dev **out) MUST_CHECK;
int req_get_hwpt(struct req *req, u32 id, struct hwpt **out) MUST_CHECK;

/* What MAP charges by: the caller's rights now. */
int req_account_mode(struct req *req, enum account_mode *out) MUST_CHECK;

int cmd_destroy(struct req *req);
int cmd_option(struct req *req);
int cmd_ioas_alloc(struct req *req);
int cmd_ioas_allow_iovas(struct req *req);
int cmd_ioas_iova_ranges(struct req *req);
int cmd_ioas_map(struct req *req);
int cmd_ioas_map_file(struct req *req);
int cmd_ioas_copy(struct req *req);
int cmd_ioas_unmap(struct req *req);
int cmd_ioas_change_process(struct req *req);
int cmd_hwpt_alloc(struct req *req);
int cmd_hwpt_set_dirty_tracking(struct req *req);
int cmd_hwpt_get_dirty_bitmap(struct req *req);
int cmd_get_hw_info(struct req *req);
int cmd_test(struct req *req);

/* Files that only test operations make. */
int test_create_access(struct req *req);
int test_access_replace_ioas(struct req *req);
int test_access_pages(struct req *req);
int test_access_rw(struct req *req);
int test_destroy_access_pages(struct req *req);
int test_dmabuf_get(struct req *req);
int test_dmabuf_revoke(struct req *req);

/* The token behind a dma-buf's file, with a reference. NULL: another kind of file. */
struct dmabuf *dmabuf_of_file(struct file *file);

/* Where the page of @uaddr in the caller lies now. Return: 0; -EFAULT; -ENOMEM. */
int req_page_oa(struct req *req, u64 uaddr, oa_t *out) MUST_CHECK;

#endif
