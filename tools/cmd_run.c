/* SPDX-License-Identifier: MIT */
/*
 * ioasis run: start a daemon, run the program with the shim, outlive both.
 */
#include "tool.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"
#include "report.h"

#define START_PATIENCE_MS  60000
#define DAEMON_PATIENCE_MS 10000

struct run {
	const char *machine;
	const char *name;
	bool faults, json, quiet;
	char **argv; /* the program's */
	char path[PATH_MAX];
	char dir[PATH_MAX];
	char daemon_path[PATH_MAX], shim_path[PATH_MAX];
	pid_t daemon, program;
	int daemon_fd; /* pidfd; -1: gone */
	int signal_fd;
	sigset_t old_mask;
	struct keeper keeper;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: ioasis run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
		    "Run PROGRAM on a machine with IOMMUs and devices behind them: it sees "
		    "/dev/iommu,\n"
		    "/dev/vfio and their sysfs, and nothing else changes. Exits as PROGRAM does.\n"
		    "  --machine NAME|FILE  intel (default), mock, or a machine in JSON\n"
		    "  --name NAME          what `ioasis show` calls it (default: PROGRAM-PID)\n"
		    "  --faults             print the DMA faults at the end\n"
		    "  --json               print the report at the end as JSON\n"
		    "  --quiet              print no report\n"
		    "What PROGRAM left behind is reported on stderr when it ends.\n"
		    "Exit codes of its own: 125 no machine, 126 PROGRAM refused, 127 not found.\n");
}

