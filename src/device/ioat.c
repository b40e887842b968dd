/* SPDX-License-Identifier: MIT */
/*
 * ioat: Intel QuickData 3.3 DMA engine, one channel: registers, descriptor ring, completions,
 * errors.
 *
 * Two ways to run, as drivers use them. *Counted*: writing CHAINADDR arms the channel, every write
 * of DMACOUNT lets it process up to that many descriptors since then. *Chained*: START runs from
 * CHAINADDR to a next address of 0, APPEND looks again at the last one. A chain without an end
 * stops after CHAIN_MAX descriptors with a descriptor count error, as a counted run cannot ask for
 * more.
 *
 * The registers are kept here and rendered into the BAR's page: what a program does to the page by
 * other means than a trapped store changes nothing. Loads have no side effects: unlike real
 * hardware, reading INTRCTRL or ATTNSTATUS clears nothing; rearming the channel (CHANCTRL) does.
 *
 * The engine thread owns the channel while `busy`; who must stop it raises `stop` and waits for
 * `idle`.
 *
 * Source: device/ioat_regs.h's; what a state means to a driver: linux drivers/dma/ioat/dma.c,
 * DPDK drivers/dma/ioat/ioat_dmadev.c.
 */
#include <pthread.h>
#include <signal.h>

#include "device/device.h"
#include "device/ioat_regs.h"

#define IOAT_BAR_LEN	0x4000u
#define IOAT_MSIX_TABLE 0x2000u
#define IOAT_MSIX_PBA	0x3000u
#define IOAT_REGS_LEN	0xc0u
#define IOAT_XFER_LG2	20u
#define IOAT_VERSION	0x33u
#define CHAIN_MAX	65536u

enum stop {
	STOP_NONE,
	STOP_AFTER, /* the descriptor in progress */
	STOP_NOW,
};

struct ioat {
	struct pci_dev *dev;
	pthread_t thread;
	pthread_cond_t wake; /* the engine: there may be work */
	pthread_cond_t idle; /* stoppers: busy went away */
	u8 *buf;	     /* the engine's, PCI_COPY_MAX bytes */
	_Atomic int stop;    /* enum stop; written under dev->lock, polled by the engine without */

	/* All below GUARDED_BY(dev->lock). */
	bool quit, busy;
	unsigned nr_stoppers;
	u8 genctrl, intrctrl;
	bool attention, irq_due; /* asked for and not rearmed; asked for and not sent */
	u16 chanctrl, dmacount;
	u64 chainaddr, chancmp, cdar;
	u32 chanerr, chanerr_mask, dcactrl;
	u64 completed;	/* descriptor */
	u32 status;	/* IOAT_STS_* */
	u16 nr_done;	/* since CHAINADDR was written, counted */
	u64 next, last; /* descriptors: to come; done last */
	bool first;	/* no descriptor of this chain was fetched yet */
	bool chained, append;
	u32 nr_chained;
};

/* What one descriptor came to. */
struct outcome {
	struct ioat_desc desc;
	u32 err;      /* IOAT_ERR_* */
	bool stopped; /* in the middle: nothing to report */
};

static void put(u8 *regs, u32 off, unsigned len, u64 value)
{
	memcpy(regs + off, &value, len);
}

static u64 chansts(const struct ioat *io)
{
	return io->completed | io->status;
}

static void render(const struct ioat *io, u8 *regs)
{
	u8 intr = io->intrctrl;

	if (io->attention)
		intr |= IOAT_INTRCTRL_STATUS;
	if (io->attention && (intr & IOAT_INTRCTRL_MASTER_EN))
		intr |= IOAT_INTRCTRL_INT;
	memset(regs, 0, IOAT_REGS_LEN);
	put(regs, IOAT_CHANCNT, 1, 1);
	put(regs, IOAT_XFERCAP, 1, IOAT_XFER_LG2);
	put(regs, IOAT_GENCTRL, 1, io->genctrl);
	put(regs, IOAT_INTRCTRL, 1, intr);
	put(regs, IOAT_ATTNSTATUS, 4, io->attention);
	put(regs, IOAT_CBVER, 1, IOAT_VERSION);
	put(regs, IOAT_CS_STATUS, 2, IOAT_CS_REMAPPING);
	put(regs, IOAT_DMACAPABILITY, 4, IOAT_CAP_FILL);
	put(regs, IOAT_CHANCTRL, 2, io->chanctrl);
	put(regs, IOAT_DMA_COMP, 2, IOAT_DMA_COMP_V2);
	put(regs, IOAT_DMACOUNT, 2, io->dmacount);
	put(regs, IOAT_CHANSTS, 8, chansts(io));
	put(regs, IOAT_CHAINADDR, 8, io->chainaddr);
	put(regs, IOAT_CHANCMP, 8, io->chancmp);
	put(regs, IOAT_CDAR, 8, io->cdar);
	put(regs, IOAT_CHANERR, 4, io->chanerr);
	put(regs, IOAT_CHANERR_MASK, 4, io->chanerr_mask);
	put(regs, IOAT_DCACTRL, 4, io->dcactrl);
}

