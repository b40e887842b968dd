/* SPDX-License-Identifier: MIT */
/*
 * Which programs a preloaded library reaches: dynamic ones of this machine's kind that gain no
 * rights.
 */
#include "tool.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_SCRIPTS 4u /* as in Linux */

static bool is_executable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

static int find_program(const char *program, char *out, char *why, size_t why_len)
{
	const char *dirs = getenv("PATH");
	struct stat st;

	if (strchr(program, '/')) {
		snprintf(out, PATH_MAX, "%s", program);
		if (is_executable(out))
			return 0;
		if (!stat(out, &st)) {
			snprintf(why, why_len, "%s is not an executable file", program);
			return EXIT_REFUSED;
		}
	} else if (*program) {
		for (const char *p = dirs ? dirs : "/usr/bin:/bin"; p; p = strchr(p, ':')) {
			p += *p == ':';
			snprintf(out, PATH_MAX, "%.*s/%s", (int)strcspn(p, ":"), p, program);
			if (is_executable(out))
				return 0;
		}
	}
	snprintf(why, why_len, "%s: not found", program);
	return EXIT_NOT_FOUND;
}

static int refuse_rights(const char *path, int fd, char *why, size_t why_len)
{
	struct stat st;

	if (fstat(fd, &st))
		return 0;
	if (st.st_mode & (S_ISUID | (st.st_mode & S_IXGRP ? S_ISGID : 0)))
		snprintf(why, why_len,
			 "%s is set-%s: the dynamic linker preloads nothing into such programs; "
			 "run a "
			 "copy without that bit",
			 path, st.st_mode & S_ISUID ? "uid" : "gid");
	else if (geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		snprintf(why, why_len,
			 "%s has file capabilities: the dynamic linker preloads nothing into such "
			 "programs; run a copy without them",
			 path);
	else
		return 0;
	return EXIT_REFUSED;
}

/* The dynamic linker itself has no interpreter, but a name that others link to. */
static bool has_soname(int fd, const Elf64_Phdr *dynamic)
{
	Elf64_Dyn d;

	for (u64 off = 0; off + sizeof(d) <= dynamic->p_filesz; off += sizeof(d)) {
		if (pread(fd, &d, sizeof(d), (off_t)(dynamic->p_offset + off)) != sizeof(d) ||
		    d.d_tag == DT_NULL)
			return false;
		if (d.d_tag == DT_SONAME)
			return true;
	}
	return false;
}

/* Whether a dynamic linker is at work when it runs. */
static bool is_linked_at_start(int fd, const Elf64_Ehdr *eh)
{
	bool is_library = false;
	Elf64_Phdr ph;

	for (unsigned i = 0; i < eh->e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh->e_phoff + i * sizeof(ph))) != sizeof(ph))
			return false;
		if (ph.p_type == PT_INTERP)
			return true;
		if (ph.p_type == PT_DYNAMIC)
			is_library = eh->e_type == ET_DYN && has_soname(fd, &ph);
	}
	return is_library;
}

static int check_elf(const char *path, int fd, const Elf64_Ehdr *eh, char *why, size_t why_len)
{
#if defined(__x86_64__)
	const unsigned machine = EM_X86_64;
#else
	const unsigned machine = EM_AARCH64;
#endif

	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != machine) {
		snprintf(why, why_len, "%s is built for another processor or for 32 bits", path);
		return EXIT_REFUSED;
	}
	if (is_linked_at_start(fd, eh))
		return 0;
	snprintf(
		why, why_len,
		"%s is statically linked: a preloaded library cannot reach it; link it dynamically",
		path);
	return EXIT_REFUSED;
}

/* The interpreter in a script's first line; "" when it has none. */
static void script_interpreter(const char *head, char *out)
{
	size_t skip = 2 + strspn(head + 2, " \t");

	snprintf(out, PATH_MAX, "%.*s", (int)strcspn(head + skip, " \t\r\n"), head + skip);
}

static int check_file(const char *path, char *next, char *why, size_t why_len)
{
	union {
		char text[512];
		Elf64_Ehdr eh;
	} head = {{0}};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;

	*next = 0;
	if (fd < 0)
		return 0; /* executable but unreadable: the kernel will say */
	if (read(fd, head.text, sizeof(head.text) - 1) < 4)
		rc = 0;
	else if (!memcmp(head.text, "#!", 2))
		script_interpreter(head.text, next);
	else if (!memcmp(head.text, ELFMAG, SELFMAG))
		rc = refuse_rights(path, fd, why, why_len)
			     ?: check_elf(path, fd, &head.eh, why, why_len);
	close(fd);
	return rc;
}

int program_check(const char *program, char *out_path, char *why, size_t why_len)
{
	char at[PATH_MAX], next[PATH_MAX];
	int rc = find_program(program, out_path, why, why_len);

	strcpy(at, out_path);
	for (unsigned i = 0; !rc && *at && i <= MAX_SCRIPTS; i++) {
		rc = check_file(at, next, why, why_len);
		strcpy(at, next);
	}
	return rc;
}
