/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "tool.h"

/* One line per kind and request: "2 ioas made by IOMMU_IOAS_ALLOC: ids 1, 3". */
struct kind {
	const char *type, *made_by;
	unsigned nr;
	char ids[128];
};
#define MAX_KINDS 64u

static struct kind *find_kind(struct kind *kinds, unsigned *nr, const char *type,
			      const char *made_by)
{
	for (unsigned i = 0; i < *nr; i++)
		if (!strcmp(kinds[i].type, type) && !strcmp(kinds[i].made_by, made_by))
			return &kinds[i];
	if (*nr == MAX_KINDS)
		return NULL;
	kinds[*nr] = (struct kind){.type = type, .made_by = made_by};
	return &kinds[(*nr)++];
}

static const char *text_of(const json_t *obj, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : otherwise;
}

static void count_objects(const json_t *file, struct kind *kinds, unsigned *nr)
{
	const json_t *objects = json_object_get(file, "objects");
	json_t *obj;
	size_t i;

	json_array_foreach((json_t *)objects, i, obj)
	{
		struct kind *k = find_kind(kinds, nr, text_of(obj, "type", "object"),
					   text_of(obj, "made_by", ""));
		size_t len;

		if (!k)
			continue;
		len = strlen(k->ids);
		if (len < sizeof(k->ids) - 16)
			snprintf(k->ids + len, sizeof(k->ids) - len, "%s%d", k->nr ? ", " : "",
				 (int)json_integer_value(json_object_get(obj, "id")));
		else if (k->ids[len - 1] != '.')
			strcat(k->ids, ", ...");
		k->nr++;
	}
}

static void print_file(const json_t *file, const char *how)
{
	struct kind kinds[MAX_KINDS];
	unsigned nr = 0;

	count_objects(file, kinds, &nr);
	if (!nr)
		return;
	fprintf(stderr, "ioasis: left in %s, %s:\n",
		text_of(file, "path", text_of(file, "file", "a file")), how);
	for (unsigned i = 0; i < nr; i++)
		fprintf(stderr, "ioasis:   %u %s%s%s: id%s %s\n", kinds[i].nr, kinds[i].type,
			*kinds[i].made_by ? " made by " : "", kinds[i].made_by,
			kinds[i].nr > 1 ? "s" : "", kinds[i].ids);
}

static void print_files(const json_t *files, const char *how)
{
	json_t *file;
	size_t i;

	json_array_foreach((json_t *)files, i, file) print_file(file, how);
}

void report_print(const char *text, size_t len, bool faults, bool json)
{
	json_t *report = text ? json_loadb(text, len, 0, NULL) : NULL;
	json_t *fault;
	size_t i;

	if (!report)
		return;
	if (json) {
		print_json(stderr, report);
	} else {
		print_files(json_object_get(report, "closed"),
			    "which was open when its program ended");
		print_files(json_object_get(report, "open"),
			    "which another process still has open");
		if (faults)
			json_array_foreach(json_object_get(report, "faults"), i, fault)
				fprintf(stderr, "ioasis: fault %s\n", json_string_value(fault));
	}
	json_decref(report);
}
