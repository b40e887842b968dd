/* SPDX-License-Identifier: MIT */
/*
 * One translation as a person reads it: the entries that lead to the table, its levels, the
 * outcome.
 */
#include "tool.h"

static const char *text(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	return s ? s : "-";
}

static bool is_outcome(const char *key)
{
	static const char *const keys[] = {"address", "rid",	  "iova",   "iommu",
					   "oa",      "provider", "cached", "code",
					   "refused", "format",	  "error"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

/* What the IOMMU reads before it gets to a page table, whatever it calls it. */
static void print_entries(FILE *to, const json_t *v)
{
	const char *key;
	json_t *e;

	json_object_foreach((json_t *)v, key, e)
	{
		if (json_is_object(e) || json_is_array(e) || is_outcome(key))
			continue;
		fprintf(to, "  %-18s ", key);
		print_scalar(to, e);
		fputc('\n', to);
	}
}

static void print_level(FILE *to, const json_t *l)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned lg2 = (unsigned)json_integer_value(json_object_get(l, "covers_lg2")) & 63;

	fprintf(to, "  %5lld  %4u %-3s  %5lld  %-14s %-20s %-5s",
		(long long)json_integer_value(json_object_get(l, "level")), 1u << lg2 % 10,
		units[lg2 / 10], (long long)json_integer_value(json_object_get(l, "index")),
		text(l, "item"), text(l, "raw"), text(l, "kind"));
	if (json_object_get(l, "oa"))
		fprintf(to, "  %-2s -> %s", text(l, "perm"), text(l, "oa"));
	fputc('\n', to);
}

static void print_cached(FILE *to, const json_t *v)
{
	json_t *c = json_object_get(v, "cached");

	if (json_is_object(c))
		fprintf(to, "cached: %s-%s -> %s, %s\n", text(c, "start"), text(c, "last"),
			text(c, "oa"), text(c, "perm"));
	else
		fputs("cached: no\n", to);
}

static void print_outcome(FILE *to, const json_t *v)
{
	json_t *code = json_object_get(v, "code");

	if (json_object_get(v, "oa")) {
		fprintf(to, "output %s, %s memory\n", text(v, "oa"), text(v, "provider"));
		return;
	}
	fprintf(to, "refused: %s", text(v, "refused"));
	if (code)
		fprintf(to, " (code %lld)", (long long)json_integer_value(code));
	fputc('\n', to);
}

void print_walk(FILE *to, const json_t *v)
{
	json_t *levels = json_object_get(v, "levels"), *l;
	size_t i;

	fprintf(to, "%s iova %s through %s\n", text(v, "address"), text(v, "iova"),
		text(v, "iommu"));
	print_entries(to, v);
	if (json_array_size(levels))
		fprintf(to,
			"  %s\n  level  covers    index  item at        item                 "
			"kind\n",
			text(v, "format"));
	json_array_foreach(levels, i, l) print_level(to, l);
	print_outcome(to, v);
	print_cached(to, v);
}
