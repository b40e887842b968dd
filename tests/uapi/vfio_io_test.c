/* SPDX-License-Identifier: MIT */
#include "vfio_rig.h"

#define REGION(i) ((u64)(i) << 40)
#define CONFIG	  REGION(VFIO_PCI_CONFIG_REGION_INDEX)

static ssize_t rd(struct rig *r, void *buf, size_t len, u64 pos)
{
	return vfio_pread(r->file, &r->c, (u64)(uintptr_t)buf, len, pos);
}

static ssize_t wr(struct rig *r, const void *buf, size_t len, u64 pos)
{
	return vfio_pwrite(r->file, &r->c, (u64)(uintptr_t)buf, len, pos);
}

static void config(void **state)
{
	struct rig *r = *state;
	u8 all[4097];
	u16 command;

	rig_bind(r);
	assert_int_equal(rd(r, all, 4096, CONFIG), 4096);
	assert_int_equal(all[0] | all[1] << 8, 0x8086);
	assert_int_equal(all[4], 2); /* memory on, no bus master */
	assert_int_equal(rd(r, all, 4097, CONFIG), -EFAULT);
	assert_int_equal(rd(r, all, 1, CONFIG + 4096), -EFAULT);
	assert_int_equal(rd(r, all, 2, CONFIG + 4095), -EFAULT);
	assert_int_equal(rd(r, all, 0, CONFIG + 4096), 0);
	assert_int_equal(rd(r, r->hole, 4, CONFIG), -EFAULT);
	assert_int_equal(rd(r, r->hole - 4, 8, CONFIG), -EFAULT);
	assert_int_equal(wr(r, r->hole, 2, CONFIG + 4), -EFAULT);
	assert_int_equal(rd(r, all, 7, CONFIG + 1), 7); /* unaligned */
	assert_int_equal(all[0], 0x80);
	command = 6;
	assert_int_equal(wr(r, &command, 2, CONFIG + 4), 2);
	assert_true(r->dev->bus_master);
	command = 0;
	assert_int_equal(wr(r, &command, 1, CONFIG + 4), 1);
	assert_false(r->dev->bus_master);
}

static void bars(void **state)
{
	struct rig *r = *state;
	u8 buf[0x4100];
	u64 v = 0xabcdef0123456700;
	u16 command = 0;

	rig_bind(r);
	assert_int_equal(rd(r, buf, 1, 8), 1);
	assert_int_equal(buf[0], 0x33);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(rd(r, buf, sizeof(buf), 0x1ff8), 0x2008); /* shortened at the end */
	assert_int_equal(buf[7], 0);
	for (int i = 8; i < 8 + 16; i++)
		assert_int_equal(buf[i], 0xff); /* the table */
	assert_int_equal(buf[24], 0);
	assert_int_equal(buf[0x2008], 0x5a);
	assert_int_equal(rd(r, buf, 1, 0x4000), -EINVAL);
	assert_int_equal(rd(r, buf, 1, UINT32_MAX), -EINVAL);
	assert_int_equal(rd(r, buf, 1, (1ull << 40) - 1), -EINVAL);
	assert_int_equal(rd(r, buf, 1, REGION(1)), -EINVAL);
	assert_int_equal(rd(r, buf, 1, REGION(6)), -EINVAL);
	assert_int_equal(wr(r, buf, 1, REGION(6)), -EINVAL);
	assert_int_equal(rd(r, buf, 1, REGION(8)), -EINVAL);
	assert_int_equal(rd(r, buf, 1, REGION(9)), -EINVAL);
	assert_int_equal(rd(r, buf, 1, INT64_MAX), -EINVAL);
	assert_int_equal(wr(r, &v, 8, 0x98), 8);
	assert_int_equal(rd(r, buf, 8, 0x98), 8);
	assert_memory_equal(buf, &v, 8);
	assert_int_equal(wr(r, &v, 5, 0x99), 5);   /* unaligned */
	assert_int_equal(wr(r, &v, 8, 0x2000), 8); /* dropped */
	assert_int_equal(r->dev->bars[0].host[0x2001], 0);
	assert_int_equal(rd(r, r->hole, 1, 0), -EFAULT);
	assert_int_equal(wr(r, r->hole, 1, 0), -EFAULT);
	/* With memory off the registers are not there; the table still reads as ones. */
	assert_int_equal(wr(r, &command, 2, CONFIG + 4), 2);
	assert_int_equal(rd(r, buf, 8, 0), -EIO);
	assert_int_equal(wr(r, &v, 8, 0x98), -EIO);
	assert_int_equal(vfio_store_trap(r->file, 0x98, 0, 8), -EIO);
	assert_int_equal(rd(r, buf, 16, 0x2000), 16);
	assert_int_equal(buf[0], 0xff);
}