/*
 * Bring the page up to date, 8 bytes at a time: a program never reads half of CHANSTS. That comes last:
 * who sees a channel halted reads the error that halted it.
 */
static void show(struct ioat *io)
{
	_Atomic u64 *page = (_Atomic u64 *)io->dev->bars[0].host;
	u64 regs[IOAT_REGS_LEN / 8];

	render(io, (u8 *)regs);
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		if (i != IOAT_CHANSTS / 8)
			atomic_store_explicit(&page[i], regs[i], memory_order_relaxed);
	atomic_store_explicit(&page[IOAT_CHANSTS / 8], regs[IOAT_CHANSTS / 8],
			      memory_order_release);
}

/* Under the lock. Return: true when the caller must raise the interrupt after dropping it. */
static bool irq_take(struct ioat *io)
{
	if (!io->irq_due || !(io->intrctrl & IOAT_INTRCTRL_MASTER_EN) ||
	    (io->chanctrl & IOAT_CHANCTRL_INT_DISABLE))
		return false;
	io->irq_due = false;
	io->chanctrl |= IOAT_CHANCTRL_INT_DISABLE;
	return true;
}

static void irq_ask(struct ioat *io)
{
	io->attention = true;
	io->irq_due = true;
}

static void unlock_and_raise(struct ioat *io) TS_ATTR(release_capability(io->dev->lock))
{
	bool raise = irq_take(io);

	show(io);
	lock_drop(&io->dev->lock);
	if (raise)
		pci_msix_raise(io->dev, 0);
}

/* ---- the engine ---- */

static u32 copy_data(struct ioat *io, struct outcome *o)
{
	for (u32 done = 0; done < o->desc.size;) {
		enum pci_copy_side side;
		struct pci_copy c = {
			.src = o->desc.src + done,
			.dst = o->desc.dst + done,
			.len = min(o->desc.size - done, PCI_COPY_MAX),
			.bounce = io->buf,
		};

		if (atomic_load(&io->stop) == STOP_NOW) {
			o->stopped = true;
			return 0;
		}
		if (pci_dma_copy(io->dev, &c, &side))
			return side == PCI_COPY_SRC ? IOAT_ERR_SRC_ADDR : IOAT_ERR_DST_ADDR;
		done += (u32)c.len;
	}
	return 0;
}

static u32 fill_data(struct ioat *io, struct outcome *o)
{
	for (u32 i = 0; i < min(o->desc.size, PCI_COPY_MAX); i += 8)
		memcpy(io->buf + i, &o->desc.src, 8);
	for (u32 done = 0; done < o->desc.size;) {
		u32 n = min(o->desc.size - done, PCI_COPY_MAX);

		if (atomic_load(&io->stop) == STOP_NOW) {
			o->stopped = true;
			return 0;
		}
		if (pci_dma_write(io->dev, o->desc.dst + done, io->buf, n))
			return IOAT_ERR_DST_ADDR;
		done += n;
	}
	return 0;
}

/* An address range that wraps is not an address. */
static bool wraps(u64 addr, u32 len)
{
	return addr + len - 1 < addr;
}

static u32 check_desc(const struct ioat_desc *d)
{
	u32 op = d->ctl >> IOAT_DESC_OP_SHIFT;

	if (d->ctl & IOAT_DESC_RESERVED)
		return IOAT_ERR_CONTROL;
	if (op != IOAT_OP_COPY && op != IOAT_OP_FILL)
		return IOAT_ERR_CONTROL; /* XOR, PQ: not in DMACAPABILITY */
	if (!d->size || d->size > 1u << IOAT_XFER_LG2)
		return IOAT_ERR_LENGTH;
	if (d->ctl & IOAT_DESC_NULL)
		return 0;
	if (op == IOAT_OP_COPY && wraps(d->src, d->size))
		return IOAT_ERR_SRC_ADDR;
	if (wraps(d->dst, d->size))
		return IOAT_ERR_DST_ADDR;
	return 0;
}

