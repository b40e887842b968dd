/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <inttypes.h>

static void print_scalar(FILE *to, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		fputs(json_string_value(v), to);
		break;
	case JSON_INTEGER:
		fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		fprintf(to, "%g", json_real_value(v));
		break;
	case JSON_TRUE:
		fputs("yes", to);
		break;
	case JSON_FALSE:
		fputs("no", to);
		break;
	default:
		fputs("-", to);
	}
}

static bool is_scalar(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* What of an object fits on one line: its scalars. */
static void print_scalars(FILE *to, const json_t *obj)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)obj, key, v)
	{
		if (!is_scalar(v))
			continue;
		fprintf(to, " %s ", key);
		print_scalar(to, v);
	}
}

static void print_parts(FILE *to, const json_t *obj, unsigned indent)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)obj, key, v)
	{
		if (is_scalar(v) || !(json_object_size(v) + json_array_size(v)))
			continue;
		fprintf(to, "%*s%s:", indent, "", key);
		if (json_is_object(v))
			print_scalars(to, v);
		fputc('\n', to);
		print_tree(to, v, indent + 2);
	}
}

void print_tree(FILE *to, const json_t *v, unsigned indent)
{
	size_t i;
	json_t *item;

	if (json_is_object(v)) {
		print_parts(to, v, indent);
		return;
	}
	json_array_foreach((json_t *)v, i, item)
	{
		fprintf(to, "%*s-", indent, "");
		if (json_is_object(item))
			print_scalars(to, item);
		else if (is_scalar(item))
			fputc(' ', to), print_scalar(to, item);
		fputc('\n', to);
		if (!is_scalar(item))
			print_tree(to, item, indent + 2);
	}
}

void print_json(FILE *to, const json_t *v)
{
	json_dumpf(v, to, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', to);
}

void print_walk(FILE *to, const json_t *v)
{
	print_scalars(to, v);
	fputc('\n', to);
	print_tree(to, v, 0);
}
