/* SPDX-License-Identifier: MIT */
/* `ioasis run`, `show`, `walk` and `trace` as a person uses them. argv: ioasis, leak_prog,
 * static_prog. */
#include "prog.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *ioasis, *leak_prog, *static_prog;

struct ran {
	int rc;
	char out[65536], err[65536];
};

static void slurp(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, to + len, size - 1 - len)) > 0)
		len += (size_t)n;
	to[len] = 0;
}

static pid_t spawn(char *const *argv, int in, int out, int err)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	closefrom(3);
	execv(argv[0], argv);
	_exit(99);
}

/* Run it to its end. Outputs go through files: they may be longer than a pipe holds. */
static struct ran *run(const char *const *args)
{
	static struct ran r;
	char *argv[16] = {(char *)ioasis};
	FILE *out = tmpfile(), *err = tmpfile();
	int null = open("/dev/null", O_RDONLY);

	for (int i = 0; args[i]; i++)
		argv[i + 1] = (char *)args[i];
	r.rc = reap(spawn(argv, null, fileno(out), fileno(err)));
	lseek(fileno(out), 0, SEEK_SET);
	lseek(fileno(err), 0, SEEK_SET);
	slurp(fileno(out), r.out, sizeof(r.out));
	slurp(fileno(err), r.err, sizeof(r.err));
	fclose(out);
	fclose(err);
	close(null);
	return &r;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void test_exit_codes(void **state)
{
	assert_int_equal(RUN("run", "--", "/bin/sh", "-c", "exit 7")->rc, 7);
	assert_int_equal(RUN("run", "true")->rc, 0);
	assert_int_equal(RUN("run", "sh", "-c", "kill -9 $$")->rc, 128 + SIGKILL);
	assert_int_equal(RUN("run", "sh", "-c", "kill -TERM $$")->rc, 128 + SIGTERM);
	assert_int_equal(RUN("run", "no-such-program-anywhere")->rc, 127);
	assert_int_equal(RUN("run", "/etc/passwd")->rc, 126);
	assert_int_equal(RUN("run", "--machine", "no-such-machine", "true")->rc, 125);
	assert_non_null(strstr(RUN("run", "--machine", "no-such-machine", "true")->err, "no-such"));
	assert_int_equal(RUN("run")->rc, 2);
	assert_int_equal(RUN("run", "--nonsense", "true")->rc, 2);
	assert_int_equal(RUN("nonsense")->rc, 2);
	assert_int_equal(RUN("trace", "--request", "x")->rc, 2);
	assert_int_equal(RUN("trace", "--tid", "-1")->rc, 2);
	for (int i = 0; i < 4; i++) {
		static const char *const commands[] = {"run", "show", "walk", "trace"};
		struct ran *r = RUN(commands[i], "--help");

		assert_int_equal(r->rc, 0);
		assert_non_null(strstr(r->out, "usage: ioasis "));
	}
}

static void test_output_untouched(void **state)
{
	struct ran *r = RUN("run", "sh", "-c", "echo out; echo err >&2");

	assert_string_equal(r->out, "out\n");
	assert_string_equal(r->err, "err\n");
}

static void test_static_refused(void **state)
{
	struct ran *r = RUN("run", static_prog);

	assert_int_equal(r->rc, 126);
	assert_non_null(strstr(r->err, "statically linked"));
	assert_string_equal(r->out, "");
}

/* As many devices as a machine may have: its other nodes are there too. */
static void test_full_machine(void **state)
{
	char path[] = "/tmp/ioasis-full-XXXXXX.json";
	FILE *f = fdopen(mkstemps(path, 5), "w");

	assert_non_null(f);
	fprintf(f, "{\"iommus\":[{\"type\":\"vtd\",\"name\":\"a\"}],\"devices\":[");
	for (int i = 0; i < 64; i++)
		fprintf(f, "%s{\"model\":\"ioat\",\"address\":\"0000:%02x:00.0\"}", i ? "," : "",
			i + 1);
	fprintf(f, "]}");
	fclose(f);
	assert_int_equal(RUN("run", "--quiet", "--machine", path, "--", "/bin/sh", "-c",
			     "test -c /dev/iommu && test -c /dev/vfio/devices/vfio63 && "
			     ": <>/dev/iommu")
				 ->rc,
			 0);
	unlink(path);
}

/* The daemon does not answer when the program has ended: a signal ends the run. */
static void test_daemon_stopped(void **state)
{
	char *argv[] = {(char *)ioasis,
			(char *)"run",
			(char *)"/bin/sh",
			(char *)"-c",
			(char *)"kill -STOP $IOASIS_PID; echo; exit 3",
			NULL};
	int null = open("/dev/null", O_RDWR), status = 0, p[2];
	pid_t pid, got = 0;
	char byte;

	assert_int_equal(pipe(p), 0);
	pid = spawn(argv, null, p[1], null);
	close(null);
	close(p[1]);
	assert_int_equal(read(p[0], &byte, 1), 1);
	close(p[0]);
	for (int i = 0; i < 200 && !got; i++) { /* the first ones may be for the program */
		usleep(40000);
		kill(pid, SIGTERM);
		got = waitpid(pid, &status, WNOHANG);
	}
	if (!got)
		kill(pid, SIGKILL);
	assert_int_equal(got, pid);
	assert_true(WIFEXITED(status));
}

/* A script is followed to what runs it, and the dynamic linker may be that. */
static void test_interpreters(void **state)
{
	char script[] = "/tmp/ioasis-script-XXXXXX", line[4200];
	static const char *const linkers[] = {"/lib64/ld-linux-x86-64.so.2",
					      "/lib/ld-linux-aarch64.so.1"};
	int fd = mkstemp(script);
	struct ran *r;

	assert_true(write(fd, line, (size_t)snprintf(line, sizeof(line), "#! %s\n", static_prog)) >
		    0);
	fchmod(fd, 0755);
	close(fd);
	r = RUN("run", script);
	assert_int_equal(r->rc, 126);
	assert_non_null(strstr(r->err, "statically linked"));
	unlink(script);
	for (unsigned i = 0; i < ARRAY_SIZE(linkers); i++) {
		if (access(linkers[i], X_OK))
			continue;
		r = RUN("run", linkers[i], "/bin/sh", "-c", "exec test -c /dev/iommu");
		assert_int_equal(r->rc, 0);
	}
}

/* A file that is no machine is told where it is wrong; what it says is nobody's business. */
static void test_machine_files(void **state)
{
	char path[] = "/tmp/ioasis-machine-XXXXXX";
	int fd = mkstemp(path);
	struct ran *r;

	assert_int_equal(write(fd, "secret:x:0\n", 11), 11);
	r = RUN("run", "--machine", path, "true");
	assert_int_equal(r->rc, 125);
	assert_null(strstr(r->err, "secret"));
	assert_non_null(strstr(r->err, path));
	assert_non_null(strstr(r->err, "line 1"));
	assert_int_equal(pwrite(fd, "{\n\nsecret:x", 11, 0), 11);
	r = RUN("run", "--machine", path, "true");
	assert_null(strstr(r->err, "secret"));
	assert_non_null(strstr(r->err, "line 3"));
	/* Spaces after a machine that is right: too many to be read, so not cut either. */
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	r = RUN("run", "--machine", path, "true");
	assert_int_equal(r->rc, 125);
	assert_non_null(strstr(r->err, "longer than"));
	close(fd);
	unlink(path);
}

/* Which argument is bad, and what would be right. */
static void test_bad_arguments(void **state)
{
	static const struct {
		const char *args[6], *says;
	} bad[] = {
		{{"walk", "zz", "0"}, "RID 'zz': expected"},
		{{"walk", "0x10000", "0"}, "RID '0x10000': expected"},
		{{"walk", "01:00.0", "nonsense"}, "IOVA 'nonsense': expected"},
		{{"walk", "--", "01:00.0", "-1"}, "IOVA '-1': expected"},
		{{"walk", "01:00.0", "0xffffffffffffffffff"}, "IOVA '0xffffffffffffffffff'"},
		{{"walk", "--pasid", "0x100000", "01:00.0", "0"}, "--pasid '0x100000': expected"},
		{{"walk", "01:00.0"}, "expected 2 arguments, got 1"},
		{{"show", "a", "b"}, "at most 1"},
		{{"trace", "-n", "0"}, "-n '0': expected"},
		{{"trace", "-n", "some"}, "-n 'some': expected"},
		{{"run"}, "expected a PROGRAM"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ran *r = run(bad[i].args);

		assert_int_equal(r->rc, 2);
		assert_non_null(strstr(r->err, bad[i].says));
	}
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
	assert_int_equal(chmod(to, mode), 0);
}

static void test_setuid_refused(void **state)
{
	char path[] = "/tmp/ioasis-setuid-XXXXXX", script[] = "/tmp/ioasis-script-XXXXXX";
	char line[64];
	struct ran *r;
	int fd;

	close(mkstemp(path));
	copy_file(leak_prog, path, 04755);
	r = RUN("run", path);
	assert_int_equal(r->rc, 126);
	assert_non_null(strstr(r->err, "set-uid"));
	/* Also behind a script's first line. */
	fd = mkstemp(script);
	assert_true(write(fd, line, (size_t)snprintf(line, sizeof(line), "#!%s\n", path)) > 0);
	fchmod(fd, 0755);
	close(fd);
	assert_int_equal(RUN("run", script)->rc, 126);
	unlink(path);
	unlink(script);
}

static void test_leaks(void **state)
{
	struct ran *r = RUN("run", "--machine", "mock", leak_prog);

	assert_int_equal(r->rc, 0);
	assert_non_null(strstr(r->err, "2 ioas made by IOMMU_IOAS_ALLOC: ids 1, 2"));
	r = RUN("run", "--machine", "mock", leak_prog, "killed");
	assert_int_equal(r->rc, 128 + SIGKILL);
	assert_non_null(strstr(r->err, "2 ioas made by IOMMU_IOAS_ALLOC: ids 1, 2"));
	r = RUN("run", "--machine", "mock", leak_prog, "tidy");
	assert_int_equal(r->rc, 0);
	assert_string_equal(r->err, "");
	r = RUN("run", "--machine", "mock", leak_prog, "close");
	assert_int_equal(r->rc, 0);
	assert_string_equal(r->err, "");
	assert_string_equal(RUN("run", "--quiet", leak_prog)->err, "");
}

static void test_report_json(void **state)
{
	struct ran *r = RUN("run", "--json", leak_prog);
	json_t *report = json_loads(r->err, 0, NULL);
	json_t *closed = json_object_get(report, "closed");
	json_t *objects = json_object_get(json_array_get(closed, 0), "objects");

	assert_int_equal(json_array_size(closed), 1);
	assert_int_equal(json_array_size(objects), 2);
	json_decref(report);
}

/* An instance that runs until its standard input ends. */
struct running {
	pid_t pid;
	int in;
	char name[32];
};

static void start(struct running *i, const char *machine)
{
	char *argv[] = {(char *)ioasis,	   (char *)"run",
			(char *)"--quiet", (char *)"--machine",
			(char *)machine,   (char *)"--name",
			i->name,	   (char *)leak_prog,
			(char *)"wait",	   NULL};
	int in[2], out[2];
	char ready[6];

	snprintf(i->name, sizeof(i->name), "test-%d-%s", (int)getpid(), machine);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	i->pid = spawn(argv, in[0], out[1], 2);
	i->in = in[1];
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], ready, 6), 6);
	close(out[0]);
}

