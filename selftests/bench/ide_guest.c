// SPDX-License-Identifier: GPL-2.0
/*
 * The guest that reads an IDE disk by PIO, as drivers do: a multiboot kernel for QEMU, and as a raw binary a flat payload for the reference
 * VMM. One command a line on COM1:
 *
 *	MULTIPLE INTERRUPT SINGLE TIMES	(0 or 1 but the last, hex) read the first 128 KiB so often, by READ MULTIPLE with blocks of 16 sectors or by
 *			READ SECTORS, waiting for the drive's interrupt or polling its status, word by word or by string instructions: "i <median>
 *			<most> <wrong>", ticks of the TSC per 128 KiB, and dwords that are not what the disk holds
 *
 * Between commands it halts, and command and answer have the same length each time: so all commands cost the same exits, but for the reads.
 */
#include <stdint.h>
#include "guest.h"

#define IDE_DATA    0x1f0
#define IDE_COUNT   0x1f2
#define IDE_LOW	    0x1f3
#define IDE_MID	    0x1f4
#define IDE_HIGH    0x1f5
#define IDE_DEVICE  0x1f6
#define IDE_COMMAND 0x1f7 /* and status */
#define IDE_CONTROL 0x3f6

#define LBA_MODE    0xe0
#define NIEN	    0x02
#define BSY	    0x80
#define DRQ	    0x08
#define ERR	    0x01

#define READ_SECTORS  0x20
#define READ_MULTIPLE 0xc4
#define SET_MULTIPLE  0xc6
#define BLOCK	      16

#define SECTORS	    256 /* a count of 0 */
#define WORDS	    256 /* of a sector */
#define MOST_TIMES  64

#define PIC1	    0x20
#define PIC2	    0xa0
#define EOI	    0x20
#define VECTOR	    0x20 /* of IRQ0 */
#define COM1_IRQ    4
#define IDE_IRQ	    14
#define COM1_IER    (COM1 + 1)
#define COM1_MCR    (COM1 + 4)
#define IER_RDI	    0x01
#define MCR_OUT2    0x08 /* lets the interrupt out on a PC */

/* A raw binary is entered at its first byte. */
asm(".section .multiboot, \"a\"\n"
	"	jmp _start\n"
	"	.align 4\n"
	"	.long 0x1badb002, 0, -0x1badb002\n"
	"	.text\n"
	"	.globl _start\n"
	"_start:\n"
	"	cli\n"
	"	mov $stack_top, %esp\n"
	"	lgdt gdt_pointer\n"
	"	ljmp $8, $1f\n"
	"1:	mov $16, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	call guest_main\n"
	"2:	hlt\n"
	"	jmp 2b\n"
	"ide_interrupt:\n"
	"	pusha\n"
	"	call interrupt\n"
	"	popa\n"
	"	iret\n"
	"console_interrupt:\n"
	"	push %eax\n"
	"	mov $0x20, %al\n"
	"	out %al, $0x20\n"
	"	pop %eax\n"
	"	iret\n"
	"	.section .rodata\n"
	"	.align 8\n"
	"gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
	"gdt_pointer:\n"
	"	.word 23\n"
	"	.long gdt\n"
	"	.lcomm stack, 65536\n"
	"	.set stack_top, stack + 65536\n");

void ide_interrupt(void);
void console_interrupt(void);

static volatile int interrupts;
static volatile uint8_t interrupt_status;

/* The status is read once, which acknowledges the interrupt. */
void interrupt(void)
{
	interrupt_status = inb(IDE_COMMAND);
	interrupts++;
	outb(PIC2, EOI);
	outb(PIC1, EOI);
}

/* An interrupt gate of 32 bits, in the code segment. */
static uint64_t gate(void (*handler)(void))
{
	uint32_t to = (uint32_t)handler;

	return (uint64_t)(to >> 16) << 48 | 0x8e00ULL << 32 | 8 << 16 | (to & 0xffff);
}

