/* SPDX-License-Identifier: MIT */
#define PT_FMT amdv1

#include "pt/fmt/amdv1.h"
#include "pt/engine.h"
