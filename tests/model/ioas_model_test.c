/* SPDX-License-Identifier: MIT */
/*
 * The oracle: an address space as a flat array of granules. Random operations go to the model and to
 * the room; errnos, every IOVA as every device sees it, and the pages charged must agree after each.
 */
#include "ioas/rig.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE	  0x10000000ull
#define NR_SPACES 2u
#define NR_SRCS	  3u
#define SRC_PAGES 24u
#define WIN_PAGES 48u
#define MAX_AREAS 512u
#define MAX_PAGES 512u
#define MAX_PINS  4u

enum src { OWN, FD, TOKEN };

/* What one MAP named. */
struct m_pages {
	bool used;
	enum src src;
	u64 first_page; /* of the source */
	u64 nr;
	bool writable, revoked;
};

struct m_area {
	bool used;
	unsigned space;
	u64 iova, len;
	u8 perm;
	unsigned pages;
	u64 start_byte; /* within the pages */
};

struct m_pin {
	bool used;
	u64 iova, len;
};

struct model {
	struct rig *r;
	u64 gran; /* what tables can do: 2048 or 4096 */
	u64 seed;
	struct ioasis_ioas *ioas[NR_SPACES];
	u8 *mem[NR_SRCS];
	int fd;
	struct dmabuf *dmabuf;
	bool revoked;
	struct m_pages pages[MAX_PAGES];
	struct m_area areas[MAX_AREAS];
	int dev_at[RIG_DEVS];	/* space, or -1 */
	struct access *access;
	int access_at;
	struct m_pin pins[MAX_PINS];
	unsigned nr_ok, nr_refused;
	const char *what; /* the operation, for a failure's text */
};

static u64 below(struct model *m, u64 n)
{
	return rnd(&m->seed) % n;
}

/* ---- what the model knows ---- */

static u64 last_of(const struct m_area *a)
{
	return a->iova + a->len - 1;
}

static struct m_area *area_at(struct model *m, unsigned space, u64 iova)
{
	for (unsigned i = 0; i < MAX_AREAS; i++) {
		struct m_area *a = &m->areas[i];

		if (a->used && a->space == space && a->iova <= iova && iova <= last_of(a))
			return a;
	}
	return NULL;
}

static bool is_free(struct model *m, unsigned space, u64 iova, u64 len)
{
	for (unsigned i = 0; i < MAX_AREAS; i++) {
		struct m_area *a = &m->areas[i];

		if (a->used && a->space == space && a->iova <= iova + len - 1 &&
		    iova <= last_of(a))
			return false;
	}
	return true;
}

/* The first area, by address, that meets [from, last]. */
static struct m_area *first_area(struct model *m, unsigned space, u64 from, u64 last)
{
	struct m_area *best = NULL;

	for (unsigned i = 0; i < MAX_AREAS; i++) {
		struct m_area *a = &m->areas[i];

		if (a->used && a->space == space && a->iova <= last && from <= last_of(a) &&
		    (!best || a->iova < best->iova))
			best = a;
	}
	return best;
}

static bool has_device(const struct model *m, unsigned space)
{
	for (unsigned i = 0; i < RIG_DEVS; i++)
		if (m->dev_at[i] == (int)space)
			return true;
	return false;
}

static u64 align_of(const struct model *m, unsigned space)
{
	u64 align = has_device(m, space) ? m->gran : 1;

	return m->access_at == (int)space ? PAGE_SIZE : align;
}

static bool all_aligned(const struct model *m, unsigned space, u64 align)
{
	for (unsigned i = 0; i < MAX_AREAS; i++) {
		const struct m_area *a = &m->areas[i];

		if (a->used && a->space == space &&
		    ((a->iova | a->len | a->start_byte % PAGE_SIZE) & (align - 1)))
			return false;
	}
	return true;
}

static bool pin_meets(const struct m_pin *p, u64 iova, u64 last)
{
	return p->used && p->iova <= last && iova <= p->iova + p->len - 1;
}

