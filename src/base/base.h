/* SPDX-License-Identifier: MIT */
/*
 * base: what every room stands on and that knows no IOMMU word. The room's one door.
 */
#ifndef IOASIS_SRC_BASE_BASE_H
#define IOASIS_SRC_BASE_BASE_H

#include "base/env.h"
#include "base/epoch.h"
#include "base/fault.h"
#include "base/idtab.h"
#include "base/itree.h"
#include "base/json.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/slab.h"
#include "base/trace.h"
#include "base/types.h"

#endif