/* Fetch and perform the descriptor at @at. Without the lock, while busy. */
static void perform(struct ioat *io, u64 at, bool first, struct outcome *o)
{
	trace_begin(0);
	*o = (struct outcome){.err = 0};
	if (at % sizeof(o->desc))
		o->err = first ? IOAT_ERR_CHAIN_ADDR : IOAT_ERR_DESC_ALIGN;
	else if (pci_dma_read(io->dev, at, &o->desc, sizeof(o->desc)))
		o->err = first ? IOAT_ERR_CHAIN_ADDR : IOAT_ERR_NEXT_ADDR;
	else
		o->err = check_desc(&o->desc);
	TRACE(io->dev->env, perform,
	      "%s 0x%llx: ctl 0x%x size 0x%x src 0x%llx dst 0x%llx err 0x%x", io->dev->idev.name,
	      (unsigned long long)at, o->desc.ctl, o->desc.size, (unsigned long long)o->desc.src,
	      (unsigned long long)o->desc.dst, o->err);
	if (o->err || (o->desc.ctl & IOAT_DESC_NULL))
		return;
	if (o->desc.ctl >> IOAT_DESC_OP_SHIFT == IOAT_OP_FILL)
		o->err = fill_data(io, o);
	else
		o->err = copy_data(io, o);
}

static void halt(struct ioat *io, u32 err)
{
	io->chanerr |= err;
	io->status = IOAT_STS_HALTED;
	if ((io->chanctrl & IOAT_CHANCTRL_ERR_INT_EN) && (err & ~io->chanerr_mask))
		irq_ask(io);
}

/* Under the lock: account for a performed descriptor; what status follows from it. */
static void advance(struct ioat *io, u64 at, const struct ioat_desc *d)
{
	io->completed = at;
	io->last = at;
	io->next = d->next;
	io->first = false;
	if (!io->chained) {
		io->nr_done++;
		if (io->nr_done == io->dmacount)
			io->status = IOAT_STS_DONE;
	} else if (!d->next && !io->append) {
		io->status = IOAT_STS_DONE;
	} else if (d->next && ++io->nr_chained >= CHAIN_MAX) {
		halt(io, IOAT_ERR_DESC_COUNT);
	}
}

/*
 * Write CHANSTS back; a failure is an error of its own. The lock is dropped meanwhile. The page
 * comes first: who sees the completion in memory reads registers that agree with it.
 */
static void write_back(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	u64 status = chansts(io), at = io->chancmp;
	int rc;

	show(io);
	lock_drop(&io->dev->lock);
	rc = pci_dma_write(io->dev, at, &status, sizeof(status));
	lock_take(&io->dev->lock);
	if (rc)
		halt(io, IOAT_ERR_COMPL_ADDR);
}

/* APPEND: the last descriptor may have got a successor since it was read. The lock is dropped. */
static void follow_append(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	u64 at = io->last + offsetof(struct ioat_desc, next), next = 0;
	int rc;

	io->append = false;
	lock_drop(&io->dev->lock);
	rc = pci_dma_read(io->dev, at, &next, sizeof(next));
	lock_take(&io->dev->lock);
	if (rc)
		halt(io, IOAT_ERR_NEXT_ADDR);
	else if (!next)
		io->status = IOAT_STS_DONE;
	io->next = next;
}

static void step(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	struct outcome o;
	u64 at = io->next;
	bool first = io->first;

	io->cdar = at;
	show(io);
	lock_drop(&io->dev->lock);
	perform(io, at, first, &o);
	lock_take(&io->dev->lock);
	if (o.stopped)
		return;
	if (o.err) {
		halt(io, o.err);
		if (io->chanctrl & IOAT_CHANCTRL_ERR_COMPL_EN)
			write_back(io);
		return;
	}
	advance(io, at, &o.desc);
	if (o.desc.ctl & IOAT_DESC_COMPL)
		write_back(io);
	if (o.desc.ctl & IOAT_DESC_INT)
		irq_ask(io);
}

static bool runnable(const struct ioat *io)
{
	return io->status == IOAT_STS_ACTIVE && atomic_load(&io->stop) == STOP_NONE;
}

