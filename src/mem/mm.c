/* SPDX-License-Identifier: MIT */
/* Clients: finding one, knowing that it lives, its rights, and copies by address. */
#include "mem/mem_priv.h"
#include "mem/proc.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define COPY_MAX (1ull << 30) /* below what one system call moves at most */

static int proc_open(pid_t pid, const char *what, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ESRCH)
		return -ESRCH;
	return errno == EACCES ? -EPERM : -errno;
}

/* A line of /proc/PID/@file that starts with @key, read into @line after the key. */
static int proc_line(pid_t pid, const char *file, const char *key, char line[128])
{
	int fd = proc_open(pid, file, O_RDONLY), rc = -ESRCH;
	char buf[256];
	FILE *f;

	if (fd < 0)
		return fd;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (fgets(buf, sizeof(buf), f)) {
		if (strncmp(buf, key, strlen(key)))
			continue;
		snprintf(line, 128, "%.127s", buf + strlen(key));
		rc = 0;
		break;
	}
	fclose(f);
	return rc;
}

static struct mm_user *get_user(struct mem *mem, uid_t uid) MUST_HOLD(mem->mm_lock)
{
	struct mm_user *user;
	struct list *n;

	list_for_each(n, &mem->users) {
		user = list_entry(n, struct mm_user, node);
		if (user->uid == uid) {
			user->refs++;
			return user;
		}
	}
	user = env_zalloc(mem->env, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->refs = 1;
	list_push_back(&mem->users, &user->node);
	return user;
}

static void put_user(struct mem *mem, struct mm_user *user) MUST_HOLD(mem->mm_lock)
{
	if (--user->refs)
		return;
	list_del(&user->node);
	env_free(mem->env, user);
}

u64 mm_user_locked(struct mem *mem, uid_t uid)
{
	struct list *n;
	u64 nr = 0;

	lock_take(&mem->mm_lock);
	list_for_each(n, &mem->users) {
		struct mm_user *user = list_entry(n, struct mm_user, node);

		if (user->uid == uid)
			nr = atomic_load(&user->locked_pages);
	}
	lock_drop(&mem->mm_lock);
	return nr;
}

static void free_mm(struct mm *mm)
{
	if (mm->mem_fd >= 0)
		close(mm->mem_fd);
	if (mm->maps_fd >= 0)
		close(mm->maps_fd);
	if (mm->pid_fd >= 0)
		close(mm->pid_fd);
	env_free(mm->mem->env, mm);
}

static int open_mm(struct mm *mm)
{
	char line[128];
	int rc;

	mm->pid_fd = (int)syscall(SYS_pidfd_open, mm->pid, 0);
	if (mm->pid_fd < 0)
		return errno == EPERM ? -EPERM : errno == EINVAL ? -ESRCH : -errno;
	mm->mem_fd = proc_open(mm->pid, "mem", O_RDWR);
	if (mm->mem_fd < 0)
		return mm->mem_fd;
	mm->maps_fd = proc_open(mm->pid, "maps", O_RDONLY);
	if (mm->maps_fd < 0)
		return mm->maps_fd;
	rc = proc_line(mm->pid, "status", "Uid:", line);
	if (rc)
		return rc;
	/* The real uid: what the kernel charges (cred->user). */
	mm->uid = (uid_t)strtoul(line, NULL, 10);
	return mm_alive(mm) ? 0 : -ESRCH;
}

static int new_mm(struct mem *mem, pid_t pid, bool self, struct mm **out) MUST_HOLD(mem->mm_lock)
{
	struct mm *mm = env_zalloc(mem->env, sizeof(*mm));
	int rc = 0;

	if (!mm)
		return -ENOMEM;
	mm->refs = 1;
	mm->mem = mem;
	mm->pid = pid;
	mm->self = self;
	mm->mem_fd = mm->maps_fd = mm->pid_fd = -1;
	mm->uid = getuid();
	if (!self)
		rc = open_mm(mm);
	if (rc)
		goto undo;
	(void)mm_memlock(mm); /* to be known when the client is gone */
	mm->user = get_user(mem, mm->uid);
	rc = -ENOMEM;
	if (!mm->user)
		goto undo;
	list_push_back(&mem->mms, &mm->node);
	*out = mm;
	return 0;
undo:
	free_mm(mm);
	return rc;
}

int mm_attach(struct mem *mem, pid_t pid, struct mm **out)
{
	struct mm *mm;
	struct list *n;
	int rc;

	if (pid <= 0)
		return -ESRCH;
	if (pid == getpid()) {
		*out = mm_self(mem);
		return 0;
	}
	lock_take(&mem->mm_lock);
	list_for_each(n, &mem->mms) {
		mm = list_entry(n, struct mm, node);
		/* The pid may name another program by now: then this one's address space is gone. */
		if (mm->pid != pid || !mm_alive(mm))
			continue;
		*out = mm_get(mm);
		lock_drop(&mem->mm_lock);
		return 0;
	}
	rc = new_mm(mem, pid, false, out);
	lock_drop(&mem->mm_lock);
	return rc;
}

struct mm *mm_self(struct mem *mem)
{
	return mm_get(mem->self);
}

struct mm *mm_get(struct mm *mm)
{
	atomic_fetch_add_explicit(&mm->refs, 1, memory_order_relaxed);
	return mm;
}

void mm_put(struct mm *mm)
{
	struct mem *mem;

	if (!mm)
		return;
	mem = mm->mem;
	lock_take(&mem->mm_lock);
	if (atomic_fetch_sub_explicit(&mm->refs, 1, memory_order_acq_rel) != 1) {
		lock_drop(&mem->mm_lock);
		return;
	}
	list_del(&mm->node);
	put_user(mem, mm->user);
	lock_drop(&mem->mm_lock);
	free_mm(mm);
}

bool mm_alive(struct mm *mm)
{
	char c;

	if (mm->self)
		return true;
	if (atomic_load_explicit(&mm->dead, memory_order_relaxed))
		return false;
	/* No one maps address 0: a live address space says -EIO, one that is gone ends the file. */
	if (pread(mm->mem_fd, &c, 1, 0) == 0)
		atomic_store(&mm->dead, true);
	return !atomic_load_explicit(&mm->dead, memory_order_relaxed);
}

/* By pid, with the rights of the mapping. Return: 0; -EFAULT; -ESRCH. */
static int copy_by_pid(struct mm *mm, u64 at, u8 *ours, u64 len, bool write)
{
	while (len) {
		struct iovec local = {ours, min(len, COPY_MAX)};
		struct iovec remote = {(void *)(uintptr_t)at, local.iov_len};
		ssize_t n = write ? process_vm_writev(mm->pid, &local, 1, &remote, 1, 0)
				  : process_vm_readv(mm->pid, &local, 1, &remote, 1, 0);

		if (n <= 0)
			return n < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
		at += (u64)n;
		ours += n;
		len -= (u64)n;
	}
	return 0;
}

static bool bad_range(u64 at, u64 len)
{
	u64 last;

	return len && (__builtin_add_overflow(at, len - 1, &last) || last > INT64_MAX);
}

int mm_read(struct mm *mm, uva_t from, void *to, u64 len)
{
	if (bad_range(from.v, len))
		return -EFAULT;
	if (mm->self)
		return copy_guarded(to, (const void *)(uintptr_t)from.v, len);
	if (atomic_load_explicit(&mm->dead, memory_order_relaxed))
		return -ESRCH;
	return copy_by_pid(mm, from.v, to, len, false);
}

int mm_write(struct mm *mm, uva_t to, const void *from, u64 len)
{
	if (bad_range(to.v, len))
		return -EFAULT;
	if (mm->self)
		return copy_guarded((void *)(uintptr_t)to.v, from, len);
	/* The pid may run another program by now, and that one's memory is not ours to write. */
	if (!mm_alive(mm))
		return -ESRCH;
	return copy_by_pid(mm, to.v, (u8 *)(uintptr_t)from, len, true);
}

/*
 * By the descriptor, which is bound to the address space. It cannot wait for a page that a userfaultfd
 * is to bring (-EIO); what it leaves undone goes by pid, which can.
 */
static int copy_by_fd(struct mm *mm, u64 at, u8 *ours, u64 len, bool write)
{
	while (len) {
		u64 want = min(len, COPY_MAX);
		ssize_t n = write ? pwrite(mm->mem_fd, ours, want, (off_t)at)
				  : pread(mm->mem_fd, ours, want, (off_t)at);

		if (n < 0)
			break;
		if (n == 0) {
			atomic_store(&mm->dead, true);
			return -ESRCH;
		}
		at += (u64)n;
		ours += n;
		len -= (u64)n;
	}
	if (!len)
		return 0;
	if (!mm_alive(mm))
		return -ESRCH;
	return mm->mem->host.process_vm ? copy_by_pid(mm, at, ours, len, write) : -EFAULT;
}

int mm_dma_read(struct mm *mm, uva_t from, void *to, u64 len)
{
	if (mm->self || bad_range(from.v, len))
		return mm_read(mm, from, to, len);
	return copy_by_fd(mm, from.v, to, len, false);
}

int mm_dma_write(struct mm *mm, uva_t to, const void *from, u64 len)
{
	if (mm->self || bad_range(to.v, len))
		return mm_write(mm, to, from, len);
	return copy_by_fd(mm, to.v, (u8 *)(uintptr_t)from, len, true);
}

/* RLIMIT_MEMLOCK of @mm's process in bytes; the last one known when it is gone. */
u64 mm_memlock(struct mm *mm)
{
	struct rlimit r;
	char line[128];
	u64 bytes;

	if (!prlimit(mm->self ? 0 : mm->pid, RLIMIT_MEMLOCK, NULL, &r))
		bytes = r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur;
	else if (!proc_line(mm->pid, "limits", "Max locked memory", line))
		bytes = strstr(line, "unlimited") == line + strspn(line, " ")
				? UINT64_MAX
				: strtoull(line, NULL, 10);
	else
		return atomic_load(&mm->memlock);
	/* The answer may be another process's that got the pid. */
	if (!mm_alive(mm))
		return atomic_load(&mm->memlock);
	atomic_store(&mm->memlock, bytes);
	return bytes;
}

/* One system call: every MAP asks. A task's capabilities are no secret, so no right is needed. */
int task_capable(pid_t tid, unsigned cap, bool *out)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = tid};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		return -errno;
	*out = caps[cap / 32].effective >> cap % 32 & 1;
	return 0;
}

int mm_table_init(struct mem *mem)
{
	int rc;

	lock_init(&mem->mm_lock, RANK_MM);
	list_init(&mem->mms);
	list_init(&mem->users);
	lock_take(&mem->mm_lock);
	rc = new_mm(mem, getpid(), true, &mem->self);
	lock_drop(&mem->mm_lock);
	if (rc)
		lock_fini(&mem->mm_lock);
	return rc;
}

void mm_table_fini(struct mem *mem)
{
	mm_put(mem->self);
	assert(list_empty(&mem->mms) && list_empty(&mem->users));
	lock_fini(&mem->mm_lock);
}
