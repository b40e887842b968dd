/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "unit.h"
#include "machine/machine.h"

#define LEN    (4 * PAGE_SIZE)
#define IOVA_1 0x40000000ull

static struct ioasis *make(const char *machine, uint32_t flags)
{
	struct ioasis_args args = {.size = sizeof(args), .machine = machine, .flags = flags};
	struct ioasis *ioasis = NULL;

	assert_int_equal(ioasis_new(&args, &ioasis), 0);
	return ioasis;
}

static void bad_args(void **unused)
{
	struct ioasis_args args = {.size = sizeof(args), .machine = "intel"};
	struct ioasis *const untouched = (void *)16;
	struct ioasis *ioasis = untouched;
	char why[100];

	args.flags = 0x80;
	assert_int_equal(ioasis_new(&args, &ioasis), -EINVAL);
	args.flags = 0;
	args.size = 8;
	assert_int_equal(ioasis_new(&args, &ioasis), -EINVAL);
	args.size = sizeof(args);
	args.machine = NULL;
	assert_int_equal(ioasis_new(&args, &ioasis), -EINVAL);
	args.machine = "vax";
	assert_int_equal(ioasis_new(&args, &ioasis), -EINVAL);
	args.machine = "{\"iommus\": []}";
	assert_int_equal(ioasis_new(&args, &ioasis), -EINVAL);
	assert_int_equal(machine_new("vax", 0, why, sizeof(why), &ioasis), -EINVAL);
	assert_non_null(strstr(why, "vax"));
	assert_ptr_equal(ioasis, untouched);
	ioasis_free(NULL);
}

static void presets(void **unused)
{
	const char *name;
	unsigned i;

	for (i = 0; (name = machine_preset_name(i)); i++) {
		struct ioasis *ioasis = make(name, 0), *bare = make(name, IOASIS_NO_DEVICES);
		struct pci_dev *dev = machine_pci_dev(ioasis, "0000:01:00.0", 0);

		assert_string_equal(ioasis->machine, name);
		assert_int_equal(ioasis->test_ops, !strcmp(name, "mock"));
		assert_non_null(dev);
		assert_string_equal(dev->model->name, "ioat");
		assert_int_equal(dev->config[0] | dev->config[1] << 8, 0x8086);
		assert_ptr_equal(machine_pci_dev(ioasis, NULL, 0), dev);
		assert_null(machine_pci_dev(ioasis, NULL, 1));
		assert_null(machine_pci_dev(ioasis, "0000:02:00.0", 0));
		assert_null(machine_pci_dev(bare, NULL, 0));
		ioasis_free(bare);
		ioasis_free(ioasis);
	}
}

static void json_machine(void **unused)
{
	struct ioasis *ioasis = make(
		"{\"iommus\": [{\"type\": \"vtd\", \"name\": \"dmar0\"},"
		"{\"type\": \"mock\", \"name\": \"mock0\"}], \"devices\": ["
		"{\"model\": \"ioat\", \"address\": \"0000:01:00.0\", \"iommu\": \"mock0\"},"
		"{\"model\": \"ioat\", \"address\": \"0000:02:00.0\"}]}", 0);

	assert_string_equal(ioasis->machine, "custom");
	assert_false(ioasis->test_ops);
	assert_int_equal(ioasis->nr_iommus, 2);
	assert_string_equal(machine_pci_dev(ioasis, NULL, 0)->idev.iommu->name, "mock0");
	assert_string_equal(machine_pci_dev(ioasis, NULL, 1)->idev.iommu->name, "dmar0");
	ioasis_free(ioasis);
}

/* An allocation that fails anywhere in making a machine leaves nothing behind (ASan sees a leak). */
static void out_of_memory(void **unused)
{
	struct ioasis *ioasis = make("mock", IOASIS_NO_DEVICES);
	struct ioasis_dev *dev = (void *)16;
	u64 before = ioasis->env.nr_allocs;
	int n, rc;

	for (n = 1;; n++) {
		fault_arm(&ioasis->env.fault, n);
		rc = ioasis_dev_new(ioasis, 0x300, &dev);
		fault_arm(&ioasis->env.fault, 0);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_ptr_equal(dev, (void *)16);
		assert_int_equal(ioasis->env.nr_allocs, before);
	}
	assert_true(n > 1);
	ioasis_dev_free(dev);
	assert_int_equal(ioasis->env.nr_allocs, before);
	ioasis_free(ioasis);
}