static void *engine(void *arg)
{
	struct ioat *io = arg;

	lock_take(&io->dev->lock);
	while (!io->quit) {
		if (!runnable(io)) {
			(void)lock_wait(&io->dev->lock, &io->wake, -1);
			continue;
		}
		io->busy = true;
		if (io->chained && !io->next && io->append)
			follow_append(io);
		else
			step(io);
		unlock_and_raise(io);
		lock_take(&io->dev->lock);
		io->busy = false;
		pthread_cond_broadcast(&io->idle);
	}
	lock_drop(&io->dev->lock);
	return NULL;
}

/* Stop the engine: when it returns, with the lock held throughout the last look, it is not busy. */
static void stop_engine(struct ioat *io, enum stop how) MUST_HOLD(io->dev->lock)
{
	if (atomic_load(&io->stop) < (int)how)
		atomic_store(&io->stop, how);
	io->nr_stoppers++;
	while (io->busy)
		(void)lock_wait(&io->dev->lock, &io->idle, -1);
	if (!--io->nr_stoppers)
		atomic_store(&io->stop, STOP_NONE);
}

static void kick_engine(struct ioat *io)
{
	pthread_cond_signal(&io->wake);
}

/* ---- registers ---- */

static void reset_channel(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	stop_engine(io, STOP_NOW);
	io->attention = io->irq_due = false;
	io->chanctrl = 0;
	io->dmacount = io->nr_done = 0;
	io->chainaddr = io->chancmp = io->cdar = 0;
	io->chanerr = io->chanerr_mask = io->dcactrl = 0;
	io->completed = 0;
	io->status = IOAT_STS_HALTED;
	io->next = io->last = 0;
	io->chained = io->append = false;
	io->nr_chained = 0;
}

/* Writing CHAINADDR begins a new chain, unless one is running or an error is not acknowledged. */
static void arm(struct ioat *io)
{
	if (io->status == IOAT_STS_ACTIVE || io->chanerr)
		return;
	io->status = IOAT_STS_ARMED;
	io->completed = 0;
	io->dmacount = io->nr_done = 0;
	io->next = io->chainaddr;
	io->first = true;
	io->chained = false;
}

static void start_counted(struct ioat *io)
{
	if (io->chained || io->nr_done == io->dmacount)
		return;
	if (io->status != IOAT_STS_ARMED && io->status != IOAT_STS_DONE)
		return;
	io->status = IOAT_STS_ACTIVE;
	kick_engine(io);
}

static void start_chained(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	if (io->status == IOAT_STS_ACTIVE) {
		stop_engine(io, STOP_AFTER);
		halt(io, IOAT_ERR_CHANCMD);
		return;
	}
	if (io->chanerr)
		return;
	io->chained = true;
	io->append = false;
	io->nr_chained = 0;
	io->next = io->chainaddr;
	io->first = true;
	io->status = IOAT_STS_ACTIVE;
	kick_engine(io);
}

static void append(struct ioat *io)
{
	if (!io->chained || !io->last)
		return;
	if (io->status != IOAT_STS_ACTIVE && io->status != IOAT_STS_DONE)
		return;
	if (io->status == IOAT_STS_DONE) {
		io->next = 0;
		io->nr_chained = 0;
	}
	io->append = true;
	io->status = IOAT_STS_ACTIVE;
	kick_engine(io);
}

static void suspend(struct ioat *io) MUST_HOLD(io->dev->lock)
{
	stop_engine(io, STOP_AFTER);
	if (io->status != IOAT_STS_HALTED)
		io->status = IOAT_STS_SUSPENDED;
}

static void resume(struct ioat *io)
{
	bool more = io->chained ? io->next || io->append : io->nr_done != io->dmacount;

	if (io->status != IOAT_STS_SUSPENDED)
		return;
	io->status = more ? IOAT_STS_ACTIVE : IOAT_STS_DONE;
	kick_engine(io);
}

