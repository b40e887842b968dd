/* SPDX-License-Identifier: MIT */
/*
 * Every form is a real instruction, run twice with the same registers: once on memory, once on a
 * read-only page whose SIGSEGV handler decodes it, stores through another mapping and goes on. Memory,
 * registers and flags must come out the same.
 */
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"
#include "shim/store_decode.h"

/* What a form runs with. The order is the stubs'. */
struct regs {
	u64 rax, rbx, rcx, rdx, rsi, rdi, r8, flags;
	u8 zmm0[64], zmm17[64];
};

/* Load registers from (%r12), run one instruction on memory at %rdi, store them back. */
#define FORM(name, insn, load, save)                                                               \
	void name(struct regs *r);                                                                 \
	__asm__(".text\n" #name ":\n"                                                              \
		"push %rbx\n push %r12\n push %rbp\n mov %rdi, %r12\n" load                        \
		"mov 0(%r12), %rax\n mov 8(%r12), %rbx\n mov 16(%r12), %rcx\n"                     \
		"mov 24(%r12), %rdx\n mov 32(%r12), %rsi\n mov 40(%r12), %rdi\n"                   \
		"mov 48(%r12), %r8\n pushq 56(%r12)\n popfq\n" insn "\n"                           \
		"pushfq\n popq 56(%r12)\n cld\n"                                                   \
		"mov %rax, 0(%r12)\n mov %rbx, 8(%r12)\n mov %rcx, 16(%r12)\n"                     \
		"mov %rdx, 24(%r12)\n mov %rsi, 32(%r12)\n mov %rdi, 40(%r12)\n"                   \
		"mov %r8, 48(%r12)\n" save "pop %rbp\n pop %r12\n pop %rbx\n ret\n")
#define G(name, insn) FORM(name, insn, "", "")
#define X(name, insn) FORM(name, insn, "movdqu 64(%r12), %xmm0\n", "")
#define Y(name, insn) FORM(name, insn, "vmovdqu 64(%r12), %ymm0\n", "vzeroupper\n")
#define Z(name, insn)                                                                              \
	FORM(name, insn, "vmovdqu64 64(%r12), %zmm0\n vmovdqu64 128(%r12), %zmm17\n", "vzeroupper\n")

