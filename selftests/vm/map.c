// SPDX-License-Identifier: GPL-2.0
/*
 * Counters and constants at addresses of a running VM, through the library, on the real module and KVM: every width and offset, on
 * ports and in memory; the counter against the host's clock; several at once; changed and removed while vCPUs read; and the alarm (map_alarm.h).
 */
#include "map_alarm.h"

#define WORD 0x8877665544332211ULL

/* Every width and offset at and around regions of 1 to 8 bytes: inside they are bytes of the word, else the VMM's. */
static void shapes(void)
{
	static const __u64 places[] = { PORT, MMIO };
	unsigned long inside = 0, outside = 0;
	struct iofilter *f;
	__u64 got, want;
	int p, size, off, len;

	setup(1, 0);
	for (p = 0; p < 2; p++)
		for (size = 1; size <= 8; size++) {
			f = map(const_at(places[p], size, WORD));
			for (off = -4; off < size + 2; off++)
				for (len = 1; len <= (p ? 8 : 4); len *= 2) {
					exits = 0;
					got = rd(places[p] + off, len);
					if (off >= 0 && off + len <= size) {
						want = WORD >> off * 8 & ones(len);
						TEST_EQ(exits, 0);
						inside++;
					} else {
						want = ones(len);
						TEST_EQ(exits, 1);
						TEST_EQ(exit_addr, places[p] + off);
						TEST_EQ(exit_len, len);
						outside++;
					}
					TEST_ASSERT(got == want, "%d bytes at %d of %d: wanted %#llx, got %#llx", len, off, size, want, got);
				}
			iofilter_close(f);
			TEST_EQ(rd(places[p], 1), 0xff);
		}
	printf("   %lu reads inside, %lu across and beside\n", inside, outside);
	TEST_EQ(filter_rows(), 0);
	vmm_free(vmm);
}

static void guest_write(long arg)
{
	(void)arg;
	outl(0x12345678, PORT);
	mmio_write(__u64, MMIO, 0x12345678);
}

static struct {
	__u8 bytes[64];
	__u32 dwords[16];
} strings;

static void guest_strings(long arg)
{
	(void)arg;
	guest_ins(PORT, strings.dwords, 16, 4);
	guest_ins(PORT + 1, strings.bytes, 64, 1);
}

static void writes_and_strings(void)
{
	struct iofilter *f[2], *c;
	unsigned int i;

	setup(1, 0);
	f[0] = map(const_at(PORT, 4, WORD));
	f[1] = map(const_at(MMIO, 8, WORD));
	vmm_run(vmm, 0, guest_write, 0);
	TEST_EQ(writes, 2);
	TEST_EQ(rd(PORT, 4), WORD & ones(4));
	TEST_EQ(rd(MMIO, 8), WORD);
	vmm_run(vmm, 0, guest_strings, 0);
	for (i = 0; i < 16; i++)
		TEST_EQ(strings.dwords[i], WORD & ones(4));
	for (i = 0; i < 64; i++)
		TEST_EQ(strings.bytes[i], WORD >> 8 & 0xff);
	iofilter_close(f[0]);
	/* Of a counter each element has its own moment. */
	c = map(counter_at(PORT, 4, 1000000000));
	vmm_run(vmm, 0, guest_strings, 0);
	for (i = 1; i < 16; i++)
		TEST_ASSERT(strings.dwords[i] - strings.dwords[i - 1] - 1 < 1000000000, "%#x after %#x", strings.dwords[i],
			    strings.dwords[i - 1]);
	TEST_EQ(exits, 0);
	iofilter_close(c);
	iofilter_close(f[1]);
	vmm_free(vmm);
}

/* The counter at @t, by 128 bits: CLOCK_MONOTONIC's ticks and an offset. */
static __u64 ticks(__u64 t, const struct iofilter_map_opts *m)
{
	u128 n = m->fields & IOFILTER_MAP_FREQ ? (u128)t * m->freq / 1000000000 : t / m->divider;
	u128 modulus = m->reload ? m->reload : (u128)1 << m->width;

	return (n + (m->offset < 0 ? modulus - -m->offset % modulus : (u128)m->offset)) % modulus;
}

