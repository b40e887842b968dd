/* SPDX-License-Identifier: MIT */
/*
 * The live machine as a person reads it: who maps what, which table holds it, which device uses it.
 * The same answer as --json; what is not known here stays there.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>

#define each(i, item, v, key) json_array_foreach(json_object_get(v, key), i, item)

static const char *text(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	return s ? s : "-";
}

static long long number(const json_t *v, const char *key)
{
	return json_integer_value(json_object_get(v, key));
}

static bool yes(const json_t *v, const char *key)
{
	return json_is_true(json_object_get(v, key));
}

static u64 hex(const json_t *v, const char *key)
{
	return strtoull(text(v, key), NULL, 16);
}

/* "4 MiB": exact, in the largest unit that is. */
static const char *size_text(u64 len, char buf[24])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned u = 0;

	while (len && !(len & 1023) && u + 1 < ARRAY_SIZE(units)) {
		len >>= 10;
		u++;
	}
	snprintf(buf, 24, "%" PRIu64 " %s", len, units[u]);
	return buf;
}

/* The leaf sizes a table offers. */
static void print_page_sizes(FILE *to, u64 bitmap)
{
	char buf[24];

	for (const char *sep = ""; bitmap; bitmap &= bitmap - 1, sep = ", ")
		fprintf(to, "%s%s", sep, size_text(bitmap & -bitmap, buf));
}

static void print_bdf(FILE *to, const json_t *v)
{
	unsigned rid = (unsigned)hex(v, "rid");

	fprintf(to, "%02x:%02x.%x", rid >> 8, rid >> 3 & 31, rid & 7);
}

static void print_area(FILE *to, const json_t *area)
{
	u64 start = hex(area, "iova"), last = hex(area, "last");
	char buf[24];

	fprintf(to, "    0x%012" PRIx64 "-0x%012" PRIx64 "  %8s  %-2s  %s\n", start, last,
		size_text(last - start + 1, buf), text(area, "perm"), text(area, "provider"));
}

static void print_ranges(FILE *to, const json_t *ioas, const char *key)
{
	json_t *r;
	size_t i;

	each(i, r, ioas, key) fprintf(to, "    %s 0x%" PRIx64 "-0x%" PRIx64 "\n", key,
				      hex(r, "start"), hex(r, "last"));
}

static void print_attached(FILE *to, const json_t *objs, long long hwpt)
{
	json_t *dev, *at;
	size_t i, k;

	json_array_foreach(objs, i, dev)
	{
		each(k, at, dev, "attached")
		{
			if (number(at, "hwpt") != hwpt)
				continue;
			fprintf(to, "      device %lld  %s", number(dev, "id"), text(dev, "name"));
			if (number(at, "pasid"))
				fprintf(to, " pasid %lld", number(at, "pasid"));
			fputc('\n', to);
		}
	}
}

static void print_hwpt(FILE *to, const json_t *objs, const json_t *hwpt)
{
	fprintf(to, "    hwpt %lld  %s on %s, %lld tables, leaves of ", number(hwpt, "id"),
		text(hwpt, "format"), text(hwpt, "iommu"), number(hwpt, "tables"));
	print_page_sizes(to, hex(hwpt, "page_sizes"));
	fprintf(to, "%s%s\n", yes(hwpt, "automatic") ? ", made by attaching" : "",
		yes(hwpt, "dirty_tracking") ? ", tracks dirty pages" : "");
	print_attached(to, objs, number(hwpt, "id"));
}

static void print_ioas(FILE *to, const json_t *objs, const json_t *ioas)
{
	json_t *o;
	size_t i;

	fprintf(to, "  ioas %lld  align %lld, %lld areas%s\n", number(ioas, "id"),
		number(ioas, "alignment"), number(ioas, "nr_areas"),
		yes(ioas, "huge_pages") ? "" : ", without large pages");
	each(i, o, ioas, "areas") print_area(to, o);
	if ((long long)i < number(ioas, "nr_areas"))
		fprintf(to, "    ... %lld more\n", number(ioas, "nr_areas") - (long long)i);
	print_ranges(to, ioas, "reserved");
	print_ranges(to, ioas, "allowed");
	json_array_foreach(objs, i, o) if (!strcmp(text(o, "type"), "hwpt") &&
					   number(o, "ioas") == number(ioas, "id"))
		print_hwpt(to, objs, o);
}

