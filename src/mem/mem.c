/* SPDX-License-Identifier: MIT */
/* The memory of one instance: making it, ending it, describing it. */
#include "mem/file.h"
#include "mem/mem_priv.h"
#include "mem/proc.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static int map_holds(struct mem_priv *p)
{
	size_t bits = HOLDS_MAX / 8, slots = HOLDS_MAX * sizeof(*p->holds);
	u8 *at = mmap(NULL, bits + slots, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -ENOMEM;
	p->holds = (struct hold_slot *)at;
	p->hold_bits = (_Atomic u64 *)(at + slots);
	return 0;
}

static bool can_process_vm(void)
{
	char from = 1, to = 0;
	struct iovec local = {&to, 1}, remote = {&from, 1};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

int mem_init(struct mem *mem, struct env *env, unsigned oa_bits, u64 table_bytes)
{
	int rc = -ENOMEM;

	if (oa_bits < 48 || oa_bits > 52)
		return -EINVAL;
	*mem = (struct mem){.env = env, .oa_bits = oa_bits};
	mem->host = (struct mem_host){
		.map_files = file_can_map_files(),
		.process_vm = can_process_vm(),
		.procmap_query = vma_can_query(),
	};
	mem->priv = env_zalloc(env, sizeof(*mem->priv));
	if (!mem->priv)
		return -ENOMEM;
	lock_init(&mem->segs_lock, RANK_SEGS);
	if (map_holds(mem->priv))
		goto undo_priv;
	rc = seg_table_init(mem);
	if (rc)
		goto undo_holds;
	rc = mm_table_init(mem);
	if (rc)
		goto undo_segs;
	rc = table_pool_init(mem, table_bytes);
	if (rc)
		goto undo_mms;
	return 0;
undo_mms:
	mm_table_fini(mem);
undo_segs:
	seg_table_fini(mem);
undo_holds:
	munmap(mem->priv->holds, HOLDS_MAX / 8 + HOLDS_MAX * sizeof(struct hold_slot));
undo_priv:
	lock_fini(&mem->segs_lock);
	env_free(env, mem->priv);
	return rc;
}

void mem_fini(struct mem *mem)
{
	table_pool_fini(mem);
	source_table_fini(mem);
	mm_table_fini(mem);
	assert(list_empty(&mem->segs));
	seg_table_fini(mem);
	munmap(mem->priv->holds, HOLDS_MAX / 8 + HOLDS_MAX * sizeof(struct hold_slot));
	lock_fini(&mem->segs_lock);
	env_free(mem->env, mem->priv);
}

static void describe_seg(const struct seg *seg, json_t *list)
{
	json_t *o = json_object();

	json_put(o, "provider", json_string(seg_kind_name(seg->kind)));
	json_put(o, "oa", json_hex(seg->base.v));
	json_put(o, "len", json_hex(seg->len));
	json_put(o, "refs", json_integer(atomic_load(&seg->refs)));
	json_put(o, "holds", json_integer(atomic_load(&seg->nr_holds)));
	if (seg->kind == SEG_SHARED) {
		json_put(o, "inode", json_hex(seg->ino));
		json_put(o, "offset", json_hex(seg->file_offset));
	}
	if (seg->mm)
		json_put(o, "pid", json_integer(seg->mm->pid));
	if (atomic_load(&seg->dead))
		json_put(o, "dead", json_true());
	json_array_append_new(list, o);
}

void mem_describe(struct mem *mem, json_t *out)
{
	json_t *tables = json_object();
	json_t *host = json_object();
	json_t *segs = json_array();
	struct list *n;

	json_put(tables, "used_pages", json_integer((json_int_t)atomic_load(&mem->tables.nr_used)));
	json_put(tables, "reserved", json_hex(mem->tables.len));
	json_put(out, "tables", tables);
	json_put(host, "map_files", json_boolean(mem->host.map_files));
	json_put(host, "process_vm", json_boolean(mem->host.process_vm));
	json_put(host, "procmap_query", json_boolean(mem->host.procmap_query));
	json_put(out, "host", host);
	lock_take(&mem->segs_lock);
	list_for_each(n, &mem->segs) {
		const struct seg *seg = list_entry(n, struct seg, node);

		if (seg->kind != SEG_TABLES)
			describe_seg(seg, segs);
	}
	lock_drop(&mem->segs_lock);
	json_put(out, "segments", segs);
}

static void count_segs(struct mem *mem, json_t *out)
{
	json_int_t nr[SEG_TOKEN + 1] = {0}, bytes = 0, refs = 0, holds = 0;
	struct list *n;

	lock_take(&mem->segs_lock);
	list_for_each(n, &mem->segs) {
		const struct seg *seg = list_entry(n, struct seg, node);

		nr[seg->kind]++;
		if (seg->kind == SEG_TABLES)
			continue;
		bytes += (json_int_t)seg->len;
		refs += atomic_load(&seg->refs);
		holds += atomic_load(&seg->nr_holds);
	}
	lock_drop(&mem->segs_lock);
	/* What lies in our own process stays until the instance ends: no client's cost. */
	json_put(out, "segments_shared", json_integer(nr[SEG_SHARED]));
	json_put(out, "segments_remote", json_integer(nr[SEG_REMOTE]));
	json_put(out, "segments_token", json_integer(nr[SEG_TOKEN]));
	json_put(out, "segment_bytes", json_integer(bytes));
	json_put(out, "segment_refs", json_integer(refs));
	json_put(out, "segment_holds", json_integer(holds));
}

void mem_ledger(struct mem *mem, json_t *out)
{
	json_int_t nr_mms = 0, nr_users = 0, pinned = 0, locked_mm = 0, locked_user = 0, files;
	struct list *n;

	lock_take(&mem->mm_lock);
	list_for_each(n, &mem->mms) {
		const struct mm *mm = list_entry(n, struct mm, node);

		nr_mms += !mm->self;
		pinned += (json_int_t)atomic_load(&mm->pinned_pages);
		locked_mm += (json_int_t)atomic_load(&mm->locked_pages);
	}
	list_for_each(n, &mem->users) {
		nr_users++;
		locked_user += (json_int_t)atomic_load(
			&list_entry(n, struct mm_user, node)->locked_pages);
	}
	lock_drop(&mem->mm_lock);
	lock_take(&mem->segs_lock);
	files = mem->priv->nr_files;
	lock_drop(&mem->segs_lock);
	json_put(out, "mms", json_integer(nr_mms));
	json_put(out, "users", json_integer(nr_users));
	json_put(out, "pinned_pages", json_integer(pinned));
	json_put(out, "locked_pages_by_mm", json_integer(locked_mm));
	json_put(out, "locked_pages_by_user", json_integer(locked_user));
	json_put(out, "offered_files", json_integer(files));
	json_put(out, "table_pages", json_integer((json_int_t)atomic_load(&mem->tables.nr_used)));
	count_segs(mem, out);
}
