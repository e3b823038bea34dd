// SPDX-License-Identifier: GPL-2.0
/* The serial port's model, register by register, after the datasheet (PC16550D) and as Linux's 8250 driver probes it. */
#include <devices/serial.h>
#include "host.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define THR RBR
#define FCR IIR

static struct serial s;
static uint64_t now;
static int level, edges;
static uint8_t sent[64];
static unsigned int nr_sent;

static __u64 clock_now(void *arg)
{
	assert_ptr_equal(arg, &s);
	return now;
}

static void irq(void *arg, int l)
{
	assert_ptr_equal(arg, &s);
	assert_int_not_equal(l, level);
	level = l;
	edges++;
}

static void out(void *arg, __u8 c)
{
	assert_ptr_equal(arg, &s);
	assert_true(nr_sent < sizeof(sent));
	sent[nr_sent++] = c;
}

static int start(void **state)
{
	(void)state;
	memset(&s, 0xa5, sizeof(s));
	s = (struct serial){ .clock = clock_now, .irq = irq, .out = out, .arg = &s };
	now = 1000;
	level = edges = nr_sent = 0;
	serial_power_on(&s);
	return 0;
}

static uint8_t in(int reg)
{
	return serial_port_read(&s, 0x3f8 + reg);
}

static void put(int reg, uint8_t val)
{
	serial_port_write(&s, 0x3f8 + reg, val);
}

static void after_reset(void **state)
{
	(void)state;
	assert_int_equal(in(IER), 0);
	assert_int_equal(in(IIR), 0x01);
	assert_int_equal(in(LCR), 0);
	assert_int_equal(in(MCR), 0);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(in(MSR), 0xb0);
	assert_int_equal(level, 0);
	assert_int_equal(serial_deadline(&s), UINT64_MAX);
}

/* As autoconfig() of Linux finds out what it has before it. */
static void probe(void **state)
{
	(void)state;
	put(IER, 0xff);
	assert_int_equal(in(IER), 0x0f);
	put(IER, 0);
	put(MCR, 0x10 | 0x0a);
	assert_int_equal(in(MSR) & 0xf0, 0x90);
	put(MCR, 0);
	for (int i = 0; i < 256; i++) {
		put(SCR, i);
		assert_int_equal(in(SCR), i);
	}
	put(FCR, 0x01);
	assert_int_equal(in(IIR) >> 6, 3);
	put(FCR, 0);
	assert_int_equal(in(IIR) >> 6, 0);
}

static void divisor_latch(void **state)
{
	(void)state;
	put(LCR, 0x83);
	put(RBR, 0x34);
	put(IER, 0x12);
	assert_int_equal(in(RBR), 0x34);
	assert_int_equal(in(IER), 0x12);
	assert_int_equal(s.divisor, 0x1234);
	put(LCR, 0x03);
	assert_int_equal(in(IER), 0);
	assert_int_equal(nr_sent, 0);
	put(THR, 'x');
	assert_int_equal(nr_sent, 1);
	assert_int_equal(sent[0], 'x');
	assert_int_equal(s.divisor, 0x1234);
}

static void transmitter(void **state)
{
	(void)state;
	/* Enabling it with an empty register interrupts; reading IIR takes it back, and only once. */
	put(IER, 0x02);
	assert_int_equal(level, 1);
	assert_int_equal(in(IIR), 0x02);
	assert_int_equal(level, 0);
	assert_int_equal(in(IIR), 0x01);
	put(THR, 'a');
	assert_int_equal(level, 1);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(level, 1);
	put(IER, 0);
	assert_int_equal(level, 0);
	assert_int_equal(in(IIR), 0x01);
	/* Once more, with what is pending not seen. */
	put(IER, 0x02);
	assert_int_equal(level, 1);
	assert_int_equal(edges, 5);
}

static void receiver(void **state)
{
	(void)state;
	assert_int_equal(serial_room(&s), 1);
	serial_input(&s, 'q');
	assert_int_equal(serial_room(&s), 0);
	assert_int_equal(level, 0);
	assert_int_equal(in(LSR), 0x61);
	put(IER, 0x01);
	assert_int_equal(level, 1);
	assert_int_equal(in(IIR), 0x04);
	assert_int_equal(level, 1);
	assert_int_equal(in(RBR), 'q');
	assert_int_equal(level, 0);
	assert_int_equal(in(LSR), 0x60);
	/* The single buffer is overwritten. */
	put(IER, 0x05);
	serial_input(&s, 'r');
	serial_input(&s, 's');
	assert_int_equal(in(IIR), 0x06);
	assert_int_equal(in(LSR), 0x63);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(IIR), 0x04);
	assert_int_equal(in(RBR), 's');
	assert_int_equal(in(RBR), 's');
}