static void init_interrupts(void)
{
	static uint64_t idt[VECTOR + 16];
	static struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer;

	idt[VECTOR + COM1_IRQ] = gate(console_interrupt);
	idt[VECTOR + IDE_IRQ] = gate(ide_interrupt);
	pointer.limit = sizeof(idt) - 1;
	pointer.base = (uint32_t)idt;
	asm volatile("lidt %0" : : "m"(pointer));
	/* Edges, the slave on IRQ2, 8086 mode; all is masked but the two, and the way to the second. */
	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, VECTOR);
	outb(PIC2 + 1, VECTOR + 8);
	outb(PIC1 + 1, 1 << 2);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, (uint8_t)~(1 << 2 | 1 << COM1_IRQ));
	outb(PIC2 + 1, (uint8_t)~(1 << (IDE_IRQ - 8)));
	outb(COM1_IER, IER_RDI);
	outb(COM1_MCR, MCR_OUT2);
}

static uint16_t data[SECTORS * WORDS];

static inline uint16_t inw(uint16_t port)
{
	uint16_t val;

	asm volatile("inw %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

static uint8_t wait_interrupt(int seen)
{
	while (interrupts == seen)
		asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	return interrupt_status;
}

static uint8_t wait_ready(void)
{
	uint8_t status;

	do
		status = inb(IDE_COMMAND);
	while (status & BSY);
	return status;
}

static void command(uint8_t count, uint8_t what, int interrupt)
{
	wait_ready();
	outb(IDE_CONTROL, interrupt ? 0 : NIEN);
	outb(IDE_DEVICE, LBA_MODE);
	outb(IDE_COUNT, count);
	outb(IDE_LOW, 0);
	outb(IDE_MID, 0);
	outb(IDE_HIGH, 0);
	outb(IDE_COMMAND, what);
}

/* Return: 0, or the drive does not give what it should. */
static int read_all(int multiple, int interrupt, int single)
{
	int i, n, seen, words = (multiple ? BLOCK : 1) * WORDS;
	uint16_t *to = data;
	uint8_t status;

	seen = interrupts;
	command(0, multiple ? READ_MULTIPLE : READ_SECTORS, interrupt);
	for (i = 0; i < SECTORS * WORDS; i += words) {
		status = interrupt ? wait_interrupt(seen) : wait_ready();
		if ((status & (DRQ | ERR)) != DRQ)
			return -1;
		seen = interrupts;
		if (single) {
			for (n = words; n; n--)
				*to++ = inw(IDE_DATA);
			continue;
		}
		n = words;
		asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(IDE_DATA) : "memory");
	}
	return wait_ready() & (DRQ | ERR) ? -1 : 0;
}

static uint32_t wrong(void)
{
	const uint32_t *dwords = (const uint32_t *)data;
	uint32_t i, n = 0;

	for (i = 0; i < sizeof(data) / 4; i++)
		n += dwords[i] != i * 2654435761U;
	return n;
}

static void put_fixed(uint32_t n)
{
	uint32_t unit;

	put_char(' ');
	for (unit = 1000000000; unit; unit /= 10)
		put_char('0' + n / unit % 10);
}

static void run(const char *s)
{
	static uint32_t took[MOST_TIMES];
	uint32_t multiple = get_hex(&s), interrupt = get_hex(&s), single = get_hex(&s), times = get_hex(&s);
	uint32_t begin, most = 0, bad = 0, i;

	if (multiple) {
		command(BLOCK, SET_MULTIPLE, 0);
		if (wait_ready() & ERR) {
			put_str("? SET MULTIPLE fails\n");
			return;
		}
	}
	for (i = 0; i < times && i < MOST_TIMES; i++) {
		begin = ticks();
		if (read_all(multiple, interrupt, single)) {
			put_str("? the read fails\n");
			return;
		}
		took[i] = ticks() - begin;
		most = took[i] > most ? took[i] : most;
		bad += wrong();
	}
	put_char('i');
	put_fixed(median(took, i));
	put_fixed(most);
	put_fixed(bad);
	put_char('\n');
}

static char wait_char(void)
{
	/* An interrupt between the look and the halt comes after it. */
	while (!(inb(COM1_LSR) & LSR_DR))
		asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	return inb(COM1);
}

void guest_main(void)
{
	char line[64], c;
	unsigned int n;

	init_interrupts();
	put_str("ready\n");
	for (;;) {
		for (n = 0; (c = wait_char()) != '\n';)
			if (n < sizeof(line) - 1)
				line[n++] = c;
		line[n] = '\0';
		run(line);
	}
}
