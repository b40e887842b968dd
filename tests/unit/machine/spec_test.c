/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "unit.h"
#include "machine/spec.h"

/* A text is only read here, nothing is made: the drivers need not be linked. */
int iommu_vtd_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		  struct iommu **out)
{
	return -ENOSYS;
}

int iommu_mock_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		   struct iommu **out)
{
	return -ENOSYS;
}

static const struct device_model ioat = {.name = "ioat"};

const struct device_model *device_model_find(const char *name)
{
	return strcmp(name, "ioat") ? NULL : &ioat;
}

#define IOMMUS "\"iommus\": [{\"type\": \"vtd\", \"name\": \"dmar0\"}, " \
	       "{\"type\": \"mock\", \"name\": \"mock0\"}]"
#define DEV(rest) "{\"model\": \"ioat\", \"address\": \"0000:01:00.0\"" rest "}"

static void refused(const char *text, const char *because)
{
	struct machine_spec spec, before;
	char buf[200] = "";
	struct why why = {buf, sizeof(buf)}, deaf = {NULL, 0};

	memset(&spec, 0x5a, sizeof(spec));
	before = spec;
	assert_int_equal(spec_of_text(text, &why, &spec), -EINVAL);
	assert_memory_equal(&spec, &before, sizeof(spec));
	if (!strstr(buf, because))
		fail_msg("%s\nrefused with: %s\nexpected: %s", text, buf, because);
	assert_int_equal(spec_of_text(text, &deaf, &spec), -EINVAL);
}

static void bad_texts(void **unused)
{
	refused("{", "line 1");
	refused("{} x", "line 1");
	refused("[]", "object");
	refused("{}", "iommus");
	refused("{\"iommus\": {}}", "at least one");
	refused("{\"iommus\": []}", "at least one");
	refused("{" IOMMUS ", \"device\": []}", "device");
	refused("{" IOMMUS ", " IOMMUS "}", "duplicate");
	refused("{" IOMMUS ", \"test_ops\": 1}", "true or false");
	refused("{" IOMMUS ", \"devices\": {}}", "list");
	refused("{" IOMMUS ", \"name\": \"0123456789012345678901234567890123\"}", "too long");
	refused("{\"iommus\": [{\"type\": \"vtd\"}]}", "iommus[0]");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"a\", \"x\": 1}]}", "iommus[0]");
	refused("{\"iommus\": [{\"type\": \"ttd\", \"name\": \"a\"}]}", "of type \"ttd\"");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"../a\"}]}", "no name for");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"\"}]}", "no name for");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"a234567890123456\"}]}", "no name");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"a\"}, "
		"{\"type\": \"mock\", \"name\": \"a\"}]}", "two IOMMUs");
	refused("{\"iommus\": [{\"type\": \"vtd\", \"name\": \"a\"}, 7]}", "iommus[1]");
	refused("{" IOMMUS ", \"devices\": [7]}", "devices[0]");
	refused("{" IOMMUS ", \"devices\": [" DEV(", \"irq\": 1") "]}", "devices[0]");
	refused("{" IOMMUS ", \"devices\": [" DEV(", \"iommu\": \"x\"") "]}", "names no IOMMU");
	refused("{" IOMMUS ", \"devices\": [" DEV() ", " DEV() "]}", "two devices are at");
	refused("{" IOMMUS ", \"devices\": [{\"model\": \"nvme\", "
		"\"address\": \"0000:01:00.0\"}]}", "model \"nvme\"");
}

static void too_many(void **unused)
{
	char text[4096];
	int len, i;

	len = sprintf(text, "{\"iommus\": [");
	for (i = 0; i < 5; i++)
		len += sprintf(text + len, "%s{\"type\": \"vtd\", \"name\": \"d%d\"}", i ? "," : "", i);
	sprintf(text + len, "]}");
	refused(text, "more than 4");
}

static void addresses(void **unused)
{
	static const char *const bad[] = {
		"",		"0000:01:00",	 "1:00.0",	  "0001:01:00.0", "0000:01:00.8",
		"0000:01:20.0", "0000:0g:00.0",	 "0000:01:00.00", " 0000:01:00.0", "0000-01:00.0",
		"0000:01:00,0", "0000:0A:00.0",
	};
	char text[16];
	rid_t rid = RID(7);
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(rid_parse(bad[i], &rid), -EINVAL);
		assert_int_equal(rid.v, 7);
	}
	assert_int_equal(rid_parse("0000:ff:1f.7", &rid), 0);
	assert_int_equal(rid.v, 0xffff);
	assert_int_equal(rid_parse("0000:01:00.0", &rid), 0);
	assert_int_equal(rid.v, 0x100);
	assert_int_equal(rid_parse("0000:3a:02.1", &rid), 0);
	assert_int_equal(rid.v, 0x3a11);
	rid_text(rid, text, sizeof(text));
	assert_string_equal(text, "0000:3a:02.1");
}

static void good_text(void **unused)
{
	struct why why = {NULL, 0};
	struct machine_spec spec;

	assert_int_equal(spec_of_text(" \n{\"name\": \"pair\", \"test_ops\": true, " IOMMUS
				      ", \"devices\": [" DEV(", \"iommu\": \"mock0\"") ", "
				      "{\"model\": \"ioat\", \"address\": \"0000:02:00.0\"}]}",
				      &why, &spec), 0);
	assert_string_equal(spec.name, "pair");
	assert_true(spec.test_ops);
	assert_int_equal(spec.nr_iommus, 2);
	assert_string_equal(spec.iommus[1].name, "mock0");
	assert_string_equal(spec.iommus[1].type->name, "mock");
	assert_int_equal(spec.nr_devs, 2);
	assert_int_equal(spec.devs[0].iommu, 1);
	assert_int_equal(spec.devs[0].rid.v, 0x100);
	assert_int_equal(spec.devs[1].iommu, 0);
	assert_int_equal(spec.devs[1].rid.v, 0x200);
	assert_int_equal(spec_of_text("{" IOMMUS "}", &why, &spec), 0);
	assert_string_equal(spec.name, "custom");
	assert_false(spec.test_ops);
	assert_int_equal(spec.nr_devs, 0);
}

static void preset_contents(void **unused)
{
	char buf[200] = "";
	struct why why = {buf, sizeof(buf)};
	struct machine_spec spec;

	assert_string_equal(machine_preset_name(0), "intel");
	assert_string_equal(machine_preset_name(1), "mock");
	assert_null(machine_preset_name(2));
	assert_int_equal(spec_of_preset("intel", &why, &spec), 0);
	assert_string_equal(spec.name, "intel");
	assert_false(spec.test_ops);
	assert_int_equal(spec.nr_iommus, 1);
	assert_string_equal(spec.iommus[0].name, "dmar0");
	assert_string_equal(spec.iommus[0].type->name, "vtd");
	assert_int_equal(spec.nr_devs, 1);
	assert_string_equal(spec.devs[0].model->name, "ioat");
	assert_int_equal(spec.devs[0].rid.v, 0x100);
	assert_int_equal(spec_of_preset("mock", &why, &spec), 0);
	assert_true(spec.test_ops);
	assert_string_equal(spec.iommus[0].type->name, "mock");
	assert_int_equal(spec.devs[0].rid.v, 0x100);
	assert_int_equal(spec_of_preset("vax", &why, &spec), -EINVAL);
	assert_non_null(strstr(buf, "\"vax\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_texts), cmocka_unit_test(too_many),
		cmocka_unit_test(addresses), cmocka_unit_test(good_text),
		cmocka_unit_test(preset_contents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