static void fifo(void **state)
{
	(void)state;
	put(FCR, 0x87); /* trigger at 8 */
	put(IER, 0x01);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(serial_room(&s), 16 - i);
		serial_input(&s, 'a' + i);
		assert_int_equal(level, i >= 7);
	}
	assert_int_equal(serial_room(&s), 0);
	serial_input(&s, 'X');
	assert_int_equal(in(LSR), 0x63);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(level, 16 - i >= 8);
		assert_int_equal(in(RBR), 'a' + i);
	}
	assert_int_equal(in(LSR), 0x60);
	/* Round the end of the buffer, and cleared by its bit, and by a change of the enable. */
	serial_input(&s, 1);
	serial_input(&s, 2);
	assert_int_equal(in(RBR), 1);
	put(FCR, 0x83);
	assert_int_equal(in(LSR), 0x60);
	serial_input(&s, 3);
	put(FCR, 0);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(serial_deadline(&s), UINT64_MAX);
}

static void timeout(void **state)
{
	(void)state;
	uint64_t chars = 4ULL * 10 * 16 * 1000000000 / 1843200;

	put(LCR, 0x83);
	put(RBR, 1);
	put(IER, 0);
	put(LCR, 0x03);
	put(FCR, 0xc1); /* trigger at 14 */
	put(IER, 0x01);
	serial_input(&s, 'a');
	assert_in_range(serial_deadline(&s), now + chars - 4, now + chars + 4);
	now += chars / 2;
	serial_input(&s, 'b');
	assert_in_range(serial_deadline(&s), now + chars - 4, now + chars + 4);
	now = serial_deadline(&s) - 1;
	serial_run(&s);
	assert_int_equal(level, 0);
	now++;
	serial_run(&s);
	serial_run(&s);
	assert_int_equal(level, 1);
	assert_int_equal(in(IIR), 0xcc);
	serial_input(&s, 'c');
	assert_int_equal(in(IIR), 0xcc);
	assert_int_equal(in(RBR), 'a');
	assert_int_equal(level, 0);
	assert_int_equal(in(IIR), 0xc1);
	/* Whoever looks finds out, too. */
	now = serial_deadline(&s);
	assert_int_equal(in(IIR), 0xcc);
	assert_int_equal(in(RBR), 'b');
	assert_int_equal(in(RBR), 'c');
	assert_int_equal(serial_deadline(&s), UINT64_MAX);
	assert_int_equal(level, 0);
}

static void priority(void **state)
{
	(void)state;
	put(IER, 0x0f);
	put(MCR, 0x10); /* the lines drop: all three change */
	assert_int_equal(in(IIR), 0x02);
	assert_int_equal(in(IIR), 0x00);
	put(THR, 'l');
	assert_int_equal(in(IIR), 0x04);
	put(THR, 'm');
	assert_int_equal(in(IIR), 0x06);
	assert_int_equal(in(LSR) & 0x03, 0x03);
	assert_int_equal(in(IIR), 0x04);
	assert_int_equal(in(RBR), 'm');
	assert_int_equal(in(IIR), 0x02);
	assert_int_equal(in(IIR), 0x00);
	assert_int_equal(in(MSR), 0x0b);
	assert_int_equal(in(IIR), 0x01);
	assert_int_equal(level, 0);
	assert_int_equal(nr_sent, 0);
}

static void loopback(void **state)
{
	(void)state;
	put(FCR, 0x01);
	put(MCR, 0x10);
	assert_int_equal(serial_room(&s), 0);
	serial_input(&s, 'z');
	assert_int_equal(in(LSR), 0x60);
	for (int i = 0; i < 16; i++)
		put(THR, 0x80 + i);
	for (int i = 0; i < 16; i++)
		assert_int_equal(in(RBR), 0x80 + i);
	assert_int_equal(nr_sent, 0);
	(void)in(MSR);
	/* DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD; of RI only the trailing edge counts. */
	put(MCR, 0x11);
	assert_int_equal(in(MSR), 0x22);
	put(MCR, 0x12);
	assert_int_equal(in(MSR), 0x13);
	put(MCR, 0x14);
	assert_int_equal(in(MSR), 0x41);
	put(MCR, 0x18);
	assert_int_equal(in(MSR), 0x8c);
	put(MCR, 0);
	assert_int_equal(in(MSR), 0xb3);
	assert_int_equal(in(MCR), 0);
}

static void reset(void **state)
{
	(void)state;
	put(SCR, 0x5a);
	put(FCR, 0x01);
	put(IER, 0x0f);
	put(LCR, 0x1b);
	put(MCR, 0x1f);
	put(THR, 'a');
	assert_int_equal(level, 1);
	serial_reset(&s);
	assert_int_equal(level, 0);
	assert_int_equal(in(SCR), 0x5a);
	assert_int_equal(s.divisor, 12);
	put(SCR, 0);
	after_reset(state);
	/* A model without an interrupt line. */
	s.irq = NULL;
	put(IER, 0x02);
	assert_int_equal(in(IIR), 0x02);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(after_reset, start),
		cmocka_unit_test_setup(probe, start),
		cmocka_unit_test_setup(divisor_latch, start),
		cmocka_unit_test_setup(transmitter, start),
		cmocka_unit_test_setup(receiver, start),
		cmocka_unit_test_setup(fifo, start),
		cmocka_unit_test_setup(timeout, start),
		cmocka_unit_test_setup(priority, start),
		cmocka_unit_test_setup(loopback, start),
		cmocka_unit_test_setup(reset, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
