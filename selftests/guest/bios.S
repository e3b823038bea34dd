/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A firmware of our own for q35: 64 KiB for -bios. It reads the PM timer's port before, while and after the port is
 * enabled, and reports on the debug port. Lines: letter, all-ones values, other values, steps back (hexadecimal).
 *
 *   A	PMBASE not programmed: only all ones are right
 *   B	after programming it: the timer
 *   C	after ACPI_EN was cleared again, up to the first all ones: values still given
 *   D	after that: only all ones are right
 *   E	enabled again: the timer. Then it reads on for ever
 */
#define PORT	0x608
#define DEBUG	0xe9
#define LPC(reg) (0x8000f800 | (reg))	/* 00:1f.0 */
#define FEW	2000
#define MANY	10000

	.code16
	.text
	.globl start
start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0x7000, %sp

	movl	$FEW, %ecx
	movb	$'A', %al
	call	measure

	movl	$LPC(0x40), %eax
	movl	$0x601, %ebx
	call	config
	call	enable
	movl	$MANY, %ecx
	movb	$'B', %al
	call	measure

	movl	$LPC(0x44), %eax
	xorl	%ebx, %ebx
	call	config
	xorl	%edi, %edi
	movw	$PORT, %dx
1:	inl	%dx, %eax
	incl	%edi
	cmpl	$-1, %eax
	jne	1b
	decl	%edi
	movb	$'C', %al
	xorl	%esi, %esi
	xorl	%ebp, %ebp
	call	report
	movl	$FEW, %ecx
	movb	$'D', %al
	call	measure

	call	enable
	movl	$MANY, %ecx
	movb	$'E', %al
	call	measure
	movw	$PORT, %dx
2:	inl	%dx, %eax
	jmp	2b

enable:
	movl	$LPC(0x44), %eax
	movl	$0x80, %ebx
config:					/* PCI register %eax = %ebx */
	movw	$0xcf8, %dx
	outl	%eax, %dx
	movw	$0xcfc, %dx
	movl	%ebx, %eax
	outl	%eax, %dx
	ret

measure:				/* %ecx reads, reported with the letter %al */
	pushw	%ax
	xorl	%esi, %esi		/* all ones */
	xorl	%edi, %edi		/* other values */
	xorl	%ebp, %ebp		/* steps back, or values of more than 24 bits */
	movw	$PORT, %dx
1:	inl	%dx, %eax
	cmpl	$-1, %eax
	jne	2f
	incl	%esi
	jmp	5f
2:	testl	$0xff000000, %eax
	jnz	3f
	testl	%edi, %edi
	jz	4f
	pushl	%eax
	subl	%ebx, %eax
	testl	$0x00800000, %eax
	popl	%eax
	jz	4f
3:	incl	%ebp
4:	incl	%edi
	movl	%eax, %ebx
5:	decl	%ecx
	jnz	1b
	popw	%ax

report:					/* %al %esi %edi %ebp */
	movw	$DEBUG, %dx
	outb	%al, %dx
	movl	%esi, %ebx
	call	hex
	movl	%edi, %ebx
	call	hex
	movl	%ebp, %ebx
	call	hex
	movb	$'\n', %al
	outb	%al, %dx
	ret

hex:					/* a blank, then %ebx */
	movb	$' ', %al
	outb	%al, %dx
	movw	$8, %cx
1:	roll	$4, %ebx
	movb	%bl, %al
	andb	$15, %al
	cmpb	$10, %al
	jb	2f
	addb	$('a' - '0' - 10), %al
2:	addb	$'0', %al
	outb	%al, %dx
	decw	%cx
	jnz	1b
	ret

	.org	0xfff0
	ljmp	$0xf000, $start
	.org	0x10000
