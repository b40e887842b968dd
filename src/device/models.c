/* SPDX-License-Identifier: MIT */
/* The device models that a machine may name: one line each. */
#include "device/device.h"

extern const struct device_model ioat_model;

const struct device_model *const device_models[] = {
	&ioat_model, /* Intel QuickData DMA engine */
	NULL,
};

const struct device_model *device_model_find(const char *name)
{
	for (unsigned i = 0; device_models[i]; i++)
		if (!strcmp(device_models[i]->name, name))
			return device_models[i];
	return NULL;
}
