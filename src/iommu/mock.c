/* SPDX-License-Identifier: MIT */
/*
 * mock: the driver of hw/mock, with the behaviour of Linux's iommufd self-test driver: its
 * apertures, page sizes, device flags, accepted allocation flags and the attachment that fails on
 * purpose. There the tables are never walked; here a device's DMA goes through them.
 *
 * Source: linux drivers/iommu/iommufd/selftest.c for behaviour and errors.
 */
#include "iommu/iommu.h"

#include <ioasis/iommufd_test.h>
#include <stdio.h>

#define CQ_LG2	  8u /* one page */
#define FL_LG2	  7u /* one page */
#define SYNC_DONE 1u

struct mock {
	struct iommu iommu;
	struct lock lock; /* RANK_IOMMU: protects from here to cq_tail */
	struct idtab dids;
	u64 *dir;	   /* by bus */
	u64 *devices[256]; /* by bus; NULL: no device there yet; once set it stays */
	u64 *cq;
	_Atomic u32 *status; /* where SYNC reports */
	u32 cq_tail;
	u64 *fl;
	u32 fl_head; /* the interrupt handler's own */
	_Atomic u32 faults_pending;
};

/* One entry that names a domain. */
struct mock_attach {
	struct list node; /* on the domain's */
	struct iommu_dev *dev;
	pasid_t pasid;
	u64 *entry;
};

struct mock_domain {
	struct domain d;
	u32 did;	      /* GUARDED_BY(mock.lock); 0: attached to nothing */
	struct list attached; /* GUARDED_BY(mock.lock) */
};

/* Per device. */
struct mock_dev {
	u64 *pasid_dir; /* GUARDED_BY(mock.lock): NULL until a PASID is attached */
	bool fail_next; /* GUARDED_BY(mock.lock): the next attachment of PASID 1024 fails */
};

static struct mock *to_mock(struct iommu *iommu)
{
	return container_of(iommu, struct mock, iommu);
}

static struct mock_domain *to_mock_domain(struct domain *d)
{
	return d ? container_of(d, struct mock_domain, d) : NULL;
}

static u64 reg_read(struct mock *m, u32 off)
{
	return m->iommu.hw->ops->reg_read(m->iommu.hw, off, 8);
}

static void reg_write(struct mock *m, u32 off, u64 value)
{
	m->iommu.hw->ops->reg_write(m->iommu.hw, off, value, 8);
}

