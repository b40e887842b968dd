// SPDX-License-Identifier: MIT
/*
 * Nodes: which paths are ours, and what opening them makes.
 */
#include "uapi/uapi.h"

#include <stdio.h>

#define MISC_MAJOR  10
#define IOMMU_MINOR 256 /* dynamic on Linux: any that no fixed node has */

const struct uapi_node_kind uapi_node_kinds[] = {
	{"/dev/vfio/devices/vfio%u", VFIO_DEV_MAJOR, 0, 0600, vfio_nr_devices, vfio_cdev_open},
	{"/dev/iommu", MISC_MAJOR, IOMMU_MINOR, 0660, NULL, iommufd_open},
};
const unsigned uapi_nr_node_kinds = ARRAY_SIZE(uapi_node_kinds);

static unsigned kind_nr(const struct uapi_node_kind *kind, struct ioasis *ioasis)
{
	return kind->nr ? kind->nr(ioasis) : 1;
}

/* Decimal digits to the end of the string, as "%u" prints them. */
static bool parse_index(const char *s, u32 *out)
{
	u64 v = 0;
	const char *p;

	if (!*s || (*s == '0' && s[1]))
		return false;
	for (p = s; *p; p++) {
		if (*p < '0' || *p > '9' || v > UINT32_MAX / 10)
			return false;
		v = v * 10 + (u64)(*p - '0');
	}
	if (v > UINT32_MAX)
		return false;
	*out = (u32)v;
	return true;
}

static bool kind_matches(const struct uapi_node_kind *kind, const char *path, u32 *out_index)
{
	const char *percent = strchr(kind->pattern, '%');
	size_t len;

	if (!percent) {
		*out_index = 0;
		return strcmp(kind->pattern, path) == 0;
	}
	len = (size_t)(percent - kind->pattern);
	return strncmp(kind->pattern, path, len) == 0 && parse_index(path + len, out_index);
}

int uapi_open(struct ioasis *ioasis, struct caller *c, const char *path, int flags,
	      struct file **out)
{
	const struct uapi_node_kind *kind;
	unsigned i;
	u32 index;

	for (i = 0; i < uapi_nr_node_kinds; i++) {
		kind = &uapi_node_kinds[i];
		if (kind_matches(kind, path, &index) && index < kind_nr(kind, ioasis))
			return kind->open(ioasis, c, index, flags, out);
	}
	return -ENOENT;
}

static void node_fill(const struct uapi_node_kind *kind, u32 index, struct uapi_node *out)
{
	const char *percent = strchr(kind->pattern, '%');

	*out = (struct uapi_node){
		.major = kind->major, .minor = kind->minor + index, .mode = kind->mode};
	if (percent)
		snprintf(out->path, sizeof(out->path), "%.*s%u", (int)(percent - kind->pattern),
			 kind->pattern, index);
	else
		snprintf(out->path, sizeof(out->path), "%s", kind->pattern);
}

unsigned uapi_nodes(struct ioasis *ioasis, struct uapi_node *out, unsigned max)
{
	unsigned i, nr, total = 0;
	u32 index;

	for (i = 0; i < uapi_nr_node_kinds; i++) {
		nr = kind_nr(&uapi_node_kinds[i], ioasis);
		for (index = 0; index < nr; index++, total++)
			if (total < max)
				node_fill(&uapi_node_kinds[i], index, &out[total]);
	}
	return total;
}