/* A user's device behind the machine's IOMMU, with memory of this process at IOVA_1. */
struct bench {
	struct ioasis *ioasis;
	struct ioasis_dev *dev;
	struct ioasis_ctx *ctx;
	struct ioasis_ioas *ioas;
	u8 *mem;
};

static void bench_init(struct bench *b, const char *machine, u8 fill)
{
	struct ioasis_map_args args = {
		.size = sizeof(args),
		.flags = IOASIS_MAP_FIXED_IOVA,
		.perm = IOASIS_R | IOASIS_W,
		.len = LEN,
		.iova = IOVA_1,
	};
	uint64_t iova = 0;

	b->ioasis = make(machine, IOASIS_NO_DEVICES);
	b->mem = aligned_alloc(PAGE_SIZE, LEN);
	assert_non_null(b->mem);
	memset(b->mem, fill, LEN);
	assert_int_equal(ioasis_dev_new(b->ioasis, 0x200, &b->dev), 0);
	assert_int_equal(ioasis_ctx_new(b->ioasis, &b->ctx), 0);
	assert_int_equal(ioasis_ioas_new(b->ctx, &b->ioas), 0);
	assert_int_equal(ioasis_dev_bind(b->ctx, b->dev), 0);
	assert_int_equal(ioasis_dev_attach(b->dev, b->ioas), 0);
	args.host = b->mem;
	assert_int_equal(ioasis_ioas_map(b->ioas, &args, &iova), 0);
	assert_int_equal(iova, IOVA_1);
}

static void bench_fini(struct bench *b)
{
	ioasis_ctx_free(b->ctx);
	ioasis_dev_free(b->dev);
	ioasis_free(b->ioasis);
	free(b->mem);
}

/* The same requester id and the same IOVA in two instances: each reaches its own memory only. */
static void two_instances(void **unused)
{
	u8 got[64], ones[64], twos[64];
	struct bench a, b;
	uint64_t gone;

	memset(ones, 0x11, sizeof(ones));
	memset(twos, 0x22, sizeof(twos));
	bench_init(&a, "intel", 0x11);
	bench_init(&b, "mock", 0x22);
	assert_int_equal(ioasis_dma_read(a.dev, IOVA_1 + 100, got, sizeof(got)), 0);
	assert_memory_equal(got, ones, sizeof(got));
	assert_int_equal(ioasis_dma_read(b.dev, IOVA_1 + 100, got, sizeof(got)), 0);
	assert_memory_equal(got, twos, sizeof(got));
	assert_int_equal(ioasis_dma_write(a.dev, IOVA_1, twos, sizeof(twos)), 0);
	assert_memory_equal(a.mem, twos, sizeof(twos));

	assert_int_equal(ioasis_ioas_unmap(b.ioas, IOVA_1, LEN, &gone), 0);
	assert_int_equal(ioasis_dma_write(b.dev, IOVA_1, ones, sizeof(ones)), -EFAULT);
	assert_memory_equal(b.mem, twos, sizeof(twos));
	assert_int_equal(b.ioasis->log.next_seq, 2);
	assert_int_equal(a.ioasis->log.next_seq, 1);
	bench_fini(&b);
	assert_int_equal(ioasis_dma_read(a.dev, IOVA_1 + 100, got, sizeof(got)), 0);
	bench_fini(&a);
}