G(mov_b, "mov %al, (%rdi)");
G(mov_ah, "mov %ah, (%rdi)");
G(mov_bh, "mov %bh, 3(%rdi)");
G(mov_w, "mov %cx, 2(%rdi)");
G(mov_l, "mov %edx, 8(%rdi)");
G(mov_q, "mov %rsi, 16(%rdi)");
G(mov_r8b, "mov %r8b, 16(%rdi)");
G(mov_sil, "mov %sil, 16(%rdi)");
G(mov_ib, "movb $0x5a, 1(%rdi)");
G(mov_iw, "movw $0x1234, 4(%rdi)");
G(mov_il, "movl $0x12345678, 4(%rdi)");
G(mov_iq, "movq $-2, 8(%rdi)");
G(mov_sib, "mov %eax, 8(%rdi,%rcx,4)");
G(mov_unaligned, "mov %rax, 3(%rdi)");
G(mov_addr32, "mov %eax, (%edi)");
G(mov_addr32_wraps, "mov %eax, 8(%edi,%ecx,4)");
G(movnti_l, "movnti %eax, 8(%rdi)");
G(movnti_q, "movnti %rax, 8(%rdi)");
G(movbe_w, "movbe %ax, 8(%rdi)");
G(movbe_l, "movbe %eax, 8(%rdi)");
G(movbe_q, "movbe %rax, 8(%rdi)");
G(and_l, "and %eax, 8(%rdi)");
G(and_ib, "andb $0x0f, 8(%rdi)");
G(or_iq, "orq $-128, 8(%rdi)");
G(or_iw, "orw $0x8000, 8(%rdi)");
G(xor_l, "xor %edx, 8(%rdi)");
G(add_b, "add %al, 8(%rdi)");
G(add_w, "add %ax, 8(%rdi)");
G(add_l, "add %eax, 8(%rdi)");
G(add_q, "add %rax, 8(%rdi)");
G(add_ib, "addb $0x7f, 8(%rdi)");
G(adc_l, "adc %eax, 8(%rdi)");
G(adc_q, "adc %rax, 8(%rdi)");
G(adc_il, "adcl $-1, 8(%rdi)");
G(sub_l, "sub %eax, 8(%rdi)");
G(sub_q, "sub %rax, 8(%rdi)");
G(sbb_b, "sbb %al, 8(%rdi)");
G(sbb_l, "sbb %eax, 8(%rdi)");
G(sbb_il, "sbbl $-1, 8(%rdi)");
G(inc_b, "incb 8(%rdi)");
G(inc_l, "incl 8(%rdi)");
G(dec_w, "decw 8(%rdi)");
G(dec_q, "decq 8(%rdi)");
G(neg_l, "negl 8(%rdi)");
G(neg_b, "negb 8(%rdi)");
G(not_q, "notq 8(%rdi)");
G(lock_or, "lock orl $1, 8(%rdi)");
G(lock_add, "lock addq %rax, 8(%rdi)");
G(lock_inc, "lock incl 8(%rdi)");
G(xchg_l, "xchg %eax, 8(%rdi)");
G(xchg_q, "xchg %rbx, 8(%rdi)");
G(xchg_ah, "xchg %ah, 8(%rdi)");
G(xchg_w, "xchg %cx, 8(%rdi)");
G(xadd_l, "lock xadd %eax, 8(%rdi)");
G(xadd_b, "xadd %bl, 8(%rdi)");
G(cmpxchg_l, "lock cmpxchg %edx, 8(%rdi)");
G(cmpxchg_q, "lock cmpxchg %rdx, 8(%rdi)");
G(cmpxchg_hit, "mov 8(%rdi), %eax\n lock cmpxchg %edx, 8(%rdi)");
G(cmpxchg_b, "cmpxchg %dl, 8(%rdi)");
G(bts_l, "btsl $5, 8(%rdi)");
G(btr_q, "lock btrq $41, 8(%rdi)");
G(btc_w, "btcw $17, 8(%rdi)");
G(seto, "seto 8(%rdi)");
G(setb, "setb 8(%rdi)");
G(setae, "setae 8(%rdi)");
G(sete, "sete 8(%rdi)");
G(setne, "setne 8(%rdi)");
G(seta, "seta 8(%rdi)");
G(sets, "sets 8(%rdi)");
G(setp, "setp 8(%rdi)");
G(setl, "setl 8(%rdi)");
G(setg, "setg 8(%rdi)");
G(stosb, "stosb");
G(stosq, "stosq");
G(rep_stosb, "rep stosb");
G(rep_stosl, "rep stosl");
G(movsb, "movsb");
G(movsq, "movsq");
G(rep_movsb, "rep movsb");
G(rep_movsl, "rep movsl");
G(rep_movsq, "rep movsq");
X(movdqu, "movdqu %xmm0, 1(%rdi)");
X(movups, "movups %xmm0, 16(%rdi)");
X(movaps, "movaps %xmm0, 16(%rdi)");
X(movntdq, "movntdq %xmm0, 16(%rdi)");
X(movss, "movss %xmm0, 4(%rdi)");
X(movsd_x, "movsd %xmm0, 8(%rdi)");
X(movlps, "movlps %xmm0, 8(%rdi)");
X(movhps, "movhps %xmm0, 8(%rdi)");
X(movd_x, "movd %xmm0, 8(%rdi)");
X(movq_x, "movq %xmm0, 8(%rdi)");
Y(vmovdqu_x, "vmovdqu %xmm0, 1(%rdi)");
Y(vmovdqu_y, "vmovdqu %ymm0, 1(%rdi)");
Y(vmovaps_y, "vmovaps %ymm0, 32(%rdi)");
Y(vmovntdq_y, "vmovntdq %ymm0, 32(%rdi)");
Y(vextract_hi, "vextracti128 $1, %ymm0, 8(%rdi)");
Y(vextract_lo, "vextractf128 $0, %ymm0, 8(%rdi)");
Y(vmovq_x, "vmovq %xmm0, 8(%rdi)");
Z(vmovdqu64_z, "vmovdqu64 %zmm0, 1(%rdi)");
Z(vmovdqa64_z, "vmovdqa64 %zmm0, 64(%rdi)");
Z(vmovdqu8_z17, "vmovdqu8 %zmm17, 5(%rdi)");
Z(vmovups_y17, "vmovups %ymm17, 5(%rdi)");
Z(vmovntps_z, "vmovntps %zmm17, 64(%rdi)");

