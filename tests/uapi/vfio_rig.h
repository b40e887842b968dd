/* SPDX-License-Identifier: MIT */
/*
 * A VFIO device file on a bus without an IOMMU, and a caller whose memory is this process's.
 *
 * What the file needs of other rooms (contexts, attaching, the machine's list of devices) is faked
 * and counted, so that its own order of checks is what is tested.
 */
#ifndef IOASIS_TESTS_VFIO_RIG_H
#define IOASIS_TESTS_VFIO_RIG_H

#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "unit.h"
#include "fake_bus.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define IOMMUFD_FD 1000 /* the caller's iommufd */
#define OTHER_FD   1001 /* the caller's VFIO file: ours, but no iommufd */

struct rig {
	struct ioasis ioasis;
	struct pci_dev *dev;
	struct file *file;
	struct caller c;
	struct file iommufd;
	struct ioasis_ctx ctx;
	u8 *hole; /* a page that is not there, behind one that is */
};

/* The faked rooms: what they were asked, and what they answer. */
struct fakes {
	struct pci_dev *dev;
	struct file *iommufd, *other;
	struct ioasis_ctx *ctx;
	struct bound_dev bound;
	int bind_rc, attach_rc;
	unsigned nr_bound, nr_attach, nr_replace, nr_detach;
	int ctx_refs;
	u32 last_pt, last_pasid;
};
extern struct fakes fakes;

int rig_setup(void **state);
int rig_teardown(void **state);

static inline long ioctl_of(struct rig *r, unsigned cmd, void *arg)
{
	return r->file->ops->ioctl(r->file, &r->c, cmd, (u64)(uintptr_t)arg);
}

/* Bind as a program does; must succeed. */
void rig_bind(struct rig *r);

#endif