/* Pages that must be charged: the union of what areas with a table and pins cover, per pages object. */
static u64 want_pinned(struct model *m)
{
	u64 total = 0;

	for (unsigned p = 0; p < MAX_PAGES; p++) {
		bool covered[SRC_PAGES + 1] = {0};

		if (!m->pages[p].used || m->pages[p].src == TOKEN)
			continue;
		for (unsigned i = 0; i < MAX_AREAS; i++) {
			const struct m_area *a = &m->areas[i];

			if (!a->used || a->pages != p)
				continue;
			for (u64 off = 0; off < a->len; off++) {
				u64 idx = (a->start_byte + off) / PAGE_SIZE;

				covered[idx] |= has_device(m, a->space);
				for (unsigned k = 0; k < MAX_PINS; k++)
					covered[idx] |= m->access_at == (int)a->space &&
							pin_meets(&m->pins[k], a->iova + off,
								  a->iova + off);
				off += min(a->len - off, PAGE_SIZE - (a->start_byte + off) % PAGE_SIZE) -
				       1;
			}
		}
		for (u64 i = 0; i < m->pages[p].nr; i++)
			total += covered[i];
	}
	return total;
}

/* ---- comparing ---- */

static u8 *src_byte(const struct model *m, const struct m_area *a, u64 iova)
{
	const struct m_pages *p = &m->pages[a->pages];

	return m->mem[p->src] + p->first_page * PAGE_SIZE + a->start_byte + (iova - a->iova);
}

static void compare_one(struct model *m, unsigned dev, u64 iova)
{
	struct m_area *a = m->dev_at[dev] < 0 ? NULL : area_at(m, (unsigned)m->dev_at[dev], iova);
	bool there = a && !m->pages[a->pages].revoked;
	u8 *r = rig_dma(m->r, dev, iova, PERM_R), *w = rig_dma(m->r, dev, iova, PERM_W);

	if (!!r != (there && (a->perm & PERM_R)) || !!w != (there && (a->perm & PERM_W)))
		fail_msg("%s: device %u iova %#llx: read %d write %d, the model says %d %d", m->what,
			 dev, (unsigned long long)iova, !!r, !!w, there && (a->perm & PERM_R),
			 there && (a->perm & PERM_W));
	if (r || w)
		assert_memory_equal(r ? r : w, src_byte(m, a, iova), 16);
}

static void compare(struct model *m)
{
	u64 pinned = want_pinned(m);

	if (rig_pinned(m->r) != pinned)
		fail_msg("%s: %llu pages are charged, the model says %llu", m->what,
			 (unsigned long long)rig_pinned(m->r), (unsigned long long)pinned);
	for (unsigned s = 0; s < NR_SPACES; s++)
		assert_int_equal(m->ioas[s]->align, align_of(m, s));
	for (unsigned d = 0; d < RIG_DEVS; d++)
		for (u64 off = 0; off < WIN_PAGES * PAGE_SIZE; off += m->gran)
			compare_one(m, d, BASE + off);
}

static void expect(struct model *m, int rc, int want)
{
	if (rc != want)
		fail_msg("%s: %d, the model says %d", m->what, rc, want);
	if (rc)
		m->nr_refused++;
	else
		m->nr_ok++;
}

/* ---- map ---- */

static struct m_area *new_area(struct model *m)
{
	for (unsigned i = 0; i < MAX_AREAS; i++)
		if (!m->areas[i].used)
			return &m->areas[i];
	return NULL;
}

static unsigned new_pages(struct model *m)
{
	for (unsigned i = 0; i < MAX_PAGES; i++)
		if (!m->pages[i].used)
			return i;
	return MAX_PAGES;
}

static void drop_pages(struct model *m, unsigned p)
{
	for (unsigned i = 0; i < MAX_AREAS; i++)
		if (m->areas[i].used && m->areas[i].pages == p)
			return;
	m->pages[p].used = false;
}

static int check_place(struct model *m, unsigned space, u64 iova, u64 len)
{
	u64 mask = align_of(m, space) - 1;

	if (len & mask || !len)
		return -EINVAL;
	if (iova != AUTO && iova & mask)
		return -EINVAL;
	if (iova != AUTO && !is_free(m, space, iova, len))
		return -EEXIST;
	return 0;
}

/* Is there room for an automatic IOVA? The slow way. */
static bool has_room(struct model *m, unsigned space, u64 hint, u64 len)
{
	u64 align = 1ull << log2_ceil(len);

	if (hint)
		align = min(align, hint & -hint);
	for (u64 s = BASE; s < BASE + WIN_PAGES * PAGE_SIZE; s += align) {
		u64 at = s | hint % PAGE_SIZE;

		if (at + len <= BASE + WIN_PAGES * PAGE_SIZE && is_free(m, space, at, len))
			return true;
	}
	return false;
}

static u64 hint_of(const struct model *m, enum src src, u64 byte)
{
	return src == OWN ? (uintptr_t)m->mem[OWN] + byte : byte;
}

