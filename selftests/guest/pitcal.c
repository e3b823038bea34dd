// SPDX-License-Identifier: GPL-2.0
/*
 * Calibrate the TSC by channel 2 of the PIT, as the kernel does when it boots (arch/x86/kernel/tsc.c, pit_calibrate_tsc()), again and
 * again.
 *
 *	pitcal ROUNDS		one JSON object
 *
 * A vCPU that is preempted makes single results too high or too low. So there are bounds, too, which it can only widen: the count
 * was loaded between the times around the last OUT; the output had not risen when the last read that found it low began, and it had when the
 * next one was over. The bounds of all rounds must agree.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <iofilter/pit.h>

#define LATCH (PIT_HZ / 100)
#define MAX   1000

/* Not iopl(), with which a guest in the emulated machine faults. */
static int ports;

static uint8_t inb(int port)
{
	uint8_t val = 0;

	if (pread(ports, &val, 1, port) != 1)
		exit(1);
	return val;
}

static void outb(uint8_t val, int port)
{
	if (pwrite(ports, &val, 1, port) != 1)
		exit(1);
}

static uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t to_khz(uint64_t ticks)
{
	return (unsigned __int128)ticks * PIT_HZ / LATCH / 1000;
}

int main(int argc, char **argv)
{
	static uint64_t khz[MAX];
	unsigned long reads = 0, least = ~0UL, n, toggles = 0, others = 0;
	int rounds = argc > 1 ? atoi(argv[1]) : 20, i;
	uint64_t before, begin, low, next, end, khz_low = 0, khz_high = ~0ULL;
	uint8_t val, last;

	ports = open("/dev/port", O_RDWR);
	if (rounds < 1 || rounds > MAX || ports < 0) {
		perror("pitcal: /dev/port");
		return 1;
	}
	for (i = 0; i < rounds; i++) {
		last = inb(PIT_SYSTEM);
		outb((last & ~PIT_61_DATA) | PIT_61_GATE, PIT_SYSTEM);
		outb(0xb0, PIT_CONTROL);
		outb(LATCH & 0xff, PIT_PORT + 2);
		before = tsc();
		outb(LATCH >> 8, PIT_PORT + 2);
		low = next = begin = tsc();
		for (n = 0;; n++) {
			val = inb(PIT_SYSTEM);
			end = tsc();
			toggles += !((val ^ last) & PIT_61_REFRESH);
			others += (val & ~(PIT_61_REFRESH | PIT_61_OUT)) != PIT_61_GATE;
			last = val;
			if (val & PIT_61_OUT)
				break;
			/* When this one began. */
			low = next;
			next = end;
		}
		khz[i] = to_khz(end - begin);
		khz_low = to_khz(low - begin) > khz_low ? to_khz(low - begin) : khz_low;
		khz_high = to_khz(end - before) < khz_high ? to_khz(end - before) : khz_high;
		reads += n + 2;
		least = n < least ? n : least;
	}
	qsort(khz, rounds, sizeof(khz[0]), by_value);
	printf("{\"rounds\": %d, \"reads\": %lu, \"least\": %lu, \"toggle_errors\": %lu, \"other_errors\": %lu, ", rounds, reads, least,
	       toggles, others);
	printf("\"khz_min\": %llu, \"khz\": %llu, \"khz_max\": %llu, \"khz_low\": %llu, \"khz_high\": %llu}\n", (unsigned long long)khz[0],
	       (unsigned long long)khz[rounds / 2], (unsigned long long)khz[rounds - 1], (unsigned long long)khz_low,
	       (unsigned long long)khz_high);
	return 0;
}
