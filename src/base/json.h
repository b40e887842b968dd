/* SPDX-License-Identifier: MIT */
/*
 * JSON is jansson's; this adds only what is awkward in it.
 */
#ifndef IOASIS_SRC_BASE_JSON_H
#define IOASIS_SRC_BASE_JSON_H

#include <jansson.h>

#include "base/types.h"

/* "0x..." strings: JSON numbers lose bits above 2^53. */
json_t *json_hex(u64 v);
/* json_object_set_new() that tolerates NULL values (out of memory) by leaving the key out. */
void json_put(json_t *obj, const char *key, json_t *value);

#endif