static void write_chancmd(struct ioat *io, u8 cmd) MUST_HOLD(io->dev->lock)
{
	switch (cmd) {
	case 0:
		return;
	case IOAT_CMD_START:
		start_chained(io);
		return;
	case IOAT_CMD_APPEND:
		append(io);
		return;
	case IOAT_CMD_SUSPEND:
		suspend(io);
		return;
	case IOAT_CMD_RESUME:
		resume(io);
		return;
	case IOAT_CMD_ABORT:
		stop_engine(io, STOP_NOW);
		io->status = IOAT_STS_HALTED;
		return;
	}
	if (cmd & IOAT_CMD_RESET) {
		reset_channel(io);
		return;
	}
	/* Several commands at once, or none that exists. */
	stop_engine(io, STOP_AFTER);
	halt(io, IOAT_ERR_CHANCMD);
}

static void write_chanctrl(struct ioat *io, u16 v)
{
	u16 disabled = io->chanctrl & IOAT_CHANCTRL_INT_DISABLE;

	if (v & IOAT_CHANCTRL_INT_DISABLE) {
		disabled = 0;
		io->attention = io->irq_due;
	}
	io->chanctrl = (v & IOAT_CHANCTRL_WRITABLE) | disabled;
}

/* One register, its new value merged from what was stored and what it read as before. */
static void write_reg(struct ioat *io, u32 off, u32 v) MUST_HOLD(io->dev->lock)
{
	switch (off) {
	case IOAT_GENCTRL:
		io->genctrl = v & 1;
		break;
	case IOAT_INTRCTRL:
		io->intrctrl = v & (IOAT_INTRCTRL_MASTER_EN | IOAT_INTRCTRL_MSIX_VECTOR);
		break;
	case IOAT_CHANCTRL:
		write_chanctrl(io, (u16)v);
		break;
	case IOAT_CHANCMD:
		write_chancmd(io, (u8)v);
		break;
	case IOAT_DMACOUNT:
		io->dmacount = (u16)v;
		start_counted(io);
		break;
	case IOAT_CHAINADDR:
		io->chainaddr = (io->chainaddr & ~(u64)UINT32_MAX) | v;
		arm(io);
		break;
	case IOAT_CHAINADDR + 4:
		io->chainaddr = (u32)io->chainaddr | (u64)v << 32;
		arm(io);
		break;
	case IOAT_CHANCMP:
		io->chancmp = (io->chancmp & ~(u64)UINT32_MAX) | (v & ~7u);
		break;
	case IOAT_CHANCMP + 4:
		io->chancmp = (u32)io->chancmp | (u64)v << 32;
		break;
	case IOAT_CHANERR_MASK:
		io->chanerr_mask = v;
		break;
	case IOAT_DCACTRL:
		io->dcactrl = v;
		break;
	}
}

/* Every writable register but CHANERR, in the order of addresses, in which a wide store applies. */
static const struct {
	u8 off, len;
} writable[] = {
	{IOAT_GENCTRL, 1},     {IOAT_INTRCTRL, 1},     {IOAT_CHANCTRL, 2},	{IOAT_CHANCMD, 1},
	{IOAT_DMACOUNT, 2},    {IOAT_CHAINADDR, 4},    {IOAT_CHAINADDR + 4, 4}, {IOAT_CHANCMP, 4},
	{IOAT_CHANCMP + 4, 4}, {IOAT_CHANERR_MASK, 4}, {IOAT_DCACTRL, 4},
};

/* Bytes [off, off+len) stored, as they fall on the register at @reg; 0 outside them. */
static u32 overlay(u32 reg, unsigned reg_len, u32 off, u64 value, unsigned len, u32 *mask)
{
	u32 v = 0;

	*mask = 0;
	for (unsigned i = 0; i < reg_len; i++) {
		if (reg + i < off || reg + i >= off + len)
			continue;
		*mask |= 0xffu << 8 * i;
		v |= (u32)(value >> 8 * (reg + i - off) & 0xff) << 8 * i;
	}
	return v;
}

static void ioat_bar_write(struct pci_dev *dev, unsigned bar, u32 off, u64 value, unsigned len)
{
	struct ioat *io = dev->priv;
	u32 mask, v;

	lock_take(&io->dev->lock);
	io->chanerr &= ~overlay(IOAT_CHANERR, 4, off, value, len, &mask);
	for (unsigned i = 0; i < ARRAY_SIZE(writable); i++) {
		u8 regs[IOAT_REGS_LEN];
		u32 old = 0;

		v = overlay(writable[i].off, writable[i].len, off, value, len, &mask);
		if (!mask)
			continue;
		render(io, regs);
		memcpy(&old, regs + writable[i].off, writable[i].len);
		if (writable[i].off == IOAT_CHANCTRL)
			old &= ~(u32)IOAT_CHANCTRL_INT_DISABLE; /* rearms only when stored */
		write_reg(io, writable[i].off, (old & ~mask) | v);
	}
	unlock_and_raise(io);
}

