/* SPDX-License-Identifier: MIT */
/*
 * Ports, contexts, entries and walks as JSON, the same for every model.
 */
#include "hw/hw.h"

static const char *perm_name(unsigned perm)
{
	static const char *const names[] = {"-", "r", "w", "rw"};
	return names[perm & PERM_RW];
}

static bool entry_is_live(struct hw_iommu *hw, const struct iotlb_entry *e)
{
	u64 tag = atomic_load(&e->tag);
	u32 meta = atomic_load(&e->meta);

	return tag &&
	       atomic_load(&e->gen) ==
		       atomic_load(&hw->gens.did[iotlb_tag_did(tag) % IOTLB_DID_BUCKETS]) +
			       atomic_load(&hw->gens.bucket[meta >> 8 & (2 * IOTLB_BUCKETS - 1)]) +
			       atomic_load(&hw->mem->generation);
}

static json_t *describe_entry(const struct iotlb_entry *e)
{
	json_t *j = json_object();
	u64 start = atomic_load(&e->start), tag = atomic_load(&e->tag);

	json_put(j, "start", json_hex(start));
	json_put(j, "last", json_hex(start + atomic_load(&e->span)));
	json_put(j, "oa", json_hex(atomic_load(&e->oa)));
	json_put(j, "perm", json_string(perm_name(atomic_load(&e->meta))));
	json_put(j, "pasid", json_integer((json_int_t)(tag >> 32 & 0xfffff)));
	json_put(j, "domain_id", json_integer(iotlb_tag_did(tag)));
	return j;
}

static json_t *describe_port(struct hw_iommu *hw, struct hw_port *port)
{
	json_t *j = json_object(), *ctxs = json_array();
	unsigned nr = 0;

	for (unsigned i = 0; i < HW_PORT_CONTEXTS; i++) {
		u64 tag = atomic_load(&port->ctx[i].tag);
		json_t *c;

		if (!tag)
			continue;
		c = json_object();
		json_put(c, "pasid", json_integer((json_int_t)(tag >> 32 & 0xfffff)));
		json_put(c, "domain_id", json_integer(iotlb_tag_did(tag)));
		json_put(c, "root", json_hex(atomic_load(&port->ctx[i].root)));
		json_array_append_new(ctxs, c);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(port->tlb); i++)
		nr += entry_is_live(hw, &port->tlb[i]);
	json_put(j, "rid", json_hex(port->rid.v));
	json_put(j, "iotlb_entries", json_integer(nr));
	json_put(j, "hits", json_integer((json_int_t)atomic_load(&port->nr_hits)));
	json_put(j, "walks", json_integer((json_int_t)atomic_load(&port->nr_walks)));
	json_put(j, "contexts", ctxs);
	return j;
}

void hw_describe_ports(struct hw_iommu *hw, json_t *out)
{
	json_t *ports = json_array();
	struct list *p;

	lock_take(&hw->lock);
	list_for_each (p, &hw->ports)
		json_array_append_new(ports,
				      describe_port(hw, list_entry(p, struct hw_port, node)));
	lock_drop(&hw->lock);
	json_put(out, "ports", ports);
	json_put(out, "faults", json_integer((json_int_t)atomic_load(&hw->nr_faults)));
}

/* The entry that a request would hit, looked at without using it. */
static const struct iotlb_entry *find_entry(struct hw_port *port, pasid_t pasid, iova_t iova)
{
	u32 have = atomic_load(&port->granules);

	for (; have; have &= have - 1) {
		const struct iotlb_entry *e =
			&port->tlb[iotlb_index(iova.v, (unsigned)__builtin_ctz(have))];

		if (iotlb_tag_is(atomic_load(&e->tag), pasid) &&
		    iova.v - atomic_load(&e->start) <= atomic_load(&e->span) &&
		    entry_is_live(port->hw, e))
			return e;
	}
	return NULL;
}

void hw_explain_cached(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out)
{
	const struct iotlb_entry *e = NULL;
	struct list *p;

	lock_take(&hw->lock);
	list_for_each (p, &hw->ports) {
		struct hw_port *port = list_entry(p, struct hw_port, node);

		if (port->rid.v == rid.v)
			e = find_entry(port, pasid, iova);
		if (e)
			break;
	}
	json_put(out, "cached", e ? describe_entry(e) : json_null());
	lock_drop(&hw->lock);
}

static json_t *describe_step(const struct pt_step *s)
{
	json_t *j = json_object();

	json_put(j, "level", json_integer(s->level));
	json_put(j, "covers_lg2", json_integer(s->lg2));
	json_put(j, "index", json_integer(s->index));
	json_put(j, "item", json_hex(s->item.v));
	json_put(j, "raw", json_hex(s->raw));
	json_put(j, "kind", json_string(!s->present ? "empty" : s->leaf ? "leaf" : "table"));
	if (s->present) {
		json_put(j, "perm", json_string(perm_name(s->perm)));
		json_put(j, "oa", json_hex(s->oa.v));
	}
	return j;
}

void hw_explain_steps(struct hw_iommu *hw, const struct pt_fmt *fmt, const struct hw_context *ctx,
		      iova_t iova, json_t *out)
{
	struct pt_step steps[8];
	json_t *levels = json_array();
	unsigned nr = iova.v > ctx->last ? 0
					 : fmt->steps(hw->mem, ctx->root, ctx->top_level, iova.v,
						      steps, ARRAY_SIZE(steps));

	for (unsigned i = 0; i < nr; i++)
		json_array_append_new(levels, describe_step(&steps[i]));
	json_put(out, "format", json_string(fmt->name));
	json_put(out, "levels", levels);
	if (nr && steps[nr - 1].present && steps[nr - 1].leaf) {
		u64 oa = steps[nr - 1].oa.v + (iova.v & ((1ull << steps[nr - 1].lg2) - 1));
		struct seg *seg = seg_find(hw->mem, OA(oa));

		json_put(out, "oa", json_hex(oa));
		json_put(out, "provider",
			 seg ? json_string(seg_kind_name(seg->kind)) : json_null());
	}
}

void hw_explain_refused(const struct xlate_fault *fault, json_t *out)
{
	json_object_del(out, "oa");
	json_object_del(out, "provider");
	json_put(out, "refused", json_string(xlate_reason_name(fault->reason)));
}
