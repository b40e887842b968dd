/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unit.h"
#include "device/ioat_regs.h"
#include "fake_bus.h"

/* Where things are on the bus. */
#define RING  0x10000ull
#define COMPL 0x20000ull
#define SRC   0x100000ull
#define DST   0x200000ull

struct rig {
	struct env env;
	struct pci_dev *dev;
};

static void store(struct rig *r, u32 off, u64 v, u32 len)
{
	assert_int_equal(pci_bar_write(r->dev, 0, off, &v, len), 0);
}

/* What a program reads from its mapping. */
static u64 load(struct rig *r, u32 off, u32 len)
{
	const _Atomic u64 *page = (const _Atomic u64 *)r->dev->bars[0].host;
	u64 v = atomic_load(&page[off / 8]) >> 8 * (off % 8);

	return len == 8 ? v : v & ((1ull << 8 * len) - 1);
}

static unsigned status(struct rig *r)
{
	return load(r, IOAT_CHANSTS, 8) & IOAT_STS_MASK;
}

/* Until the channel is in @want: the test's time limit is the only clock. */
static void wait_status(struct rig *r, unsigned want)
{
	while (status(r) != want)
		sched_yield();
}

static void set_master(struct rig *r, bool on)
{
	u16 command = on ? 6 : 2;

	pci_config_write(r->dev, 4, &command, 2);
}

static struct ioat_desc *desc(unsigned i)
{
	return (struct ioat_desc *)(bus.mem + RING) + i;
}

static u64 desc_at(unsigned i)
{
	return RING + i * sizeof(struct ioat_desc);
}

/* A ring of @nr copies of @len bytes each, SRC + i*len to DST + i*len. */
static void make_ring(unsigned nr, u32 len)
{
	for (unsigned i = 0; i < nr; i++)
		*desc(i) = (struct ioat_desc){
			.size = len,
			.ctl = IOAT_DESC_COMPL,
			.src = SRC + i * len,
			.dst = DST + i * len,
			.next = desc_at((i + 1) % nr),
		};
}

static u64 completion(void)
{
	u64 v;

	fake_bus_copy(&v, bus.mem + COMPL, 8);
	return v;
}

static void arm(struct rig *r)
{
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(load(r, IOAT_CHANCMD, 1), 0); /* cleared itself */
	store(r, IOAT_CHANCTRL, IOAT_CHANCTRL_ERR_COMPL_EN, 2);
	store(r, IOAT_CHANCMP, COMPL, 8);
	store(r, IOAT_CHAINADDR, (u32)RING, 4);
	store(r, IOAT_CHAINADDR + 4, RING >> 32, 4);
	assert_int_equal(load(r, IOAT_CHANSTS, 8), IOAT_STS_ARMED);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	u64 seed = 1;

	fake_bus_reset();
	for (u32 i = 0; i < 0x80000; i++)
		bus.mem[SRC + i] = (u8)rnd(&seed);
	memset(bus.mem + DST, 0xee, 0x100000);
	assert_int_equal(env_init(&r->env), 0);
	assert_int_equal(
		pci_dev_new(&r->env, NULL, NULL, device_model_find("ioat"), RID(0x100), 0, &r->dev),
		0);
	set_master(r, true);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	pci_dev_free(r->dev);
	assert_int_equal(r->env.nr_allocs, 0);
	env_fini(&r->env);
	free(r);
	return 0;
}

static void identity(void **state)
{
	struct rig *r = *state;

	assert_int_equal(load(r, IOAT_CHANCNT, 1), 1);
	assert_int_equal(load(r, IOAT_XFERCAP, 1), 20);
	assert_int_equal(load(r, IOAT_CBVER, 1), 0x33);
	assert_int_equal(load(r, IOAT_DMACAPABILITY, 4), IOAT_CAP_FILL);
	assert_int_equal(load(r, IOAT_DMA_COMP, 2), IOAT_DMA_COMP_V2);
	assert_int_equal(status(r), IOAT_STS_HALTED);
	store(r, IOAT_CBVER, 0, 1);
	store(r, IOAT_CHANCNT, 9, 1);
	assert_int_equal(load(r, IOAT_CBVER, 1), 0x33);
	assert_int_equal(load(r, IOAT_CHANCNT, 1), 1);
}