static void store(u64 *at, u64 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* ---- commands ---- */

struct cmd {
	u64 w[2];
};

static void put_cmd(struct mock *m, struct cmd c) MUST_HOLD(m->lock)
{
	store(&m->cq[m->cq_tail * 2], c.w[0]);
	store(&m->cq[m->cq_tail * 2 + 1], c.w[1]);
	m->cq_tail = (m->cq_tail + 1) % (1u << CQ_LG2);
}

/* Return: false when the engine was stuck meanwhile, so that some of @cmds may have been skipped.
 */
static bool submit_once(struct mock *m, const struct cmd *cmds, unsigned nr) MUST_HOLD(m->lock)
{
	const struct cmd sync = {{MOCK_CMD_MAKE(MOCK_CMD_SYNC, 0, SYNC_DONE),
				  table_oa(m->iommu.mem, (void *)m->status).v}};
	bool clean = true;

	atomic_store(m->status, 0);
	for (unsigned i = 0; i < nr; i++)
		put_cmd(m, cmds[i]);
	put_cmd(m, sync);
	reg_write(m, MOCK_CQ_TAIL, m->cq_tail);
	while (atomic_load(m->status) != SYNC_DONE) {
		if (!(reg_read(m, MOCK_STATUS) & MOCK_STATUS_BAD_CMD))
			return clean && !(reg_read(m, MOCK_CTRL) & MOCK_CTRL_ENABLE);
		TRACE(m->iommu.env, submit_once, "command refused");
		reg_write(m, MOCK_STATUS, MOCK_STATUS_BAD_CMD);
		clean = false;
	}
	return clean;
}

/* Hand commands to the hardware; returns when it has done them. What was skipped is said again. */
static void submit(struct mock *m, const struct cmd *cmds, unsigned nr) MUST_HOLD(m->lock)
{
	if (submit_once(m, cmds, nr) || submit_once(m, cmds, nr))
		return;
	TRACE(m->iommu.env, submit, "the queue does not recover");
}

static struct cmd cmd_dev(rid_t rid)
{
	return (struct cmd){{MOCK_CMD_MAKE(MOCK_CMD_DEV, 0, rid.v), 0}};
}

static struct cmd cmd_domain(u32 did)
{
	return (struct cmd){{MOCK_CMD_MAKE(MOCK_CMD_TLB_DOMAIN, 0, did), 0}};
}

/* The smallest power of two that spans the range; the hardware takes any. */
static struct cmd cmd_range(u32 did, const struct pt_gather *g)
{
	u64 differ = (g->start ^ g->last) | (MOCK_PAGE_SIZE - 1);
	unsigned lg2 = log2_floor(differ) + 1;

	if (lg2 > 63)
		return cmd_domain(did);
	return (struct cmd){
		{MOCK_CMD_MAKE(MOCK_CMD_TLB_RANGE, lg2, did), align_down(g->start, 1ull << lg2)}};
}

static void mock_flush(struct domain *domain, const struct pt_gather *g)
{
	struct mock *m = to_mock(domain->iommu);
	struct mock_domain *md = to_mock_domain(domain);
	struct cmd c;

	lock_take(&m->lock);
	if (md->did) {
		c = cmd_range(md->did, g);
		submit(m, &c, 1);
	}
	lock_drop(&m->lock);
}

/* ---- faults ---- */

static void read_records(struct mock *m)
{
	u32 tail = (u32)reg_read(m, MOCK_FL_TAIL) % (1u << FL_LG2);

	for (; m->fl_head != tail; m->fl_head = (m->fl_head + 1) % (1u << FL_LG2)) {
		const u64 *rec = m->fl + m->fl_head * (MOCK_FAULT_LEN / 8);
		u64 w0 = __atomic_load_n(&rec[0], __ATOMIC_ACQUIRE);
		const struct xlate_fault f = {
			.rid = RID((u32)(w0 >> 32)),
			.pasid = PASID((u32)__atomic_load_n(&rec[1], __ATOMIC_ACQUIRE)),
			.iova = IOVA(__atomic_load_n(&rec[2], __ATOMIC_ACQUIRE)),
			.perm = (w0 >> 8) & PERM_RW,
			.reason = w0 & 0xff,
		};

		fault_log_add(m->iommu.log, m->iommu.name, &f);
	}
	reg_write(m, MOCK_FL_HEAD, m->fl_head);
}

/* As vtd's: the first thread works for all, without a lock. */
static void mock_irq(void *arg)
{
	struct mock *m = arg;
	u32 taken = 1;

	if (atomic_fetch_add(&m->faults_pending, 1))
		return;
	do {
		/* Cleared before the ring is read: what comes after raises it again. */
		reg_write(m, MOCK_STATUS, MOCK_STATUS_FAULT | MOCK_STATUS_OVERFLOW);
		read_records(m);
		taken = atomic_fetch_sub(&m->faults_pending, taken) - taken;
	} while (taken);
}

/* ---- devices ---- */

static u64 dir_entry(struct mock *m, void *page)
{
	return table_oa(m->iommu.mem, page).v | MOCK_DIR_P;
}

static int add_bus(struct mock *m, u32 bus) MUST_HOLD(m->lock)
{
	if (m->devices[bus])
		return 0;
	m->devices[bus] = table_alloc_run(m->iommu.mem, MOCK_DEV_LEN / PAGE_SIZE);
	if (!m->devices[bus])
		return -ENOMEM;
	store(&m->dir[bus], dir_entry(m, m->devices[bus]));
	return 0;
}

static int mock_dev_add(struct iommu *iommu, struct iommu_dev *dev)
{
	struct mock *m = to_mock(iommu);
	struct mock_dev *md;
	int rc;

	if (dev->rid.v > 0xffff)
		return -EINVAL;
	md = env_zalloc(iommu->env, sizeof(*md));
	if (!md)
		return -ENOMEM;
	lock_take(&m->lock);
	rc = hw_has_port(iommu->hw, dev->rid) ? -EEXIST : add_bus(m, dev->rid.v >> 8);
	if (!rc) {
		dev->priv = md;
		hw_port_init(&dev->port, iommu->hw, dev->rid);
	}
	lock_drop(&m->lock);
	if (rc)
		env_free(iommu->env, md);
	return rc;
}

static u64 *dev_entry(struct mock *m, const struct iommu_dev *dev)
{
	return m->devices[dev->rid.v >> 8] + (dev->rid.v & 0xff) * MOCK_DEV_WORDS;
}

static void *dir_page(struct mock *m, u64 word)
{
	return word & MOCK_DIR_P ? table_at(m->iommu.mem, OA(MOCK_DIR_OA(word)), PAGE_SIZE) : NULL;
}

static void free_pasid_tables(struct mock *m, u64 *high)
{
	for (unsigned i = 0; i < 8; i++) {
		u64 *mid = dir_page(m, high[i]);

		for (unsigned j = 0; mid && j < 512; j++)
			table_free(m->iommu.mem, dir_page(m, mid[j]));
		table_free(m->iommu.mem, mid);
	}
	table_free(m->iommu.mem, high);
}

static void mock_dev_remove(struct iommu *iommu, struct iommu_dev *dev)
{
	struct mock *m = to_mock(iommu);
	struct mock_dev *md = dev->priv;
	const struct cmd c = cmd_dev(dev->rid);

	lock_take(&m->lock);
	assert(!(dev_entry(m, dev)[0] & MOCK_ENT_V));
	store(&dev_entry(m, dev)[2], 0);
	submit(m, &c, 1);
	lock_drop(&m->lock);
	if (md->pasid_dir)
		free_pasid_tables(m, md->pasid_dir);
	env_free(iommu->env, md);
	dev->priv = NULL;
}

/* The next directory or table behind @word, made if there is none. */
static u64 *next_table(struct mock *m, u64 *word) MUST_HOLD(m->lock)
{
	u64 *page = dir_page(m, *word);

	if (page)
		return page;
	page = table_alloc(m->iommu.mem);
	if (page)
		store(word, dir_entry(m, page));
	return page;
}

/* Where (device, PASID)'s two words are. Return: NULL when a table could not be made. */
static u64 *find_entry(struct mock *m, struct iommu_dev *dev, pasid_t pasid) MUST_HOLD(m->lock)
{
	struct mock_dev *md = dev->priv;
	u64 *entry = dev_entry(m, dev), *table;

	if (!pasid.v)
		return entry;
	md->pasid_dir = next_table(m, &entry[2]);
	if (!md->pasid_dir)
		return NULL;
	table = next_table(m, &md->pasid_dir[MOCK_PASID_HIGH(pasid.v)]);
	if (table)
		table = next_table(m, &table[MOCK_PASID_MID(pasid.v)]);
	return table ? table + MOCK_PASID_LOW(pasid.v) * 2 : NULL;
}

static bool mock_capable(const struct iommu_dev *dev, enum iommu_cap cap)
{
	switch (cap) {
	case IOMMU_CAP_CACHE_COHERENCY:
		return true;
	case IOMMU_CAP_DIRTY_TRACKING:
		return !(dev->quirks & MOCK_FLAGS_DEVICE_NO_DIRTY);
	default:
		return false;
	}
}

static int mock_hw_info(const struct iommu_dev *dev, u32 *type, void *out, u32 *len)
{
	const struct iommu_test_hw_info info = {.test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL};

	if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_SELFTEST)
		return -EOPNOTSUPP;
	memcpy(out, &info, min((size_t)*len, sizeof(info)));
	*type = IOMMU_HW_INFO_TYPE_SELFTEST;
	*len = sizeof(info);
	return 0;
}