static void map(void **state)
{
	struct rig *r = *state;
	struct file_map m = {.len = 0x4000, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED};
	const _Atomic u64 *page;

	rig_bind(r);
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), 0);
	assert_int_equal(m.granted_prot, PROT_READ);
	assert_true(m.trapped);
	assert_int_equal(m.fd, r->dev->bars[0].memfd);
	page = mmap(NULL, 0x4000, m.granted_prot, MAP_SHARED, m.fd, (off_t)m.fd_offset);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(vfio_store_trap(r->file, 0x98, 0x1234500, 4), 0);
	assert_int_equal(page[0x98 / 8], 0x1234500); /* as soon as the store returned */
	assert_int_equal(vfio_store_trap(r->file, 0x84, 0x20, 1), 0);
	assert_int_equal(page[0x98 / 8], 0);
	munmap((void *)page, 0x4000);
	m.prot = PROT_READ;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), 0);
	assert_true(m.trapped); /* mprotect() may follow */
	m.offset = 0x1000;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EINVAL); /* past the end */
	m.len = 0x3000;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), 0);
	assert_int_equal(m.fd_offset, 0x1000);
	m.flags = MAP_PRIVATE;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EINVAL);
	m.flags = MAP_SHARED;
	for (u64 index = 1; index < 12; index++) {
		m.offset = REGION(index);
		assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EINVAL);
	}
	m.offset = UINT64_MAX & ~0xfffull;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EINVAL);
	m.offset = 0;
	m.len = UINT64_MAX & ~0xfffull;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EINVAL);
}

static void store_trap_checks(void **state)
{
	struct rig *r = *state;

	rig_bind(r);
	assert_int_equal(vfio_store_trap(r->file, 0x4000, 0, 1), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, 0x3ffc, 0, 8), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, 1ull << 33, 0, 1), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, REGION(1), 0, 1), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, CONFIG, 0, 1), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, 0, 0, 9), -EINVAL);
	assert_int_equal(vfio_store_trap(r->file, 0, 0, 0), -EINVAL);
}

/* The mode of open() counts as it does for any file. */
static void open_modes(void **state)
{
	struct rig *r = *state;
	struct file_map m = {.len = 0x1000, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED};
	u32 v = 0;

	rig_bind(r);
	to_vfio(r->file)->flags = O_RDONLY;
	assert_int_equal(wr(r, &v, 4, CONFIG), -EBADF);
	assert_int_equal(rd(r, &v, 4, CONFIG), 4);
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EACCES);
	m.prot = PROT_READ;
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), 0);
	to_vfio(r->file)->flags = O_WRONLY;
	assert_int_equal(rd(r, &v, 4, CONFIG), -EBADF);
	assert_int_equal(vfio_mmap(r->file, &r->c, &m), -EACCES);
}

/* Closing the file stops a device that is at work, and leaves it as after power-on. */
static void close_stops_dma(void **state)
{
	struct rig *r = *state;
	u16 command = 6, count = 65535;
	u64 ring = 0x10000;
	struct {
		u32 size, ctl;
		u64 src, dst, next, pad[4];
	} *d = (void *)(bus.mem + ring);

	rig_bind(r);
	*(__typeof__(*d) *)d = (__typeof__(*d)){1u << 20, 0, 0x100000, 0x200000, ring, {0}};
	assert_int_equal(wr(r, &command, 2, CONFIG + 4), 2);
	assert_int_equal(vfio_store_trap(r->file, 0x84, 0x20, 1), 0);
	assert_int_equal(vfio_store_trap(r->file, 0x90, ring, 8), 0);
	assert_int_equal(vfio_store_trap(r->file, 0x86, count, 2), 0);
	file_put(r->file);
	assert_false(r->dev->bus_master);
	assert_int_equal(*(u64 *)(r->dev->bars[0].host + 0x90), 0);
	assert_int_equal(vfio_cdev_open(&r->ioasis, &r->c, 0, O_RDWR, &r->file), 0);
	rig_bind(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(config), T(bars), T(map), T(store_trap_checks), T(open_modes), T(close_stops_dma),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