static void copies(void **state)
{
	struct rig *r = *state;

	for (int direct = 0; direct < 2; direct++) {
		bus.direct = direct;
		memset(bus.mem + DST, 0xee, 0x80000);
		arm(r);
		make_ring(4, 100001);
		store(r, IOAT_DMACOUNT, 1, 2);
		wait_status(r, IOAT_STS_DONE);
		assert_memory_equal(bus.mem + DST, bus.mem + SRC, 100001);
		assert_int_equal(bus.mem[DST + 100001], 0xee);
		store(r, IOAT_DMACOUNT, 4, 2);
		while (load(r, IOAT_CHANSTS, 8) != (desc_at(3) | IOAT_STS_DONE))
			sched_yield();
		while (completion() != (desc_at(3) | IOAT_STS_DONE))
			sched_yield();
		assert_memory_equal(bus.mem + DST, bus.mem + SRC, 400004);
		assert_int_equal(bus.mem[DST + 400004], 0xee);
	}
}

/* The count goes on around the ring and around 2^16. */
static void counts_wrap(void **state)
{
	struct rig *r = *state;
	u16 count = 0;

	arm(r);
	make_ring(8, 64);
	for (unsigned i = 0; i < 5; i++) {
		count += 60000;
		store(r, IOAT_DMACOUNT, count, 2);
		while (load(r, IOAT_CHANSTS, 8) != (desc_at((60000 * (i + 1) - 1) % 8) | 1))
			sched_yield();
	}
}

static void fill_and_null(void **state)
{
	struct rig *r = *state;

	arm(r);
	make_ring(3, 64);
	*desc(0) = (struct ioat_desc){
		.size = 70003,
		.ctl = IOAT_OP_FILL << IOAT_DESC_OP_SHIFT,
		.src = 0x0807060504030201ull,
		.dst = DST + 1,
		.next = desc_at(1),
	};
	*desc(1) = (struct ioat_desc){.size = 64, .ctl = IOAT_DESC_NULL, .next = desc_at(2)};
	store(r, IOAT_DMACOUNT, 2, 2);
	wait_status(r, IOAT_STS_DONE);
	assert_int_equal(bus.mem[DST], 0xee);
	for (u32 i = 0; i < 70003; i++)
		assert_int_equal(bus.mem[DST + 1 + i], i % 8 + 1);
	assert_int_equal(bus.mem[DST + 1 + 70003], 0xee);
	assert_int_equal(completion(), 0); /* nobody asked */
}

static void chain_and_append(void **state)
{
	struct rig *r = *state;

	arm(r);
	make_ring(4, 4096);
	desc(1)->next = 0;
	store(r, IOAT_CHANCMD, IOAT_CMD_START, 1);
	wait_status(r, IOAT_STS_DONE);
	assert_memory_equal(bus.mem + DST, bus.mem + SRC, 8192);
	assert_int_equal(bus.mem[DST + 8192], 0xee);
	desc(3)->next = 0;
	desc(1)->next = desc_at(2);
	store(r, IOAT_CHANCMD, IOAT_CMD_APPEND, 1);
	while (load(r, IOAT_CHANSTS, 8) != (desc_at(3) | IOAT_STS_DONE))
		sched_yield();
	assert_memory_equal(bus.mem + DST, bus.mem + SRC, 16384);
	/* Nothing was appended: done again, nothing moved. */
	store(r, IOAT_CHANCMD, IOAT_CMD_APPEND, 1);
	wait_status(r, IOAT_STS_DONE);
	assert_int_equal(bus.mem[DST + 16384], 0xee);
}

/* Run one descriptor that must fail, nothing moved. */
static void expect_error(struct rig *r, struct ioat_desc d, u32 err)
{
	u64 before = bus.nr_writes;

	arm(r);
	make_ring(2, 64);
	*desc(0) = d;
	store(r, IOAT_DMACOUNT, 1, 2);
	while (completion() != IOAT_STS_HALTED)
		sched_yield();
	assert_int_equal(load(r, IOAT_CHANERR, 4), err);
	assert_int_equal(status(r), IOAT_STS_HALTED);
	assert_true(bus.nr_writes <= before + 2); /* a refused one and the completion */
	for (u32 i = 0; i < 0x10000; i++)
		assert_int_equal(bus.mem[DST + i], 0xee);
	memset(bus.mem + COMPL, 0, 8);
	/* An error that was not acknowledged keeps the channel halted; the number is write 1 to
	 * clear. */
	store(r, IOAT_CHAINADDR, RING, 8);
	assert_int_equal(status(r), IOAT_STS_HALTED);
	store(r, IOAT_CHANERR, err, 4);
	assert_int_equal(load(r, IOAT_CHANERR, 4), 0);
	store(r, IOAT_CHAINADDR, RING, 8);
	assert_int_equal(status(r), IOAT_STS_ARMED);
}

