/* SPDX-License-Identifier: MIT */
/*
 * poll, select and epoll_ctl on files of ours. Neither an iommufd nor a VFIO device has a poll
 * operation in Linux: they are always ready to be read and written, and epoll does not take them.
 * The socket behind one would say something else.
 *
 * A call with such files among others asks the C library about the others, and does not wait when
 * one of ours is ready.
 */
#include "shim/shim.h"

#include <sys/epoll.h>
#include <sys/select.h>

#define ALWAYS_READY (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) /* DEFAULT_POLLMASK */

static const struct timespec no_time;

static bool any_ours(const struct pollfd *p, nfds_t nr)
{
	struct pollfd one;

	for (nfds_t i = 0; i < nr; i++) {
		if (!shim_peek(&one, &p[i], sizeof(one)))
			return false; /* the kernel refuses it */
		if (fd_handle(one.fd))
			return true;
	}
	return false;
}

/* Answer for ours and hide them from the kernel, which skips negative numbers. Return: how many are
 * ready. */
static int take_ours(struct pollfd *p, nfds_t nr)
{
	int ready = 0;

	for (nfds_t i = 0; i < nr; i++) {
		if (!fd_handle(p[i].fd))
			continue;
		p[i].revents = (short)(p[i].events & ALWAYS_READY);
		p[i].fd = ~p[i].fd;
		ready += !!p[i].revents;
	}
	return ready;
}

static int poll_mixed(struct pollfd *p, nfds_t nr, const struct timespec *limit,
		      const sigset_t *mask)
{
	size_t len = nr * sizeof(*p);
	struct pollfd few[64], *copy = few;
	int ready, rc;

	if (nr > ARRAY_SIZE(few))
		copy = REAL.mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				 0);
	if (copy == MAP_FAILED)
		return (int)shim_return(-ENOMEM);
	memcpy(copy, p, len);
	ready = take_ours(copy, nr);
	rc = REAL.ppoll(copy, nr, ready ? &no_time : limit, mask);
	for (nfds_t i = 0; i < nr && rc >= 0; i++) {
		bool ours = p[i].fd >= 0 && copy[i].fd == ~p[i].fd;

		p[i].revents = ours ? (short)(p[i].events & ALWAYS_READY) : copy[i].revents;
	}
	if (copy != few)
		REAL.munmap(copy, len);
	return rc < 0 ? rc : rc + ready;
}

EXPORT int poll(struct pollfd *p, nfds_t nr, int ms)
{
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000l};

	if (!shim_active() || !any_ours(p, nr))
		return REAL.poll(p, nr, ms);
	return poll_mixed(p, nr, ms < 0 ? NULL : &limit, NULL);
}

EXPORT int ppoll(struct pollfd *p, nfds_t nr, const struct timespec *limit, const sigset_t *mask)
{
	if (!shim_active() || !any_ours(p, nr))
		return REAL.ppoll(p, nr, limit, mask);
	return poll_mixed(p, nr, limit, mask);
}

/* What a program built with fortification calls. */
EXPORT int __poll_chk(struct pollfd *p, nfds_t nr, int ms, size_t room);
EXPORT int __poll_chk(struct pollfd *p, nfds_t nr, int ms, size_t room)
{
	if (room / sizeof(*p) < nr)
		abort();
	return poll(p, nr, ms);
}

EXPORT int __ppoll_chk(struct pollfd *p, nfds_t nr, const struct timespec *limit,
		       const sigset_t *mask, size_t room);
EXPORT int __ppoll_chk(struct pollfd *p, nfds_t nr, const struct timespec *limit,
		       const sigset_t *mask, size_t room)
{
	if (room / sizeof(*p) < nr)
		abort();
	return ppoll(p, nr, limit, mask);
}

/* The three sets of a select, any of them NULL. */
struct sets {
	fd_set *v[3]; /* readable, writable, exceptional */
};

/* Move our files from @sets to @ours. Return: whether any was there. */
static bool select_ours(const struct sets *sets, int nr, fd_set ours[3])
{
	size_t len = align_up((u64)max(min(nr, FD_SETSIZE), 0), 64) / 8;
	bool any = false;
	fd_set in;

	for (int s = 0; s < 3; s++) {
		FD_ZERO(&ours[s]);
		if (sets->v[s] && !shim_peek(&in, sets->v[s], len))
			return false; /* the kernel refuses it */
	}
	for (int fd = 0; fd < nr && fd < FD_SETSIZE; fd++) {
		for (int s = 0; s < 3; s++) {
			if (!sets->v[s] || !FD_ISSET(fd, sets->v[s]) || !fd_handle(fd))
				continue;
			FD_SET(fd, &ours[s]);
			any = true;
		}
	}
	return any;
}

static int count(const fd_set *set)
{
	int nr = 0;

	for (int fd = 0; fd < FD_SETSIZE; fd++)
		nr += !!FD_ISSET(fd, set);
	return nr;
}

/* Put ours into the sets, or take them out. */
static void change(const struct sets *sets, const fd_set ours[3], int nr_sets, bool in)
{
	for (int s = 0; s < nr_sets; s++) {
		for (int fd = 0; fd < FD_SETSIZE; fd++) {
			if (!FD_ISSET(fd, &ours[s]))
				continue;
			if (in)
				FD_SET(fd, sets->v[s]);
			else
				FD_CLR(fd, sets->v[s]);
		}
	}
}

/* Ours are out of the sets while the C library looks at them. Nothing exceptional happens to them.
 * On an error the sets are as they were. */
static int select_end(const struct sets *sets, const fd_set ours[3], int rc)
{
	change(sets, ours, rc < 0 ? 3 : 2, true);
	return rc < 0 ? rc : rc + count(&ours[0]) + count(&ours[1]);
}

static bool one_is_ready(const fd_set ours[3])
{
	return count(&ours[0]) || count(&ours[1]);
}

EXPORT int select(int nr, fd_set *r, fd_set *w, fd_set *e, struct timeval *limit)
{
	struct sets sets = {{r, w, e}};
	struct timeval now = {0};
	fd_set ours[3];

	if (!shim_active() || !select_ours(&sets, nr, ours))
		return REAL.select(nr, r, w, e, limit);
	change(&sets, ours, 3, false);
	return select_end(&sets, ours, REAL.select(nr, r, w, e, one_is_ready(ours) ? &now : limit));
}

EXPORT int pselect(int nr, fd_set *r, fd_set *w, fd_set *e, const struct timespec *limit,
		   const sigset_t *mask)
{
	struct sets sets = {{r, w, e}};
	fd_set ours[3];

	if (!shim_active() || !select_ours(&sets, nr, ours))
		return REAL.pselect(nr, r, w, e, limit, mask);
	change(&sets, ours, 3, false);
	return select_end(&sets, ours,
			  REAL.pselect(nr, r, w, e, one_is_ready(ours) ? &no_time : limit, mask));
}

EXPORT int epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	if (!shim_active() || !fd_handle(fd) || (op != EPOLL_CTL_DEL && !event) ||
	    REAL.fcntl(ep, F_GETFD) < 0)
		return REAL.epoll_ctl(ep, op, fd, event);
	return (int)shim_return(-EPERM);
}