/* What hangs under no IOAS: devices without one, accesses, test devices. */
static void print_others(FILE *to, const json_t *objs)
{
	json_t *o;
	size_t i;

	json_array_foreach(objs, i, o)
	{
		if (!strcmp(text(o, "type"), "ioas") || !strcmp(text(o, "type"), "hwpt") ||
		    json_array_size(json_object_get(o, "attached")))
			continue;
		fprintf(to, "  %s %lld", text(o, "type"), number(o, "id"));
		if (json_object_get(o, "name"))
			fprintf(to, "  %s, attached to nothing", text(o, "name"));
		fputc('\n', to);
	}
}

static void print_contexts(FILE *to, const json_t *v)
{
	json_t *ctx, *o;
	size_t i, k;

	each(i, ctx, v, "contexts")
	{
		json_t *objs = json_object_get(ctx, "objects");

		fprintf(to, "context %zu\n", i + 1);
		json_array_foreach(objs, k, o) if (!strcmp(text(o, "type"), "ioas"))
			print_ioas(to, objs, o);
		print_others(to, objs);
	}
}

static void print_iommus(FILE *to, const json_t *v)
{
	json_t *iommu, *port;
	size_t i, k;

	each(i, iommu, v, "iommus")
	{
		json_t *hw = json_object_get(iommu, "hw");

		fprintf(to, "iommu %s  %s, %lld faults\n", text(iommu, "name"), text(hw, "model"),
			number(hw, "faults"));
		each(k, port, hw, "ports")
		{
			fputs("  ", to);
			print_bdf(to, port);
			fprintf(to, "  iotlb %lld entries, %lld hits, %lld walks\n",
				number(port, "iotlb_entries"), number(port, "hits"),
				number(port, "walks"));
		}
	}
}

static void print_devices(FILE *to, const json_t *v)
{
	const char *key;
	json_t *dev, *s;
	size_t i;

	each(i, dev, v, "devices")
	{
		fprintf(to, "device %s  %s behind %s, %s%s\n", text(dev, "address"),
			text(dev, "model"), text(dev, "iommu"), text(dev, "vfio"),
			yes(dev, "claimed") ? ", in use" : "");
		fputs(" ", to);
		json_object_foreach(json_object_get(dev, "state"), key, s)
		{
			fprintf(to, " %s ", key);
			print_scalar(to, s);
		}
		fputc('\n', to);
	}
}

static void print_memory(FILE *to, const json_t *v)
{
	json_t *mem = json_object_get(v, "memory"), *s;
	char buf[24];
	size_t i;

	fprintf(to, "memory  %lld table pages\n",
		number(json_object_get(mem, "tables"), "used_pages"));
	each(i, s, mem, "segments") fprintf(to, "  oa 0x%010" PRIx64 "  %8s  %s\n", hex(s, "oa"),
					    size_text(hex(s, "len"), buf), text(s, "provider"));
}

static void print_clients(FILE *to, const json_t *v)
{
	json_t *c;
	size_t i;

	each(i, c, v, "clients") fprintf(
		to, "client %lld  %lld threads, %lld pages pinned, %lld locked\n", number(c, "pid"),
		number(c, "threads"), number(c, "pinned_pages"), number(c, "locked_pages"));
	each(i, c, v, "files")
		fprintf(to, "  %s  opened by %lld\n", text(c, "path"), number(c, "opened_by"));
}

static void print_faults(FILE *to, const json_t *v)
{
	json_t *f;
	size_t i;

	each(i, f, v, "faults") fprintf(to, "fault %s\n", text(f, "text"));
}

void print_show(FILE *to, const json_t *v)
{
	print_iommus(to, v);
	print_devices(to, v);
	print_contexts(to, v);
	print_memory(to, v);
	print_clients(to, v);
	print_faults(to, v);
}
