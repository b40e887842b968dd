/* SPDX-License-Identifier: MIT */
/**
 * DOC: ioasis
 *
 * The IOMMU subsystem in user space. One `struct ioasis` is an instance: a machine with IOMMUs and
 * devices behind them. Any number may live in one process; none knows of another.
 *
 * Conventions of every function here: 0 or a negative errno; results through trailing out_ pointers
 * that are untouched on error; any thread, unless a "Context:" line says otherwise. Structs that may
 * grow start with their own size. Lengths and addresses are bytes.
 */
#ifndef IOASIS_IOASIS_H
#define IOASIS_IOASIS_H

#include <stdint.h>

#include <ioasis/compiler.h>

IOASIS_BEGIN_DECLS

struct ioasis;
struct ioasis_dev;

/**
 * struct ioasis_args - What machine to make
 * @size: sizeof(struct ioasis_args)
 * @machine: "intel", "mock", or the text of a machine in JSON (it starts with '{')
 * @flags: IOASIS_NO_DEVICES leaves out the devices of the preset, for programs that bring their own
 */
struct ioasis_args {
	uint32_t size;
	uint32_t flags;
	const char *machine;
};
#define IOASIS_NO_DEVICES 1u

/**
 * ioasis_new() - Make an instance
 * Return: 0; -EINVAL unknown machine or flags; -ENOMEM.
 */
IOASIS_API int ioasis_new(const struct ioasis_args *args, struct ioasis **out) IOASIS_MUST_CHECK;

/**
 * ioasis_free() - End an instance; NULL is fine
 * Context: every context of it is closed, no thread is inside a call on it.
 */
IOASIS_API void ioasis_free(struct ioasis *ioasis);

/**
 * ioasis_dev_new() - Add an endpoint behind the machine's first IOMMU
 * @rid: PCI requester id, bus << 8 | device << 3 | function
 *
 * Its DMA is blocked until it is attached. This is how a device model comes into a machine.
 * Return: 0; -EEXIST the requester id is taken; -ENOMEM.
 */
IOASIS_API int ioasis_dev_new(struct ioasis *ioasis, uint16_t rid, struct ioasis_dev **out) IOASIS_MUST_CHECK;

/**
 * ioasis_dev_free() - Remove an endpoint made by ioasis_dev_new()
 * Context: not bound to a context, no DMA of it in flight.
 */
IOASIS_API void ioasis_dev_free(struct ioasis_dev *dev);

/**
 * ioasis_guard_install() - Make DMA survive memory that goes away under it
 *
 * Installs handlers for SIGBUS and SIGSEGV, once per process, that chain to what was installed before:
 * the one thing in this library that is not per instance. Needed only where memory of other processes
 * is mapped; an instance that has only its own process's memory needs none.
 * Return: 0; a negative errno of sigaction().
 */
IOASIS_API int ioasis_guard_install(void);

IOASIS_END_DECLS

#endif