/* Exact: what is read is what the counter showed at a moment between the host's looks at its clock before and after. */
static void accuracy(void)
{
	static const struct {
		__u64 addr;
		__u32 len, width;
		__u64 freq, divider, reload;
		__s64 offset;
	} rows[] = {
		{ PORT, 4, 24, 3579545, 0, 0, 0 },	  { PORT, 4, 32, 3579545, 0, 0, 12345 },
		{ PORT, 1, 8, 1000, 0, 0, -77 },	  { PORT, 2, 16, 1193182, 0, 11932, 0 },
		{ PORT, 4, 7, 0, 1000000, 100, -1000000 }, { MMIO, 8, 64, 100000000, 0, 0, -(1LL << 62) },
		{ MMIO, 8, 64, 0, 1, 0, 0 },		  { MMIO, 4, 32, 10000000, 0, 0, 99 },
		{ MMIO, 8, 63, 4000000000, 0, 0, 5 },	  { MMIO, 8, 64, 1000000000, 0, (1ULL << 63) + 3, 1LL << 40 },
	};
	unsigned int i, n;
	int j;

	setup(1, 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iofilter_map_opts m = counter_at(rows[i].addr, rows[i].len, rows[i].freq);
		int len = rows[i].len;
		struct iofilter *f;
		u128 modulus;
		__u64 worst = 0;

		m.fields = (rows[i].freq ? IOFILTER_MAP_FREQ : IOFILTER_MAP_DIVIDER) | IOFILTER_MAP_WIDTH | IOFILTER_MAP_RELOAD |
			   IOFILTER_MAP_OFFSET;
		m.divider = rows[i].divider;
		m.width = rows[i].width;
		m.reload = rows[i].reload;
		m.offset = rows[i].offset;
		modulus = m.reload ? m.reload : (u128)1 << m.width;
		f = map(m);
		for (n = 0, j = 0; j < 300; j++) {
			__u64 t0 = now_ns(), v = rd(rows[i].addr, len), t1 = now_ns(), lo = ticks(t0, &m), hi = ticks(t1, &m);
			u128 span = (hi + modulus - lo) % modulus, at = (v + modulus - lo) % modulus;

			/* One that wraps meanwhile proves nothing. */
			if (ticks(t1 - t0, &(struct iofilter_map_opts){ .fields = m.fields, .freq = m.freq, .divider = m.divider, .width = 64 }) >=
			    modulus)
				continue;
			n++;
			TEST_ASSERT(at <= span, "row %u: wanted %#llx to %#llx, got %#llx", i, lo, hi, v);
			worst = (__u64)span > worst ? (__u64)span : worst;
		}
		TEST_ASSERT(n > 100, "row %u: only %u reads were short enough", i, n);
		printf("   %2u bits, %llu Hz, 1/%llu: %u reads, each within what passed meanwhile (at most %llu ticks)\n", m.width, m.freq,
		       m.divider, n, worst);
		iofilter_close(f);
	}
	TEST_EQ(exits, 0);
	vmm_free(vmm);
}

/* Sixteen at once; the library and the module list them; each goes alone, and while it is there no other one can be. */
static void several(void)
{
	struct iofilter_info *infos;
	struct iofilter_map_opts m;
	struct iofilter *f[16], *g;
	int i, j, n, maps;

	setup(1, 0);
	for (i = 0; i < 16; i++)
		f[i] = map(const_at(i % 2 ? MMIO + 0x1000 * i : PORT + 4 * i, 1 + i % 4, 0x01020304 * (i + 1)));
	n = iofilter_list(getpid(), &infos);
	for (i = maps = 0; i < n; i++)
		maps += infos[i].map == IOFILTER_MAP_CONST && infos[i].has_state && infos[i].pid == getpid();
	TEST_EQ(maps, 16);
	free(infos);
	TEST_EQ(filter_rows(), 16);
	m = const_at(PORT + 6, 4, 1);
	TEST_EQ(-try_map(&m, &g), EEXIST);
	m = const_at(MMIO + 0x1000, 1, 1);
	TEST_EQ(-try_map(&m, &g), EEXIST);
	for (j = 0; j < 16; j++) {
		for (i = 0; i < 16; i++) {
			__u64 addr = i % 2 ? MMIO + 0x1000 * i : PORT + 4 * i, want = 0x01020304 * (i + 1) & 0xff;

			TEST_EQ(rd(addr, 1), i < j ? 0xff : want);
		}
		if (j % 3)
			TEST_EQ(iofilter_unmap(getpid(), j % 2 ? MMIO + 0x1000 * j : PORT + 4 * j), 0);
		iofilter_close(f[j]);
		TEST_EQ(filter_rows(), 15 - j);
	}
	TEST_EQ(-iofilter_unmap(getpid(), PORT), ENOENT);
	vmm_free(vmm);
}

/* Where the kernel has something: its PIT, a coalesced zone, another filter. */
static void taken(void)
{
	struct iofilter_opts o = { .size = sizeof(o) };
	struct iofilter_map_opts m;
	struct iofilter *f, *pm;

	setup(1, VMM_PIT);
	m = const_at(0x42, 1, 1);
	TEST_EQ(-try_map(&m, &f), EADDRINUSE);
	printf("   %s\n", iofilter_error());
	m = const_at(0x3e, 4, 1);
	TEST_EQ(-try_map(&m, &f), EADDRINUSE);
	vmm_coalesce(vmm, 0x70, 1);
	m = const_at(0x70, 2, 1);
	TEST_EQ(-try_map(&m, &f), EADDRINUSE);
	vmm_uncoalesce(vmm, 0x70, 1);
	o.vm_fd = vmm->fd;
	TEST_ASSERT(!iofilter_attach(getpid(), "pmtimer", &o, &pm), "%s", iofilter_error());
	m = const_at(0x608, 4, 1);
	TEST_EQ(-try_map(&m, &f), EEXIST);
	iofilter_close(pm);
	f = map(m);
	TEST_EQ(rd(0x608, 4), 1);
	TEST_EQ(-iofilter_attach(getpid(), "pmtimer", &o, &pm), EEXIST);
	iofilter_close(f);
	TEST_EQ(filter_rows(), 0);
	vmm_free(vmm);
}

