/* SPDX-License-Identifier: MIT */
/* The formats there are: a new one adds its line. */
#include "pt/pt.h"

const struct pt_fmt *const pt_formats[] = {
	&pt_vtdss,
	&pt_amdv1,
	&pt_amdv1_mock,
	NULL,
};
