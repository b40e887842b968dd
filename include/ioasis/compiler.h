/* SPDX-License-Identifier: MIT */
/* What the public headers need from the compiler, in C11 and C++17. */
#ifndef IOASIS_COMPILER_H
#define IOASIS_COMPILER_H

#ifdef __cplusplus
#define IOASIS_BEGIN_DECLS extern "C" {
#define IOASIS_END_DECLS   }
#else
#define IOASIS_BEGIN_DECLS
#define IOASIS_END_DECLS
#endif

#define IOASIS_MUST_CHECK __attribute__((warn_unused_result))
#define IOASIS_API	  __attribute__((visibility("default")))

#endif