static void errors(void **state)
{
	struct rig *r = *state;
	const struct ioat_desc good = {.size = 4096, .src = SRC, .dst = DST, .next = desc_at(1)};
	struct ioat_desc d;

	for (int direct = 0; direct < 2; direct++) {
		bus.direct = direct;
		bus.perm[SRC / PAGE_SIZE] = 0;
		expect_error(r, good, IOAT_ERR_SRC_ADDR);
		bus.perm[SRC / PAGE_SIZE] = PERM_RW;
		bus.perm[DST / PAGE_SIZE] = PERM_R;
		expect_error(r, good, IOAT_ERR_DST_ADDR);
		d = good;
		d.ctl = IOAT_OP_FILL << IOAT_DESC_OP_SHIFT;
		expect_error(r, d, IOAT_ERR_DST_ADDR);
		bus.perm[DST / PAGE_SIZE] = PERM_RW;
	}
	d = good;
	d.size = 0;
	expect_error(r, d, IOAT_ERR_LENGTH);
	d.size = (1u << 20) + 1;
	expect_error(r, d, IOAT_ERR_LENGTH);
	d = good;
	d.ctl = IOAT_OP_XOR << IOAT_DESC_OP_SHIFT;
	expect_error(r, d, IOAT_ERR_CONTROL);
	d.ctl = IOAT_OP_PQ << IOAT_DESC_OP_SHIFT;
	expect_error(r, d, IOAT_ERR_CONTROL);
	d.ctl = 1u << 23;
	expect_error(r, d, IOAT_ERR_CONTROL);
	d = good;
	d.src = UINT64_MAX - 5;
	expect_error(r, d, IOAT_ERR_SRC_ADDR);
	d = good;
	d.dst = UINT64_MAX - 5;
	expect_error(r, d, IOAT_ERR_DST_ADDR);
	set_master(r, false);
	arm(r);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_HALTED);
	set_master(r, true);
}

static void chain_errors(void **state)
{
	struct rig *r = *state;

	arm(r);
	store(r, IOAT_CHAINADDR, RING + 8, 8);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_HALTED);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_CHAIN_ADDR);
	arm(r);
	store(r, IOAT_CHAINADDR, ~63ull, 8);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_HALTED);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_CHAIN_ADDR);
	/* The second descriptor: what was completed stays told. */
	for (int i = 0; i < 2; i++) {
		arm(r);
		make_ring(2, 64);
		desc(0)->next = i ? desc_at(1) + 4 : BUS_LEN;
		store(r, IOAT_DMACOUNT, 2, 2);
		wait_status(r, IOAT_STS_HALTED);
		assert_int_equal(load(r, IOAT_CHANERR, 4),
				 i ? IOAT_ERR_DESC_ALIGN : IOAT_ERR_NEXT_ADDR);
		assert_int_equal(load(r, IOAT_CHANSTS, 8), desc_at(0) | IOAT_STS_HALTED);
	}
	/* A completion that cannot be written. */
	arm(r);
	make_ring(2, 64);
	bus.perm[COMPL / PAGE_SIZE] = PERM_R;
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_HALTED);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_COMPL_ADDR);
	assert_int_equal(load(r, IOAT_CHANSTS, 8), desc_at(0) | IOAT_STS_HALTED);
	/* Two commands at once. */
	arm(r);
	store(r, IOAT_CHANCMD, IOAT_CMD_START | IOAT_CMD_APPEND, 1);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_CHANCMD);
	assert_int_equal(status(r), IOAT_STS_HALTED);
}

