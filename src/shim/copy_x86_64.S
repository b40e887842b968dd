/* SPDX-License-Identifier: MIT */
/*
 * size_t shim_copy(void *to, const void *from, size_t len)
 *
 * Copies and returns how many bytes were left when one of the two was not there: a fault at
 * shim_copy_insn continues at shim_copy_end with the count where the instruction left it.
 */
	.text
	.globl shim_copy, shim_copy_insn, shim_copy_end
	.hidden shim_copy, shim_copy_insn, shim_copy_end
	.type shim_copy, @function
shim_copy:
	.cfi_startproc
	endbr64
	mov %rdx, %rcx
shim_copy_insn:
	rep movsb
shim_copy_end:
	mov %rcx, %rax
	ret
	.cfi_endproc
	.size shim_copy, . - shim_copy
	.section .note.GNU-stack, "", @progbits
