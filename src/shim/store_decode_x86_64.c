/* SPDX-License-Identifier: MIT */
/*
 * store_decode for x86-64: libzydis finds operands, we compute.
 *
 * Known: mov to memory of 1 to 8 bytes (also movnti, movbe, movdiri, setcc), vector stores of 4 to
 * 64 bytes, read-modify-write (and or xor add adc sub sbb inc dec neg not xchg xadd cmpxchg, bts
 * btr btc with an immediate), movs and stos. Not known: push, call, shifts, masked stores, fs and
 * gs segments.
 *
 * Source: Intel SDM volumes 1 (13.4 XSAVE area) and 2 (instructions, flags).
 */
#include <Zydis/Zydis.h>
#include <cpuid.h>

#include "shim/store_decode.h"

#define FLAG_CF	    0x001u
#define FLAG_PF	    0x004u
#define FLAG_AF	    0x010u
#define FLAG_ZF	    0x040u
#define FLAG_SF	    0x080u
#define FLAG_DF	    0x400u
#define FLAG_OF	    0x800u
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define MAX_INSN    15u

/* The instruction under examination. */
struct insn {
	const ucontext_t *uc;
	ZydisDecodedInstruction i;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem; /* the destination */
	struct store *s;
	unsigned len;
	u64 mask; /* of len bytes, when at most 8 */
};

/* ---- registers ---- */

static const int gregs_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* A general register's place: which, how wide, whether its second byte (AH). */
struct gpr {
	int greg;
	unsigned bits;
	bool high;
};

static bool find_gpr(ZydisRegister r, struct gpr *out)
{
	unsigned n;

	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_R15B) {
		n = r - ZYDIS_REGISTER_AL;
		*out = (struct gpr){.bits = 8, .high = n >= 4 && n < 8};
		/* AL CL DL BL, AH CH DH BH, SPL BPL SIL DIL, R8B … */
		out->greg = gregs_of[n < 4 ? n : n - 4];
		return true;
	}
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		*out = (struct gpr){gregs_of[r - ZYDIS_REGISTER_AX], 16, false};
	else if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		*out = (struct gpr){gregs_of[r - ZYDIS_REGISTER_EAX], 32, false};
	else if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		*out = (struct gpr){gregs_of[r - ZYDIS_REGISTER_RAX], 64, false};
	else
		return false;
	return true;
}

static u64 greg(const struct insn *in, int which)
{
	return (u64)in->uc->uc_mcontext.gregs[which];
}

static u64 low_mask(unsigned bits)
{
	return bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
}

static u64 read_gpr(const struct insn *in, const struct gpr *g)
{
	return (greg(in, g->greg) >> (g->high ? 8 : 0)) & low_mask(g->bits);
}

static void set_greg(struct insn *in, int which, u64 value)
{
	in->s->regs[in->s->nr_regs].greg = which;
	in->s->regs[in->s->nr_regs++].value = value;
}

static void write_gpr(struct insn *in, const struct gpr *g, u64 v)
{
	unsigned shift = g->high ? 8 : 0;
	u64 keep = g->bits >= 32 ? 0 : ~(low_mask(g->bits) << shift);

	set_greg(in, g->greg, (greg(in, g->greg) & keep) | (v & low_mask(g->bits)) << shift);
}

/* ---- vector registers, from the signal frame ---- */

#define XSAVE_BV	  512 /* offset of the header: which components are not in their initial state */
#define FRAME_MAGIC	  464 /* sw_reserved: FP_XSTATE_MAGIC1, then size */
#define XSTATE_MAGIC	  0x46505853u
#define XFEATURE_SSE	  1
#define XFEATURE_AVX	  2
#define XFEATURE_ZMM_HI	  6
#define XFEATURE_HI16_ZMM 7

/* Copy part of a component; its initial state is zeros. */
static void read_component(const u8 *fp, unsigned component, unsigned off, u8 *to, unsigned len)
{
	u32 magic, size, eax, start, ecx, edx;
	u64 bv;

	memset(to, 0, len);
	memcpy(&magic, fp + FRAME_MAGIC, 4);
	if (component == XFEATURE_SSE && magic != XSTATE_MAGIC) {
		memcpy(to, fp + 160 + off, len);
		return;
	}
	memcpy(&size, fp + FRAME_MAGIC + 16, 4);
	memcpy(&bv, fp + XSAVE_BV, 8);
	if (magic != XSTATE_MAGIC || !(bv >> component & 1))
		return;
	if (component == XFEATURE_SSE)
		start = 160;
	else if (component == XFEATURE_AVX)
		start = 576; /* the first extended component: no need for CPUID, a trap in a guest
			      */
	else
		__cpuid_count(0xd, component, eax, start, ecx, edx);
	if (start + off + len <= size)
		memcpy(to, fp + start + off, len);
}

