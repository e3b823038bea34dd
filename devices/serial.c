// SPDX-License-Identifier: GPL-2.0
/* 16550A UART, after the PC16550D's datasheet. */
#include <stdint.h>
#include <devices/serial.h>

enum { RBR_THR, IER_REG, IIR_FCR, LCR_REG, MCR_REG, LSR_REG, MSR_REG, SCR_REG };

enum { IER_ERBFI = 0x01, IER_ETBEI = 0x02, IER_ELSI = 0x04, IER_EDSSI = 0x08 };
enum { IIR_NONE = 0x01, IIR_MSR = 0x00, IIR_THRE = 0x02, IIR_DATA = 0x04, IIR_LSR = 0x06, IIR_TIMEOUT = 0x0c, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_TRIGGER = 0xc0 };
enum { LCR_WLS = 0x03, LCR_STB = 0x04, LCR_PEN = 0x08, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10, MCR_BITS = 0x1f };
enum { LSR_DR = 0x01, LSR_OE = 0x02, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MSR_DELTA = 0x0f, MSR_TERI = 0x04, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

#define CRYSTAL	      1843200ULL
#define SECOND	      1000000000ULL
#define TIMEOUT_CHARS 4

static unsigned int trigger(const struct serial *s)
{
	static const __u8 levels[] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* Without a divisor there is no baud clock; the timeout must come all the same, so take the fastest. */
static __u64 char_time(const struct serial *s)
{
	unsigned int bits = 1 + 5 + (s->lcr & LCR_WLS) + !!(s->lcr & LCR_PEN) + 1 + !!(s->lcr & LCR_STB);

	return bits * (s->divisor ?: 1) * 16 * SECOND / CRYSTAL;
}

static __u8 interrupt_id(const struct serial *s)
{
	if (s->ier & IER_ELSI && s->lsr & LSR_OE)
		return IIR_LSR;
	if (s->ier & IER_ERBFI && s->count >= trigger(s))
		return IIR_DATA;
	if (s->ier & IER_ERBFI && s->timed_out)
		return IIR_TIMEOUT;
	if (s->ier & IER_ETBEI && s->thr_empty)
		return IIR_THRE;
	if (s->ier & IER_EDSSI && s->msr & MSR_DELTA)
		return IIR_MSR;
	return IIR_NONE;
}

static void update(struct serial *s)
{
	int level = interrupt_id(s) != IIR_NONE;

	if (level == s->level)
		return;
	s->level = level;
	if (s->irq)
		s->irq(s->arg, level);
}

/* It counts from the last character that came in or was read. */
static void restart_timeout(struct serial *s)
{
	s->timed_out = false;
	s->timeout_at = s->fcr & FCR_ENABLE && s->count ? s->clock(s->arg) + TIMEOUT_CHARS * char_time(s) : UINT64_MAX;
}

static void clear_fifo(struct serial *s)
{
	s->first = s->count = 0;
	s->timed_out = false;
	s->timeout_at = UINT64_MAX;
}

static unsigned int capacity(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static void receive(struct serial *s, __u8 c)
{
	if (s->count < capacity(s)) {
		s->fifo[(s->first + s->count++) % SERIAL_FIFO] = c;
	} else {
		/* A FIFO keeps what it has, and the shift register is lost; the single buffer is overwritten. */
		s->lsr |= LSR_OE;
		if (!(s->fcr & FCR_ENABLE))
			s->fifo[s->first] = c;
	}
	/* One that has come stays until a character is read. */
	if (!s->timed_out)
		restart_timeout(s);
}

static __u8 take(struct serial *s)
{
	__u8 c = s->fifo[s->first];

	/* Of an empty one the last character again. */
	if (!s->count)
		return c;
	if (--s->count)
		s->first = (s->first + 1) % SERIAL_FIFO;
	restart_timeout(s);
	return c;
}

/* The modem lines as MSR shows them: in a loopback, the outputs of MCR. */
static void modem(struct serial *s)
{
	__u8 now = s->lines, was = s->msr & ~MSR_DELTA, changed;

	if (s->mcr & MCR_LOOP)
		now = (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) | (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
		      (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = now ^ was;
	/* Of RI only the trailing edge. */
	if (now & MSR_RI)
		changed &= ~MSR_RI;
	s->msr = now | (s->msr & MSR_DELTA) | changed >> 4;
}

void serial_reset(struct serial *s)
{
	s->ier = s->fcr = s->lcr = s->mcr = 0;
	s->lsr = LSR_THRE | LSR_TEMT;
	s->thr_empty = false;
	clear_fifo(s);
	modem(s);
	s->msr &= ~MSR_DELTA;
	update(s);
}

void serial_power_on(struct serial *s)
{
	s->lines = MSR_CTS | MSR_DSR | MSR_DCD;
	s->scr = 0;
	s->divisor = 12; /* 9600 baud, as firmware leaves it */
	s->fifo[0] = 0;
	s->level = 0;
	s->msr = 0;
	serial_reset(s);
}

static void send(struct serial *s, __u8 c)
{
	if (s->mcr & MCR_LOOP)
		receive(s, c);
	else
		s->out(s->arg, c);
	s->thr_empty = true;
}

static void fifo_control(struct serial *s, __u8 val)
{
	/* The other bits are taken only together with the enable. */
	if (!(val & FCR_ENABLE))
		val = 0;
	if ((val ^ s->fcr) & FCR_ENABLE || val & FCR_CLEAR_RX)
		clear_fifo(s);
	s->fcr = val & (FCR_ENABLE | FCR_TRIGGER);
}

void serial_port_write(struct serial *s, __u16 port, __u8 val)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (port & 7) {
	case RBR_THR:
		if (dlab)
			s->divisor = (s->divisor & 0xff00) | val;
		else
			send(s, val);
		break;
	case IER_REG:
		if (dlab) {
			s->divisor = (s->divisor & 0xff) | val << 8;
			break;
		}
		/* Enabling it while the register is empty is an interrupt, too: drivers start sending by this. */
		if (val & ~s->ier & IER_ETBEI)
			s->thr_empty = true;
		s->ier = val & 0x0f;
		break;
	case IIR_FCR:
		fifo_control(s, val);
		break;
	case LCR_REG:
		s->lcr = val;
		break;
	case MCR_REG:
		s->mcr = val & MCR_BITS;
		modem(s);
		break;
	case SCR_REG:
		s->scr = val;
		break;
	}
	update(s);
}

static __u8 read_iir(struct serial *s)
{
	__u8 id = interrupt_id(s);

	if (id == IIR_THRE)
		s->thr_empty = false;
	return id | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static __u8 read_lsr(struct serial *s)
{
	__u8 val = s->lsr | (s->count ? LSR_DR : 0);

	s->lsr &= ~LSR_OE;
	return val;
}

static __u8 read_msr(struct serial *s)
{
	__u8 val = s->msr;

	s->msr &= ~MSR_DELTA;
	return val;
}

static __u8 read_register(struct serial *s, int reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case RBR_THR: return dlab ? s->divisor & 0xff : take(s);
	case IER_REG: return dlab ? s->divisor >> 8 : s->ier;
	case IIR_FCR: return read_iir(s);
	case LCR_REG: return s->lcr;
	case MCR_REG: return s->mcr;
	case LSR_REG: return read_lsr(s);
	case MSR_REG: return read_msr(s);
	default: return s->scr;
	}
}

__u8 serial_port_read(struct serial *s, __u16 port)
{
	__u8 val;

	serial_run(s);
	val = read_register(s, port & 7);
	update(s);
	return val;
}

unsigned int serial_room(const struct serial *s)
{
	return s->mcr & MCR_LOOP ? 0 : capacity(s) - s->count;
}

void serial_input(struct serial *s, __u8 c)
{
	if (s->mcr & MCR_LOOP)
		return;
	receive(s, c);
	update(s);
}

__u64 serial_deadline(const struct serial *s)
{
	return s->timeout_at;
}

void serial_run(struct serial *s)
{
	if (s->timeout_at == UINT64_MAX || s->clock(s->arg) < s->timeout_at)
		return;
	s->timeout_at = UINT64_MAX;
	s->timed_out = true;
	update(s);
}
