/* SPDX-License-Identifier: MIT */
/*
 * A machine in JSON:
 *
 *	{
 *		"name": "two-units",			optional
 *		"test_ops": false,			optional: answer IOMMU_TEST_CMD
 *		"iommus": [ {"type": "vtd", "name": "dmar0"} ],
 *		"devices": [				optional
 *			{"model": "ioat", "address": "0000:01:00.0", "iommu": "dmar0"}
 *		]
 *	}
 *
 * "iommu" may be left out: the first. A key that is not in this list is refused, so that a misspelt
 * one is not taken for an absent one.
 */
#include "machine/spec.h"

static int add_iommus(struct machine_spec *spec, json_t *list, const struct why *why)
{
	const char *type, *name;
	json_error_t err;
	json_t *entry;
	size_t i;
	int rc;

	json_array_foreach(list, i, entry)
	{
		if (json_unpack_ex(entry, &err, JSON_STRICT, "{s:s, s:s}", "type", &type, "name",
				   &name))
			return why_not(why, "iommus[%zu]: %s", i, err.text);
		rc = spec_add_iommu(spec, type, name, why);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_devs(struct machine_spec *spec, json_t *list, const struct why *why)
{
	const char *model, *address, *iommu;
	json_error_t err;
	json_t *entry;
	size_t i;
	int rc;

	json_array_foreach(list, i, entry)
	{
		iommu = NULL;
		if (json_unpack_ex(entry, &err, JSON_STRICT, "{s:s, s:s, s?s}", "model", &model,
				   "address", &address, "iommu", &iommu))
			return why_not(why, "devices[%zu]: %s", i, err.text);
		rc = spec_add_dev(spec, model, address, iommu, why);
		if (rc)
			return rc;
	}
	return 0;
}

static int spec_of_json(json_t *root, const struct why *why, struct machine_spec *spec)
{
	json_t *iommus = NULL, *devs = NULL;
	const char *name = "custom";
	json_error_t err;
	int test_ops = 0, rc;

	if (json_unpack_ex(root, &err, JSON_STRICT, "{s?s, s?b, s:o, s?o}", "name", &name,
			   "test_ops", &test_ops, "iommus", &iommus, "devices", &devs))
		return why_not(why, "%s", err.text);
	if (!json_is_array(iommus) || !json_array_size(iommus))
		return why_not(why, "\"iommus\" is a list of at least one");
	if (devs && !json_is_array(devs))
		return why_not(why, "\"devices\" is a list");
	if (strlen(name) >= sizeof(spec->name))
		return why_not(why, "the machine's name is too long");
	strcpy(spec->name, name);
	spec->test_ops = test_ops;
	rc = add_iommus(spec, iommus, why);
	return rc ? rc : add_devs(spec, devs, why);
}

/* Without the piece of the text that jansson quotes: it may be any file that was named by mistake.
 */
static const char *without_quote(char *message)
{
	char *near = strstr(message, " near '");

	if (near)
		*near = 0;
	return message;
}

int spec_of_text(const char *text, const struct why *why, struct machine_spec *out)
{
	struct machine_spec spec = {0};
	json_error_t err;
	json_t *root;
	int rc;

	root = json_loads(text, JSON_REJECT_DUPLICATES, &err);
	if (!root)
		return why_not(why, "line %d, column %d: %s", err.line, err.column,
			       without_quote(err.text));
	rc = spec_of_json(root, why, &spec);
	json_decref(root);
	if (!rc)
		*out = spec;
	return rc;
}