static bool find_vector(ZydisRegister r, unsigned *out)
{
	if (r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_XMM31)
		*out = r - ZYDIS_REGISTER_XMM0;
	else if (r >= ZYDIS_REGISTER_YMM0 && r <= ZYDIS_REGISTER_YMM31)
		*out = r - ZYDIS_REGISTER_YMM0;
	else if (r >= ZYDIS_REGISTER_ZMM0 && r <= ZYDIS_REGISTER_ZMM31)
		*out = r - ZYDIS_REGISTER_ZMM0;
	else
		return false;
	return true;
}

static void read_vector(const struct insn *in, unsigned n, u8 *to)
{
	const u8 *fp = (const u8 *)in->uc->uc_mcontext.fpregs;

	if (n >= 16) {
		read_component(fp, XFEATURE_HI16_ZMM, (n - 16) * 64, to, 64);
		return;
	}
	read_component(fp, XFEATURE_SSE, n * 16, to, 16);
	read_component(fp, XFEATURE_AVX, n * 16, to + 16, 16);
	read_component(fp, XFEATURE_ZMM_HI, n * 32, to + 32, 32);
}

/* ---- operands ---- */

static u64 base_value(const struct insn *in, ZydisRegister r)
{
	struct gpr g;

	if (r == ZYDIS_REGISTER_NONE)
		return 0;
	if (r == ZYDIS_REGISTER_RIP)
		return in->s->rip;
	return find_gpr(r, &g) ? read_gpr(in, &g) : 0;
}

static bool find_address(struct insn *in)
{
	const ZydisDecodedOperandMem *m = &in->mem->mem;
	u64 addr;

	if (m->type != ZYDIS_MEMOP_TYPE_MEM || m->segment == ZYDIS_REGISTER_FS ||
	    m->segment == ZYDIS_REGISTER_GS)
		return false;
	addr = base_value(in, m->base) + base_value(in, m->index) * m->scale;
	addr += m->disp.has_displacement ? (u64)m->disp.value : 0;
	in->s->addr = in->i.address_width == 32 ? (u32)addr : addr;
	return true;
}

/* The value of a register or immediate operand of at most 8 bytes. */
static bool read_operand(const struct insn *in, const ZydisDecodedOperand *op, u64 *out)
{
	struct gpr g;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*out = op->imm.value.u;
		return true;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !find_gpr(op->reg.value, &g))
		return false;
	*out = read_gpr(in, &g);
	return true;
}

/* What the page shows: one load of the store's own width, which the caller has checked. */
static u64 page_value(const struct insn *in)
{
	const volatile void *p = (const volatile void *)(uintptr_t)in->s->addr;
	u64 v = 0;

	switch (in->len) {
	case 1:
		return *(const volatile u8 *)p;
	case 2:
		return *(const volatile u16 *)p;
	case 4:
		return *(const volatile u32 *)p;
	case 8:
		memcpy(&v, (const void *)(uintptr_t)in->s->addr, 8);
		return v;
	}
	return 0;
}

static void put_value(struct insn *in, u64 v)
{
	memcpy(in->s->value, &v, in->len);
}

/* ---- flags ---- */

static u64 sign_bit(const struct insn *in)
{
	return 1ull << (8 * in->len - 1);
}

static u64 result_flags(const struct insn *in, u64 r)
{
	u64 f = 0;

	if (!(r & in->mask))
		f |= FLAG_ZF;
	if (r & sign_bit(in))
		f |= FLAG_SF;
	if (!__builtin_parity((unsigned)(r & 0xff)))
		f |= FLAG_PF;
	return f;
}

static u64 add_flags(const struct insn *in, u64 a, u64 b, u64 carry)
{
	u64 r = (a + b + carry) & in->mask, f = result_flags(in, r);

	if (r < a || (carry && r == a))
		f |= FLAG_CF;
	if (~(a ^ b) & (a ^ r) & sign_bit(in))
		f |= FLAG_OF;
	return f | ((a ^ b ^ r) & FLAG_AF);
}

