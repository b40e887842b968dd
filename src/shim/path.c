/* SPDX-License-Identifier: MIT */
/*
 * Which paths are the machine's, and where their files are.
 *
 * A path is walked component by component, as text, only until it enters one of the machine's
 * trees; from there on the kernel resolves it in DIR/root, where the same symbolic links exist.
 */
#include "shim/shim.h"

#include <sys/uio.h>

static const char *const trees[] = {
	"/dev/iommu",
	"/dev/vfio",
	"/sys/bus/pci",
	"/sys/class/iommu",
	"/sys/class/vfio",
	"/sys/class/vfio-dev",
	"/sys/devices/virtual/iommu",
	"/sys/kernel/iommu_groups",
	"/sys/module/iommufd",
	"/sys/module/vfio",
	"/sys/module/vfio_pci",
};
/* Host bridges by their name's beginning: the machine's replace the host's. */
static const char pci_roots[] = "/sys/devices/pci";

/* Numbers of nodes: ours where there is such a node, the host's else. */
static const char numbers[] = "/sys/dev/char/";

static bool is_number(const char *path)
{
	char ours[PATH_MAX];
	struct stat st;

	return !strncmp(path, numbers, sizeof(numbers) - 1) && path[sizeof(numbers) - 1] &&
	       snprintf(ours, sizeof(ours), "%s%s", shim.root, path) < (int)sizeof(ours) &&
	       !REAL.lstat(ours, &st);
}

static bool is_tree(const char *path)
{
	size_t len = sizeof(pci_roots) - 1;

	if (!strncmp(path, pci_roots, len) && path[len] && !strchr(path + len, '/'))
		return true;
	if (is_number(path))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(trees); i++)
		if (!strcmp(path, trees[i]))
			return true;
	return false;
}

/* May something below @dir be ours? */
static bool may_lead(const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1 || !strcmp(dir, "/sys/devices") || !strcmp(dir, "/sys/dev") ||
	    !strcmp(dir, "/sys/dev/char"))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(trees); i++)
		if (!strncmp(trees[i], dir, len) && (trees[i][len] == '/' || !trees[i][len]))
			return true;
	return false;
}

void path_cwd_changed(void)
{
	char cwd[PATH_MAX];

	shim.cwd_matters =
		shim.active && REAL.getcwd(cwd, sizeof(cwd)) && (may_lead(cwd) || path_node(cwd));
}

/* Where a relative path begins. Return: false when that cannot be a place of ours. */
static bool base_of(int dirfd, const char *path, char *buf)
{
	char link[64];
	ssize_t len;

	if (dirfd == AT_FDCWD) {
		if (!shim.cwd_matters && !strstr(path, ".."))
			return false;
		return REAL.getcwd(buf, PATH_MAX) != NULL;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	len = REAL.readlinkat(AT_FDCWD, link, buf, PATH_MAX - 1);
	if (len <= 0 || buf[0] != '/')
		return false;
	buf[len] = 0;
	return may_lead(buf) || path_node(buf) || strstr(path, "..");
}

/* Add one component to a clean absolute path. Return: its new length, 0 when it does not fit. */
static size_t push(char *at, size_t len, const char *comp, size_t comp_len)
{
	if (comp_len == 1 && comp[0] == '.')
		return len;
	if (comp_len == 2 && comp[0] == '.' && comp[1] == '.') {
		while (len > 1 && at[len - 1] != '/')
			len--;
		len = len > 1 ? len - 1 : 1;
		at[len] = 0;
		return len;
	}
	if (len + comp_len + 2 > PATH_MAX)
		return 0;
	if (len > 1)
		at[len++] = '/';
	memcpy(at + len, comp, comp_len);
	at[len + comp_len] = 0;
	return len + comp_len;
}

static const char *translate(const char *base, const char *path, char *buf)
{
	char at[PATH_MAX] = "/";
	size_t len = 1;
	const char *parts[2] = {base, path};

	for (unsigned i = base ? 0 : 1; i < 2; i++) {
		const char *p = parts[i];

		for (;;) {
			size_t n;

			while (*p == '/')
				p++;
			n = strcspn(p, "/");
			if (!n)
				break;
			len = push(at, len, p, n);
			if (!len)
				return path;
			p += n;
			if (!is_tree(at))
				continue;
			if (snprintf(buf, PATH_MAX, "%s%s%s%s%s", shim.root, at, p,
				     i == 0 && *path ? "/" : "", i == 0 ? path : "") >= PATH_MAX)
				return path;
			return buf;
		}
	}
	return path;
}

/*
 * Before the first request no handler of ours is there that shim_copy() could lean on: the kernel is asked.
 * Where it may not be asked (a filter on system calls) the pointer is taken as it is.
 */
bool shim_peek(void *to, const void *from, size_t len)
{
	struct iovec local = {to, len}, remote = {(void *)(uintptr_t)from, len};
	int err = errno;
	ssize_t n;

	if (shim.handling)
		return !shim_copy(to, from, len);
	n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	if (n < 0 && errno != EFAULT) {
		memcpy(to, from, len);
		n = (ssize_t)len;
	}
	errno = err;
	return n == (ssize_t)len;
}

bool path_readable(const char *path)
{
	char piece[64];
	size_t done, n;

	for (done = 0; done < PATH_MAX; done += n) {
		n = min(sizeof(piece), PAGE_SIZE - ((uintptr_t)(path + done) & (PAGE_SIZE - 1)));
		if (!shim_peek(piece, path + done, n))
			return false;
		if (memchr(piece, 0, n))
			return true;
	}
	return false;
}

const char *path_real(int dirfd, const char *path, char *buf)
{
	char base[PATH_MAX];

	if (!shim_active() || !path || !path_readable(path) || !*path)
		return path;
	if (path[0] == '/') {
		/* Nearly every path ends here: none of ours begins otherwise. */
		if (strncmp(path, "/dev/", 5) && strncmp(path, "/sys/", 5) && !strstr(path, "//") &&
		    !strstr(path, "/."))
			return path;
		return translate(NULL, path, buf);
	}
	if (!base_of(dirfd, path, base))
		return path;
	/* Inside already: the kernel knows the way, but a node must be known by its name. */
	if (!strncmp(base, shim.root, shim.root_len))
		return path_node(base) && snprintf(buf, PATH_MAX, "%s/%s", base, path) < PATH_MAX
			       ? buf
			       : path;
	return translate(base, path, buf);
}

size_t path_back(char *path, size_t len)
{
	if (len < shim.root_len || memcmp(path, shim.root, shim.root_len) ||
	    (len > shim.root_len && path[shim.root_len] != '/'))
		return len;
	if (len == shim.root_len)
		path[len++] = '/';
	memmove(path, path + shim.root_len, len - shim.root_len);
	return len - shim.root_len;
}

const char *path_node(const char *real_path)
{
	const char *p = real_path + shim.root_len;

	if (strncmp(real_path, shim.root, shim.root_len) || strncmp(p, "/dev", 4) ||
	    (p[4] && p[4] != '/'))
		return NULL;
	return p;
}