static void endpoints(void **unused)
{
	struct ioasis *ioasis = make("intel", 0);
	struct ioasis_dev *dev, *other = (void *)16;
	struct ioasis_ctx *ctx, *ctx2;
	struct ioasis_ioas *foreign;
	u8 byte = 0x33;

	assert_int_equal(ioasis_dev_new(ioasis, 0x100, &other), -EEXIST); /* the preset's ioat */
	assert_int_equal(ioasis_dev_new(ioasis, 0x108, &dev), 0);
	assert_int_equal(ioasis_dev_new(ioasis, 0x108, &other), -EEXIST);
	assert_ptr_equal(other, (void *)16);
	assert_int_equal(ioasis_dma_read(dev, 0, &byte, 1), -EFAULT); /* blocked from the start */
	assert_int_equal(byte, 0x33);
	assert_int_equal(ioasis_ctx_new(ioasis, &ctx), 0);
	assert_int_equal(ioasis_ctx_new(ioasis, &ctx2), 0);
	assert_int_equal(ioasis_ioas_new(ctx2, &foreign), 0);
	assert_int_equal(ioasis_dev_attach(dev, foreign), -EINVAL); /* not bound */
	assert_int_equal(ioasis_dev_bind(ctx, dev), 0);
	assert_int_equal(ioasis_dev_bind(ctx2, dev), -EBUSY);
	assert_int_equal(ioasis_dev_bind(ctx, dev), -EBUSY);
	assert_int_equal(ioasis_dev_attach(dev, foreign), -EINVAL); /* another context's */
	ioasis_dev_detach(dev);
	ioasis_dev_unbind(dev);
	ioasis_dev_unbind(dev);
	assert_int_equal(ioasis_dev_bind(ctx2, dev), 0);
	assert_int_equal(ioasis_dev_attach(dev, foreign), 0);
	ioasis_ctx_free(ctx2);
	ioasis_ctx_free(ctx);
	ioasis_ctx_free(NULL);
	ioasis_dev_free(dev);
	assert_int_equal(ioasis_dev_new(ioasis, 0x108, &dev), 0); /* freed by ioasis_free() */
	ioasis_free(ioasis);
}

static json_t *at(json_t *list, size_t i)
{
	json_t *entry = json_array_get(list, i);

	assert_non_null(entry);
	return entry;
}

static const char *text_of(json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	assert_non_null(text);
	return text;
}

static void describes(void **unused)
{
	json_t *tree, *list;
	struct bench b;
	u8 byte = 0;

	bench_init(&b, "intel", 0);
	assert_int_equal(ioasis_dma_read(b.dev, 0x1000, &byte, 1), -EFAULT);
	tree = machine_describe(b.ioasis);
	assert_non_null(tree);
	assert_string_equal(text_of(tree, "machine"), "intel");
	assert_string_equal(text_of(at(json_object_get(tree, "iommus"), 0), "name"), "dmar0");
	assert_string_equal(text_of(at(json_object_get(tree, "endpoints"), 0), "address"),
			    "0000:02:00.0");
	list = json_object_get(at(json_object_get(tree, "contexts"), 0), "objects");
	assert_int_equal(json_array_size(list), 3); /* IOAS, device, the HWPT made by attaching */
	assert_string_equal(text_of(at(list, 0), "type"), b.ioas->obj.ops->name);
	list = json_object_get(tree, "faults");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_of(at(list, 0), "iova"), "0x1000");
	json_decref(tree);
	bench_fini(&b);
}

static void walks(void **unused)
{
	json_t *walk;
	struct bench b;

	bench_init(&b, "intel", 0);
	walk = machine_walk(b.ioasis, RID(0x200), NO_PASID, IOVA(IOVA_1));
	assert_non_null(walk);
	assert_string_equal(text_of(walk, "iommu"), "dmar0");
	assert_null(json_object_get(walk, "error"));
	assert_true(json_object_size(walk) > 4); /* the model's own words */
	json_decref(walk);
	walk = machine_walk(b.ioasis, RID(0x201), NO_PASID, IOVA(IOVA_1));
	assert_non_null(json_object_get(walk, "error"));
	json_decref(walk);
	bench_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_args),	 cmocka_unit_test(presets),
		cmocka_unit_test(json_machine),	 cmocka_unit_test(out_of_memory),
		cmocka_unit_test(two_instances), cmocka_unit_test(endpoints),
		cmocka_unit_test(describes),	 cmocka_unit_test(walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
