/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark's guests share: ports, COM1 as a console of lines, the TSC. */
#ifndef SELFTESTS_BENCH_GUEST_H
#define SELFTESTS_BENCH_GUEST_H

#include <stdint.h>

#define COM1	   0x3f8
#define COM1_LSR   (COM1 + 5)
#define LSR_DR	   0x01
#define LSR_THRE   0x20

static inline void outb(uint16_t port, uint8_t val)
{
	asm volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t val;

	asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

/* The low half: what is timed is shorter than 2^32 ticks. */
static inline uint32_t ticks(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo;
}

static inline void put_char(char c)
{
	while (!(inb(COM1_LSR) & LSR_THRE))
		;
	outb(COM1, c);
}

static inline char get_char(void)
{
	while (!(inb(COM1_LSR) & LSR_DR))
		asm volatile("pause");
	return inb(COM1);
}

static inline void put_str(const char *s)
{
	while (*s)
		put_char(*s++);
}

static inline void put_dec(uint32_t n)
{
	if (n >= 10)
		put_dec(n / 10);
	put_char('0' + n % 10);
}

static inline uint32_t median(uint32_t *v, int n)
{
	uint32_t x;
	int i, j;

	for (i = 1; i < n; i++) {
		x = v[i];
		for (j = i; j > 0 && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
	return v[n / 2];
}

/* The next number of a line. */
static inline uint32_t get_hex(const char **s)
{
	uint32_t n = 0;

	while (**s == ' ')
		(*s)++;
	for (; **s && **s != ' '; (*s)++)
		n = n * 16 + (**s <= '9' ? **s - '0' : **s - 'a' + 10);
	return n;
}

#endif /* SELFTESTS_BENCH_GUEST_H */
