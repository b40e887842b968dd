/* SPDX-License-Identifier: MIT */
/*
 * Copies whose faults are survived: the handler recognises them by the instruction's address
 * (copy_x86_64.c) and continues at copy_fault, which returns -EFAULT. No routine here touches the
 * stack, so at any instruction the return address is on top of it.
 *
 * Pieces of 4 and 8 bytes are one load and one store: what a device writes naturally aligned is never
 * seen half. Larger pieces are copied ends first with overlap, so that no length needs a byte loop.
 */
	.text
	.p2align 6
	.hidden copy_text_start, copy_text_end, copy_fault
	.hidden copy_sse, copy_avx, cas4, cas8
	.globl copy_text_start, copy_text_end, copy_fault
	.globl copy_sse, copy_avx, cas4, cas8
	.type copy_sse, @function
	.type copy_avx, @function
	.type cas4, @function
	.type cas8, @function

copy_text_start:

/* int copy_sse(void *to, const void *from, size_t len) */
copy_sse:
	.cfi_startproc
	cmpq	$16, %rdx
	jb	.Lsmall
	cmpq	$64, %rdx
	ja	.Lloop64
	movups	(%rsi), %xmm0
	movups	-16(%rsi, %rdx), %xmm1
	cmpq	$32, %rdx
	jbe	.Lends
	movups	16(%rsi), %xmm2
	movups	-32(%rsi, %rdx), %xmm3
	movups	%xmm2, 16(%rdi)
	movups	%xmm3, -32(%rdi, %rdx)
.Lends:
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi, %rdx)
	xorl	%eax, %eax
	ret
.Lsmall:
	cmpl	$8, %edx
	jb	.Lunder8
	movq	(%rsi), %rax
	je	.Lone8
	movq	-8(%rsi, %rdx), %rcx
	movq	%rcx, -8(%rdi, %rdx)
.Lone8:
	movq	%rax, (%rdi)
	xorl	%eax, %eax
	ret
.Lunder8:
	cmpl	$4, %edx
	jb	.Lunder4
	movl	(%rsi), %eax
	je	.Lone4
	movl	-4(%rsi, %rdx), %ecx
	movl	%ecx, -4(%rdi, %rdx)
.Lone4:
	movl	%eax, (%rdi)
	xorl	%eax, %eax
	ret
.Lunder4:
	testl	%edx, %edx
	jz	.Lnone
	movzbl	(%rsi), %eax
	cmpl	$2, %edx
	jb	.Lone1
	movzwl	-2(%rsi, %rdx), %ecx
	movw	%cx, -2(%rdi, %rdx)
.Lone1:
	movb	%al, (%rdi)
.Lnone:
	xorl	%eax, %eax
	ret
.Lloop64:
	movups	(%rsi), %xmm0
	movups	16(%rsi), %xmm1
	movups	32(%rsi), %xmm2
	movups	48(%rsi), %xmm3
	movups	%xmm0, (%rdi)
	movups	%xmm1, 16(%rdi)
	movups	%xmm2, 32(%rdi)
	movups	%xmm3, 48(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	subq	$64, %rdx
	cmpq	$64, %rdx
	ja	.Lloop64
	jmp	copy_sse
	.cfi_endproc
	.size copy_sse, . - copy_sse

/* int copy_avx(void *to, const void *from, size_t len): len >= 128 */
	.p2align 5
copy_avx:
	.cfi_startproc
	vmovdqu	-128(%rsi, %rdx), %ymm4
	vmovdqu	-96(%rsi, %rdx), %ymm5
	vmovdqu	-64(%rsi, %rdx), %ymm6
	vmovdqu	-32(%rsi, %rdx), %ymm7
	leaq	-128(%rdi, %rdx), %rcx
	subq	$128, %rdx
	jbe	.Ltail
.Lloop128:
	vmovdqu	(%rsi), %ymm0
	vmovdqu	32(%rsi), %ymm1
	vmovdqu	64(%rsi), %ymm2
	vmovdqu	96(%rsi), %ymm3
	vmovdqu	%ymm0, (%rdi)
	vmovdqu	%ymm1, 32(%rdi)
	vmovdqu	%ymm2, 64(%rdi)
	vmovdqu	%ymm3, 96(%rdi)
	addq	$128, %rsi
	addq	$128, %rdi
	subq	$128, %rdx
	ja	.Lloop128
.Ltail:
	vmovdqu	%ymm4, (%rcx)
	vmovdqu	%ymm5, 32(%rcx)
	vmovdqu	%ymm6, 64(%rcx)
	vmovdqu	%ymm7, 96(%rcx)
	vzeroupper
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size copy_avx, . - copy_avx

/* int cas4(void *at, u64 *old, u64 new_value): *old is read first and written last, by the caller's leave */
cas4:
	.cfi_startproc
	movl	(%rsi), %eax
	lock cmpxchgl %edx, (%rdi)
	movl	%eax, %eax
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size cas4, . - cas4

cas8:
	.cfi_startproc
	movq	(%rsi), %rax
	lock cmpxchgq %rdx, (%rdi)
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size cas8, . - cas8
copy_text_end:

copy_fault:
	.cfi_startproc
	movl	$-14, %eax
	ret
	.cfi_endproc

	.section .note.GNU-stack, "", @progbits