static void changes_while_read(void)
{
	struct iofilter_map_opts c = { .size = sizeof(c) };
	struct iofilter_info info;
	unsigned long changes = 0;
	struct iofilter *f;
	__u64 end, v, value = 0;
	int i;

	setup(2, 0);
	f = map(counter_at(MMIO, 8, 100000000));
	newest = back = reads = stop = 0;
	for (i = 0; i < 2; i++)
		vmm_start(vmm, i, guest_monotone, MMIO);
	end = now_ns() + test_count(4, 10) * 1000000000ULL;
	while (now_ns() < end) {
		switch (changes++ % 5) {
		case 0:
		case 2:
			c.fields = IOFILTER_MAP_RUN;
			c.run = changes % 5 != 1;
			break;
		case 1:
			/* It stands: at what is shown now it stood before. */
			TEST_EQ(iofilter_info_get(f, &info), 0);
			v = info.value;
			usleep(1000);
			TEST_ASSERT(newest <= v, "stopped at %llu, and read as %llu", v, newest);
			continue;
		case 3:
			c.fields = IOFILTER_MAP_FREQ;
			c.freq = changes % 2 ? 4000000000 : 1000;
			break;
		case 4:
			/* Upwards only. */
			TEST_EQ(iofilter_info_get(f, &info), 0);
			value = info.value + 100000000000;
			c.fields = IOFILTER_MAP_VALUE;
			c.value = value;
			break;
		}
		TEST_ASSERT(!iofilter_map(f, &c), "%s", iofilter_error());
		if (changes % 7 == 0)
			usleep(500);
	}
	stop = 1;
	for (i = 0; i < 2; i++)
		vmm_join(vmm, i);
	TEST_EQ(iofilter_info_get(f, &info), 0);
	printf("   %lu reads by two vCPUs, %lu changes, %lu steps back, %lu exits\n", reads, changes, back, exits);
	TEST_EQ(back, 0);
	TEST_EQ(exits, info.verdicts[IOFILTER_PUNT_BUSY]);
	TEST_EQ(info.verdicts[IOFILTER_ANSWERED], reads);
	TEST_ASSERT(reads > 1000 && changes > 100, "%lu reads, %lu changes", reads, changes);
	iofilter_close(f);
	vmm_free(vmm);
}

static volatile unsigned long other;

/* Constants are placed and removed all the time: each read is the constant, whole, or the VMM's all ones. */
static void guest_const(long i)
{
	unsigned long n = 0;

	while (!stop) {
		__u64 v = i ? mmio_read(__u64, MMIO) : inl(PORT), want = i ? WORD : WORD & 0xffffffff;

		if (v == want)
			n++;
		else if (v != (i ? ~0ULL : 0xffffffff))
			__atomic_add_fetch(&other, 1, __ATOMIC_RELAXED);
	}
	__atomic_add_fetch(&reads, n, __ATOMIC_RELAXED);
}

static void unmap_while_read(void)
{
	struct iofilter *f[2];
	__u64 end;
	int i, n;

	setup(2, 0);
	reads = other = stop = 0;
	for (i = 0; i < 2; i++)
		vmm_start(vmm, i, guest_const, i);
	end = now_ns() + test_count(4, 10) * 1000000000ULL;
	for (n = 0; now_ns() < end || n < (int)test_count(6, 20); n++) {
		f[0] = map(const_at(PORT, 4, WORD));
		f[1] = map(const_at(MMIO, 8, WORD));
		usleep(n % 4 * 5000);
		TEST_EQ(iofilter_unmap(getpid(), n % 2 ? PORT : MMIO), 0);
		for (i = 0; i < 2; i++)
			iofilter_close(f[i]);
		usleep(n % 3 * 2000);
	}
	stop = 1;
	for (i = 0; i < 2; i++)
		vmm_join(vmm, i);
	printf("   %d times placed and removed; %lu reads of the constants, %lu of the VMM, %lu of neither\n", n, reads, exits, other);
	TEST_EQ(other, 0);
	TEST_ASSERT(reads > 1000 && exits > 1000, "%lu, %lu", reads, exits);
	TEST_EQ(filter_rows(), 0);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "shapes", shapes },
		{ "writes_and_strings", writes_and_strings },
		{ "accuracy", accuracy },
		{ "several", several },
		{ "taken", taken },
		{ "changes_while_read", changes_while_read },
		{ "unmap_while_read", unmap_while_read },
		{ "alarms", alarms },
		{ "alarm_restored", alarm_restored },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
