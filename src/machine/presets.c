/* SPDX-License-Identifier: MIT */
#include "machine/spec.h"

#include <stdarg.h>
#include <stdio.h>

static const struct iommu_type iommu_types[] = {
	{"vtd", iommu_vtd_new},
	{"mock", iommu_mock_new},
};

/* One line a machine: what it has is said in the words of a JSON text. */
static const struct preset {
	const char *name;
	bool test_ops;
	const char *iommu_type, *iommu_name;
	const char *model, *address;
} presets[] = {
	{"intel", false, "vtd", "dmar0", "ioat", "0000:01:00.0"},
	{"mock", true, "mock", "mock0", "ioat", "0000:01:00.0"},
};

int why_not(const struct why *why, const char *fmt, ...)
{
	va_list args;

	if (why->buf && why->len) {
		va_start(args, fmt);
		vsnprintf(why->buf, why->len, fmt, args);
		va_end(args);
	}
	return -EINVAL;
}

const struct iommu_type *iommu_type_find(const char *name)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(iommu_types); i++)
		if (!strcmp(iommu_types[i].name, name))
			return &iommu_types[i];
	return NULL;
}

const char *machine_preset_name(unsigned idx)
{
	return idx < ARRAY_SIZE(presets) ? presets[idx].name : NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int rid_parse(const char *address, rid_t *out)
{
	static const char shape[] = "0000:xx:xx.x";
	u32 v[5] = {0};
	unsigned i, nr = 0;

	if (strlen(address) != sizeof(shape) - 1)
		return -EINVAL;
	for (i = 0; i < sizeof(shape) - 1; i++) {
		if (shape[i] != 'x') {
			if (address[i] != shape[i])
				return -EINVAL;
			continue;
		}
		if (hex_digit(address[i]) < 0)
			return -EINVAL;
		v[nr++] = (u32)hex_digit(address[i]);
	}
	if ((v[2] << 4 | v[3]) > 0x1f || v[4] > 7)
		return -EINVAL;
	*out = RID((v[0] << 4 | v[1]) << 8 | (v[2] << 4 | v[3]) << 3 | v[4]);
	return 0;
}

void rid_text(rid_t rid, char *buf, size_t len)
{
	snprintf(buf, len, "0000:%02x:%02x.%x", rid.v >> 8 & 0xff, rid.v >> 3 & 0x1f, rid.v & 7);
}

/* A name becomes a file's name in sysfs: letters, digits and dashes, at least one. */
static bool is_plain_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return len && !name[len];
}

int spec_add_iommu(struct machine_spec *spec, const char *type, const char *name,
		   const struct why *why)
{
	struct iommu_spec s = {.type = iommu_type_find(type)};
	unsigned i;

	if (!s.type)
		return why_not(why, "there is no IOMMU of type \"%s\"", type);
	if (!is_plain_name(name) || strlen(name) >= sizeof(s.name))
		return why_not(why, "\"%s\" is no name for an IOMMU", name);
	for (i = 0; i < spec->nr_iommus; i++)
		if (!strcmp(spec->iommus[i].name, name))
			return why_not(why, "two IOMMUs are named \"%s\"", name);
	if (spec->nr_iommus == MACHINE_MAX_IOMMUS)
		return why_not(why, "more than %u IOMMUs", MACHINE_MAX_IOMMUS);
	strcpy(s.name, name);
	spec->iommus[spec->nr_iommus++] = s;
	return 0;
}

int spec_add_dev(struct machine_spec *spec, const char *model, const char *address,
		 const char *iommu, const struct why *why)
{
	struct dev_spec d = {.model = device_model_find(model)};
	unsigned i;

	if (!d.model)
		return why_not(why, "there is no device model \"%s\"", model);
	if (rid_parse(address, &d.rid))
		return why_not(why, "\"%s\" is no address like 0000:01:00.0", address);
	for (i = 0; i < spec->nr_devs; i++)
		if (spec->devs[i].rid.v == d.rid.v)
			return why_not(why, "two devices are at %s", address);
	while (iommu && d.iommu < spec->nr_iommus && strcmp(spec->iommus[d.iommu].name, iommu))
		d.iommu++;
	if (d.iommu >= spec->nr_iommus)
		return why_not(why, "the device at %s names no IOMMU of this machine", address);
	if (spec->nr_devs == MACHINE_MAX_DEVS)
		return why_not(why, "more than %u devices", MACHINE_MAX_DEVS);
	spec->devs[spec->nr_devs++] = d;
	return 0;
}

int spec_of_preset(const char *name, const struct why *why, struct machine_spec *out)
{
	struct machine_spec spec = {0};
	const struct preset *p = presets, *end = presets + ARRAY_SIZE(presets);
	int rc;

	while (p < end && strcmp(p->name, name))
		p++;
	if (p == end)
		return why_not(why, "there is no machine \"%s\"", name);
	strcpy(spec.name, p->name);
	spec.test_ops = p->test_ops;
	rc = spec_add_iommu(&spec, p->iommu_type, p->iommu_name, why);
	if (!rc)
		rc = spec_add_dev(&spec, p->model, p->address, NULL, why);
	if (!rc)
		*out = spec;
	return rc;
}