enum need { ANY, AVX2, AVX512, MOVBE };
static const struct form {
	const char *name;
	void (*run)(struct regs *r);
	enum need need;
	bool string;
} forms[] = {
#define F(n) {#n, n, ANY, false}
#define S(n) {#n, n, ANY, true}
	F(mov_b), F(mov_ah), F(mov_bh), F(mov_w), F(mov_l), F(mov_q), F(mov_r8b), F(mov_sil),
	F(mov_ib), F(mov_iw), F(mov_il), F(mov_iq), F(mov_sib), F(mov_unaligned), F(mov_addr32),
	F(mov_addr32_wraps),
	F(movnti_l), F(movnti_q), {"movbe_w", movbe_w, MOVBE}, {"movbe_l", movbe_l, MOVBE},
	{"movbe_q", movbe_q, MOVBE}, F(and_l), F(and_ib), F(or_iq), F(or_iw), F(xor_l), F(add_b),
	F(add_w), F(add_l), F(add_q), F(add_ib), F(adc_l), F(adc_q), F(adc_il), F(sub_l), F(sub_q),
	F(sbb_b), F(sbb_l), F(sbb_il), F(inc_b), F(inc_l), F(dec_w), F(dec_q), F(neg_l), F(neg_b),
	F(not_q), F(lock_or), F(lock_add), F(lock_inc), F(xchg_l), F(xchg_q), F(xchg_ah), F(xchg_w),
	F(xadd_l), F(xadd_b), F(cmpxchg_l), F(cmpxchg_q), F(cmpxchg_hit), F(cmpxchg_b), F(bts_l),
	F(btr_q), F(btc_w), F(seto), F(setb), F(setae), F(sete), F(setne), F(seta), F(sets), F(setp),
	F(setl), F(setg), S(stosb), S(stosq), S(rep_stosb), S(rep_stosl), S(movsb), S(movsq),
	S(rep_movsb), S(rep_movsl), S(rep_movsq), F(movdqu), F(movups), F(movaps), F(movntdq),
	F(movss), F(movsd_x), F(movlps), F(movhps), F(movd_x), F(movq_x),
	{"vmovdqu_x", vmovdqu_x, AVX2}, {"vmovdqu_y", vmovdqu_y, AVX2}, {"vmovaps_y", vmovaps_y, AVX2},
	{"vmovntdq_y", vmovntdq_y, AVX2}, {"vextract_hi", vextract_hi, AVX2},
	{"vextract_lo", vextract_lo, AVX2}, {"vmovq_x", vmovq_x, AVX2},
	{"vmovdqu64_z", vmovdqu64_z, AVX512}, {"vmovdqa64_z", vmovdqa64_z, AVX512},
	{"vmovdqu8_z17", vmovdqu8_z17, AVX512}, {"vmovups_y17", vmovups_y17, AVX512},
	{"vmovntps_z", vmovntps_z, AVX512},
};

static bool can(enum need need)
{
	__builtin_cpu_init();
	switch (need) {
	case AVX2:
		return __builtin_cpu_supports("avx2");
	case AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vl");
	case MOVBE: {
		unsigned a, b, c, d;

		return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
	}
	default:
		return true;
	}
}

/* The trapped mapping, its writable twin, and what the handler saw. */
static struct {
	u8 *ro, *rw, *plain;
	u64 lo, hi, hole;
	unsigned nr_traps;
	int rc;
	sigjmp_buf refused;
} t;

#define AREA 4096u