/* What an automatic map must answer; the alignment of the memory may be too fine for the space. */
static int check_auto(struct model *m, unsigned space, u64 hint, u64 len)
{
	u64 align = 1ull << log2_ceil(len);

	if (hint)
		align = min(align, hint & -hint);
	if (align < align_of(m, space))
		return -EINVAL;
	return has_room(m, space, hint, len) ? 0 : -ENOSPC;
}

static u64 some_len(struct model *m, u64 max)
{
	u64 unit = below(m, 12) ? PAGE_SIZE : m->gran;

	return min(unit * (1 + below(m, 6)), max);
}

static u64 some_iova(struct model *m)
{
	u64 unit = below(m, 12) ? PAGE_SIZE : below(m, 4) ? m->gran : 512;

	return BASE + below(m, (WIN_PAGES - 6) * PAGE_SIZE / unit) * unit;
}

static int real_map(struct model *m, unsigned space, enum src src, u64 byte, u64 len, u8 perm,
		    u64 *iova)
{
	struct rig *r = m->r;

	if (src == FD)
		return rig_map_fd(r, m->ioas[space], m->fd, byte, len, iova, ACCOUNT_USER);
	if (src == TOKEN)
		return rig_map_dmabuf(r, m->ioas[space], m->dmabuf, byte, len, iova);
	return rig_map_perm(r, m->ioas[space], m->mem[OWN] + byte, len, perm, iova);
}

static void op_map(struct model *m)
{
	unsigned space = (unsigned)below(m, NR_SPACES), p = new_pages(m);
	enum src src = (enum src)below(m, NR_SRCS);
	u64 unit = below(m, 8) ? PAGE_SIZE : m->gran;
	u64 byte = below(m, SRC_PAGES * PAGE_SIZE / unit - 1) * unit;
	u64 len = some_len(m, SRC_PAGES * PAGE_SIZE - byte);
	u64 iova = below(m, 4) ? some_iova(m) : AUTO, got = iova;
	u8 perm = src == OWN ? (u8)(1 + below(m, 3)) : PERM_RW;
	struct m_area *a = new_area(m);
	int want, rc;

	if (!a || p == MAX_PAGES)
		return;
	m->what = "map";
	want = src == TOKEN && m->revoked ? -ENODEV : check_place(m, space, iova, len);
	if (!want && iova == AUTO)
		want = check_auto(m, space, hint_of(m, src, byte), len);
	if (!want && (byte % PAGE_SIZE) & (align_of(m, space) - 1))
		want = -EINVAL;
	rc = real_map(m, space, src, byte, len, perm, &got);
	expect(m, rc, want);
	if (rc)
		return;
	assert_true(is_free(m, space, got, len));
	assert_true(got >= BASE && got + len <= BASE + WIN_PAGES * PAGE_SIZE);
	m->pages[p] = (struct m_pages){.used = true,
				       .src = src,
				       .first_page = byte / PAGE_SIZE,
				       .nr = (byte % PAGE_SIZE + len - 1) / PAGE_SIZE + 1,
				       .writable = perm & PERM_W};
	*a = (struct m_area){.used = true,
			     .space = space,
			     .iova = got,
			     .len = len,
			     .perm = perm,
			     .pages = p,
			     .start_byte = byte % PAGE_SIZE};
}

/* ---- copy ---- */

struct piece {
	unsigned pages;
	u64 start_byte, len;
};

/* What lies at [from, from + len), gapless. Return: how many pieces; 0: there is a gap. */
static unsigned pieces_of(struct model *m, unsigned space, u64 from, u64 len, struct piece *out)
{
	unsigned nr = 0;

	while (len) {
		struct m_area *a = area_at(m, space, from);
		u64 n;

		if (!a)
			return 0;
		n = min(len, last_of(a) - from + 1);
		out[nr++] = (struct piece){a->pages, a->start_byte + (from - a->iova), n};
		from += n;
		len -= n;
	}
	return nr;
}

static u64 hint_of_piece(struct model *m, const struct piece *p)
{
	const struct m_pages *pg = &m->pages[p->pages];

	return hint_of(m, pg->src, pg->first_page * PAGE_SIZE + p->start_byte);
}

