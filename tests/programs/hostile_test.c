/* SPDX-License-Identifier: MIT */
/* A client that speaks the channel by itself, and wrongly: it is answered, and nobody else notices.
 */
#include "prog.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <linux/futex.h>

#include "server/server.h"

struct raw {
	int sock;
	struct chan *ch;
};

/* Return: the welcome's rc. */
static int hello(struct raw *r, struct chan_hello h)
{
	struct chan_welcome w = {.rc = -1};
	char ctl[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&w, sizeof(w)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl,
			     .msg_controllen = sizeof(ctl)};
	int fd;

	r->ch = NULL;
	r->sock = control_socket();
	assert_true(r->sock >= 0);
	assert_int_equal(send(r->sock, &h, sizeof(h), 0), sizeof(h));
	assert_true(recvmsg(r->sock, &msg, 0) > 0);
	if (w.rc)
		return w.rc;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	assert_int_equal(ftruncate(fd, 0), -1); /* sealed */
	r->ch = mmap(NULL, CHAN_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(r->ch, MAP_FAILED);
	close(fd);
	return 0;
}

static struct chan_hello good_hello(void)
{
	return (struct chan_hello){.magic = CHAN_MAGIC,
				   .version = CHAN_VERSION,
				   .tid = (s32)syscall(SYS_gettid),
				   .cookie = 0x1234567};
}

static void hang_up(struct raw *r)
{
	if (r->ch)
		munmap(r->ch, CHAN_LEN);
	close(r->sock);
}

static void post(struct raw *r, struct chan_req req)
{
	r->ch->req = req;
	atomic_store(&r->ch->state, CHAN_REQUEST);
	syscall(SYS_futex, &r->ch->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static s64 ask(struct raw *r, struct chan_req req)
{
	post(r, req);
	while (atomic_load(&r->ch->state) != CHAN_REPLY)
		sched_yield();
	return r->ch->reply.rc;
}

static void assert_others_work(void)
{
	int fd = dev_iommu(0);

	assert_int_equal(ioas_alloc(fd), 1);
	close(fd);
	assert_int_equal(open_contexts(), 0);
}

static void test_bad_hello(void **state)
{
	struct chan_hello h = good_hello();
	struct raw r;

	h.version++;
	assert_int_equal(hello(&r, h), -EPROTO);
	hang_up(&r);
	h = good_hello();
	h.tid = 1; /* somebody else's thread */
	assert_int_equal(hello(&r, h), -ESRCH);
	hang_up(&r);
	for (size_t len = 1; len < 100; len += 7) {
		char junk[100];

		memset(junk, (int)len, sizeof(junk));
		r.sock = control_socket();
		assert_true(send(r.sock, junk, len, MSG_NOSIGNAL) >= 0);
		close(r.sock);
	}
	assert_others_work();
}

static void test_bad_control(void **state)
{
	static const char *const lines[] = {"{",
					    "{}",
					    "{\"op\":7}",
					    "{\"op\":\"no such\"}",
					    "{\"op\":\"walk\"}",
					    "{\"op\":\"walk\",\"rid\":-1,\"iova\":\"x\"}"};
	char answer[256];

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = control_socket();
		ssize_t n;

		assert_true(send(fd, lines[i], strlen(lines[i]), 0) > 0);
		n = recv(fd, answer, sizeof(answer) - 1, 0);
		assert_true(n > 0);
		answer[n] = 0;
		assert_non_null(strstr(answer, "\"error\""));
		close(fd);
	}
	assert_others_work();
}

static void test_bad_requests(void **state)
{
	int mine = dev_iommu(0);
	struct raw r;

	assert_int_equal(hello(&r, good_hello()), 0);
	assert_int_equal(ask(&r, (struct chan_req){.op = 999}), -EBADF);
	/* Handles of others, small and large. */
	for (u32 gen = 0; gen < 64; gen++)
		for (u32 idx = 0; idx < 4; idx++)
			assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_IOCTL,
								   .handle = gen << 20 | idx,
								   .cmd = 0x3b81}),
					 -EBADF);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_IOCTL, .handle = UINT32_MAX}),
			 -EBADF);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_OPEN}), -EINVAL);
	memset(r.ch->data, 'x', sizeof(r.ch->data)); /* a path without an end */
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_OPEN, .inline_len = UINT32_MAX}),
			 -EINVAL);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_OPEN, .inline_len = 10}), -ENOENT);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_STORE, .len = UINT64_MAX}), -EBADF);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_CLOSED, .handle = 77}), 0);
	hang_up(&r);
	assert_int_equal(ioas_alloc(mine), 1);
	close(mine);
	assert_others_work();
}