static void on_segv(int sig, siginfo_t *si, void *arg)
{
	ucontext_t *uc = arg;
	struct store s;

	if ((u64)si->si_addr == t.hole)
		siglongjmp(t.refused, 2);
	if ((u8 *)si->si_addr < t.ro || (u8 *)si->si_addr >= t.ro + AREA)
		_exit(99);
	t.nr_traps++;
	t.rc = store_decode(uc, t.lo, t.hi, &s);
	if (t.rc)
		siglongjmp(t.refused, 1);
	memcpy(t.rw + (s.addr - t.lo), s.value, s.len);
	store_apply(uc, &s);
}

static int setup(void **state)
{
	int fd = memfd_create("trap", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, AREA), 0);
	/* Below 4 GiB, for the form with 32-bit addresses. */
	t.ro = mmap(NULL, AREA, PROT_READ, MAP_SHARED | MAP_32BIT, fd, 0);
	t.rw = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	t.plain = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
		       0);
	assert_true(t.ro != MAP_FAILED && t.rw != MAP_FAILED && t.plain != MAP_FAILED);
	t.lo = (u64)t.ro;
	t.hi = t.lo + AREA;
	close(fd);
	return 0;
}

/* In the test itself: cmocka puts a handler of its own in place before each. */
static void catch_stores(void)
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};

	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
}

static void randomise(struct regs *r, u64 *seed, const struct form *f, u8 *source)
{
	u64 *w = (u64 *)r;

	for (unsigned i = 0; i < sizeof(*r) / 8; i++)
		w[i] = rnd(seed) % 4 ? rnd(seed) : (rnd(seed) % 3) - 1;
	r->flags &= 0x8d5;
	if (f->string) {
		r->flags |= rnd(seed) % 4 ? 0 : 0x400;
		r->rsi = (u64)source + 1024 + rnd(seed) % 64;
		r->rcx = rnd(seed) % 100 + 1;
	} else if (f->run == mov_sib) {
		r->rcx = rnd(seed) % 8;
	}
}

static void run_form(const struct form *f, u64 *seed)
{
	struct regs want, got;
	u8 source[4096];

	for (unsigned i = 0; i < AREA; i++)
		t.rw[i] = t.plain[i] = (u8)rnd(seed);
	for (unsigned i = 0; i < sizeof(source); i++)
		source[i] = (u8)rnd(seed);
	randomise(&want, seed, f, source);
	if (rnd(seed) % 2) /* operands that meet */
		memcpy(t.rw + 1024 + 8, &want.rax, 8), memcpy(t.plain + 1024 + 8, &want.rax, 8);
	got = want;
	want.rdi = (u64)t.plain + 1024;
	got.rdi = (u64)t.ro + 1024;
	if (f->run == mov_addr32_wraps)
		want.rcx = got.rcx = (rnd(seed) << 32) | 0xffffffff;
	if (f->run == mov_addr32 || f->run == mov_addr32_wraps) { /* the upper half does not count */
		want.rdi |= 0xdeadull << 32;
		got.rdi |= 0xdeadull << 32;
	}
	t.nr_traps = 0;
	f->run(&want);
	if (sigsetjmp(t.refused, 1))
		fail_msg("%s: refused (%d)", f->name, t.rc);
	f->run(&got);
	if (!t.nr_traps)
		fail_msg("%s: no trap", f->name);
	want.rdi -= (u64)t.plain;
	got.rdi -= (u64)t.ro;
	if (memcmp(t.rw, t.plain, AREA))
		fail_msg("%s: memory differs", f->name);
	if (want.flags != got.flags)
		fail_msg("%s: flags 0x%lx, not 0x%lx", f->name, got.flags, want.flags);
	if (memcmp(&want, &got, sizeof(want)))
		fail_msg("%s: registers differ", f->name);
}

static void every_form(void **state)
{
	u64 seed = 42;

	catch_stores();
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		if (!can(forms[i].need)) {
			print_message("skipped: %s: this processor has no such instruction\n",
				      forms[i].name);
			continue;
		}
		for (int n = 0; n < 100; n++)
			run_form(&forms[i], &seed);
	}
}

