/* SPDX-License-Identifier: MIT */
#include <sys/eventfd.h>
#include <unistd.h>

#include "unit.h"
#include "fake_bus.h"

struct rig {
	struct env env;
	struct pci_dev *dev;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	fake_bus_reset();
	assert_int_equal(env_init(&r->env), 0);
	assert_int_equal(
		pci_dev_new(&r->env, NULL, NULL, device_model_find("ioat"), RID(0x100), 0, &r->dev),
		0);
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

static u32 cfg(struct rig *r, u32 off, u32 len)
{
	u32 v = 0;

	pci_config_read(r->dev, off, &v, len);
	return v;
}

static void cfg_write(struct rig *r, u32 off, u32 v, u32 len)
{
	pci_config_write(r->dev, off, &v, len);
}

static void header(void **state)
{
	struct rig *r = *state;

	assert_int_equal(cfg(r, 0, 4), 0x20218086);
	assert_int_equal(cfg(r, 8, 4), 0x08800004);
	assert_int_equal(cfg(r, 0x2c, 4), 0x00008086);
	assert_int_equal(cfg(r, 0x3d, 1), 0); /* no INTx */
	cfg_write(r, 0, 0xffffffff, 4);
	cfg_write(r, 8, 0xffffffff, 4);
	assert_int_equal(cfg(r, 0, 4), 0x20218086);
	assert_int_equal(cfg(r, 8, 4), 0x08800004);
}

/* The list ends, every entry is where it says, and it names what it must. */
static void capabilities(void **state)
{
	struct rig *r = *state;
	u32 seen = 0, at = cfg(r, 0x34, 1);

	assert_true(cfg(r, 6, 2) & 0x10);
	for (int i = 0; at; i++, at = cfg(r, at + 1, 1)) {
		assert_true(i < 48 && at >= 0x40 && !(at & 3));
		if (cfg(r, at, 1) == 0x11) {
			seen |= 1;
			assert_int_equal(cfg(r, at + 2, 2), 0);
			assert_int_equal(cfg(r, at + 4, 4), 0x2000);
			assert_int_equal(cfg(r, at + 8, 4), 0x3000);
		}
		if (cfg(r, at, 1) == 0x10) {
			seen |= 2;
			assert_true(cfg(r, at + 4, 4) & 1u << 28);
		}
	}
	assert_int_equal(seen, 3);
	assert_int_equal(cfg(r, 0x100, 4), 0); /* no extended ones */
}

static void bar_sizing(void **state)
{
	struct rig *r = *state;
	u32 was = cfg(r, 0x10, 4);

	cfg_write(r, 0x10, 0xffffffff, 4);
	cfg_write(r, 0x14, 0xffffffff, 4);
	assert_int_equal(cfg(r, 0x10, 4), 0xffffc004);
	assert_int_equal(cfg(r, 0x14, 4), 0xffffffff);
	cfg_write(r, 0x10, was, 4);
	assert_int_equal(cfg(r, 0x10, 4), was);
	cfg_write(r, 0x18, 0xffffffff, 4); /* absent */
	assert_int_equal(cfg(r, 0x18, 4), 0);
}

static void command(void **state)
{
	struct rig *r = *state;
	u8 byte;

	assert_false(r->dev->bus_master);
	assert_int_equal(pci_dma_read(r->dev, 0, &byte, 1), -EFAULT);
	assert_int_equal(pci_dma_write(r->dev, 0, &byte, 1), -EFAULT);
	assert_int_equal(bus.nr_reads + bus.nr_writes, 0); /* refused before the bus */
	cfg_write(r, 4, 0xffff, 2);
	assert_int_equal(cfg(r, 4, 2), 0x0546);
	assert_true(r->dev->bus_master);
	assert_true(pci_memory_enabled(r->dev));
	assert_int_equal(pci_dma_read(r->dev, 0, &byte, 1), 0);
	cfg_write(r, 4, 0, 1); /* the low byte alone */
	assert_int_equal(cfg(r, 4, 2), 0x0500);
	assert_false(r->dev->bus_master);
	cfg_write(r, 4, 6, 2);
	pci_dev_reset(r->dev);
	assert_int_equal(cfg(r, 4, 2), 0);
	assert_false(r->dev->bus_master);
}

static void flr_bit(void **state)
{
	struct rig *r = *state;
	u64 v = 0x1000;

	assert_int_equal(pci_bar_write(r->dev, 0, 0x98, &v, 8), 0);
	cfg_write(r, 0x98, 0x8000 | cfg(r, 0x98, 2), 2);
	assert_false(cfg(r, 0x98, 2) & 0x8000);
	assert_int_equal(pci_bar_read(r->dev, 0, 0x98, &v, 8), 0);
	assert_int_equal(v, 0);
}

static void bar_bounds(void **state)
{
	struct rig *r = *state;
	u8 buf[16] = {0};

	assert_int_equal(pci_bar_read(r->dev, 0, 0x4000, buf, 1), -EINVAL);
	assert_int_equal(pci_bar_read(r->dev, 0, 0x3ff8, buf, 9), -EINVAL);
	assert_int_equal(pci_bar_read(r->dev, 0, UINT32_MAX, buf, 2), -EINVAL);
	assert_int_equal(pci_bar_write(r->dev, 1, 0, buf, 1), -EINVAL);
	assert_int_equal(pci_bar_write(r->dev, 6, 0, buf, 1), -EINVAL);
	assert_int_equal(pci_bar_read(r->dev, 0, 1, buf, 15), 0);
	assert_int_equal(buf[7], 0x33); /* CBVER at 8 */
	assert_int_equal(pci_bar_access(r->dev, 0, 0, 1), BAR_TRAPPED);
	/* A holder of the memfd cannot shrink it. */
	assert_int_equal(ftruncate(r->dev->bars[0].memfd, 0), -1);
}

static void triggers(void **state)
{
	struct rig *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 v;

	pci_msix_raise(r->dev, 0); /* MSI-X is off: lost */
	pci_msix_set(r->dev, 0, dup(fd));
	assert_int_equal(read(fd, &v, 8), -1);
	assert_int_equal(cfg(r, 0x82, 2), 0x8000);
	pci_msix_raise(r->dev, 0);
	assert_int_equal(read(fd, &v, 8), 8);
	assert_true(pci_line_test(r->dev, &r->dev->msix[0]));
	assert_int_equal(read(fd, &v, 8), 8);
	assert_false(pci_line_test(r->dev, &r->dev->err));
	pci_line_set(r->dev, &r->dev->err, dup(fd));
	assert_true(pci_line_test(r->dev, &r->dev->err));
	assert_int_equal(read(fd, &v, 8), 8);
	pci_msix_disable(r->dev);
	assert_int_equal(cfg(r, 0x82, 2), 0);
	pci_msix_raise(r->dev, 0);
	assert_int_equal(read(fd, &v, 8), -1);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(header),  T(capabilities), T(bar_sizing), T(command),
		T(flr_bit), T(bar_bounds),   T(triggers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
