/* SPDX-License-Identifier: MIT */
#include "machine/spec.h"

#include <stdlib.h>

/* The smallest of what today's formats can hold: vtdss and amdv1 both do 52 bits. */
#define MACHINE_OA_BITS 52u

static void free_devs(struct ioasis *ioasis)
{
	struct list *pos, *next;

	list_for_each_safe(pos, next, &ioasis->pci_devs) {
		list_del(pos);
		pci_dev_free(list_entry(pos, struct pci_dev, node));
	}
}

static void free_iommus(struct ioasis *ioasis)
{
	while (ioasis->nr_iommus) {
		struct iommu *iommu = ioasis->iommus[--ioasis->nr_iommus];

		iommu->ops->free(iommu);
	}
}

static int make_iommus(struct ioasis *ioasis, const struct machine_spec *spec)
{
	unsigned i;
	int rc;

	for (i = 0; i < spec->nr_iommus; i++) {
		const struct iommu_spec *s = &spec->iommus[i];

		rc = s->type->make(&ioasis->env, &ioasis->mem, &ioasis->log, s->name,
				   &ioasis->iommus[i]);
		if (rc) {
			free_iommus(ioasis);
			return rc;
		}
		ioasis->nr_iommus++;
	}
	return 0;
}

static int make_devs(struct ioasis *ioasis, const struct machine_spec *spec)
{
	unsigned i;
	int rc;

	for (i = 0; i < spec->nr_devs; i++) {
		const struct dev_spec *s = &spec->devs[i];
		struct pci_dev *dev;

		rc = pci_dev_new(&ioasis->env, &ioasis->mem, ioasis->iommus[s->iommu], s->model,
				 s->rid, i, &dev);
		if (rc) {
			free_devs(ioasis);
			return rc;
		}
		list_push_back(&ioasis->pci_devs, &dev->node);
	}
	return 0;
}

static int fill(struct ioasis *ioasis, const struct machine_spec *spec)
{
	int rc = make_iommus(ioasis, spec);

	if (rc)
		return rc;
	rc = make_devs(ioasis, spec);
	if (rc)
		free_iommus(ioasis);
	return rc;
}

static int init(struct ioasis *ioasis, const struct machine_spec *spec)
{
	int rc = env_init(&ioasis->env);

	if (rc)
		return rc;
	strcpy(ioasis->machine, spec->name);
	ioasis->test_ops = spec->test_ops;
	lock_init(&ioasis->lock, RANK_MACHINE);
	list_init(&ioasis->pci_devs);
	list_init(&ioasis->endpoints);
	list_init(&ioasis->ctxs);
	fault_log_init(&ioasis->log, &ioasis->env);
	rc = mem_init(&ioasis->mem, &ioasis->env, MACHINE_OA_BITS, 0);
	if (rc)
		goto undo_base;
	rc = fill(ioasis, spec);
	if (!rc)
		return 0;
	mem_fini(&ioasis->mem);
undo_base:
	fault_log_fini(&ioasis->log);
	lock_fini(&ioasis->lock);
	env_fini(&ioasis->env);
	return rc;
}

int machine_new(const char *machine, u32 flags, char *why_buf, size_t why_len, struct ioasis **out)
{
	struct why why = {why_buf, why_len};
	struct machine_spec spec;
	struct ioasis *ioasis;
	int rc;

	if (why_len)
		why_buf[0] = 0;
	if (flags & ~IOASIS_NO_DEVICES)
		return why_not(&why, "flags that are not known");
	if (machine[strspn(machine, " \t\r\n")] == '{')
		rc = spec_of_text(machine, &why, &spec);
	else
		rc = spec_of_preset(machine, &why, &spec);
	if (rc)
		return rc;
	if (flags & IOASIS_NO_DEVICES)
		spec.nr_devs = 0;

	/* Parts of it sit on cache lines of their own. */
	ioasis = aligned_alloc(CACHELINE, (size_t)align_up(sizeof(*ioasis), CACHELINE));
	if (!ioasis)
		return -ENOMEM;
	memset(ioasis, 0, sizeof(*ioasis));
	rc = init(ioasis, &spec);
	if (rc) {
		free(ioasis);
		return rc;
	}
	*out = ioasis;
	return 0;
}

void ioasis_free(struct ioasis *ioasis)
{
	struct list *pos, *next;

	if (!ioasis)
		return;
	assert(list_empty(&ioasis->ctxs));
	list_for_each_safe(pos, next, &ioasis->endpoints)
		ioasis_dev_free(list_entry(pos, struct ioasis_dev, node));
	free_devs(ioasis);
	free_iommus(ioasis);
	mem_fini(&ioasis->mem);
	fault_log_fini(&ioasis->log);
	lock_fini(&ioasis->lock);
	env_fini(&ioasis->env);
	free(ioasis);
}

/* Called by the context's last put, before it takes anything down. */
static void ctx_gone(struct ioasis_ctx *ctx)
{
	lock_take(&ctx->ioasis->lock);
	list_del(&ctx->node);
	lock_drop(&ctx->ioasis->lock);
}

int machine_ctx_new(struct ioasis *ioasis, struct ioasis_ctx **out)
{
	struct ioasis_ctx *ctx;
	int rc = ctx_new(&ioasis->env, &ioasis->mem, ioasis, &ctx);

	if (rc)
		return rc;
	lock_take(&ioasis->lock);
	list_push_back(&ioasis->ctxs, &ctx->node);
	ctx->gone = ctx_gone;
	lock_drop(&ioasis->lock);
	*out = ctx;
	return 0;
}

struct pci_dev *machine_pci_dev(struct ioasis *ioasis, const char *bdf_or_null, u32 index)
{
	struct list *pos;

	list_for_each(pos, &ioasis->pci_devs) {
		struct pci_dev *dev = list_entry(pos, struct pci_dev, node);

		if (bdf_or_null ? !strcmp(dev->idev.name, bdf_or_null) : dev->index == index)
			return dev;
	}
	return NULL;
}