static int check_copy(struct model *m, unsigned to, const struct piece *v, unsigned nr, u64 iova,
		      u64 len)
{
	int rc = check_place(m, to, iova, len);

	if (!rc && iova == AUTO)
		rc = check_auto(m, to, hint_of_piece(m, v), len);
	for (unsigned i = 0; !rc && i < nr; i++) {
		if (!m->pages[v[i].pages].writable)
			rc = -EPERM;
		else if (v[i].start_byte % PAGE_SIZE & (align_of(m, to) - 1))
			rc = -EINVAL;
	}
	return rc;
}

static void op_copy(struct model *m)
{
	unsigned from = (unsigned)below(m, NR_SPACES), to = (unsigned)below(m, NR_SPACES);
	struct piece v[256];
	u64 src = some_iova(m), len, iova = below(m, 3) ? some_iova(m) : AUTO, got = iova;
	struct m_area *a = first_area(m, from, src, UINT64_MAX);
	unsigned nr;
	int want, rc;

	if (!a)
		return;
	if (below(m, 4))
		src = a->iova;
	len = some_len(m, 4 * PAGE_SIZE);
	m->what = "copy";
	nr = pieces_of(m, from, src, len, v);
	want = nr ? check_copy(m, to, v, nr, iova, len) : -ENOENT;
	rc = rig_copy(m->ioas[to], m->ioas[from], src, len, &got);
	expect(m, rc, want);
	for (unsigned i = 0; !rc && i < nr; i++) {
		a = new_area(m);
		assert_non_null(a);
		*a = (struct m_area){.used = true,
				     .space = to,
				     .iova = got,
				     .len = v[i].len,
				     .perm = PERM_RW,
				     .pages = v[i].pages,
				     .start_byte = v[i].start_byte};
		got += v[i].len;
	}
}

/* ---- unmap ---- */

static void model_let_go(struct model *m, u64 iova, u64 last)
{
	for (unsigned k = 0; k < MAX_PINS; k++)
		if (pin_meets(&m->pins[k], iova, last))
			m->pins[k].used = false;
}

static int model_unmap(struct model *m, unsigned space, u64 from, u64 last, u64 *bytes)
{
	struct m_area *a;

	*bytes = 0;
	while ((a = first_area(m, space, from, last))) {
		if (a->iova < from || last_of(a) > last)
			return -ENOENT;
		if (m->access_at == (int)space)
			model_let_go(m, a->iova, last_of(a));
		*bytes += a->len;
		a->used = false;
		drop_pages(m, a->pages);
		if (last_of(a) >= last)
			break;
		from = last_of(a) + 1;
	}
	return 0;
}

/* The access's user: it lets go of whole pins when asked. The model does the same by itself. */
static void user_unmap(void *data, u64 iova, u64 len)
{
	struct model *m = data;
	u64 last = iova + (len - 1);

	for (unsigned k = 0; k < MAX_PINS; k++) {
		if (!pin_meets(&m->pins[k], iova, last))
			continue;
		access_unpin_pages(m->access, m->pins[k].iova, m->pins[k].len);
		m->pins[k].used = false;
	}
}

static const struct access_ops pin_ops = {.needs_pin_pages = true, .unmap = user_unmap};

static void op_unmap(struct model *m)
{
	unsigned space = (unsigned)below(m, NR_SPACES);
	u64 from = some_iova(m), len = PAGE_SIZE * (1 + below(m, 16)), bytes, want_bytes;
	struct m_area *a = first_area(m, space, from, UINT64_MAX);
	struct m_pin pins[MAX_PINS];
	int rc, want;

	if (a && below(m, 3)) {
		from = a->iova;
		len = max(len, a->len);
	}
	m->what = "unmap";
	/* The real one first: its callback must find what is pinned. */
	memcpy(pins, m->pins, sizeof(pins));
	rc = ioas_unmap(m->ioas[space], (struct iova_range){from, from + len - 1}, &bytes);
	memcpy(m->pins, pins, sizeof(pins));
	want = model_unmap(m, space, from, from + len - 1, &want_bytes);
	expect(m, rc, want);
	assert_int_equal(bytes, want_bytes);
}

/* ---- devices ---- */

