/* SPDX-License-Identifier: MIT */
/*
 * A device model on the C API alone: a DMA engine that reads a descriptor from memory, copies by DMA and
 * writes its status back. Then its target leaves the address space, and the same copy is refused.
 */
#include <ioasis/dma.h>
#include <ioasis/ioas.h>
#include <ioasis/ioasis.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF 8192ul
struct descriptor { /* what the driver writes and the device reads */
	uint64_t src, dst, len, status;
};

/* The device: all it knows is the IOVA of its descriptor. */
static int engine_run(struct ioasis_dev *dev, uint64_t at)
{
	struct descriptor d;
	unsigned char chunk[512];
	int rc = ioasis_dma_read(dev, at, &d, sizeof(d));

	for (uint64_t done = 0; !rc && done < d.len; done += sizeof(chunk))
		rc = ioasis_dma_read(dev, d.src + done, chunk, sizeof(chunk))
			     ?: ioasis_dma_write(dev, d.dst + done, chunk, sizeof(chunk));
	d.status = rc ? 2 : 1;
	return ioasis_dma_write(dev, at + offsetof(struct descriptor, status), &d.status, 8) ?: rc;
}

static void check(int failed, const char *what)
{
	if (failed) {
		fprintf(stderr, "failed: %s\n", what);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct ioasis_args args = {sizeof(args), IOASIS_NO_DEVICES, argc > 1 ? argv[1] : "intel"};
	struct ioasis_map_args map = {sizeof(map), 0, IOASIS_R | IOASIS_W};
	unsigned char *mem = aligned_alloc(4096, 4096 + 2 * BUF), *src = mem + 4096, *dst = src + BUF;
	struct descriptor *d = (struct descriptor *)mem;
	struct ioasis *machine;
	struct ioasis_ctx *ctx;
	struct ioasis_ioas *ioas = NULL;
	struct ioasis_dev *dev = NULL;
	uint64_t ring, bufs[2];

	check(ioasis_new(&args, &machine) || ioasis_dev_new(machine, 0x0100, &dev), "a machine");
	check(ioasis_ctx_new(machine, &ctx) || ioasis_ioas_new(ctx, &ioas), "make an address space");
	check(ioasis_dev_bind(ctx, dev) || ioasis_dev_attach(dev, ioas), "attach the device");

	map.host = mem, map.len = 4096;
	check(ioasis_ioas_map(ioas, &map, &ring), "map the descriptor");
	for (int i = 0; i < 2; i++) {
		map.host = src + i * BUF, map.len = BUF;
		check(ioasis_ioas_map(ioas, &map, &bufs[i]), "map a buffer");
	}
	for (unsigned i = 0; i < BUF; i++)
		src[i] = (unsigned char)(i * 31 + i / 256), dst[i] = 0xee;
	*d = (struct descriptor){.src = bufs[0], .dst = bufs[1], .len = BUF};
	check(engine_run(dev, ring) || d->status != 1 || memcmp(src, dst, BUF), "copy by DMA");
	printf("copied %lu bytes by DMA from 0x%lx to 0x%lx\n", BUF, (long)d->src, (long)d->dst);

	check(ioasis_ioas_unmap(ioas, bufs[1], BUF, NULL), "unmap the target");
	memset(dst, 0xee, BUF);
	check(engine_run(dev, ring) == 0 || d->status != 2 || dst[0] != 0xee, "be blocked");
	printf("blocked after unmap: status %lu, the target is untouched\n", (long)d->status);

	ioasis_ctx_free(ctx); /* detaches, unmaps, frees */
	ioasis_dev_free(dev);
	ioasis_free(machine);
	free(mem);
	return 0;
}
