/* SPDX-License-Identifier: MIT */
/*
 * An iommufd program that times IOMMU_IOAS_MAP and _UNMAP: run as `ioasis run -- map-client
 * ROUNDS`. Prints "MAP UNMAP" per round, in nanoseconds per request. Knows nothing of ioasis.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <linux/iommufd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul
#define NR   64u
#define IOVA (1ul << 24)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int map_all(int fd, uint32_t ioas, uint8_t *mem)
{
	int bad = 0;

	for (unsigned i = 0; i < NR; i++) {
		struct iommu_ioas_map map = {
			.size = sizeof(map),
			.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
				 IOMMU_IOAS_MAP_WRITEABLE,
			.ioas_id = ioas,
			.user_va = (uintptr_t)mem + i * PAGE,
			.length = PAGE,
			.iova = IOVA + 2 * i * PAGE,
		};
		bad |= ioctl(fd, IOMMU_IOAS_MAP, &map);
	}
	return bad;
}

static int unmap_all(int fd, uint32_t ioas)
{
	int bad = 0;

	for (unsigned i = 0; i < NR; i++) {
		struct iommu_ioas_unmap unmap = {
			.size = sizeof(unmap),
			.ioas_id = ioas,
			.iova = IOVA + 2 * i * PAGE,
			.length = PAGE,
		};
		bad |= ioctl(fd, IOMMU_IOAS_UNMAP, &unmap);
	}
	return bad;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	uint8_t *mem =
		mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || mem == MAP_FAILED || ioctl(fd, IOMMU_IOAS_ALLOC, &alloc)) {
		perror("map-client");
		return 1;
	}
	for (unsigned round = 0; round <= rounds; round++) {
		uint64_t start = now_ns(), mid, end;

		if (map_all(fd, alloc.out_ioas_id, mem)) {
			perror("map-client: IOMMU_IOAS_MAP");
			return 1;
		}
		mid = now_ns();
		if (unmap_all(fd, alloc.out_ioas_id)) {
			perror("map-client: IOMMU_IOAS_UNMAP");
			return 1;
		}
		end = now_ns();
		if (round)
			printf("%.1f %.1f\n", (double)(mid - start) / NR, (double)(end - mid) / NR);
	}
	return 0;
}