static u64 sub_flags(const struct insn *in, u64 a, u64 b, u64 borrow)
{
	u64 r = (a - b - borrow) & in->mask, f = result_flags(in, r);

	if (a < b || (borrow && a == b))
		f |= FLAG_CF;
	if ((a ^ b) & (a ^ r) & sign_bit(in))
		f |= FLAG_OF;
	return f | ((a ^ b ^ r) & FLAG_AF);
}

static void set_flags(struct insn *in, u64 which, u64 f)
{
	in->s->eflags = (in->s->eflags & ~which) | (f & which);
}

/* ---- instructions ---- */

static int do_mov(struct insn *in)
{
	u64 v;

	if (!read_operand(in, &in->ops[1], &v))
		return -EOPNOTSUPP;
	if (in->i.mnemonic == ZYDIS_MNEMONIC_MOVBE)
		v = __builtin_bswap64(v) >> (64 - 8 * in->len);
	put_value(in, v);
	return 0;
}

/* A two-operand instruction that computes @old op @src. */
static int do_alu(struct insn *in)
{
	u64 a = page_value(in), b = 0, carry = in->s->eflags & FLAG_CF, r, f;

	if (!read_operand(in, &in->ops[1], &b))
		return -EOPNOTSUPP;
	b &= in->mask;
	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_AND:
		r = a & b;
		f = result_flags(in, r);
		break;
	case ZYDIS_MNEMONIC_OR:
		r = a | b;
		f = result_flags(in, r);
		break;
	case ZYDIS_MNEMONIC_XOR:
		r = a ^ b;
		f = result_flags(in, r);
		break;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_ADC:
		carry = in->i.mnemonic == ZYDIS_MNEMONIC_ADC ? carry : 0;
		r = a + b + carry;
		f = add_flags(in, a, b, carry);
		break;
	default: /* SUB, SBB */
		carry = in->i.mnemonic == ZYDIS_MNEMONIC_SBB ? carry : 0;
		r = a - b - carry;
		f = sub_flags(in, a, b, carry);
		break;
	}
	put_value(in, r);
	set_flags(in, FLAGS_ARITH, f);
	return 0;
}

static int do_unary(struct insn *in)
{
	u64 a = page_value(in);

	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_INC:
		put_value(in, a + 1);
		set_flags(in, FLAGS_ARITH & ~FLAG_CF, add_flags(in, a, 1, 0));
		break;
	case ZYDIS_MNEMONIC_DEC:
		put_value(in, a - 1);
		set_flags(in, FLAGS_ARITH & ~FLAG_CF, sub_flags(in, a, 1, 0));
		break;
	case ZYDIS_MNEMONIC_NEG:
		put_value(in, 0 - a);
		set_flags(in, FLAGS_ARITH, sub_flags(in, 0, a, 0));
		break;
	default: /* NOT */
		put_value(in, ~a);
		break;
	}
	return 0;
}

/* xchg and xadd: the register gets what was there. */
static int do_exchange(struct insn *in)
{
	const ZydisDecodedOperand *other = in->mem == &in->ops[0] ? &in->ops[1] : &in->ops[0];
	u64 old = page_value(in), v;
	struct gpr g;

	if (other->type != ZYDIS_OPERAND_TYPE_REGISTER || !find_gpr(other->reg.value, &g))
		return -EOPNOTSUPP;
	v = read_gpr(in, &g);
	if (in->i.mnemonic == ZYDIS_MNEMONIC_XADD) {
		set_flags(in, FLAGS_ARITH, add_flags(in, old, v, 0));
		v += old;
	}
	put_value(in, v);
	write_gpr(in, &g, old);
	return 0;
}

static int do_cmpxchg(struct insn *in)
{
	const struct gpr acc = {REG_RAX, 8 * in->len, false};
	u64 old = page_value(in), expected = read_gpr(in, &acc), v;

	if (!read_operand(in, &in->ops[1], &v))
		return -EOPNOTSUPP;
	set_flags(in, FLAGS_ARITH, sub_flags(in, expected, old, 0));
	if (old == expected) {
		put_value(in, v);
	} else {
		put_value(in, old); /* the processor writes it back */
		write_gpr(in, &acc, old);
	}
	return 0;
}