static void stop(struct running *i)
{
	close(i->in);
	assert_int_equal(reap(i->pid), 0);
}

static void test_show(void **state)
{
	struct running i;
	struct ran *r;
	json_t *tree;

	start(&i, "mock");
	r = RUN("show", i.name);
	assert_int_equal(r->rc, 0);
	assert_non_null(strstr(r->out, "machine mock"));
	assert_non_null(strstr(r->out, "ioas 1"));
	tree = json_loads(RUN("show", "--json", i.name)->out, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(tree, "contexts")), 1);
	assert_int_equal(json_array_size(json_object_get(tree, "clients")), 1);
	json_decref(tree);
	assert_non_null(strstr(RUN("show", "--list")->out, i.name));
	assert_int_equal(RUN("run", "--name", i.name, "true")->rc, 125); /* taken */
	stop(&i);
	assert_int_equal(RUN("show", i.name)->rc, 1);
	assert_null(strstr(RUN("show", "--list")->out, i.name));
}

static void test_walk(void **state)
{
	struct running i;
	struct ran *r;
	json_t *walk;

	start(&i, "intel");
	walk = json_loads(RUN("walk", "--json", "--name", i.name, "01:00.0", "0x1000")->out, 0,
			  NULL);
	assert_string_equal(json_string_value(json_object_get(walk, "iova")), "0x1000");
	json_decref(walk);
	r = RUN("walk", "--name", i.name, "0000:01:00.0", "0x1000");
	assert_int_equal(r->rc, 0);
	assert_non_null(strstr(r->out, "dmar"));
	r = RUN("walk", "--name", i.name, "01:00.0", "0xfee00000");
	assert_non_null(strstr(r->out, "refused: blocked"));
	assert_int_equal(RUN("walk", "--name", i.name, "1f:00.0", "0")->rc, 1);
	assert_int_equal(RUN("walk", "--name", i.name, "nonsense", "0")->rc, 2);
	assert_int_equal(RUN("walk", "--name", i.name, "01:00.0", "12monkeys")->rc, 2);
	stop(&i);
}