/* ---- domains ---- */

static int read_data(const struct driver_data *data, struct iommu_hwpt_selftest *out)
{
	*out = (struct iommu_hwpt_selftest){0};
	if (!data)
		return 0;
	if (data->type != IOMMU_HWPT_DATA_SELFTEST && data->type != IOMMU_HWPT_DATA_NONE)
		return -EOPNOTSUPP;
	return data->copy(data, IOMMU_HWPT_DATA_SELFTEST, out, sizeof(*out),
			  offsetofend(struct iommu_hwpt_selftest, iotlb));
}

static int mock_domain_alloc(struct iommu_dev *dev, u32 flags, const struct driver_data *data,
			     struct domain **out)
{
	struct iommu *iommu = dev->iommu;
	bool dirty = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct pt_cfg cfg = {
		.va_bits = 56,
		.top_level = 2,
		.features = dirty ? PT_FEAT_DIRTY : 0,
	};
	struct iommu_hwpt_selftest user;
	struct mock_domain *md;
	int rc;

	if (flags & ~(u32)(IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT |
			   IOMMU_HWPT_ALLOC_PASID))
		return -EOPNOTSUPP;
	if (dirty && dev->quirks & MOCK_FLAGS_DEVICE_NO_DIRTY)
		return -EOPNOTSUPP;
	rc = read_data(data, &user);
	if (rc)
		return rc;
	if (user.pagetable_type > MOCK_IOMMUPT_HUGE)
		return -EOPNOTSUPP;
	if (user.pagetable_type == MOCK_IOMMUPT_HUGE)
		cfg.pgsize_bitmap = MOCK_HUGE_PAGE_SIZE | PAGE_SIZE;
	md = env_zalloc(iommu->env, sizeof(*md));
	if (!md)
		return -ENOMEM;
	rc = domain_init(&md->d, iommu, &pt_amdv1_mock, &cfg);
	if (rc) {
		env_free(iommu->env, md);
		return rc;
	}
	list_init(&md->attached);
	md->d.can_dirty = dirty;
	if (user.pagetable_type == MOCK_IOMMUPT_DEFAULT)
		md->d.aperture = (struct iova_range){MOCK_APERTURE_START, MOCK_APERTURE_LAST};
	*out = &md->d;
	return 0;
}