/* What it does not know, it refuses, and nothing is stored. */
G(shl_l, "shll $1, 8(%rdi)");
G(bts_reg, "bts %eax, 8(%rdi)");
Z(masked, "kxnorq %k1, %k1, %k1\n vmovdqu8 %zmm0, 5(%rdi){%k1}");

static void refused(void **state)
{
	static const struct form bad[] = {
		F(shl_l), F(bts_reg), {"masked", masked, AVX512},
	};
	struct regs r;

	catch_stores();
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!can(bad[i].need))
			continue;
		memset(t.rw, 0x33, AREA);
		memset(&r, 0, sizeof(r));
		r.rdi = (u64)t.ro + 1024;
		if (!sigsetjmp(t.refused, 1)) {
			bad[i].run(&r);
			fail_msg("%s: not refused", bad[i].name);
		}
		assert_int_equal(t.rc, -EOPNOTSUPP);
		for (unsigned j = 0; j < AREA; j++)
			assert_int_equal(t.rw[j], 0x33);
	}
}

/* A store that sticks out of the mapping is not for the device. */
static void bounds(void **state)
{
	struct regs r = {.rdi = (u64)t.ro + 1024 - 16};

	catch_stores();
	t.lo = (u64)t.ro + 1024;
	if (!sigsetjmp(t.refused, 1)) {
		mov_q(&r); /* 16(%rdi): the first bytes inside */
		r.rdi--;
		mov_q(&r);
		fail_msg("not refused");
	}
	assert_int_equal(t.rc, -EFAULT);
	t.lo = (u64)t.ro;
	t.hi = t.lo + 1024;
	r.rdi = t.hi - 16 - 7;
	if (!sigsetjmp(t.refused, 1)) {
		mov_q(&r);
		fail_msg("not refused");
	}
	assert_int_equal(t.rc, -EFAULT);
	t.hi = t.lo + AREA;
}

/* A source that ends in the middle: what comes before is stored, the program gets its own fault. */
static void source_ends(void **state)
{
	u8 *src = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct regs r = {.rdi = (u64)t.ro + 64, .rsi = (u64)src + PAGE_SIZE - 20, .rcx = 40};

	catch_stores();
	assert_ptr_not_equal(src, MAP_FAILED);
	assert_int_equal(munmap(src + PAGE_SIZE, PAGE_SIZE), 0);
	memset(src, 0x44, PAGE_SIZE);
	memset(t.rw, 0x33, AREA);
	t.hole = (u64)src + PAGE_SIZE;
	switch (sigsetjmp(t.refused, 1)) {
	case 0:
		rep_movsb(&r);
		fail_msg("nothing happened");
	case 1:
		fail_msg("refused");
	}
	t.hole = 0;
	assert_int_equal(t.rw[64 + 19], 0x44);
	assert_int_equal(t.rw[64 + 20], 0x33);
	munmap(src, PAGE_SIZE);
}

/* An instruction at the end of the last page of code is not read past. */
static void at_the_end_of_code(void **state)
{
	u8 *code = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const u8 mov_eax_to_rdi[] = {0x89, 0x07};
	ucontext_t uc;
	struct store s;

	assert_ptr_not_equal(code, MAP_FAILED);
	assert_int_equal(munmap(code + PAGE_SIZE, PAGE_SIZE), 0);
	memcpy(code + PAGE_SIZE - 2, mov_eax_to_rdi, 2);
	memset(&uc, 0, sizeof(uc));
	uc.uc_mcontext.gregs[REG_RIP] = (greg_t)(code + PAGE_SIZE - 2);
	uc.uc_mcontext.gregs[REG_RDI] = (greg_t)(t.lo + 4);
	uc.uc_mcontext.gregs[REG_RAX] = 0x11223344;
	assert_int_equal(store_decode(&uc, t.lo, t.hi, &s), 0);
	assert_int_equal(s.addr, t.lo + 4);
	assert_int_equal(s.len, 4);
	assert_int_equal(s.value[0], 0x44);
	store_apply(&uc, &s);
	assert_int_equal(uc.uc_mcontext.gregs[REG_RIP], code + PAGE_SIZE);
	munmap(code, PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(source_ends),
		cmocka_unit_test(at_the_end_of_code),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
