/* SPDX-License-Identifier: MIT */
/*
 * What a processor's copy file gives the guard: where a fault inside a copy continues.
 */
#ifndef IOASIS_SRC_MEM_COPY_H
#define IOASIS_SRC_MEM_COPY_H

#include <stdbool.h>

/* Can a fault inside a copy be told from others here? */
extern const bool copy_can_guard;

/* @context: the handler's ucontext. Return: true, and it resumes at the copy's -EFAULT exit. */
bool copy_fixup(void *context);

#endif