static void mock_domain_free(struct domain *domain)
{
	struct env *env = domain->iommu->env;

	assert(list_empty(&to_mock_domain(domain)->attached));
	domain_fini(domain);
	env_free(env, to_mock_domain(domain));
}

static void write_entry(struct mock *m, u64 *entry, const struct mock_domain *md) MUST_HOLD(m->lock)
{
	u64 w = table_oa(m->iommu.mem, md->d.pt.root).v | MOCK_ENT_TOP(md->d.pt.top_level) |
		MOCK_ENT_V;

	if (atomic_load(&md->d.dirty_on))
		w |= MOCK_ENT_D;
	store(&entry[1], md->did);
	store(&entry[0], w);
}

static struct mock_attach *find_attach(struct mock_domain *md, const struct iommu_dev *dev,
				       pasid_t pasid)
{
	struct list *p;

	list_for_each (p, &md->attached) {
		struct mock_attach *a = list_entry(p, struct mock_attach, node);

		if (a->dev == dev && a->pasid.v == pasid.v)
			return a;
	}
	return NULL;
}

/* The entry no longer names @old, and nothing is cached of it for this device. */
static void detach_old(struct mock *m, struct iommu_dev *dev, pasid_t pasid,
		       struct mock_domain *old) MUST_HOLD(m->lock)
{
	struct mock_attach *a = find_attach(old, dev, pasid);
	const struct cmd cmds[] = {cmd_dev(dev->rid), cmd_domain(old->did)};

	assert(a);
	store(&a->entry[0], 0);
	submit(m, cmds, ARRAY_SIZE(cmds));
	store(&a->entry[1], 0);
	list_del(&a->node);
	env_free(m->iommu.env, a);
	if (!list_empty(&old->attached))
		return;
	idtab_release(&m->dids, old->did);
	old->did = 0;
}

/* All that can fail of attaching. */
static int prepare(struct mock *m, struct iommu_dev *dev, pasid_t pasid, struct mock_domain *md,
		   struct mock_attach **out) MUST_HOLD(m->lock)
{
	struct mock_attach *a;
	int rc;

	a = env_zalloc(m->iommu.env, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->dev = dev;
	a->pasid = pasid;
	a->entry = find_entry(m, dev, pasid);
	rc = a->entry ? 0 : -ENOMEM;
	if (!rc && !md->did)
		rc = idtab_reserve(&m->dids, &md->did);
	if (rc) {
		env_free(m->iommu.env, a);
		return rc;
	}
	*out = a;
	return 0;
}

/* PASID 1024: every second attachment fails, unless it was detached in between (selftest.c). */
static int fail_on_purpose(struct mock_dev *md, pasid_t pasid, bool block)
{
	if (pasid.v != IOMMU_TEST_PASID_RESERVED)
		return 0;
	if (block) {
		md->fail_next = false;
		return 0;
	}
	md->fail_next = !md->fail_next;
	return md->fail_next ? 0 : -ENOMEM;
}

static int attach_locked(struct mock *m, struct iommu_dev *dev, pasid_t pasid,
			 struct mock_domain *md, struct mock_domain *old) MUST_HOLD(m->lock)
{
	struct mock_attach *a = NULL;
	int rc;

	rc = fail_on_purpose(dev->priv, pasid, !md);
	if (!rc && md)
		rc = prepare(m, dev, pasid, md, &a);
	if (rc)
		return rc;
	if (old)
		detach_old(m, dev, pasid, old);
	if (!md)
		return 0;
	list_push_back(&md->attached, &a->node);
	atomic_fetch_add(&md->d.nr_attached, 1);
	write_entry(m, a->entry, md);
	return 0;
}

static int mock_attach(struct iommu_dev *dev, pasid_t pasid, struct domain *domain,
		       struct domain *old)
{
	struct mock *m = to_mock(dev->iommu);
	int rc;