static void suspend_resume(void **state)
{
	struct rig *r = *state;
	u64 at;

	arm(r);
	make_ring(2, 64);
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(status(r), IOAT_STS_SUSPENDED);
	store(r, IOAT_DMACOUNT, 50000, 2);
	assert_int_equal(status(r), IOAT_STS_SUSPENDED);
	assert_int_equal(bus.mem[DST], 0xee);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESUME, 1);
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(status(r), IOAT_STS_SUSPENDED); /* as soon as the store returns */
	at = bus.nr_reads;
	sched_yield();
	assert_int_equal(bus.nr_reads, at);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESUME, 1);
	wait_status(r, IOAT_STS_DONE);
	assert_int_equal(load(r, IOAT_CHANSTS, 8) & ~7ull, desc_at(1));
	store(r, IOAT_CHANCMD, IOAT_CMD_ABORT, 1);
	assert_int_equal(status(r), IOAT_STS_HALTED);
}

static void endless(void **state)
{
	struct rig *r = *state;

	/* A chain into itself ends by itself. */
	arm(r);
	make_ring(1, 64);
	desc(0)->ctl = 0;
	store(r, IOAT_CHANCMD, IOAT_CMD_START, 1);
	wait_status(r, IOAT_STS_HALTED);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_DESC_COUNT);
	/* 65535 MiB are under way; a reset ends them before it returns. */
	bus.direct = true;
	arm(r);
	make_ring(1, 1u << 20);
	store(r, IOAT_DMACOUNT, 65535, 2);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(status(r), IOAT_STS_HALTED);
	memset(bus.mem + DST, 0xee, 0x100000);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	for (u32 i = 0; i < 0x100000; i++)
		assert_int_equal(bus.mem[DST + i], 0xee);
	/* The same by function level reset, which keeps the command register. */
	arm(r);
	store(r, IOAT_DMACOUNT, 65535, 2);
	pci_dev_flr(r->dev);
	assert_int_equal(load(r, IOAT_CHAINADDR, 8), 0);
	assert_true(r->dev->bus_master);
	/* And left running: teardown must end it. */
	arm(r);
	make_ring(1, 1u << 20);
	store(r, IOAT_DMACOUNT, 65535, 2);
}

static void *reset_other(void *arg)
{
	struct rig *r = arg;

	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	return NULL;
}

/* Stoppers wait for an access that hangs, several at once, and all return once it is over. */
static void hanging_access(void **state)
{
	struct rig *r = *state;
	pthread_t t[3];

	arm(r);
	make_ring(1, 1u << 16);
	bus.hold = true;
	store(r, IOAT_DMACOUNT, 1, 2);
	while (!bus.nr_waiting)
		sched_yield();
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, reset_other, r), 0);
	bus.hold = false;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(status(r), IOAT_STS_HALTED);
	arm(r);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_DONE);
}

static bool stopping(struct rig *r)
{
	json_t *o = json_object();
	bool is;

	r->dev->model->describe(r->dev, o);
	is = json_is_true(json_object_get(o, "stopping"));
	json_decref(o);
	return is;
}

/* A reset does not wait for the rest of a long transfer. */
static void reset_in_the_middle(void **state)
{
	struct rig *r = *state;
	pthread_t t;

	bus.direct = false;
	for (unsigned fill = 0; fill < 2; fill++) {
		memset(bus.mem + DST, 0xee, 0x100000);
		arm(r);
		make_ring(1, 1u << 20);
		desc(0)->ctl = fill << IOAT_DESC_OP_SHIFT;
		bus.hold_at = DST;
		bus.hold = true;
		store(r, IOAT_DMACOUNT, 1, 2);
		while (!bus.nr_waiting)
			sched_yield();
		assert_int_equal(pthread_create(&t, NULL, reset_other, r), 0);
		while (!stopping(r))
			sched_yield();
		bus.hold = false;
		pthread_join(t, NULL);
		assert_int_equal(bus.mem[DST + PCI_COPY_MAX], 0xee);
		assert_int_equal(load(r, IOAT_CHANSTS, 8), IOAT_STS_HALTED);
	}
}

static struct rig *watched;
static unsigned nr_completions;

/* Whoever sees a completion in memory reads registers that agree with it. */
static void check_completion(u64 iova, const void *from, size_t len)
{
	u64 v;

	if (iova != COMPL)
		return;
	memcpy(&v, from, 8);
	if (load(watched, IOAT_CHANSTS, 8) != v)
		abort();
	if ((v & IOAT_STS_MASK) == IOAT_STS_HALTED && !load(watched, IOAT_CHANERR, 4))
		abort();
	nr_completions++;
}

