// SPDX-License-Identifier: GPL-2.0
/*
 * The guest of the benchmark: a multiboot kernel that QEMU loads with -kernel, after SeaBIOS has set up the ACPI PM
 * base. It takes one command a line on COM1 and answers with one line:
 *
 *	r PORT WIDTH	time reads of a port (hex), WIDTH 1, 2 or 4 bytes: "r <median> <mean> <reads>", the first two in
 *			hundredths of a TSC tick per read, the loop taken off. <reads> includes those that warm up
 *	m ADDRESS	the same for a dword in memory
 *	b REGISTER	the same for a byte of the CMOS memory: a write of the index and a read of the data
 *	p PORT WORD	the same as r PORT 1, after the PIT has got this control word and a count of 65536: at once, for who follows it has
 *			then seen closely when it was loaded
 *	l PORT WORD	the same for a latch command to the PIT's counter at PORT and two reads of that; <reads> are these
 *	w ADDRESS VALUE	write a dword there: "w"
 *	q		mask all interrupts of the PIC, so that none is pending: "q"
 *	s PORT WIDTH [WORD]	the reads of r without an end, for a profile; no answer. With a control word: as p
 *	c PORT		watch the PM timer at a port: "c <reads> <steps back> <greatest, ticks> <misfit, ns> <ticks> <ns>"
 *
 * A read is timed in batches of two sizes. The difference of their medians belongs to the reads alone: what a batch
 * costs to begin and end drops out, and so does a batch that the host interrupted. The mean is over everything.
 *
 * The misfit is what the timer's answers, against the TSC, differ from any one steady clock: a lag that can be proven.
 */
#include <stdint.h>
#include <iofilter/pmtimer.h>
#include "guest.h"

#define FEW	16
#define MANY	48
#define BATCHES 201
#define WARM_UP 4000
#define MEMORY	0x80 /* for a width: not a port */
#define CMOS	0x40 /* likewise, ports 0x70 and 0x71 */
#define LATCH	0x20 /* likewise, port 0x43 and a counter's */

#define CLOCK_READS 300000
#define CLOCK_FIT   1024 /* reads that are compared: so short a time that TSC and timer do not drift apart */
#define CLOCK_MASK  ((1U << PMTIMER_WIDTH) - 1)

asm(".section .multiboot, \"a\"\n"
	"	.long 0x1badb002, 0, -0x1badb002\n"
	"	.text\n"
	"	.globl _start\n"
	"_start:\n"
	"	cli\n"
	"	mov $stack_top, %esp\n"
	"	call guest_main\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"	.lcomm stack, 65536\n"
	"	.set stack_top, stack + 65536\n");

/* The same two instructions close every loop, so that an empty one can be subtracted. */
#define LOOP(n, insn) \
	asm volatile("1: " insn "\n\tdec %%ecx\n\tjnz 1b" : "+c"(n) : "d"(where) : "eax", "memory", "cc")

static uint32_t batch(uint32_t where, int width, uint32_t n)
{
	uint32_t begin = ticks();

	switch (width) {
	case 1:
		LOOP(n, "inb %%dx, %%al");
		break;
	case 2:
		LOOP(n, "inw %%dx, %%ax");
		break;
	case 4:
		LOOP(n, "inl %%dx, %%eax");
		break;
	case 4 | MEMORY:
		LOOP(n, "movl (%%edx), %%eax");
		break;
	case 1 | CMOS:
		LOOP(n, "movl %%edx, %%eax\n\toutb %%al, $0x70\n\tinb $0x71, %%al");
		break;
	case 1 | LATCH:
		/* 0x40 + counter, times 64, is the command in its low byte. */
		LOOP(n, "movl %%edx, %%eax\n\tshlb $6, %%al\n\toutb %%al, $0x43\n\tinb %%dx, %%al\n\tinb %%dx, %%al");
		break;
	default:
		LOOP(n, "");
	}
	return ticks() - begin;
}

static uint32_t few[BATCHES], many[BATCHES];

static uint32_t sum(const uint32_t *v)
{
	uint32_t total = 0;
	int i;

	for (i = 0; i < BATCHES; i++)
		total += v[i];
	return total;
}

struct cost {
	uint32_t median, total;
};

/* @median: ticks of MANY - FEW iterations. @total: of all. */
static struct cost measure(uint32_t where, int width)
{
	struct cost cost;
	int i;

	for (i = 0; i < BATCHES; i++) {
		few[i] = batch(where, width, FEW);
		many[i] = batch(where, width, MANY);
	}
	cost.total = sum(few) + sum(many);
	cost.median = median(many, BATCHES) - median(few, BATCHES);
	return cost;
}