	if (domain && domain->iommu != dev->iommu)
		return -EINVAL;
	if (domain && pasid.v &&
	    (dev->pasid_bits == 0 || pasid.v >> min((u32)dev->pasid_bits, MOCK_PASID_BITS)))
		return -EINVAL;
	if (domain && !pasid.v && domain->can_dirty && dev->quirks & MOCK_FLAGS_DEVICE_NO_DIRTY)
		return -EINVAL;
	if (domain == old)
		return 0;
	lock_take(&m->lock);
	rc = attach_locked(m, dev, pasid, to_mock_domain(domain), to_mock_domain(old));
	lock_drop(&m->lock);
	if (rc || !old)
		return rc;
	epoch_sync(&dev->iommu->env->epoch, NULL);
	atomic_fetch_sub(&old->nr_attached, 1);
	return 0;
}

/* Every entry is rewritten and forgotten, and with it what was cached with the right to write. */
static int mock_set_dirty_tracking(struct domain *domain, bool enable)
{
	struct mock *m = to_mock(domain->iommu);
	struct mock_domain *md = to_mock_domain(domain);
	struct list *p;
	struct cmd c;

	if (enable && !domain->can_dirty)
		return -EINVAL;
	lock_take(&m->lock);
	if (atomic_exchange(&domain->dirty_on, enable) != enable) {
		list_for_each (p, &md->attached) {
			struct mock_attach *a = list_entry(p, struct mock_attach, node);

			write_entry(m, a->entry, md);
			c = cmd_dev(a->dev->rid);
			submit(m, &c, 1);
		}
		c = cmd_domain(md->did);
		if (md->did)
			submit(m, &c, 1);
	}
	lock_drop(&m->lock);
	epoch_sync(&m->iommu.env->epoch, NULL);
	return 0;
}

/* ---- making one ---- */

static void mock_free(struct iommu *iommu)
{
	struct mock *m = to_mock(iommu);
	struct env *env = iommu->env;

	if (iommu->hw) {
		reg_write(m, MOCK_CTRL, 0);
		iommu->hw->ops->free(iommu->hw);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(m->devices); i++) {
		for (unsigned j = 0; m->devices[i] && j < MOCK_DEV_LEN / PAGE_SIZE; j++)
			table_free(iommu->mem, (u8 *)m->devices[i] + j * PAGE_SIZE);
	}
	table_free(iommu->mem, m->dir);
	table_free(iommu->mem, m->cq);
	table_free(iommu->mem, m->fl);
	table_free(iommu->mem, (void *)m->status);
	idtab_fini(&m->dids);
	lock_fini(&m->lock);
	env_free(env, m);
}

static const struct iommu_ops mock_ops = {
	.name = "mock",
	.free = mock_free,
	.dev_add = mock_dev_add,
	.dev_remove = mock_dev_remove,
	.capable = mock_capable,
	.hw_info = mock_hw_info,
	.domain_alloc = mock_domain_alloc,
	.domain_free = mock_domain_free,
	.attach = mock_attach,
	.flush = mock_flush,
	.set_dirty_tracking = mock_set_dirty_tracking,
};

int iommu_mock_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		   struct iommu **out)
{
	struct mock *m = env_zalloc(env, sizeof(*m));
	int rc = -ENOMEM;

	if (!m)
		return -ENOMEM;
	m->iommu = (struct iommu){.ops = &mock_ops, .env = env, .mem = mem, .log = log};
	snprintf(m->iommu.name, sizeof(m->iommu.name), "%s", name);
	lock_init(&m->lock, RANK_IOMMU);
	idtab_init(&m->dids, env);
	m->dir = table_alloc(mem);
	m->cq = table_alloc(mem);
	m->fl = table_alloc(mem);
	m->status = table_alloc(mem);
	if (m->dir && m->cq && m->fl && m->status)
		rc = hw_mock_new(env, mem, &m->iommu.hw);
	if (rc) {
		mock_free(&m->iommu);
		return rc;
	}
	m->iommu.hw->irq = mock_irq;
	m->iommu.hw->irq_arg = m;
	reg_write(m, MOCK_DT_BASE, table_oa(mem, m->dir).v);
	reg_write(m, MOCK_CQ_BASE, table_oa(mem, m->cq).v | CQ_LG2);
	reg_write(m, MOCK_FL_BASE, table_oa(mem, m->fl).v | FL_LG2);
	reg_write(m, MOCK_CTRL, MOCK_CTRL_ENABLE | MOCK_CTRL_IRQ);
	*out = &m->iommu;
	return 0;
}