static int do_bit(struct insn *in)
{
	u64 old = page_value(in), bit;

	if (in->ops[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return -EOPNOTSUPP; /* a register's bit may lie in another word */
	bit = 1ull << (in->ops[1].imm.value.u % (8 * in->len));
	set_flags(in, FLAG_CF, old & bit ? FLAG_CF : 0);
	if (in->i.mnemonic == ZYDIS_MNEMONIC_BTS)
		put_value(in, old | bit);
	else if (in->i.mnemonic == ZYDIS_MNEMONIC_BTR)
		put_value(in, old & ~bit);
	else
		put_value(in, old ^ bit);
	return 0;
}

/* Bits 0 to 3 of the opcode of setcc are the condition. */
static int do_setcc(struct insn *in)
{
	u64 f = in->s->eflags;
	bool sf = f & FLAG_SF, of = f & FLAG_OF, zf = f & FLAG_ZF, is;

	switch (in->i.opcode >> 1 & 7) {
	case 0:
		is = of;
		break;
	case 1:
		is = f & FLAG_CF;
		break;
	case 2:
		is = zf;
		break;
	case 3:
		is = f & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		is = sf;
		break;
	case 5:
		is = f & FLAG_PF;
		break;
	case 6:
		is = sf != of;
		break;
	default:
		is = zf || sf != of;
		break;
	}
	put_value(in, is ^ (in->i.opcode & 1));
	return 0;
}

/* The bytes of a vector register from @off on. */
static int do_vector(struct insn *in, unsigned off)
{
	const ZydisDecodedOperand *src = &in->ops[1];
	u8 reg[64];
	unsigned n;

	if (in->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && in->i.operand_count_visible > 2 &&
	    in->ops[1].reg.value >= ZYDIS_REGISTER_K0 &&
	    in->ops[1].reg.value <= ZYDIS_REGISTER_K7) {
		if (in->ops[1].reg.value != ZYDIS_REGISTER_K0)
			return -EOPNOTSUPP; /* masked */
		src = &in->ops[2];
	}
	if (src->type != ZYDIS_OPERAND_TYPE_REGISTER || !find_vector(src->reg.value, &n) ||
	    off + in->len > sizeof(reg))
		return -EOPNOTSUPP;
	read_vector(in, n, reg);
	memcpy(in->s->value, reg + off, in->len);
	return 0;
}

/* movd and movq take a vector or, as forms of mov, a general register. */
static int do_movq(struct insn *in)
{
	u64 v;

	if (!read_operand(in, &in->ops[1], &v))
		return do_vector(in, 0);
	put_value(in, v);
	return 0;
}

/* How many elements of a string instruction one visit may store. */
static u64 nr_elements(const struct insn *in, u64 hi, bool moves, u64 rcx)
{
	u64 n = min(rcx, (u64)STORE_MAX / in->len), src = greg(in, REG_RSI);

	if (in->s->eflags & FLAG_DF)
		return 1;
	n = min(n, (hi - in->s->addr) / in->len);
	/* Only the page of the first source element is known to be readable. */
	if (moves)
		n = min(n, (PAGE_SIZE - src % PAGE_SIZE) / in->len);
	return max(n, (u64)1);
}

static int do_string(struct insn *in, u64 hi, bool moves)
{
	bool rep = in->i.attributes &
		   (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	u64 rcx = rep ? greg(in, REG_RCX) : 1, n, step, rax = greg(in, REG_RAX);

	if (in->i.address_width != 64 || !rcx)
		return -EOPNOTSUPP;
	n = nr_elements(in, hi, moves, rcx);
	step = in->s->eflags & FLAG_DF ? 0 - n * in->len : n * in->len;
	if (moves) {
		memcpy(in->s->value, (const void *)(uintptr_t)greg(in, REG_RSI), n * in->len);
		set_greg(in, REG_RSI, greg(in, REG_RSI) + step);
	} else {
		for (u64 i = 0; i < n; i++)
			memcpy(in->s->value + i * in->len, &rax, in->len);
	}
	set_greg(in, REG_RDI, greg(in, REG_RDI) + step);
	in->s->len = (unsigned)(n * in->len);
	if (!rep)
		return 0;
	set_greg(in, REG_RCX, rcx - n);
	if (rcx != n)
		in->s->rip = greg(in, REG_RIP);
	return 0;
}

/* movs may override the source's segment; the decoder shows it on the second operand. */
static bool plain_segments(const struct insn *in)
{
	for (unsigned i = 0; i < in->i.operand_count; i++)
		if (in->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (in->ops[i].mem.segment == ZYDIS_REGISTER_FS ||
		     in->ops[i].mem.segment == ZYDIS_REGISTER_GS))
			return false;
	return true;
}

static int do_vector_mnemonic(struct insn *in)
{
	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_VMOVDQA32:
	case ZYDIS_MNEMONIC_VMOVDQA64:
	case ZYDIS_MNEMONIC_VMOVDQU8:
	case ZYDIS_MNEMONIC_VMOVDQU16:
	case ZYDIS_MNEMONIC_VMOVDQU32:
	case ZYDIS_MNEMONIC_VMOVDQU64:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVUPS:
	case ZYDIS_MNEMONIC_VMOVUPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVSS:
	case ZYDIS_MNEMONIC_VMOVSD:
	case ZYDIS_MNEMONIC_VMOVLPS:
	case ZYDIS_MNEMONIC_VMOVLPD:
		return do_vector(in, 0);
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
	case ZYDIS_MNEMONIC_VMOVHPS:
	case ZYDIS_MNEMONIC_VMOVHPD:
		return do_vector(in, 8);
	case ZYDIS_MNEMONIC_VEXTRACTI128:
	case ZYDIS_MNEMONIC_VEXTRACTF128:
		return do_vector(in, in->ops[2].imm.value.u & 1 ? 16 : 0);
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VMOVQ:
		return do_movq(in);
	default:
		return -EOPNOTSUPP;
	}
}

/* Instructions on general registers and at most 8 bytes; the rest goes on to the vector ones. */
static int do_mnemonic(struct insn *in)
{
	if (in->i.meta.category == ZYDIS_CATEGORY_SETCC)
		return do_setcc(in);
	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVBE:
	case ZYDIS_MNEMONIC_MOVDIRI:
		return do_mov(in);
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_SBB:
		return do_alu(in);
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
		return do_unary(in);
	case ZYDIS_MNEMONIC_XCHG:
	case ZYDIS_MNEMONIC_XADD:
		return do_exchange(in);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return do_cmpxchg(in);
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return do_bit(in);
	default:
		return do_vector_mnemonic(in);
	}
}

/* The decoder may look at the next page only when the instruction reaches into it. */
static bool fetch(struct insn *in, u64 rip)
{
	ZydisDecoder decoder;
	u64 here = min((u64)MAX_INSN, PAGE_SIZE - rip % PAGE_SIZE);
	const void *code = (const void *)(uintptr_t)rip;
	ZyanStatus st;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	st = ZydisDecoderDecodeFull(&decoder, code, here, &in->i, in->ops);
	if (st == ZYDIS_STATUS_NO_MORE_DATA)
		st = ZydisDecoderDecodeFull(&decoder, code, MAX_INSN, &in->i, in->ops);
	return ZYAN_SUCCESS(st);
}

static bool find_destination(struct insn *in)
{
	for (unsigned i = 0; i < in->i.operand_count && !in->mem; i++)
		if (in->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (in->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			in->mem = &in->ops[i];
	return in->mem && find_address(in);
}

static bool is_string(const struct insn *in)
{
	return in->i.meta.category == ZYDIS_CATEGORY_STRINGOP;
}

int store_decode(const ucontext_t *uc, u64 lo, u64 hi, struct store *out)
{
	struct insn in = {.uc = uc};
	struct store s = {.eflags = (u64)uc->uc_mcontext.gregs[REG_EFL]};
	u64 rip = (u64)uc->uc_mcontext.gregs[REG_RIP];
	int rc;

	in.s = &s;
	if (!fetch(&in, rip))
		return -EOPNOTSUPP;
	s.rip = rip + in.i.length;
	if (!find_destination(&in) || !plain_segments(&in))
		return -EOPNOTSUPP;
	in.len = s.len = in.mem->size / 8;
	if (!in.len || in.len > STORE_MAX)
		return -EOPNOTSUPP;
	in.mask = low_mask(in.len >= 8 ? 64 : 8 * in.len);
	if (s.addr < lo || s.addr >= hi || in.len > hi - s.addr)
		return -EFAULT;
	if (is_string(&in))
		rc = do_string(&in, hi, in.ops[1].type == ZYDIS_OPERAND_TYPE_MEMORY);
	else
		rc = do_mnemonic(&in);
	if (!rc)
		*out = s;
	return rc;
}

void store_apply(ucontext_t *uc, const struct store *s)
{
	for (unsigned i = 0; i < s->nr_regs; i++)
		uc->uc_mcontext.gregs[s->regs[i].greg] = (greg_t)s->regs[i].value;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)s->rip;
	uc->uc_mcontext.gregs[REG_EFL] = (greg_t)s->eflags;
}
