/* SPDX-License-Identifier: MIT */
/*
 * What a machine is made of, before it is made: the common form of presets and JSON texts.
 */
#ifndef IOASIS_SRC_MACHINE_SPEC_H
#define IOASIS_SRC_MACHINE_SPEC_H

#include "machine/machine.h"

#define SPEC_NAME_LEN 16u

struct iommu_type {
	const char *name; /* "vtd" */
	int (*make)(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		    struct iommu **out);
};

struct iommu_spec {
	const struct iommu_type *type;
	char name[SPEC_NAME_LEN]; /* "dmar0" */
};

struct dev_spec {
	const struct device_model *model;
	rid_t rid;
	unsigned iommu; /* index */
};

struct machine_spec {
	char name[32];
	bool test_ops;
	unsigned nr_iommus;
	struct iommu_spec iommus[MACHINE_MAX_IOMMUS];
	unsigned nr_devs;
	struct dev_spec devs[MACHINE_MAX_DEVS];
};

/* Why a machine was refused, for people. */
struct why {
	char *buf; /* may be NULL */
	size_t len;
};
/* Value: -EINVAL. */
int why_not(const struct why *why, const char *fmt, ...) PRINTF_LIKE(2, 3);

const struct iommu_type *iommu_type_find(const char *name);

/* @out is untouched on error. Return: 0; -EINVAL and a sentence. */
int spec_of_preset(const char *name, const struct why *why, struct machine_spec *out) MUST_CHECK;
int spec_of_text(const char *text, const struct why *why, struct machine_spec *out) MUST_CHECK;

/*
 * Add to a spec being built; every rule about names and addresses is here, for presets and texts alike.
 * @iommu: NULL: the first.
 */
int spec_add_iommu(struct machine_spec *spec, const char *type, const char *name,
		   const struct why *why) MUST_CHECK;
int spec_add_dev(struct machine_spec *spec, const char *model, const char *address,
		 const char *iommu, const struct why *why) MUST_CHECK;

/* "0000:01:00.0", nothing looser. Return: 0; -EINVAL. */
int rid_parse(const char *address, rid_t *out) MUST_CHECK;
void rid_text(rid_t rid, char *buf, size_t len);

#endif