static void page_before_completion(void **state)
{
	struct rig *r = *state;

	watched = r;
	nr_completions = 0;
	bus.on_write = check_completion;
	arm(r);
	make_ring(4, 64);
	desc(3)->size = 0;
	store(r, IOAT_DMACOUNT, 4, 2);
	wait_status(r, IOAT_STS_HALTED);
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(nr_completions, 4);
}

static u64 drain(int fd)
{
	u64 v = 0;

	return read(fd, &v, 8) == 8 ? v : 0;
}

static u64 drain_wait(int fd)
{
	u64 v;

	while (!(v = drain(fd)))
		sched_yield();
	return v;
}

static void one_with_interrupt(struct rig *r, u16 count)
{
	store(r, IOAT_DMACOUNT, count, 2);
	while (load(r, IOAT_CHANSTS, 8) != (desc_at((count - 1u) % 2) | IOAT_STS_DONE))
		sched_yield();
	/* The engine has let go when a stopper gets through. */
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESUME, 1);
}

static void interrupts(void **state)
{
	struct rig *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 full = UINT64_MAX - 1;

	pci_msix_set(r->dev, 0, dup(fd));
	arm(r);
	make_ring(2, 64);
	desc(0)->ctl = desc(1)->ctl = IOAT_DESC_INT;
	one_with_interrupt(r, 1);
	assert_int_equal(drain(fd), 0); /* the master enable is off */
	assert_int_equal(load(r, IOAT_ATTNSTATUS, 4), 1);
	assert_int_equal(load(r, IOAT_INTRCTRL, 1), IOAT_INTRCTRL_STATUS);
	store(r, IOAT_INTRCTRL, IOAT_INTRCTRL_MASTER_EN, 1);
	assert_int_equal(drain(fd), 1); /* what was due comes now */
	assert_int_equal(load(r, IOAT_CHANCTRL, 2) & 1, 1);
	one_with_interrupt(r, 2);
	assert_int_equal(drain(fd), 0); /* not rearmed */
	store(r, IOAT_CHANCTRL, 1, 2);
	assert_int_equal(drain(fd), 1);
	store(r, IOAT_CHANCTRL, 1, 2);
	assert_int_equal(load(r, IOAT_ATTNSTATUS, 4), 0);
	one_with_interrupt(r, 3);
	assert_int_equal(drain_wait(fd), 1);
	/* A trigger that the program has filled does not block the device. */
	assert_int_equal(write(fd, &full, 8), 8);
	store(r, IOAT_CHANCTRL, 1, 2);
	one_with_interrupt(r, 4);
	assert_true(drain(fd) >= full);
	/* Masked in the table: pending, delivered on unmask. */
	store(r, IOAT_CHANCTRL, 1, 2);
	store(r, 0x2000 + 12, 1, 4);
	one_with_interrupt(r, 5);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(load(r, 0x3000, 1), 1);
	store(r, 0x3000, 0, 8); /* read-only */
	assert_int_equal(load(r, 0x3000, 1), 1);
	store(r, 0x2000 + 12, 0, 4);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(load(r, 0x3000, 1), 0);
	/* Errors interrupt where they are asked to. */
	arm(r);
	store(r, IOAT_CHANCTRL, IOAT_CHANCTRL_ERR_INT_EN, 2);
	desc(0)->size = 0;
	store(r, IOAT_DMACOUNT, 1, 2);
	assert_int_equal(drain_wait(fd), 1);
	arm(r);
	store(r, IOAT_CHANCTRL, IOAT_CHANCTRL_ERR_INT_EN, 2);
	store(r, IOAT_CHANERR_MASK, IOAT_ERR_LENGTH, 4);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_HALTED);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(drain(fd), 0);
	close(fd);
}