static void op_attach(struct model *m)
{
	unsigned dev = (unsigned)below(m, RIG_DEVS), space = (unsigned)below(m, NR_SPACES);
	u32 id = m->ioas[space]->obj.id;
	u64 align = max(align_of(m, space), m->gran);
	int rc, want = all_aligned(m, space, align) ? 0 : -EADDRINUSE;

	if (m->dev_at[dev] >= 0 && below(m, 2)) {
		m->what = "replace";
		rc = dev_replace(m->r->dev[dev], NO_PASID, &id);
		if (has_device(m, space))
			want = 0;
	} else if (m->dev_at[dev] >= 0) {
		m->what = "attach again";
		want = m->dev_at[dev] == (int)space || has_device(m, space) || !want ? -EBUSY : want;
		rc = dev_attach(m->r->dev[dev], NO_PASID, &id);
		expect(m, rc, -EBUSY);
		return;
	} else {
		m->what = "attach";
		rc = dev_attach(m->r->dev[dev], NO_PASID, &id);
	}
	expect(m, rc, want);
	if (!rc)
		m->dev_at[dev] = (int)space;
}

static void op_detach(struct model *m)
{
	unsigned dev = (unsigned)below(m, RIG_DEVS);

	m->what = "detach";
	dev_detach(m->r->dev[dev], NO_PASID);
	m->dev_at[dev] = -1;
}

/* ---- access ---- */

static void op_access_move(struct model *m)
{
	int space = (int)below(m, NR_SPACES + 1) - 1, rc, want = 0;
	struct m_pin pins[MAX_PINS];

	m->what = "access";
	memcpy(pins, m->pins, sizeof(pins));
	if (space < 0) {
		access_detach(m->access);
		rc = 0;
	} else {
		u32 id = m->ioas[space]->obj.id;

		if (space != m->access_at && !all_aligned(m, (unsigned)space, PAGE_SIZE))
			want = -EADDRINUSE;
		rc = m->access_at < 0 ? access_attach(m->access, id) :
					access_replace(m->access, id);
	}
	expect(m, rc, want);
	if (rc || space == m->access_at)
		return;
	for (unsigned k = 0; k < MAX_PINS; k++)
		assert_false(m->pins[k].used);
	m->access_at = space;
}

static int check_pin(struct model *m, u64 iova, u64 len, bool write)
{
	u64 last = iova + len - 1;

	if (m->access_at < 0)
		return -ENOENT;
	while (iova <= last) {
		struct m_area *a = area_at(m, (unsigned)m->access_at, iova);
		u64 end;

		if (!a)
			return -ENOENT;
		end = min(last, last_of(a));
		if ((a->start_byte + (iova - a->iova)) % PAGE_SIZE ||
		    (end != last && (a->start_byte + (end - a->iova)) % PAGE_SIZE != PAGE_SIZE - 1))
			return -EINVAL;
		if (!(a->perm & (write ? PERM_W : PERM_R)))
			return -EPERM;
		if (m->pages[a->pages].src == TOKEN)
			return -EINVAL;
		iova = end + 1;
	}
	return 0;
}

static void op_pin(struct model *m)
{
	u64 iova = BASE + below(m, WIN_PAGES - 6) * PAGE_SIZE, len = PAGE_SIZE * (1 + below(m, 5));
	struct pinned_page out[8];
	bool write = below(m, 2);
	struct m_pin *pin = &m->pins[below(m, MAX_PINS)];
	int rc, want;

	m->what = "pin";
	if (pin->used) {
		access_unpin_pages(m->access, pin->iova, pin->len);
		pin->used = false;
		return;
	}
	want = check_pin(m, iova, len, write);
	rc = access_pin_pages(m->access, iova, len, out, write ? ACCESS_WRITE : 0);
	expect(m, rc, want);
	if (rc)
		return;
	*pin = (struct m_pin){true, iova, len};
	for (u64 i = 0; i < len / PAGE_SIZE; i++) {
		struct m_area *a = area_at(m, (unsigned)m->access_at, iova + i * PAGE_SIZE);

		assert_memory_equal(out[i].seg->host + (out[i].oa.v - out[i].seg->base.v),
				    src_byte(m, a, iova + i * PAGE_SIZE), 64);
	}
}

static int check_rw(struct model *m, u64 iova, u64 len, u8 *out)
{
	u64 last = iova + len - 1;

	if (m->access_at < 0)
		return -ENOENT;
	for (; iova <= last; iova++) {
		struct m_area *a = area_at(m, (unsigned)m->access_at, iova);

		if (!a)
			return -ENOENT;
		if (!(a->perm & PERM_R))
			return -EPERM;
		if (m->pages[a->pages].src == TOKEN)
			return -EINVAL;
		*out++ = *src_byte(m, a, iova);
	}
	return 0;
}

