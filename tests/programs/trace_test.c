// SPDX-License-Identifier: MIT
/* The trace of a running daemon: the hops of one request are told apart from everybody else's. */
#include "prog.h"

#include <pthread.h>
#include <sys/syscall.h>

struct line {
	json_int_t request, tid;
	char hop[64];
};

static int listen_to_hops(void)
{
	static const char ask[] = "{\"op\":\"trace\",\"hops\":true}";
	int fd = control_socket();
	char text[256];

	assert_true(fd >= 0);
	assert_int_equal(send(fd, ask, sizeof(ask) - 1, 0), sizeof(ask) - 1);
	assert_true(recv(fd, text, sizeof(text), 0) > 0); /* it listens */
	return fd;
}

static struct line next_line(int fd)
{
	struct line l;
	char text[2048];
	ssize_t len = recv(fd, text, sizeof(text), 0);
	json_t *event = json_loadb(text, len > 0 ? (size_t)len : 0, 0, NULL);

	assert_non_null(event);
	l.request = json_integer_value(json_object_get(event, "request"));
	l.tid = json_integer_value(json_object_get(event, "tid"));
	snprintf(l.hop, sizeof(l.hop), "%s", json_string_value(json_object_get(event, "hop")));
	json_decref(event);
	return l;
}

/* The lines of one request of @tid, to its last one. Return: its number. */
static json_int_t whole_request(int fd, long tid, unsigned *nr)
{
	struct line l = next_line(fd);
	json_int_t request = l.request;

	for (*nr = 1; strcmp(l.hop, "uapi_dispatch"); (*nr)++)
		l = next_line(fd);
	assert_int_equal(l.request, request);
	assert_int_equal(l.tid, tid);
	return request;
}

static int map_and_unmap(int fd, u32 ioas)
{
	static _Alignas(4096) u8 page[4096];
	struct iommu_ioas_map map = {.size = sizeof(map),
				     .ioas_id = ioas,
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				     .user_va = (uintptr_t)page,
				     .length = sizeof(page)};
	struct iommu_ioas_unmap unmap = {.size = sizeof(unmap), .ioas_id = ioas,
					 .length = sizeof(page)};

	if (ioctl(fd, IOMMU_IOAS_MAP, &map))
		return -errno;
	unmap.iova = map.iova;
	return ioctl(fd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

struct other {
	int fd;
	u32 ioas;
	long tid;
};

static void *other_thread(void *arg)
{
	struct other *o = arg;

	o->tid = syscall(SYS_gettid);
	return map_and_unmap(o->fd, o->ioas) ? arg : NULL;
}

static void test_requests(void **state)
{
	int fd = dev_iommu(0), ioas = ioas_alloc(fd), trace;
	struct other o = {.fd = fd, .ioas = (u32)ioas};
	json_int_t map, unmap, others;
	long tid = syscall(SYS_gettid);
	pthread_t thread;
	unsigned nr;
	void *failed;

	assert_true(ioas > 0);
	trace = listen_to_hops();
	assert_int_equal(map_and_unmap(fd, (u32)ioas), 0);
	map = whole_request(trace, tid, &nr);
	assert_true(nr >= 2); /* ioas_map before it */
	unmap = whole_request(trace, tid, &nr);
	assert_true(map > 0);
	assert_int_not_equal(map, unmap);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &o), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	others = whole_request(trace, o.tid, &nr);
	assert_int_not_equal(others, map);
	assert_int_not_equal(others, unmap);
	close(trace);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
