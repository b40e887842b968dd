/* SPDX-License-Identifier: MIT */
/*
 * machine: one instance: its surroundings, memory, IOMMUs, devices and contexts. The room's one door.
 *
 * A preset is one line in machine/presets.c; a JSON text says the same things.
 */
#ifndef IOASIS_SRC_MACHINE_MACHINE_H
#define IOASIS_SRC_MACHINE_MACHINE_H

#include "device/device.h"
#include "dma/dma.h"
#include "event/event.h"
#include "ioas/ioas.h"
#include "ioasis/ioasis.h"
#include "iommu/iommu.h"

#define MACHINE_MAX_IOMMUS 4u
#define MACHINE_MAX_DEVS   64u

/* Major number of /dev/vfio/devices/vfioN, as sysfs says it too: dynamic on Linux. */
#define VFIO_DEV_MAJOR 511u

/* An endpoint that a user's device model drives (ioasis_dev_new()). */
struct ioasis_dev {
	struct ioasis *ioasis;
	struct iommu_dev idev;
	struct bound_dev *bound; /* GUARDED_BY(ioasis->lock) for changing; NULL: not bound */
	struct list node;
};

struct ioasis {
	struct env env;
	struct mem mem;
	struct fault_log log;
	char machine[32]; /* preset's name, a JSON text's "name", or "custom" */
	bool test_ops;	  /* IOMMU_TEST_CMD is answered: the mock machine */
	struct iommu *iommus[MACHINE_MAX_IOMMUS];
	unsigned nr_iommus;
	struct lock lock;	 /* RANK_MACHINE */
	struct list pci_devs;	 /* of struct pci_dev.node; fixed after ioasis_new() */
	struct list endpoints;	 /* of struct ioasis_dev.node */
	struct list ctxs;	 /* of struct ioasis_ctx.node */
};

/**
 * machine_new() - ioasis_new() that also says why not
 * @machine: a preset's name or a JSON text; @flags: IOASIS_NO_DEVICES
 * @why: a sentence when the answer is -EINVAL, else empty; may be NULL when @why_len is 0
 */
int machine_new(const char *machine, u32 flags, char *why, size_t why_len,
		struct ioasis **out) MUST_CHECK;

/* The presets' names. NULL past the last. */
const char *machine_preset_name(unsigned idx);

/* Open a context that the machine lists until it is gone. Return: 0; -ENOMEM. */
int machine_ctx_new(struct ioasis *ioasis, struct ioasis_ctx **out) MUST_CHECK;

/* One context and what it owns. NULL: out of memory. */
json_t *machine_ctx_describe(struct ioasis_ctx *ctx);
/* The live tree, for `ioasis show --json`. NULL: out of memory. */
json_t *machine_describe(struct ioasis *ioasis);
/*
 * Every step of one translation, for `ioasis walk`: an object with "error" when no device of the
 * machine has that requester id. NULL: out of memory.
 */
json_t *machine_walk(struct ioasis *ioasis, rid_t rid, pasid_t pasid, iova_t iova);
/*
 * Numbers of everything that clients may own: what must be again what it was when they are gone. A flat
 * object of integers. NULL: out of memory.
 */
json_t *machine_ledger(struct ioasis *ioasis);
/* Write what the machine's /sys looks like below @dirfd. Return: 0 or -errno. */
int machine_sysfs_write(struct ioasis *ioasis, int dirfd) MUST_CHECK;
/* By address ("0000:01:00.0"), or with NULL by its vfioN. Return: NULL when there is none. */
struct pci_dev *machine_pci_dev(struct ioasis *ioasis, const char *bdf_or_null, u32 index);

#endif
