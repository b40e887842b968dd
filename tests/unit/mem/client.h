/* SPDX-License-Identifier: MIT */
/*
 * A client for a test: a child process that inherited the mappings made before it, and does what it is
 * told, one step at a time.
 */
#ifndef TESTS_UNIT_MEM_CLIENT_H
#define TESTS_UNIT_MEM_CLIENT_H

#include "fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct client {
	pid_t pid;
	int sock;
	struct mm *mm;
};

typedef long (*client_fn)(void);

static inline void client_loop(int sock)
{
	client_fn fn;
	long rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(sock, &fn, sizeof(fn)) == sizeof(fn)) {
		rc = fn();
		if (write(sock, &rc, sizeof(rc)) != sizeof(rc))
			break;
	}
	_exit(0);
}

static inline void client_start_in(struct mem *mem, struct client *c)
{
	int sv[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	c->pid = fork();
	if (!c->pid) {
		close(sv[0]);
		client_loop(sv[1]);
	}
	close(sv[1]);
	c->sock = sv[0];
	OK(mm_attach(mem, c->pid, &c->mm));
}

static inline void client_start(struct fixture *f, struct client *c)
{
	client_start_in(&f->mem, c);
}

/* Run @fn in the client (same program, same addresses). */
static inline long client_do(struct client *c, client_fn fn)
{
	long rc = -1;

	assert_int_equal(write(c->sock, &fn, sizeof(fn)), sizeof(fn));
	assert_int_equal(read(c->sock, &rc, sizeof(rc)), sizeof(rc));
	return rc;
}

static inline void client_kill(struct client *c)
{
	if (!c->pid)
		return;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->sock);
	c->pid = 0;
}

static inline void client_end(struct client *c)
{
	client_kill(c);
	mm_put(c->mm);
	c->mm = NULL;
}

/*
 * Run the tests as we are, and where that is root once more as nobody. A rung that cannot be run is
 * named.
 */
static inline int run_both(int (*run)(void))
{
	int failed = run(), status;
	pid_t pid;

	if (getuid()) {
		print_message("SKIP as root: this is uid %d\n", (int)getuid());
		return failed;
	}
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534) || prctl(PR_SET_DUMPABLE, 1)) {
			print_message("SKIP as nobody: cannot become it\n");
			_exit(0);
		}
		print_message("again as uid %d\n", (int)getuid());
		_exit(run());
	}
	waitpid(pid, &status, 0);
	return failed || !WIFEXITED(status) || WEXITSTATUS(status);
}

#endif