/* A descriptor is announced and does not come; the worker waits for it until the client goes. */
static void test_hang_up_inside(void **state)
{
	struct raw r;

	for (int i = 0; i < 20; i++) {
		assert_int_equal(hello(&r, good_hello()), 0);
		post(&r, (struct chan_req){.op = CHAN_IDENTIFY});
		hang_up(&r);
	}
	assert_int_equal(hello(&r, good_hello()), 0);
	assert_int_equal(send(r.sock, "no descriptor", 13, 0), 13);
	assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_IDENTIFY}), -EBADF);
	hang_up(&r);
	assert_others_work();
}

static int daemon_fds(void)
{
	char path[64];
	DIR *dir;
	int nr = 0;

	snprintf(path, sizeof(path), "/proc/%s/fd", getenv("IOASIS_PID"));
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static void send_fds(int sock, const int *fds, size_t nr)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} ctl = {0};
	struct iovec iov = {"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = CMSG_SPACE(nr * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

/* More descriptors than the one announced: none is taken, none stays. */
static void test_too_many_descriptors(void **state)
{
	const int fds[4] = {0, 0, 0, 0};
	struct raw r;
	int before;

	assert_int_equal(hello(&r, good_hello()), 0);
	before = daemon_fds();
	for (size_t nr = 2; nr <= 4; nr++) {
		for (int i = 0; i < 8; i++) {
			send_fds(r.sock, fds, nr);
			assert_int_equal(ask(&r, (struct chan_req){.op = CHAN_IDENTIFY}), -EBADF);
		}
	}
	assert_int_equal(daemon_fds(), before);
	hang_up(&r);
	assert_others_work();
}

/* Connections that say nothing: those that speak get their turn. */
static void test_silent_connections(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fds[300];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", getenv("IOASIS_DIR"));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(fds[i] >= 0);
		(void)!connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)); /* the queue may be full */
	}
	assert_others_work();
	assert_in_range(daemon_fds(), 0, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_others_work();
}

/* Processor time of the daemon so far, in ticks. */
static unsigned long daemon_ticks(void)
{
	unsigned long user = 0, system = 0;
	char path[64], text[1024] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", getenv("IOASIS_PID"));
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
	       &user, &system);
	return user + system;
}

/* No descriptor for a connection: the daemon waits for one without turning round. */
static void test_no_descriptors(void **state)
{
	pid_t daemon = atoi(getenv("IOASIS_PID"));
	struct rlimit before, now;
	unsigned long ticks;
	int fd;

	assert_int_equal(prlimit(daemon, RLIMIT_NOFILE, NULL, &before), 0);
	now = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(prlimit(daemon, RLIMIT_NOFILE, &now, NULL), 0);
	fd = control_socket();
	ticks = daemon_ticks();
	usleep(500000);
	ticks = daemon_ticks() - ticks;
	assert_int_equal(prlimit(daemon, RLIMIT_NOFILE, &before, NULL), 0);
	assert_true(fd >= 0);
	assert_in_range(ticks, 0, 10); /* of 50 */
	close(fd);
	assert_others_work();
}

/* The state word jumps about; requests change while they are served. */
static void test_wild_channel(void **state)
{
	u64 seed = 88172645463325252ull;
	struct raw r;

	assert_int_equal(hello(&r, good_hello()), 0);
	for (int i = 0; i < 20000; i++) {
		u64 x = rnd(&seed);

		r.ch->req.op = (u32)(x % 14) == CHAN_IDENTIFY || (u32)(x % 14) == CHAN_SHARED
				       ? CHAN_STAT
				       : (u32)(x % 14);
		r.ch->req.handle = (u32)(x >> 8);
		r.ch->req.inline_len = (u32)(x >> 16);
		atomic_store(&r.ch->state, (u32)(x >> 60) < 3 ? (u32)(x >> 32) : CHAN_REQUEST);
		if (!(i % 16))
			syscall(SYS_futex, &r.ch->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
	hang_up(&r);
	assert_others_work();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_hello),    cmocka_unit_test(test_bad_control),
		cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_hang_up_inside),
		cmocka_unit_test(test_too_many_descriptors),
		cmocka_unit_test(test_silent_connections), cmocka_unit_test(test_no_descriptors),
		 cmocka_unit_test(test_wild_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