static int parse(int argc, char **argv, struct run *r)
{
	static const struct option longs[] = {
		{"machine", required_argument, NULL, 'm'},
		{"name", required_argument, NULL, 'n'},
		{"faults", no_argument, NULL, 'f'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "+hm:n:q", longs, NULL)) != -1) {
		switch (opt) {
		case 'm':
			r->machine = optarg;
			break;
		case 'n':
			r->name = optarg;
			break;
		case 'f':
			r->faults = true;
			break;
		case 'j':
			r->json = true;
			break;
		case 'q':
			r->quiet = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	r->argv = argv + optind;
	if (*r->argv)
		return 0;
	complain("expected a PROGRAM to run");
	return -EINVAL;
}

/* A file of ours: beside this binary, in the build tree, or installed; or what @env says. */
static bool find_part(const char *env, const char *const *places, char *out)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *told = getenv(env);

	if (told)
		return snprintf(out, PATH_MAX, "%s", told) < PATH_MAX && !access(out, R_OK);
	if (len <= 0)
		return false;
	self[len] = 0;
	*strrchr(self, '/') = 0;
	for (; *places; places++) {
		char path[2 * PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", self, *places);
		if (realpath(path, out) && !access(out, R_OK))
			return true;
	}
	return false;
}

static int find_parts(struct run *r)
{
	static const char *const daemons[] = {"ioasisd", "../src/server/ioasisd",
					      "../libexec/ioasis/ioasisd", NULL};
	static const char *const shims[] = {"libioasis-shim.so", "../src/shim/libioasis-shim.so",
					    "../" IOASIS_LIBDIR "/ioasis/libioasis-shim.so", NULL};

	if (!find_part("IOASIS_DAEMON", daemons, r->daemon_path)) {
		complain("ioasisd is not where it belongs; IOASIS_DAEMON names another place");
		return EXIT_NO_DAEMON;
	}
	if (!find_part("IOASIS_SHIM", shims, r->shim_path)) {
		complain("libioasis-shim.so is not where it belongs; IOASIS_SHIM names another "
			 "place");
		return EXIT_NO_DAEMON;
	}
	return 0;
}

static int make_dir(struct run *r)
{
	char name[NAME_LEN + 1], dir[PATH_MAX];
	const char *base = strrchr(r->path, '/');
	int rc;

	snprintf(name, sizeof(name), "%.24s-%d", base ? base + 1 : r->path, (int)getpid());
	rc = instance_make(r->name ? r->name : name, dir, sizeof(dir));
	if (rc == -EEXIST)
		complain("an instance '%s' exists already", r->name ? r->name : name);
	else if (rc == -EINVAL)
		complain("'%s' is no name: at most %u bytes without '/'", r->name, NAME_LEN);
	else if (rc)
		complain("cannot make the instance's directory: %s", strerror(-rc));
	if (rc)
		return EXIT_NO_DAEMON;
	/* Canonical: the shim compares it with what the kernel says. */
	if (!realpath(dir, r->dir))
		return EXIT_NO_DAEMON;
	return 0;
}

static int catch_signals(struct run *r)
{
	static const int forwarded[] = {SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, &r->old_mask);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

static void exec_daemon(struct run *r, int keep)
{
	char fd[16];

	setsid(); /* an interrupt from the terminal is for the program */
	sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
	fcntl(keep, F_SETFD, 0);
	snprintf(fd, sizeof(fd), "%d", keep);
	unsetenv("LD_PRELOAD");
	execl(r->daemon_path, r->daemon_path, "--machine", r->machine, "--dir", r->dir, "--keep",
	      fd, NULL);
	_exit(127);
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* A signal that asks us to end. */
static bool told_to_end(struct run *r)
{
	struct signalfd_siginfo info;
	bool told = false;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
		told |= info.ssi_signo != SIGCHLD;
	return told;
}

/*
 * Take what the daemon sends until @done, its end, a signal to us, or @deadline.
 * Return: 0; -ESRCH it ended; -EINTR a signal; -ETIMEDOUT.
 */
static int hear_daemon(struct run *r, const bool *done, u64 deadline)
{
	while (!*done) {
		struct pollfd p[3] = {{.fd = r->signal_fd, .events = POLLIN},
				      {.fd = r->daemon_fd, .events = POLLIN},
				      {.fd = r->keeper.sock, .events = POLLIN}};
		u64 now = now_ms();
		int n = poll(p, 3, now < deadline ? (int)(deadline - now) : 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		while (p[2].revents && !keeper_receive(&r->keeper) && !*done)
			;
		if (*done)
			break;
		if (p[1].revents)
			return -ESRCH;
		if (p[0].revents && told_to_end(r))
			return -EINTR;
	}
	return 0;
}

static int start_daemon(struct run *r)
{
	int sv[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return EXIT_NO_DAEMON;
	r->daemon = fork();
	if (!r->daemon)
		exec_daemon(r, sv[1]);
	close(sv[1]);
	r->keeper.sock = sv[0];
	if (r->daemon < 0)
		return EXIT_NO_DAEMON;
	r->daemon_fd = (int)syscall(SYS_pidfd_open, r->daemon, 0);
	rc = hear_daemon(r, &r->keeper.ready, now_ms() + START_PATIENCE_MS);
	if (!rc && !r->keeper.ready_rc)
		return 0;
	if (rc)
		kill(r->daemon, SIGKILL);
	if (rc == -EINTR)
		return EXIT_NO_DAEMON;
	complain("machine '%s': %s", r->machine,
		 !rc		    ? r->keeper.ready_text
		 : rc == -ETIMEDOUT ? "the daemon does not answer"
				    : "the daemon ended before it was ready");
	return EXIT_NO_DAEMON;
}

static void set_environment(const struct run *r)
{
	const char *before = getenv("LD_PRELOAD");
	char preload[2 * PATH_MAX], pid[16];

	snprintf(preload, sizeof(preload), "%s%s%s", r->shim_path, before && *before ? ":" : "",
		 before ? before : "");
	snprintf(pid, sizeof(pid), "%d", (int)r->daemon);
	setenv("LD_PRELOAD", preload, 1);
	setenv(CHAN_ENV_DIR, r->dir, 1);
	setenv(CHAN_ENV_PID, pid, 1);
}

static void exec_program(struct run *r)
{
	int err;

	sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
	set_environment(r);
	execv(r->path, r->argv);
	err = errno;
	complain("%s: %s", r->path, strerror(err));
	_exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED);
}

static void raise_nofile(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static void daemon_is_gone(struct run *r)
{
	int status;

	keeper_daemon_died(&r->keeper);
	waitpid(r->daemon, &status, 0);
	close(r->daemon_fd);
	r->daemon_fd = -1;
	complain("the daemon died (%s %d): the program's calls answer ENODEV from now on",
		 WIFSIGNALED(status) ? "signal" : "exit code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Return: true when the program ended. */
static bool take_signal(struct run *r, int *status)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		/* The terminal sends its signals to the program too; what kill sends to us is for
		 * it. */
		if (info.ssi_signo != SIGCHLD && info.ssi_code <= 0)
			kill(r->program, (int)info.ssi_signo);
	}
	return waitpid(r->program, status, WNOHANG) == r->program;
}

static int watch_program(struct run *r)
{
	int status = 0;

	for (;;) {
		struct pollfd p[3] = {{.fd = r->signal_fd, .events = POLLIN},
				      {.fd = r->daemon_fd, .events = POLLIN},
				      {.fd = r->keeper.sock, .events = POLLIN}};

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return -1;
		while (p[2].revents && !keeper_receive(&r->keeper))
			;
		if (p[1].revents)
			daemon_is_gone(r);
		if (p[0].revents && take_signal(r, &status))
			return status;
	}
}

/* Ask the daemon to finish, take its report, and whatever it still has to say while it ends. */
static void end_daemon(struct run *r)
{
	struct keep_msg end = {.kind = KEEP_END};
	const u64 deadline = now_ms() + DAEMON_PATIENCE_MS;
	const bool never = false;
	int rc = 0;

	if (r->daemon_fd < 0)
		return;
	if (r->keeper.sock >= 0 && send(r->keeper.sock, &end, KEEP_HEAD_LEN,
					MSG_NOSIGNAL | MSG_DONTWAIT) == KEEP_HEAD_LEN)
		rc = hear_daemon(r, &r->keeper.report_done, deadline);
	if (!rc)
		rc = hear_daemon(r, &never, deadline);
	if (rc != -ESRCH) {
		complain("the daemon does not end: killed");
		kill(r->daemon, SIGKILL);
		keeper_daemon_died(&r->keeper); /* the program's children may be there yet */
	}
	waitpid(r->daemon, NULL, 0);
	close(r->daemon_fd);
	r->daemon_fd = -1;
}

static int run_program(struct run *r)
{
	int status;

	r->program = fork();
	if (!r->program)
		exec_program(r);
	if (r->program < 0) {
		complain("fork: %s", strerror(errno));
		return EXIT_NO_DAEMON;
	}
	raise_nofile();
	status = watch_program(r);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_on_machine(struct run *r)
{
	int rc = catch_signals(r) ? EXIT_NO_DAEMON : start_daemon(r);
	bool started = !rc;

	if (started)
		rc = run_program(r);
	if (r->daemon > 0)
		end_daemon(r);
	if (started && !r->quiet)
		report_print(r->keeper.report, r->keeper.report_len, r->faults, r->json);
	free(r->keeper.report);
	keeper_free(&r->keeper);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct run r = {.machine = "intel", .daemon_fd = -1, .keeper = {.sock = -1}};
	char why[2 * PATH_MAX] = "";
	int rc;

	if (parse(argc, argv, &r)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	rc = program_check(r.argv[0], r.path, why, sizeof(why));
	if (rc) {
		complain("%s", why);
		return rc;
	}
	rc = find_parts(&r);
	if (!rc)
		rc = make_dir(&r);
	if (rc)
		return rc;
	rc = run_on_machine(&r);
	instance_remove(r.dir);
	return rc;
}
