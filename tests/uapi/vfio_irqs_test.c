/* SPDX-License-Identifier: MIT */
#include "vfio_rig.h"

#define MSIX   VFIO_PCI_MSIX_IRQ_INDEX
#define ERR    VFIO_PCI_ERR_IRQ_INDEX
#define REQ    VFIO_PCI_REQ_IRQ_INDEX
#define NONE   VFIO_IRQ_SET_DATA_NONE
#define BOOL   VFIO_IRQ_SET_DATA_BOOL
#define FD     VFIO_IRQ_SET_DATA_EVENTFD
#define TRIG   VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK   VFIO_IRQ_SET_ACTION_MASK
#define UNMASK VFIO_IRQ_SET_ACTION_UNMASK

struct set {
	struct vfio_irq_set h;
	s32 data[4];
};

static long set_raw(struct rig *r, u32 argsz, u32 flags, u32 index, u32 start, u32 count, s32 data)
{
	struct set s = {.h = {argsz, flags, index, start, count}, .data = {data}};

	return ioctl_of(r, VFIO_DEVICE_SET_IRQS, &s);
}

static long set(struct rig *r, u32 flags, u32 index, u32 count, s32 data)
{
	return set_raw(r, sizeof(struct set), flags, index, 0, count, data);
}

static u64 drain(int fd)
{
	u64 v = 0;

	return read(fd, &v, 8) == 8 ? v : 0;
}

static void header(void **state)
{
	struct rig *r = *state;

	rig_bind(r);
	assert_int_equal(ioctl_of(r, VFIO_DEVICE_SET_IRQS, r->hole), -EFAULT);
	assert_int_equal(set_raw(r, 19, NONE | TRIG, MSIX, 0, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG, 5, 0, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG, MSIX, 1, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG, MSIX, 0, 2, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG, MSIX, 0, UINT32_MAX, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG, MSIX, UINT32_MAX, 1, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | TRIG | 1 << 6, MSIX, 0, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, TRIG, MSIX, 0, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, NONE | BOOL | TRIG, MSIX, 0, 0, 0), -EINVAL);
	assert_int_equal(set_raw(r, 23, FD | TRIG, MSIX, 0, 1, 0), -EINVAL);
	assert_int_equal(set_raw(r, 20, BOOL | TRIG, MSIX, 0, 1, 0), -EINVAL);
	for (u32 index = 0; index < 2; index++) /* no INTx, no MSI */
		assert_int_equal(set_raw(r, 20, NONE | TRIG, index, 0, 0, 0), -EINVAL);
	assert_int_equal(set(r, NONE | MASK, MSIX, 1, 0), -ENOTTY);
	assert_int_equal(set(r, NONE | UNMASK, MSIX, 1, 0), -ENOTTY);
	assert_int_equal(set(r, NONE | MASK, ERR, 1, 0), -ENOTTY);
	assert_int_equal(set(r, NONE | MASK | TRIG, MSIX, 1, 0), -ENOTTY);
	assert_int_equal(set(r, NONE, MSIX, 1, 0), -ENOTTY);
}

static void msix(void **state)
{
	struct rig *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK);

	rig_bind(r);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 0, 0), -EINVAL); /* is off */
	assert_int_equal(set(r, NONE | TRIG, MSIX, 1, 0), -EINVAL);
	assert_int_equal(set(r, BOOL | TRIG, MSIX, 1, 1), -EINVAL);
	assert_int_equal(set(r, FD | TRIG, MSIX, 0, 0), -ERANGE);
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, fd), 0);
	pci_msix_raise(r->dev, 0);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 1, 0), 0);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(set(r, BOOL | TRIG, MSIX, 1, 0), 0);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(set(r, BOOL | TRIG, MSIX, 1, 1), 0);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, -1), 0);
	pci_msix_raise(r->dev, 0);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 1, 0), 0); /* nothing to signal is no error */
	/* What the device raised while nobody listened was pending in its table. */
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, fd), 0);
	assert_int_equal(drain(fd), 1);
	/* A bad descriptor takes the good one before it away. */
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, 987), -EBADF);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 1, 0), 0);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 0, 0), 0);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 0, 0), -EINVAL); /* off now */
	/* And leaves interrupts off where they were off. */
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, 987), -EBADF);
	assert_int_equal(set(r, NONE | TRIG, MSIX, 0, 0), -EINVAL);
	close(fd);
}

static void what_is_no_eventfd(void **state)
{
	struct rig *r = *state;
	int file = open("/dev/null", O_RDWR);

	rig_bind(r);
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, file), -EINVAL);
	assert_int_equal(set(r, FD | TRIG, MSIX, 1, IOMMUFD_FD), -EINVAL);
	assert_int_equal(set(r, FD | TRIG, ERR, 1, file), -EINVAL);
	close(file);
}

static void err_and_req(void **state)
{
	struct rig *r = *state;
	static const u32 indices[] = {ERR, REQ};

	rig_bind(r);
	for (unsigned i = 0; i < 2; i++) {
		u32 index = indices[i];
		int fd = eventfd(0, EFD_NONBLOCK);

		assert_int_equal(set(r, NONE | TRIG, index, 1, 0), -EINVAL); /* none is set */
		assert_int_equal(set(r, FD | TRIG, index, 0, 0), -EINVAL);
		assert_int_equal(set(r, BOOL | TRIG, index, 0, 0), -EINVAL);
		assert_int_equal(set(r, BOOL | TRIG, index, 1, 1), 0);
		assert_int_equal(set(r, FD | TRIG, index, 1, -2), -EINVAL);
		assert_int_equal(set(r, FD | TRIG, index, 1, 987), -EBADF);
		assert_int_equal(set(r, FD | TRIG, index, 1, fd), 0);
		assert_int_equal(set(r, NONE | TRIG, index, 1, 0), 0);
		assert_int_equal(set(r, BOOL | TRIG, index, 1, 1), 0);
		assert_int_equal(set(r, BOOL | TRIG, index, 1, 0), 0);
		assert_int_equal(drain(fd), 2);
		assert_int_equal(set(r, FD | TRIG, index, 1, -1), 0);
		assert_int_equal(set(r, NONE | TRIG, index, 1, 0), -EINVAL);
		assert_int_equal(set(r, FD | TRIG, index, 1, fd), 0);
		assert_int_equal(set(r, NONE | TRIG, index, 0, 0), 0); /* takes it away */
		assert_int_equal(set(r, NONE | TRIG, index, 0, 0), -EINVAL);
		close(fd);
	}
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* No descriptor leaks, whatever happens to a request, nor when the file is closed with triggers
 * set. */
static void no_descriptor_leaks(void **state)
{
	struct rig *r = *state;
	unsigned before = open_fds();
	int fd = eventfd(0, EFD_NONBLOCK);

	rig_bind(r);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(set(r, FD | TRIG, MSIX, 1, fd), 0);
		assert_int_equal(set(r, FD | MASK, MSIX, 1, fd), -ENOTTY);
		assert_int_equal(set(r, FD | TRIG, ERR, 1, fd), 0);
		assert_int_equal(set(r, FD | TRIG, REQ, 1, fd), 0);
	}
	assert_int_equal(open_fds(), before + 4);
	file_put(r->file);
	assert_int_equal(open_fds(), before + 1);
	close(fd);
	assert_int_equal(vfio_cdev_open(&r->ioasis, &r->c, 0, O_RDWR, &r->file), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(header), T(msix), T(what_is_no_eventfd), T(err_and_req), T(no_descriptor_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