static u64 ioat_bar_read(struct pci_dev *dev, unsigned bar, u32 off, unsigned len)
{
	struct ioat *io = dev->priv;
	u8 regs[IOAT_REGS_LEN];
	u64 v = 0;

	lock_take(&io->dev->lock);
	render(io, regs);
	lock_drop(&io->dev->lock);
	if (off + len <= IOAT_REGS_LEN)
		memcpy(&v, regs + off, len);
	return v;
}

/* ---- life ---- */

static void ioat_reset(struct pci_dev *dev)
{
	struct ioat *io = dev->priv;

	lock_take(&io->dev->lock);
	reset_channel(io);
	io->genctrl = io->intrctrl = 0;
	show(io);
	lock_drop(&io->dev->lock);
}

/* The engine takes the faults of its own copies and no other signal. */
static int start_thread(struct ioat *io)
{
	sigset_t block, old;
	int rc;

	if (fault_hit(&io->dev->env->fault))
		return -ENOMEM;
	sigfillset(&block);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	rc = pthread_create(&io->thread, NULL, engine, io);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static int ioat_init(struct pci_dev *dev)
{
	static const struct bar_range ranges[] = {{0, IOAT_BAR_LEN, BAR_TRAPPED}};
	struct ioat *io = env_zalloc(dev->env, sizeof(*io));
	int rc;

	if (!io)
		return -ENOMEM;
	io->dev = dev;
	io->status = IOAT_STS_HALTED;
	pthread_cond_init(&io->wake, NULL);
	pthread_cond_init(&io->idle, NULL);
	rc = -ENOMEM;
	io->buf = env_zalloc(dev->env, PCI_COPY_MAX);
	if (!io->buf)
		goto undo_alloc;
	rc = pci_bar_add(dev, 0, IOAT_BAR_LEN, ranges, ARRAY_SIZE(ranges));
	if (rc)
		goto undo_alloc;
	pci_msix_place(dev, 0, IOAT_MSIX_TABLE, IOAT_MSIX_PBA);
	show(io);
	rc = start_thread(io);
	if (rc)
		goto undo_alloc; /* the BAR is pci_dev_new()'s to free */
	dev->priv = io;
	return 0;
undo_alloc:
	pthread_cond_destroy(&io->wake);
	pthread_cond_destroy(&io->idle);
	env_free(dev->env, io->buf);
	env_free(dev->env, io);
	return rc;
}

static void ioat_fini(struct pci_dev *dev)
{
	struct ioat *io = dev->priv;

	lock_take(&io->dev->lock);
	stop_engine(io, STOP_NOW);
	io->quit = true;
	kick_engine(io);
	lock_drop(&io->dev->lock);
	pthread_join(io->thread, NULL);
	pthread_cond_destroy(&io->wake);
	pthread_cond_destroy(&io->idle);
	env_free(dev->env, io->buf);
	env_free(dev->env, io);
	dev->priv = NULL;
}

static void ioat_describe(struct pci_dev *dev, json_t *out)
{
	static const char *const names[] = {"active", "done", "suspended", "halted", "armed"};
	struct ioat *io = dev->priv;

	lock_take(&io->dev->lock);
	json_put(out, "status", json_string(names[io->status]));
	json_put(out, "stopping", json_boolean(atomic_load(&io->stop) != STOP_NONE));
	json_put(out, "chanerr", json_hex(io->chanerr));
	json_put(out, "dmacount", json_integer(io->dmacount));
	json_put(out, "completed", json_hex(io->completed));
	json_put(out, "chainaddr", json_hex(io->chainaddr));
	lock_drop(&io->dev->lock);
}

extern const struct device_model ioat_model;
const struct device_model ioat_model = {
	.name = "ioat",
	.vendor = 0x8086,
	.device = 0x2021,
	.subvendor = 0x8086,
	.subdevice = 0x0000,
	.class_code = 0x088000, /* system peripheral, other */
	.revision = 0x04,
	.nr_vectors = 1,
	.init = ioat_init,
	.fini = ioat_fini,
	.reset = ioat_reset,
	.bar_read = ioat_bar_read,
	.bar_write = ioat_bar_write,
	.describe = ioat_describe,
};
