/* SPDX-License-Identifier: MIT */
#define PT_FMT amdv1_mock
#define AMDV1_MOCK 1

#include "pt/fmt/amdv1.h"
#include "pt/engine.h"
