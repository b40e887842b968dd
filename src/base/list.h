/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list with a head; a node that is on no list points at itself.
 */
#ifndef IOASIS_SRC_BASE_LIST_H
#define IOASIS_SRC_BASE_LIST_H

#include "base/types.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_before(struct list *pos, struct list *n)
{
	n->prev = pos->prev;
	n->next = pos;
	pos->prev->next = n;
	pos->prev = n;
}

static inline void list_push_back(struct list *head, struct list *n)
{
	list_add_before(head, n);
}

static inline void list_push_front(struct list *head, struct list *n)
{
	list_add_before(head->next, n);
}

static inline void list_del(struct list *n) /* harmless on a node that is on no list */
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(p, t, m) container_of(p, t, m)
#define list_for_each(p, head) for ((p) = (head)->next; (p) != (head); (p) = (p)->next)
#define list_for_each_safe(p, n, head)                                                             \
	for ((p) = (head)->next, (n) = (p)->next; (p) != (head); (p) = (n), (n) = (p)->next)

#endif
