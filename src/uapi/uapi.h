/* SPDX-License-Identifier: MIT */
/*
 * uapi: Linux's user interfaces over the objects. The room's one door.
 *
 * A front (the shim's channel today) turns a program's call into a call on a `struct file`, with a
 * `struct caller` that says how to reach the program's memory and descriptors. The files know nothing
 * of the front; the front knows nothing of ioctl numbers.
 *
 * User bytes are fetched once, here and nowhere else.
 */
#ifndef IOASIS_SRC_UAPI_UAPI_H
#define IOASIS_SRC_UAPI_UAPI_H

#include "machine/machine.h"

struct caller;
struct file;

struct caller_ops {
	/* Copy from / to the program's memory. Return: 0; -EFAULT. A store may be queued until commit()
	 * or until the call returns, whichever is first; a fetch sees the stores before it. */
	int (*fetch)(struct caller *c, void *to, u64 uaddr, size_t len);
	int (*store)(struct caller *c, u64 uaddr, const void *from, size_t len);
	/* Queued stores have reached the program's memory. Return: 0; -EFAULT. */
	int (*commit)(struct caller *c);
	/* The file of ours behind the program's descriptor, with a reference.
	 * Return: 0; -EBADF no such descriptor; -ENOTTY one that is not ours. */
	int (*file_get)(struct caller *c, int fd, struct file **out);
	/* A duplicate, in this process, of a descriptor that is not ours. Return: a fd; -EBADF. */
	int (*fd_dup)(struct caller *c, int fd);
	/* Give the program a descriptor for @file (consumes a reference on success).
	 * Return: its number; -EMFILE… */
	int (*fd_install)(struct caller *c, struct file *file, bool cloexec);
	/* Take back what fd_install() gave in this call. */
	void (*fd_undo)(struct caller *c, int fd);
};

struct caller {
	const struct caller_ops *ops;
	struct mm *mm; /* the calling process's */
	pid_t tid;
};

/* What an mmap of a file becomes: map .fd at .fd_offset with .prot. */
struct file_map {
	/* in */
	u64 offset, len;
	int prot, flags;
	/* out */
	int fd;	       /* the file's own: the front duplicates it */
	u64 fd_offset;
	int granted_prot; /* less than prot where stores are trapped */
	bool trapped;	  /* stores that fault go to file_ops.store_trap */
};

struct file_ops {
	const char *name; /* "iommufd", for people */
	long (*ioctl)(struct file *f, struct caller *c, unsigned cmd, u64 arg);
	ssize_t (*pread)(struct file *f, struct caller *c, u64 uaddr, size_t len, u64 pos);
	ssize_t (*pwrite)(struct file *f, struct caller *c, u64 uaddr, size_t len, u64 pos);
	int (*mmap)(struct file *f, struct caller *c, struct file_map *map);
	/* A trapped store of @len bytes at @offset of the file's mmap space. */
	int (*store_trap)(struct file *f, u64 offset, u64 value, unsigned len);
	void (*release)(struct file *f); /* the last reference went: free @f */
	void (*describe)(struct file *f, json_t *out);
};

/* An open file description of ours. Embedded in each kind's own struct. */
struct file {
	const struct file_ops *ops;
	_Atomic u32 refs;
	struct ioasis *ioasis;
};

static inline void file_init(struct file *f, const struct file_ops *ops, struct ioasis *ioasis)
{
	*f = (struct file){.ops = ops, .refs = 1, .ioasis = ioasis};
}
static inline struct file *file_get(struct file *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}
static inline void file_put(struct file *f)
{
	if (atomic_fetch_sub(&f->refs, 1) == 1)
		f->ops->release(f);
}

extern const struct file_ops iommufd_file_ops, vfio_cdev_file_ops, access_file_ops, dmabuf_file_ops;

/*
 * One kind of node, one line of uapi_node_kinds[] (nodes.c). A pattern without %u has one node; one with
 * %u has those of index 0 … nr() - 1, written without leading zeros.
 */
struct uapi_node_kind {
	const char *pattern;
	unsigned major, minor, mode; /* minor: of index 0 */
	unsigned (*nr)(struct ioasis *ioasis); /* NULL: one */
	int (*open)(struct ioasis *ioasis, struct caller *c, u32 index, int flags,
		    struct file **out);
};
extern const struct uapi_node_kind uapi_node_kinds[];
extern const unsigned uapi_nr_node_kinds;

unsigned vfio_nr_devices(struct ioasis *ioasis);
int vfio_cdev_open(struct ioasis *ioasis, struct caller *c, u32 index, int flags,
		   struct file **out) MUST_CHECK;
int iommufd_open(struct ioasis *ioasis, struct caller *c, u32 index, int flags,
		 struct file **out) MUST_CHECK;
/* The context behind an iommufd file, with a reference. Return: 0; -EBADFD another kind of file. */
int iommufd_file_ctx(struct file *file, struct ioasis_ctx **out) MUST_CHECK;

/**
 * uapi_open() - open() of one of our nodes
 * @path: as the program names it: "/dev/iommu", "/dev/vfio/devices/vfio0"
 * Return: 0; -ENOENT not one of ours; -ENOMEM…
 */
int uapi_open(struct ioasis *ioasis, struct caller *c, const char *path, int flags,
	      struct file **out) MUST_CHECK;

/*
 * The nodes of this machine, for stat() and directory listings; major/minor as Linux gives them.
 * Return: how many there are; at most @max are stored.
 */
struct uapi_node {
	char path[64];
	unsigned major, minor, mode;
};
unsigned uapi_nodes(struct ioasis *ioasis, struct uapi_node *out, unsigned max);

#endif
