/* SPDX-License-Identifier: MIT */
/*
 * What lies at a client's address: by PROCMAP_QUERY where the kernel has it, else from the text of
 * /proc/PID/maps. The descriptor is bound to the address space, not to the pid.
 *
 * Source: linux include/uapi/linux/fs.h, struct procmap_query (Linux 6.11).
 */
#include "mem/mem_priv.h"
#include "mem/proc.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Layout and numbers of the kernel's ABI; the system's header may be older. */
struct procmap_query_abi {
	u64 size, query_flags, query_addr;
	u64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	u32 dev_major, dev_minor, vma_name_size, build_id_size;
	u64 vma_name_addr, build_id_addr;
};
static_assert(sizeof(struct procmap_query_abi) == 104, "ABI");
#define PROCMAP_QUERY_ABI _IOWR('f', 17, struct procmap_query_abi)
#define QUERY_READABLE	  1
#define QUERY_WRITABLE	  2
#define QUERY_SHARED	  8

static int query(int fd, u64 addr, struct vma *out, char *name)
{
	struct procmap_query_abi q = {.size = sizeof(q), .query_addr = addr};

	if (name) {
		q.vma_name_addr = (uintptr_t)name;
		q.vma_name_size = PATH_MAX;
	}
	if (ioctl(fd, PROCMAP_QUERY_ABI, &q))
		return errno == ENOENT ? -EFAULT : -errno;
	if (name && !q.vma_name_size)
		name[0] = 0;
	*out = (struct vma){
		.start = q.vma_start,
		.end = q.vma_end,
		.read = q.vma_flags & QUERY_READABLE,
		.write = q.vma_flags & QUERY_WRITABLE,
		.shared = q.vma_flags & QUERY_SHARED,
		.offset = q.vma_offset,
		.dev = makedev(q.dev_major, q.dev_minor),
		.ino = q.inode,
	};
	return 0;
}

/* One line: start-end perms offset major:minor inode name. Return: false when it is not one. */
static bool parse_line(const char *line, struct vma *out, char *name)
{
	unsigned long long start, end, offset, ino;
	unsigned maj, mnr;
	char perms[5];
	int at = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, perms, &offset, &maj, &mnr,
		   &ino, &at) < 7)
		return false;
	*out = (struct vma){
		.start = start,
		.end = end,
		.read = perms[0] == 'r',
		.write = perms[1] == 'w',
		.shared = perms[3] == 's',
		.offset = offset,
		.dev = makedev(maj, mnr),
		.ino = ino,
	};
	if (name)
		snprintf(name, PATH_MAX, "%s", at ? line + at : "");
	return true;
}

/* Search whole lines in @buf. Return: bytes consumed; *rc is set when the search is over. */
static size_t search_lines(char *buf, size_t len, u64 addr, struct vma *out, char *name, int *rc)
{
	size_t used = 0;
	char *nl;

	while ((nl = memchr(buf + used, '\n', len - used))) {
		struct vma v;

		*nl = 0;
		if (parse_line(buf + used, &v, NULL) && addr < v.end) {
			*rc = addr < v.start ? -EFAULT : 0;
			if (!*rc)
				parse_line(buf + used, out, name);
			return used;
		}
		used = (size_t)(nl - buf) + 1;
	}
	return used;
}

static int read_text(int fd, u64 addr, struct vma *out, char *name)
{
	char buf[2 * PATH_MAX];
	size_t have = 0, used;
	off_t at = 0;
	int rc = 1;

	for (;;) {
		ssize_t n = pread(fd, buf + have, sizeof(buf) - have, at);

		if (n < 0)
			return -ESRCH;
		if (n == 0)
			return at ? -EFAULT : -ESRCH;
		at += n;
		have += (size_t)n;
		used = search_lines(buf, have, addr, out, name, &rc);
		if (rc <= 0)
			return rc;
		if (!used && have == sizeof(buf))
			return -EFAULT; /* no line of the kernel's is that long */
		memmove(buf, buf + used, have - used);
		have -= used;
	}
}

int vma_find(struct mm *mm, u64 addr, struct vma *out, char *name)
{
	if (mm->mem->host.procmap_query)
		return query(mm->maps_fd, addr, out, name);
	return read_text(mm->maps_fd, addr, out, name);
}

bool vma_can_query(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct vma v;
	bool can;

	if (fd < 0)
		return false;
	can = !query(fd, (uintptr_t)&v, &v, NULL);
	close(fd);
	return can;
}
