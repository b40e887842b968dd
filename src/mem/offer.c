/* SPDX-License-Identifier: MIT */
/*
 * From a client's mapping to its file. Three ways, in this order: a memfd that was offered to us, the
 * kernel's link in /proc/PID/map_files (privileged), the file's name. Whatever was opened must be the
 * inode that the mapping names: the mapping's rights are its owner's rights to that inode, and to no
 * other that a race put there.
 */
#include "mem/file.h"
#include "mem/mem_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* How many offered files each offer looks at to find those that nobody has any more. */
#define CHECKS_PER_OFFER 4u

struct offered_file {
	u64 dev, ino;
	int fd;	      /* an open file of our own, not the giver's */
	bool counted; /* the kernel counts its other users */
	struct list node;
};

/*
 * Does anyone but us have the file open or mapped? A write lease is granted only to the sole opener, and
 * a mapping keeps its opener's count. Where leases are refused for another reason, say yes.
 */
static bool in_use_elsewhere(const struct offered_file *f)
{
	if (fcntl(f->fd, F_SETLEASE, F_WRLCK))
		return true;
	(void)fcntl(f->fd, F_SETLEASE, F_UNLCK);
	return false;
}

static void forget(struct mem *mem, struct offered_file *f) MUST_HOLD(mem->segs_lock)
{
	list_del(&f->node);
	mem->priv->nr_files--;
	close(f->fd);
	env_free(mem->env, f);
}

/* Look at the @nr that were not looked at for the longest time. */
static void check_some(struct mem *mem, u32 nr) MUST_HOLD(mem->segs_lock)
{
	struct list *files = &mem->priv->files;

	for (; nr && !list_empty(files); nr--) {
		struct offered_file *f = list_entry(files->next, struct offered_file, node);

		if (f->counted && !in_use_elsewhere(f)) {
			forget(mem, f);
			continue;
		}
		list_del(&f->node);
		list_push_back(files, &f->node);
	}
}

unsigned mem_sweep_files(struct mem *mem)
{
	unsigned left;

	lock_take(&mem->segs_lock);
	check_some(mem, mem->priv->nr_files);
	left = mem->priv->nr_files;
	lock_drop(&mem->segs_lock);
	return left;
}

static struct offered_file *find_offered(struct mem *mem, u64 dev, u64 ino)
	MUST_HOLD(mem->segs_lock)
{
	struct list *n;

	list_for_each(n, &mem->priv->files) {
		struct offered_file *f = list_entry(n, struct offered_file, node);

		if (f->ino == ino && f->dev == dev)
			return f;
	}
	return NULL;
}

int mem_offer_file(struct mem *mem, int fd)
{
	struct offered_file *f;
	char path[64];
	struct stat st;
	int rc;

	if (!file_is_memory(fd))
		return errno == EBADF ? -EBADF : -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	f = env_zalloc(mem->env, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0) {
		rc = -errno;
		env_free(mem->env, f);
		return rc;
	}
	/* Whoever opens the file during our lease makes a signal: one that is ignored unless asked for. */
	(void)fcntl(f->fd, F_SETSIG, SIGURG);
	/* The giver has it, so this is true, unless its descriptor came straight from memfd_create(). */
	f->counted = in_use_elsewhere(f);
	lock_take(&mem->segs_lock);
	check_some(mem, CHECKS_PER_OFFER);
	list_push_back(&mem->priv->files, &f->node);
	mem->priv->nr_files++;
	if (find_offered(mem, f->dev, f->ino) != f)
		forget(mem, f); /* offered before */
	lock_drop(&mem->segs_lock);
	return 0;
}

static int open_offered(struct mem *mem, const struct vma *vma)
{
	struct offered_file *f;
	int fd = -ENOENT;

	lock_take(&mem->segs_lock);
	f = find_offered(mem, vma->dev, vma->ino);
	if (f)
		fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (fd == -1)
		fd = -errno;
	lock_drop(&mem->segs_lock);
	return fd;
}

/*
 * Open @path if it is the mapping's inode and a regular file: looked at through a descriptor that opens
 * nothing first, because opening a device or a FIFO has effects.
 */
static int open_same(const char *path, const struct vma *vma)
{
	int fd, handle = open(path, O_PATH | O_CLOEXEC);
	char link[64];
	struct stat st;

	if (handle < 0)
		return -errno;
	fd = -ENOENT;
	if (!fstat(handle, &st) && S_ISREG(st.st_mode) && st.st_ino == vma->ino &&
	    st.st_dev == vma->dev) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", handle);
		fd = open(link, (vma->write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			fd = -errno;
	}
	close(handle);
	return fd;
}

static int open_map_files(struct mm *mm, const struct vma *vma)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)mm->pid,
		 (unsigned long long)vma->start, (unsigned long long)vma->end);
	return open_same(path, vma);
}

/* The file system of device @dev, as the client's mounts name it: is it memory? */
static bool dev_is_memory(struct mm *mm, u64 dev)
{
	char line[PATH_MAX], path[64], type[32];
	bool found = false;
	unsigned maj, mnr;
	char *sep;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)mm->pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		sep = strstr(line, " - ");
		if (!sep || sscanf(line, "%*d %*d %u:%u", &maj, &mnr) != 2 ||
		    sscanf(sep, " - %31s", type) != 1)
			continue;
		found = makedev(maj, mnr) == dev &&
			(!strcmp(type, "tmpfs") || !strcmp(type, "hugetlbfs") ||
			 !strcmp(type, "devtmpfs"));
	}
	fclose(f);
	return found;
}

/* Names that the kernel gives to files of its own internal memory mounts, which no path reaches. */
static bool name_is_memory(const char *name)
{
	static const char *const prefixes[] = {"/memfd:", "/dev/zero (deleted)", "/SYSV",
					       "/anon_hugepage"};

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

int file_open_vma(struct mm *mm, const struct vma *vma)
{
	char name[PATH_MAX], path[PATH_MAX + 32];
	struct vma now;
	int fd;

	fd = open_offered(mm->mem, vma);
	if (fd >= 0)
		return fd;
	if (mm->mem->host.map_files) {
		fd = open_map_files(mm, vma);
	} else if (!vma_find(mm, vma->start, &now, name) && now.ino == vma->ino) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", (int)mm->pid, name);
		fd = open_same(path, vma);
		if (fd < 0)
			return name_is_memory(name) || dev_is_memory(mm, vma->dev) ? -ENXIO
										   : -EFAULT;
	}
	if (fd < 0)
		return -EFAULT;
	if (file_is_memory(fd))
		return fd;
	close(fd);
	return -EFAULT;
}

bool file_can_map_files(void)
{
	int fd = memfd_create("ioasis-probe", MFD_CLOEXEC), link = -1;
	char path[96];
	u8 *p;

	if (fd < 0)
		return false;
	p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
			 (unsigned long long)(uintptr_t)p,
			 (unsigned long long)(uintptr_t)p + PAGE_SIZE);
		link = open(path, O_RDONLY | O_CLOEXEC);
		munmap(p, PAGE_SIZE);
	}
	close(fd);
	if (link < 0)
		return false;
	close(link);
	return true;
}

void file_table_fini(struct mem *mem)
{
	lock_take(&mem->segs_lock);
	while (!list_empty(&mem->priv->files))
		forget(mem, list_entry(mem->priv->files.next, struct offered_file, node));
	lock_drop(&mem->segs_lock);
}