static void op_rw(struct model *m)
{
	u64 iova = BASE + below(m, (WIN_PAGES - 4) * PAGE_SIZE), len = 1 + below(m, 3 * PAGE_SIZE);
	static const unsigned flags[] = {0, ACCESS_SLOW};
	u8 *got = malloc(len), *want = malloc(len);
	int rc, want_rc;

	m->what = "rw";
	want_rc = check_rw(m, iova, len, want);
	rc = access_rw(m->access, iova, got, len, flags[below(m, 2)]);
	expect(m, rc, want_rc);
	if (!rc)
		assert_memory_equal(got, want, len);
	free(got);
	free(want);
}

static void op_revoke(struct model *m)
{
	m->what = "revoke";
	m->revoked = !m->revoked;
	dmabuf_revoke(m->dmabuf, m->revoked);
	for (unsigned p = 0; m->revoked && p < MAX_PAGES; p++)
		if (m->pages[p].used && m->pages[p].src == TOKEN)
			m->pages[p].revoked = true;
}

/* ---- a run ---- */

static void fill(u8 *at, u64 tag)
{
	for (u64 i = 0; i < SRC_PAGES * PAGE_SIZE / 8; i++)
		((u64 *)at)[i] = tag << 56 | i;
}

static void set_up(struct model *m, struct rig *r, u64 seed)
{
	struct allowed_set set;

	memset(m, 0, sizeof(*m));
	m->r = r;
	m->seed = seed;
	m->gran = r->iommu->ops->resv_regions ? 4096 : 2048;
	m->access_at = -1;
	m->mem[OWN] = r->buf;
	m->fd = rig_memfd(SRC_PAGES * PAGE_SIZE);
	m->mem[FD] = mmap(NULL, SRC_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	assert_int_equal(dmabuf_new(&r->env, &r->mem, SRC_PAGES * PAGE_SIZE, &m->dmabuf), 0);
	m->mem[TOKEN] = dmabuf_host(m->dmabuf);
	for (unsigned i = 0; i < NR_SRCS; i++)
		fill(m->mem[i], i + 1);
	for (unsigned i = 0; i < NR_SPACES; i++) {
		m->ioas[i] = rig_ioas(r);
		allowed_init(&set, &r->env);
		assert_int_equal(allowed_add(&set, (struct iova_range){
						BASE, BASE + WIN_PAGES * PAGE_SIZE - 1}),
				 0);
		assert_int_equal(ioas_allow_iovas(m->ioas[i], &set), 0);
		allowed_fini(&set);
	}
	for (unsigned i = 0; i < RIG_DEVS; i++)
		m->dev_at[i] = -1;
	assert_int_equal(access_new(r->ctx, &pin_ops, m, &m->access), 0);
}

static void tear_down(struct model *m)
{
	access_destroy(m->access);
	for (unsigned i = 0; i < RIG_DEVS; i++)
		dev_detach(m->r->dev[i], NO_PASID);
	for (unsigned i = 0; i < NR_SPACES; i++)
		assert_int_equal(obj_destroy(&m->r->ctx->objs, m->ioas[i]->obj.id), 0);
	dmabuf_put(m->dmabuf);
	munmap(m->mem[FD], SRC_PAGES * PAGE_SIZE);
	close(m->fd);
	assert_int_equal(rig_pinned(m->r), 0);
}

static const struct {
	void (*run)(struct model *m);
	unsigned weight;
} ops[] = {
	{op_map, 30}, {op_copy, 14}, {op_unmap, 20}, {op_attach, 8},	  {op_detach, 4},
	{op_pin, 10}, {op_rw, 6},    {op_revoke, 2}, {op_access_move, 3},
};

static void step(struct model *m)
{
	u64 total = 0, pick;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		total += ops[i].weight;
	pick = below(m, total);
	for (size_t i = 0;; i++) {
		if (pick < ops[i].weight) {
			ops[i].run(m);
			break;
		}
		pick -= ops[i].weight;
	}
	compare(m);
}

static void random_operations(void **state)
{
	static struct model m;
	const char *env = getenv("IOASIS_MODEL_SEED");
	u64 first = env ? strtoull(env, NULL, 0) : 1;

	for (u64 seed = first; seed < first + 20; seed++) {
		set_up(&m, *state, seed * 0x9e3779b97f4a7c15ull);
		for (unsigned i = 0; i < 400; i++)
			step(&m);
		/* A run in which little happens proves little. */
		assert_true(m.nr_ok > 150 && m.nr_refused > 40);
		tear_down(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(random_operations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
