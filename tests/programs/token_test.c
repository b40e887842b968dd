/* SPDX-License-Identifier: MIT */
/*
 * An open /dev/iommu is a file like any other: it lives through dup, fork, exec and SCM_RIGHTS, and
 * its context goes with the last descriptor, before close() returns.
 */
#include "prog.h"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

extern char **environ;
static const char *self;

static void test_open_close(void **state)
{
	int fd = dev_iommu(0);

	assert_true(fd >= 0);
	assert_int_equal(open_contexts(), 1);
	assert_int_equal(ioas_alloc(fd), 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(open_contexts(), 0);
	assert_int_equal(ioas_alloc(fd), -EBADF);
}

static void test_lowest_number(void **state)
{
	int a = open("/dev/null", O_RDONLY), b;

	close(a);
	b = dev_iommu(0);
	assert_int_equal(a, b);
	assert_int_equal(fcntl(b, F_GETFD), 0);
	close(b);
	b = dev_iommu(O_CLOEXEC);
	assert_int_equal(fcntl(b, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(b, F_GETFL) & O_ACCMODE, O_RDWR);
	close(b);
}

/* What open() was asked for belongs to the open file: every descriptor of it says so. */
static void test_open_flags(void **state)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};

	for (int i = 0; i < 3; i++) {
		int fd = open("/dev/iommu", modes[i] | O_NONBLOCK), copy = dup(fd);

		assert_int_equal(fcntl(copy, F_GETFL) & (O_ACCMODE | O_NONBLOCK),
				 modes[i] | O_NONBLOCK);
		assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
		assert_int_equal(fcntl(copy, F_GETFL) & (O_ACCMODE | O_NONBLOCK), modes[i]);
		close(fd);
		close(copy);
	}
}

static void test_dup(void **state)
{
	int fd = dev_iommu(0), d[4];
	int id = ioas_alloc(fd);

	d[0] = dup(fd);
	d[1] = dup2(fd, 100);
	d[2] = dup3(fd, 101, O_CLOEXEC);
	d[3] = fcntl(fd, F_DUPFD_CLOEXEC, 102);
	close(fd);
	for (int i = 0; i < 4; i++) {
		assert_true(d[i] >= 0);
		assert_int_equal(ioas_alloc(d[i]), id + 1 + i);
		assert_int_equal(open_contexts(), 1);
		close(d[i]);
	}
	assert_int_equal(open_contexts(), 0);
}

static void test_dup_over(void **state)
{
	int a = dev_iommu(0), b = dev_iommu(0);

	assert_int_equal(ioas_alloc(a), 1);
	assert_int_equal(dup2(a, b), b); /* closes the other context */
	assert_int_equal(open_contexts(), 1);
	assert_int_equal(ioas_alloc(b), 2);
	assert_int_equal(dup2(0, b), b);
	assert_int_equal(ioas_alloc(b), -ENOTTY);
	close(b);
	close(a);
	assert_int_equal(open_contexts(), 0);
}

static void test_foreign_number(void **state)
{
	int fd = dev_iommu(0), p[2];

	/* The number of a closed file of ours is somebody else's now. */
	close(fd);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(p[0], fd);
	assert_int_equal(ioas_alloc(fd), -ENOTTY);
	assert_int_equal(write(p[1], "x", 1), 1);
	close(p[0]);
	close(p[1]);
}

static void test_fork(void **state)
{
	int fd = dev_iommu(0);
	int id = ioas_alloc(fd);
	int idle[2];
	char byte;
	pid_t pid = fork();

	if (!pid) {
		bool ok = ioas_alloc(fd) == id + 1 && open_contexts() == 1;

		close(fd);
		_exit(ok && open_contexts() == 1 ? 0 : 1);
	}
	assert_int_equal(reap(pid), 0);
	assert_int_equal(ioas_alloc(fd), id + 2);
	assert_int_equal(pipe(idle), 0);
	pid = fork();
	if (!pid) {
		ioas_alloc(fd);
		(void)!write(idle[1], "", 1);
		pause();
	}
	/* A call in flight when its process is killed holds the context until the daemon has seen it. */
	assert_int_equal(read(idle[0], &byte, 1), 1);
	close(idle[0]);
	close(idle[1]);
	close(fd);
	assert_int_equal(open_contexts(), 1); /* the child's */
	kill(pid, SIGKILL);
	assert_int_equal(reap(pid), 128 + SIGKILL);
	fd = dev_iommu(0); /* an open looks for hang-ups first */
	assert_int_equal(open_contexts(), 1);
	close(fd);
}

/* A fork that no library hears of. */
static void test_raw_fork(void **state)
{
	int fd = dev_iommu(0);
	int id = ioas_alloc(fd);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		syscall(SYS_exit_group, ioas_alloc(fd) == id + 1 ? 0 : 1);
	assert_int_equal(reap(pid), 0);
	assert_int_equal(ioas_alloc(fd), id + 2);
	close(fd);
}