/* What DPDK's driver does from probe to recovery from an error, and what it waits for. */
static void as_dpdk_does(void **state)
{
	struct rig *r = *state;
	const unsigned nr = 32, bad = 5;
	u64 sts;

	assert_int_equal(load(r, IOAT_CHANCTRL, 2) & 0x100, 0); /* not in use */
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(load(r, IOAT_CHANCMD, 1) & IOAT_CMD_RESET, 0);
	store(r, IOAT_CHANCTRL, 0x0c, 2);
	make_ring(nr, 64);
	store(r, IOAT_CHAINADDR, RING, 8);
	store(r, IOAT_CHANCMP, COMPL, 8);
	assert_int_not_equal(status(r), IOAT_STS_HALTED);
	desc(bad)->src = BUS_LEN;
	store(r, IOAT_DMACOUNT, 10, 2);
	while ((completion() & IOAT_STS_MASK) != IOAT_STS_HALTED)
		sched_yield();
	/* The address is that of the last good one: the next is the bad one. */
	assert_int_equal((completion() & ~7ull) - RING, (bad - 1) * 64);
	assert_int_equal(load(r, IOAT_CHANERR, 4), IOAT_ERR_SRC_ADDR);
	store(r, IOAT_CHANERR, load(r, IOAT_CHANERR, 4), 4);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	store(r, IOAT_CHAINADDR, desc(bad)->next, 8);
	store(r, IOAT_CHANCTRL, 0x0c, 2);
	store(r, IOAT_CHANCMP, COMPL, 8);
	assert_int_equal(load(r, IOAT_CHANSTS, 8), IOAT_STS_ARMED); /* and no address */
	store(r, IOAT_DMACOUNT, 10 - bad - 1, 2); /* what is left, counted from the new start */
	while (completion() != (desc_at(9) | IOAT_STS_DONE))
		sched_yield();
	assert_memory_equal(bus.mem + DST + 64 * (bad + 1), bus.mem + SRC + 64 * (bad + 1), 64 * 4);
	assert_int_equal(bus.mem[DST + 64 * bad], 0xee);
	/* Stop, and start anew. */
	store(r, IOAT_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(status(r), IOAT_STS_SUSPENDED);
	store(r, IOAT_CHAINADDR, RING, 8);
	store(r, IOAT_CHANCMP, COMPL, 8);
	store(r, IOAT_DMACOUNT, 1, 2);
	do {
		sts = load(r, IOAT_CHANSTS, 8);
	} while (sts != (desc_at(0) | IOAT_STS_DONE));
}

/* What Linux's driver does: a null descriptor starts the channel, errors without a reset. */
static void as_linux_does(void **state)
{
	struct rig *r = *state;
	const u32 run = 0x1d;
	unsigned sts = status(r);

	/* Only an active or idle channel is suspended, and then waited for. */
	assert_true(sts != IOAT_STS_ACTIVE && sts != IOAT_STS_DONE);
	store(r, IOAT_CHANERR, load(r, IOAT_CHANERR, 4), 4);
	store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(load(r, IOAT_CHANCMD, 1) & IOAT_CMD_RESET, 0);
	store(r, IOAT_INTRCTRL, 0x09, 1);
	store(r, IOAT_CHANCTRL, run, 2);
	store(r, IOAT_CHANCMP, (u32)COMPL, 4);
	store(r, IOAT_CHANCMP + 4, COMPL >> 32, 4);
	make_ring(8, 64);
	*desc(0) = (struct ioat_desc){
		.size = 64,
		.ctl = IOAT_DESC_NULL | IOAT_DESC_INT | IOAT_DESC_COMPL,
		.next = desc_at(1),
	};
	store(r, IOAT_CHAINADDR, (u32)RING, 4);
	store(r, IOAT_CHAINADDR + 4, RING >> 32, 4);
	store(r, IOAT_DMACOUNT, 1, 2);
	sts = status(r);
	assert_true(sts == IOAT_STS_ACTIVE || sts == IOAT_STS_DONE); /* at once */
	while ((completion() & ~0x3full) != desc_at(0))
		sched_yield();
	desc(2)->dst = BUS_LEN;
	store(r, IOAT_DMACOUNT, 4, 2);
	while ((completion() & IOAT_STS_MASK) != IOAT_STS_HALTED)
		sched_yield();
	assert_int_equal(completion() & ~0x3full, desc_at(1));
	/* Acknowledged and restarted behind the bad one, with the count from 0 again. */
	store(r, IOAT_CHANERR, load(r, IOAT_CHANERR, 4), 4);
	store(r, IOAT_CHANCMP, (u32)COMPL, 4);
	store(r, IOAT_CHANCMP + 4, COMPL >> 32, 4);
	store(r, IOAT_CHAINADDR, (u32)desc_at(3), 4);
	store(r, IOAT_CHAINADDR + 4, desc_at(3) >> 32, 4);
	store(r, IOAT_DMACOUNT, 1, 2);
	while ((completion() & ~0x3full) != desc_at(3))
		sched_yield();
	assert_memory_equal(bus.mem + DST + 3 * 64, bus.mem + SRC + 3 * 64, 64);
	store(r, IOAT_CHANCTRL, run, 2);
}

/* Odd widths and offsets land where they should; nothing else moves. */
static void stores_of_any_shape(void **state)
{
	struct rig *r = *state;
	u64 seed = 7;

	store(r, IOAT_CHANCMP + 4, 0x12, 1);
	store(r, IOAT_CHANCMP + 6, 0x3456, 2);
	store(r, IOAT_CHANCMP, 0xffffffff, 4);
	assert_int_equal(load(r, IOAT_CHANCMP, 8), 0x34560012fffffff8ull);
	for (int i = 0; i < 20000; i++) {
		u32 off = (u32)(rnd(&seed) % 0x4000);
		u64 v = rnd(&seed);

		store(r, off, v, (u32)min(rnd(&seed) % 8 + 1, 0x4000 - off));
	}
	pci_dev_flr(r->dev);
	assert_int_equal(load(r, IOAT_CBVER, 1), 0x33);
}

/* Rings and registers of a program that means harm: whatever they do, a reset ends it. */
static void hostile(void **state)
{
	struct rig *r = *state;
	static const u8 regs[] = {IOAT_CHANCTRL, IOAT_CHANCMD, IOAT_DMACOUNT, IOAT_CHAINADDR,
				  IOAT_CHANCMP,	 IOAT_CHANERR, IOAT_INTRCTRL};
	u64 seed = 11;

	for (int round = 0; round < 500; round++) {
		bus.direct = round & 1;
		arm(r);
		for (unsigned i = 0; i < 64; i++) {
			*desc(i) = (struct ioat_desc){
				.size = (u32)(rnd(&seed) % 4 ? rnd(&seed) % 8192 : rnd(&seed)),
				.ctl = (u32)(rnd(&seed) % 4 ? rnd(&seed) & 0x010007ff : rnd(&seed)),
				.src = rnd(&seed) % (BUS_LEN + PAGE_SIZE),
				.dst = rnd(&seed) % 8 ? DST + rnd(&seed) % 0x100000
						      : rnd(&seed) % BUS_LEN, /* the ring, too */
				.next = rnd(&seed) % 8 ? desc_at(rnd(&seed) % 64) : rnd(&seed),
			};
		}
		for (unsigned i = 0; i < 20; i++)
			store(r, regs[rnd(&seed) % ARRAY_SIZE(regs)],
			      rnd(&seed) % 2 ? 1u << rnd(&seed) % 6 : RING + (rnd(&seed) % 64) * 64,
			      1u << rnd(&seed) % 4);
		store(r, IOAT_CHANCMD, IOAT_CMD_RESET, 1);
		assert_int_equal(load(r, IOAT_CHANSTS, 8), IOAT_STS_HALTED);
	}
}

/* A program that scribbles on the page by other means changes its view, not the device. */
static void page_is_output(void **state)
{
	struct rig *r = *state;

	arm(r);
	make_ring(2, 64);
	memset(r->dev->bars[0].host, 0xa5, 0x4000);
	store(r, IOAT_DMACOUNT, 1, 2);
	wait_status(r, IOAT_STS_DONE);
	assert_memory_equal(bus.mem + DST, bus.mem + SRC, 64);
	assert_int_equal(load(r, IOAT_CBVER, 1), 0x33);
}

static void out_of_memory(void **state)
{
	struct rig *r = *state;
	struct pci_dev *dev;
	u64 before = r->env.nr_allocs;
	int rc = -1;

	for (int nth = 1; rc; nth++) {
		assert_true(nth < 20);
		fault_arm(&r->env.fault, nth);
		rc = pci_dev_new(&r->env, NULL, NULL, device_model_find("ioat"), RID(0x108), 1,
				 &dev);
		fault_arm(&r->env.fault, 0);
		if (rc)
			assert_int_equal(r->env.nr_allocs, before);
	}
	pci_dev_free(dev);
	assert_int_equal(r->env.nr_allocs, before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identity),
		T(copies),
		T(counts_wrap),
		T(fill_and_null),
		T(chain_and_append),
		T(errors),
		T(chain_errors),
		T(suspend_resume),
		T(endless),
		T(hanging_access),
		T(reset_in_the_middle),
		T(page_before_completion),
		T(interrupts),
		T(as_dpdk_does),
		T(as_linux_does),
		T(stores_of_any_shape),
		T(hostile),
		T(page_is_output),
		T(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
