/* SPDX-License-Identifier: MIT */
#define PT_FMT vtdss

#include "pt/fmt/vtdss.h"
#include "pt/engine.h"
