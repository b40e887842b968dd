/* SPDX-License-Identifier: MIT */
/*
 * The shared provider's mappings. A file is mapped in windows of 1 GiB of its offsets, each once,
 * whoever asks; a window of a file that grows gets more segments behind its first, each at least as
 * long as what was there, so that a file that grows page by page does not eat the mappings a process
 * may have.
 *
 * A file is known by device and inode. That is safe while it is mapped, because a mapping keeps the
 * inode from being reused.
 */
#include "mem/file.h"
#include "mem/mem_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#define HUGETLB_MAGIC 0x958458f6

bool file_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static struct list *bucket(struct mem *mem, const struct file_id *id)
{
	return &mem->priv->keys[seg_hash(id->ino ^ id->dev << 40)];
}

static bool names(const struct seg *seg, const struct file_id *id)
{
	return seg->kind == SEG_SHARED && seg->ino == id->ino && seg->dev == id->dev &&
	       seg->writable >= id->writable && !atomic_load(&seg->dead);
}

/* A live segment over @offset, with a reference. */
static struct seg *find(struct mem *mem, const struct file_id *id, u64 offset)
	MUST_HOLD(mem->segs_lock)
{
	struct list *n;

	list_for_each(n, bucket(mem, id)) {
		struct seg *seg = list_entry(n, struct seg, key_node);

		if (names(seg, id) && offset - seg->file_offset < seg->len &&
		    seg_get_unless_gone(seg))
			return seg;
	}
	return NULL;
}

/* What to map for @offset: what is free around it in its window, as far as the file goes. */
struct extent {
	u64 start, end;
	u8 pgsz_lg2;
};

static void cut_neighbours(struct mem *mem, const struct file_id *id, u64 offset, struct extent *x)
	MUST_HOLD(mem->segs_lock)
{
	struct list *n;

	list_for_each(n, bucket(mem, id)) {
		struct seg *seg = list_entry(n, struct seg, key_node);

		if (!names(seg, id))
			continue;
		if (seg->file_offset > offset)
			x->end = min(x->end, seg->file_offset);
		else
			x->start = max(x->start, seg->file_offset + seg->len);
	}
}

static int choose_extent(struct mem *mem, const struct file_id *id, int fd, u64 offset,
			 struct extent *out)
{
	u64 window = align_down(offset, SEG_CHUNK), room;
	struct extent x = {window, window + SEG_CHUNK, PAGE_LG2};
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	if (offset >= (u64)st.st_size)
		return -EINVAL;
	lock_take(&mem->segs_lock);
	cut_neighbours(mem, id, offset, &x);
	lock_drop(&mem->segs_lock);
	if (fs.f_type == HUGETLB_MAGIC) {
		/* Mapping it beyond its end would make it grow: exactly the file, then. */
		x.pgsz_lg2 = (u8)log2_floor((u64)fs.f_bsize);
		x.end = min(x.end, (u64)st.st_size);
	} else {
		room = max(align_up((u64)st.st_size, SEG_SLOT), x.start + (x.start - window));
		x.end = min(x.end, room);
	}
	*out = x;
	return 0;
}

static int map_extent(struct mem *mem, const struct file_id *id, int fd, const struct extent *x,
		      struct seg **out)
{
	struct seg_want want = {SEG_SHARED, NULL, x->end - x->start, x->start};
	bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && id->writable;
	struct seg *seg;
	int rc;

	rc = seg_make(mem, &want, &seg);
	if (rc)
		return rc;
	seg->host = mmap(NULL, seg->len, PROT_READ | (writable ? PROT_WRITE : 0),
			 MAP_SHARED | MAP_NORESERVE, fd, (off_t)x->start);
	if (seg->host == MAP_FAILED) {
		rc = errno == EPERM || errno == EACCES ? -EPERM : -ENOMEM;
		seg_abandon(seg);
		return rc;
	}
	seg->mapped = true;
	seg->writable = writable;
	seg->pgsz_lg2 = x->pgsz_lg2;
	seg->dev = id->dev;
	seg->ino = id->ino;
	seg->file_offset = x->start;
	*out = seg;
	return 0;
}

int file_seg(struct mem *mem, const struct file_id *id, int fd, u64 offset, struct seg **out)
{
	struct seg *seg, *other;
	struct extent x = {0};
	int rc;

	lock_take(&mem->segs_lock);
	seg = find(mem, id, offset);
	lock_drop(&mem->segs_lock);
	if (seg)
		goto found;
	if (fd < 0)
		return -ENOENT;
	if (id->writable && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return -EPERM;
	rc = choose_extent(mem, id, fd, offset, &x);
	if (!rc)
		rc = map_extent(mem, id, fd, &x, &seg);
	if (rc)
		return rc;
	/* Watched first: whoever finds it may be faulted by its owner at once. */
	guard_watch(seg);
	lock_take(&mem->segs_lock);
	other = find(mem, id, offset);
	if (!other) {
		lock_assert_held(&seg->mem->segs_lock);
		seg_publish_locked(seg);
		list_push_front(bucket(mem, id), &seg->key_node);
	}
	lock_drop(&mem->segs_lock);
	if (other) { /* someone was quicker */
		seg_abandon(seg);
		seg = other;
	}
found:
	*out = seg;
	return 0;
}

int file_populate(struct seg *seg, oa_t oa, u64 len)
{
	u64 mask = (1ull << seg->pgsz_lg2) - 1, off = oa.v - seg->base.v;
	u64 first = off & ~mask, last = (off + len - 1) | mask;
	int how = seg->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

	last = min(last, seg->len - 1);
	if (!madvise(seg->host + first, last - first + 1, how))
		return 0;
	if (errno == EINVAL)
		return 0; /* a kernel without it: pages come when they are touched */
	return errno == ENOMEM ? -ENOMEM : -EFAULT;
}
