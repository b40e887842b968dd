/* SPDX-License-Identifier: MIT */
#include "base/idtab.h"

#define FIRST_SLOTS   64u
#define BITS_PER_WORD 64u

void idtab_init(struct idtab *t, struct env *env)
{
	*t = (struct idtab){.env = env, .lowest_hint = 1};
}

void idtab_fini(struct idtab *t)
{
	env_free(t->env, t->slots);
	env_free(t->env, t->used);
	*t = (struct idtab){.env = t->env, .lowest_hint = 1};
}

static u64 *word_of(const struct idtab *t, u32 id)
{
	return &t->used[id / BITS_PER_WORD];
}

static u64 bit_of(u32 id)
{
	return 1ull << id % BITS_PER_WORD;
}

static bool is_used(const struct idtab *t, u32 id)
{
	return id && id < t->nr_slots && (*word_of(t, id) & bit_of(id));
}

static int grow(struct idtab *t)
{
	u32 nr = t->nr_slots ? t->nr_slots * 2 : FIRST_SLOTS;
	void **slots;
	u64 *used;

	if (t->nr_slots > IDTAB_MAX)
		return -EBUSY;
	slots = env_calloc(t->env, nr, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	used = env_calloc(t->env, nr / BITS_PER_WORD, sizeof(*used));
	if (!used) {
		env_free(t->env, slots);
		return -ENOMEM;
	}
	if (t->nr_slots) {
		memcpy(slots, t->slots, t->nr_slots * sizeof(*slots));
		memcpy(used, t->used, t->nr_slots / BITS_PER_WORD * sizeof(*used));
	}
	used[0] |= 1; /* 0 is no id */
	env_free(t->env, t->slots);
	env_free(t->env, t->used);
	t->slots = slots;
	t->used = used;
	t->nr_slots = nr;
	return 0;
}

int idtab_reserve(struct idtab *t, u32 *out_id)
{
	u32 w, id;
	int rc;

	for (w = t->lowest_hint / BITS_PER_WORD; w < t->nr_slots / BITS_PER_WORD; w++)
		if (~t->used[w])
			break;
	if (w == t->nr_slots / BITS_PER_WORD) {
		rc = grow(t);
		if (rc)
			return rc;
	}
	id = w * BITS_PER_WORD + (u32)__builtin_ctzll(~t->used[w]);
	*word_of(t, id) |= bit_of(id);
	t->lowest_hint = id + 1;
	*out_id = id;
	return 0;
}

void idtab_publish(struct idtab *t, u32 id, void *p)
{
	assert(is_used(t, id));
	t->slots[id] = p;
}

void idtab_tombstone(struct idtab *t, u32 id)
{
	assert(is_used(t, id));
	t->slots[id] = NULL;
}

void idtab_release(struct idtab *t, u32 id)
{
	assert(is_used(t, id));
	t->slots[id] = NULL;
	*word_of(t, id) &= ~bit_of(id);
	if (id < t->lowest_hint)
		t->lowest_hint = id;
}

void *idtab_get(const struct idtab *t, u32 id)
{
	return id < t->nr_slots ? t->slots[id] : NULL;
}

void *idtab_next(const struct idtab *t, u32 *inout_id)
{
	u32 id;

	for (id = *inout_id; id < t->nr_slots; id++) {
		if (!t->slots[id])
			continue;
		*inout_id = id;
		return t->slots[id];
	}
	return NULL;
}