static void test_vfork(void **state)
{
	int fd = dev_iommu(0);
	int id = ioas_alloc(fd);
	pid_t pid = vfork();

	if (!pid) {
		close(fd); /* the child's own descriptor table */
		_exit(0);
	}
	assert_int_equal(reap(pid), 0);
	assert_int_equal(ioas_alloc(fd), id + 1);
	close(fd);
	assert_int_equal(open_contexts(), 0);
}

static int spawn_use(int fd, const char *expected)
{
	char number[16];
	char *args[] = {(char *)self, (char *)"use", number, (char *)expected, NULL};
	pid_t pid;

	snprintf(number, sizeof(number), "%d", fd);
	if (posix_spawn(&pid, self, NULL, NULL, args, environ))
		return -1;
	return reap(pid);
}

static void test_exec(void **state)
{
	int fd = dev_iommu(0), fd_cloexec = dev_iommu(O_CLOEXEC);

	assert_int_equal(ioas_alloc(fd), 1);
	assert_int_equal(spawn_use(fd, "2"), 0);
	assert_int_equal(ioas_alloc(fd), 3);
	assert_int_equal(spawn_use(fd_cloexec, "-9"), 0); /* -EBADF */
	close(fd);
	close(fd_cloexec);
	assert_int_equal(open_contexts(), 0);
}

static void send_fd(int sock, int fd)
{
	char ctl[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl,
			     .msg_controllen = sizeof(ctl)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static int recv_fd(int sock)
{
	char ctl[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl,
			     .msg_controllen = sizeof(ctl)};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

static void test_scm_rights(void **state)
{
	int sv[2], fd, got;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	pid = fork();
	if (!pid) {
		got = recv_fd(sv[1]);
		_exit(got >= 0 && ioas_alloc(got) == 2 ? 0 : 1);
	}
	fd = dev_iommu(0);
	assert_int_equal(ioas_alloc(fd), 1);
	send_fd(sv[0], fd);
	assert_int_equal(reap(pid), 0);
	/* In flight it is open still. */
	send_fd(sv[0], fd);
	close(fd);
	assert_int_equal(open_contexts(), 1);
	got = recv_fd(sv[1]);
	assert_int_equal(ioas_alloc(got), 3);
	close(got);
	assert_int_equal(open_contexts(), 0);
	close(sv[0]);
	close(sv[1]);
}

static void test_close_range(void **state)
{
	int fd = dev_iommu(0), again;

	assert_int_equal(ioas_alloc(fd), 1);
	assert_int_equal(close_range(3, ~0u, 0), 0);
	assert_int_equal(open_contexts(), 0);
	again = dev_iommu(0); /* the way to the daemon was not closed with the rest */
	assert_int_equal(again, 3);
	assert_int_equal(ioas_alloc(again), 1);
	closefrom(3);
	assert_int_equal(open_contexts(), 0);
}

static void test_stdio(void **state)
{
	FILE *f = fopen("/dev/iommu", "r+");

	assert_non_null(f);
	assert_int_equal(ioas_alloc(fileno(f)), 1);
	fclose(f);
	assert_int_equal(open_contexts(), 0);
}

static void test_fstat(void **state)
{
	int fd = dev_iommu(0);
	struct stat by_fd, by_path;
	char link[64], target[64] = "";

	assert_int_equal(fstat(fd, &by_fd), 0);
	assert_int_equal(stat("/dev/iommu", &by_path), 0);
	assert_true(S_ISCHR(by_fd.st_mode) && S_ISCHR(by_path.st_mode));
	assert_int_equal(by_fd.st_rdev, by_path.st_rdev);
	assert_int_equal(major(by_fd.st_rdev), 10);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/dev/iommu");
	close(fd);
}

/* Run again by posix_spawn(): "use FD EXPECTED". */
static int use(char **argv)
{
	return ioas_alloc(atoi(argv[2])) == atoi(argv[3]) ? 0 : 1;
}

/* A number that was foreign becomes ours behind the shim's back, as recvmsg() and closedir() do it. */
static void test_number_reused_unseen(void **state)
{
	int fd = dev_iommu(0), number = open("/dev/null", O_RDONLY);

	assert_true(fcntl(number, F_GETFL) >= 0);
	assert_int_equal(syscall(SYS_dup2, fd, number), number);
	assert_int_equal(ioas_alloc(number), 1);
	close(number);
	close(fd);
	assert_int_equal(open_contexts(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_close), cmocka_unit_test(test_lowest_number),
		cmocka_unit_test(test_open_flags), cmocka_unit_test(test_dup),
		cmocka_unit_test(test_dup_over),   cmocka_unit_test(test_foreign_number),
		cmocka_unit_test(test_fork),	   cmocka_unit_test(test_raw_fork),
		cmocka_unit_test(test_vfork),	   cmocka_unit_test(test_exec),
		cmocka_unit_test(test_scm_rights), cmocka_unit_test(test_close_range),
		cmocka_unit_test(test_stdio),	   cmocka_unit_test(test_fstat), cmocka_unit_test(test_number_reused_unseen),
	};

	self = argv[0];
	if (argc == 4 && !strcmp(argv[1], "use"))
		return use(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
