/* SPDX-License-Identifier: MIT */
/* /proc/PID/status with the pages that a kernel would have charged to the process. */
#include "shim/shim.h"

/* Return: the process; 0 when @path is not such a file. */
static pid_t status_pid(const char *path)
{
	const char *p;
	char *end;
	long pid;

	if (strncmp(path, "/proc/", 6))
		return 0;
	p = path + 6;
	if (!strcmp(p, "self/status") || !strcmp(p, "thread-self/status"))
		return getpid();
	pid = strtol(p, &end, 10);
	return end > p && !strcmp(end, "/status") && pid > 0 && pid < INT_MAX ? (pid_t)pid : 0;
}

/* Write @text with @add_kb added to the number of the line that starts with @key. */
static const char *add_line(FILE *out, const char *line, const char *key, u64 add_kb)
{
	const char *end = strchrnul(line, '\n');
	unsigned long long kb;

	if (strncmp(line, key, strlen(key)) || sscanf(line + strlen(key), "%llu", &kb) != 1)
		return NULL;
	fprintf(out, "%s\t%8llu kB\n", key, kb + add_kb);
	return *end ? end + 1 : end;
}

static void patch_text(FILE *out, const char *text, u64 pinned_kb, u64 locked_kb)
{
	while (*text) {
		const char *next = add_line(out, text, "VmPin:", pinned_kb);

		if (!next)
			next = add_line(out, text, "VmLck:", locked_kb);
		if (!next) {
			const char *end = strchrnul(text, '\n');

			next = *end ? end + 1 : end;
			fwrite(text, 1, (size_t)(next - text), out);
		}
		text = next;
	}
}

static int patched_copy(int fd, const struct chan_reply *r)
{
	char text[16384];
	ssize_t len = REAL.read(fd, text, sizeof(text) - 1);
	int mem = len > 0 ? memfd_create("status", MFD_CLOEXEC) : -1;
	int copy;
	FILE *out;

	if (mem < 0)
		return -1;
	text[len] = 0;
	copy = REAL.dup(mem);
	out = copy < 0 ? NULL : fdopen(copy, "w");
	if (!out) {
		REAL.close(mem);
		return -1;
	}
	patch_text(out, text, r->pos << (PAGE_LG2 - 10), r->len << (PAGE_LG2 - 10));
	REAL.fclose(out);
	if (lseek(mem, 0, SEEK_SET) == 0)
		return mem;
	REAL.close(mem);
	return -1;
}

int proc_status_open(const char *path, int flags)
{
	struct call c = CALL(CHAN_CHARGED, 0);
	pid_t pid;
	int fd, mem;

	if (!path || !path_readable(path) || path[0] != '/' || path[1] != 'p' || flags & (O_ACCMODE | O_PATH))
		return -1;
	pid = status_pid(path);
	if (!pid)
		return -1;
	c.req.arg = (u64)pid;
	if (shim_call(&c) || (!c.reply.pos && !c.reply.len))
		return -1;
	fd = REAL.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	mem = patched_copy(fd, &c.reply);
	/* Under the number that the program's own open would have got. */
	if (mem >= 0)
		mem = REAL.dup3(mem, fd, flags & O_CLOEXEC) < 0 ? mem : (REAL.close(mem), fd);
	if (mem != fd)
		REAL.close(fd);
	fd_forget(mem);
	return mem;
}