/* The socket and everything beside it are gone when `ioasis run` is, and so is the daemon. */
static void test_nothing_left(void **state)
{
	struct ran *r = RUN("run", "sh", "-c", "echo $IOASIS_DIR $IOASIS_PID");
	char dir[4096];
	struct stat st;
	int pid;

	assert_int_equal(sscanf(r->out, "%4095s %d", dir, &pid), 2);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(kill(pid, 0), -1);
}

/* A process that is not our child has ended, whether or not anybody reaped it. */
static void wait_gone(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	while (poll(&p, 1, -1) != 1)
		;
	close(pidfd);
}

/* `ioasis run` itself is killed: the daemon follows and cleans up. */
static void test_run_killed(void **state)
{
	struct running i;
	json_t *tree;
	pid_t daemon;
	int pidfd;

	start(&i, "mock");
	tree = json_loads(RUN("show", "--json", i.name)->out, 0, NULL);
	daemon = (pid_t)json_integer_value(json_object_get(tree, "pid"));
	json_decref(tree);
	assert_true(daemon > 1);
	pidfd = (int)syscall(SYS_pidfd_open, daemon, 0);
	assert_true(pidfd >= 0);
	kill(i.pid, SIGKILL);
	reap(i.pid);
	wait_gone(pidfd);
	assert_int_equal(RUN("show", i.name)->rc, 1);
	assert_int_equal(RUN("run", "--name", i.name, "true")->rc, 0); /* the name is free again */
	close(i.in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_codes),     cmocka_unit_test(test_output_untouched),
		cmocka_unit_test(test_static_refused), cmocka_unit_test(test_full_machine),
		cmocka_unit_test(test_daemon_stopped), cmocka_unit_test(test_setuid_refused),
		cmocka_unit_test(test_interpreters),   cmocka_unit_test(test_machine_files),
		cmocka_unit_test(test_bad_arguments),  cmocka_unit_test(test_leaks),
		cmocka_unit_test(test_report_json),    cmocka_unit_test(test_show),
		cmocka_unit_test(test_walk),	       cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_run_killed),
	};

	if (argc != 4)
		return 2;
	ioasis = argv[1];
	leak_prog = argv[2];
	static_prog = argv[3];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