static uint32_t hundredths(uint32_t ticks, uint32_t reads)
{
	return ticks / reads * 100 + ticks % reads * 100 / reads;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t val;

	asm volatile("inl %1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

/* Of a few thousand ticks, in fixed point: there is no 64-bit division here. A TSC tick is a ns in this machine. */
static int32_t ticks_to_ns(int32_t n)
{
	return n * ((1000000000LL << 20) / PMTIMER_HZ) >> 20;
}

struct clock {
	uint32_t steps, worst, ticks, ns;
	int32_t misfit;
};

/*
 * The timer read @val between the TSC's @begin and @end. So the distance of the two clocks was at least that of @val to
 * @end, and at most that of @val + 1 to @begin; one distance fits all reads of a steady clock.
 */
static void watch(uint16_t port, struct clock *c)
{
	uint32_t begin, end, val, diff, last = inl(port) & CLOCK_MASK, first = 0, first_at = 0;
	uint32_t started = ticks();
	int32_t least = 0, most = 0, lo, hi, i;

	for (i = 0; i < CLOCK_READS; i++) {
		begin = ticks();
		val = inl(port);
		end = ticks();
		diff = (val - last) & CLOCK_MASK;
		last = val;
		if (diff > CLOCK_MASK >> 1) {
			diff = -diff & CLOCK_MASK;
			c->steps++;
			c->ticks -= diff;
			if (diff > c->worst)
				c->worst = diff;
		} else {
			c->ticks += diff;
		}
		if (i % CLOCK_FIT == 0) {
			first = c->ticks;
			first_at = begin;
			least = INT32_MIN;
			most = INT32_MAX;
		}
		lo = ticks_to_ns(c->ticks - first) - (int32_t)(end - first_at);
		hi = ticks_to_ns(c->ticks - first + 1) - (int32_t)(begin - first_at);
		least = lo > least ? lo : least;
		most = hi < most ? hi : most;
		if (least > most && least - most > c->misfit)
			c->misfit = least - most;
	}
	c->ns = end - started;
}

static void put_fields(char what, const uint32_t *v, int n)
{
	put_char(what);
	while (n--) {
		put_char(' ');
		put_dec(*v++);
	}
	put_char('\n');
}

/* 0x30 of a control word: low byte, high byte, or both. */
static void load_pit(uint8_t word)
{
	uint16_t port = 0x40 + (word >> 6);

	outb(0x43, word);
	if (word & 0x10)
		outb(port, 0);
	if (word & 0x20)
		outb(port, 0);
}

static int batch_kind(char what, uint32_t width)
{
	switch (what) {
	case 'm':
		return 4 | MEMORY;
	case 'b':
		return 1 | CMOS;
	case 'l':
		return 1 | LATCH;
	case 'p':
		return 1;
	default:
		return width;
	}
}

static void command(const char *s)
{
	struct clock clock = {};
	struct cost cost, empty;
	uint32_t warm = WARM_UP, where, width;
	char what;

	what = *s++;
	where = get_hex(&s);
	width = get_hex(&s);
	switch (what) {
	case 'w':
		*(volatile uint32_t *)where = width;
		put_str("w\n");
		break;
	case 'q':
		outb(0x21, 0xff);
		outb(0xa1, 0xff);
		put_str("q\n");
		break;
	case 'p':
	case 'l':
		load_pit(width);
		/* fall through */
	case 'm':
	case 'b':
	case 'r':
		width = batch_kind(what, width);
		batch(where, width, warm);
		cost = measure(where, width);
		empty = measure(where, 0);
		put_fields('r', (uint32_t[]){ hundredths(cost.median - empty.median, MANY - FEW),
					      hundredths(cost.total - empty.total, BATCHES * (MANY + FEW)),
					      (what == 'l' ? 2 : 1) * (WARM_UP + BATCHES * (MANY + FEW)) }, 3);
		break;
	case 's':
		if (*s)
			load_pit(get_hex(&s));
		for (;;)
			batch(where, width, WARM_UP);
	case 'c':
		watch(where, &clock);
		put_fields('c', (uint32_t[]){ CLOCK_READS, clock.steps, clock.worst, clock.misfit, clock.ticks, clock.ns }, 6);
		break;
	default:
		put_str("? unknown command\n");
	}
}

void guest_main(void)
{
	char line[64], c;
	unsigned int n;

	put_str("ready\n");
	for (;;) {
		for (n = 0; (c = get_char()) != '\n';)
			if (n < sizeof(line) - 1)
				line[n++] = c;
		line[n] = '\0';
		command(line);
	}
}
