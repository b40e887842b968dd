/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <inttypes.h>

void print_scalar(FILE *to, const json_t *v)
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

void print_json(FILE *to, const json_t *v)
{
	json_dumpf(v, to, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', to);
}
