// SPDX-License-Identifier: GPL-2.0
/*
 * The bitmap of changed registers: after each single access it is exactly what the access has changed; and with two vCPUs that write as
 * fast as they can while the VMM takes it, no change is lost and none is invented.
 */
#include <pthread.h>
#include <sched.h>
#include <iofilter/libiofilter.h>
#include <iofilter/table_vmm.h>
#include <loader/lib/table.h>
#include "host.h"

#define SLOTS  48
#define PORTS  0x1000
#define WRITES (getenv("TORTURE") ? 10000000UL : 1000000UL)

static struct iofilter_table *t;
static struct table_file *file;

/* Slots by one, two and four bytes, some with a bit; the bit decides what a read of the last port does to another one. */
static void make(void)
{
	static char text[16384];
	size_t n = 0;
	int i, w;

#define ADD(...) (n += snprintf(text + n, sizeof(text) - n, __VA_ARGS__))
	ADD("ports p 0x%x-0x%x\nbit a\nbit b = 0\nbuffer d = 01 02 03 04 05 06 07 08\n", PORTS, PORTS + 4 * SLOTS + 7);
	for (i = 0; i < SLOTS; i++)
		ADD("slot s%d\n", i);
	for (i = 0; i < SLOTS; i++)
		for (w = 0; w < 3; w++)
			ADD("write p+%d %c take s%d%s\n", 4 * i, "bwl"[w], i, i % 3 ? "" : i % 2 ? " set a" : " clear a");
	ADD("read p+%d b if a answer 1 set b\nread p+%d b answer 0 clear b\n", 4 * SLOTS, 4 * SLOTS);
	ADD("read p+%d b repeat d\nwrite p+%d b take rewind d\n", 4 * SLOTS + 4, 4 * SLOTS + 4);
	memset(t, 0, sizeof(*t));
	if (table_parse(file, "changed", text, n, t))
		fail_msg("%s", iofilter_error());
	/* Absences and lost answers do not matter here. */
	iofilter_table_own(t, 1);
}

static int access_one(__u32 vcpu, __u64 addr, __u64 val, __u32 len, int write)
{
	struct kvm_iofilter_req req = { .now = 1, .addr = addr, .val = write ? val : 0, .len = len, .count = 1, .vcpu = vcpu };

	return write ? table_on_write(t, &req) : table_on_read(t, &req);
}

static int random_access(__u32 vcpu)
{
	__u64 r = rnd();

	if (r % 8 < 5)
		return access_one(vcpu, PORTS + 4 * (r >> 8) % (4 * SLOTS) / 4 * 4, r >> 32 & 3, 1 << (r >> 40) % 3, 1);
	return access_one(vcpu, PORTS + 4 * SLOTS + (r >> 8 & 1) * 4, 0, 1, r % 8 == 7);
}

static void test_exact(void **state)
{
	unsigned long i, n = WRITES, told = 0, quiet = 0, answered = 0;
	__u64 was[TABLE_SLOTS], known[TABLE_SLOTS], dirty[TABLE_SLOTS], bits, bits_known, words[TABLE_NR_HOT], want[TABLE_NR_HOT];
	__u32 pos;
	int j;

	(void)state;
	make();
	iofilter_table_changed(t, words);
	for (i = 0; i < n; i++) {
		for (j = 0; j < TABLE_SLOTS; j++) {
			was[j] = t->cells[j].val;
			known[j] = t->cells[j].known;
			dirty[j] = t->cells[j].dirty;
		}
		bits = t->bits;
		bits_known = t->known;
		pos = t->buffers[0].pos;
		answered += random_access(0);
		iofilter_table_changed(t, words);
		memset(want, 0, sizeof(want));
		for (j = 0; j < TABLE_SLOTS; j++) {
			want[TABLE_HOT_VALUES] |= (__u64)(was[j] != t->cells[j].val) << j;
			want[TABLE_HOT_KNOWN] |= (__u64)(known[j] != t->cells[j].known) << j;
			want[TABLE_HOT_DIRTY] |= (__u64)(dirty[j] != t->cells[j].dirty) << j;
		}
		want[TABLE_HOT_OTHERS] = (__u64)(bits != t->bits) << TABLE_HOT_BITS | (__u64)(bits_known != t->known) << TABLE_HOT_BITS_KNOWN |
					 (__u64)(pos != t->buffers[0].pos) << TABLE_HOT_BUFFERS;
		for (j = 0; j < TABLE_NR_HOT; j++) {
			assert_true(words[j] == want[j]);
			told += __builtin_popcountll(words[j]);
		}
		quiet += !words[0] && !words[1] && !words[2] && !words[3];
		/* Now and then the VMM takes a slot. */
		if (i % 5 == 0 && !iofilter_table_enter(t)) {
			iofilter_table_take(t, rnd() % SLOTS * 8, &want[0]);
			iofilter_table_leave(t);
			iofilter_table_changed(t, words);
			for (j = 0; j < TABLE_NR_HOT; j++)
				assert_true(!words[j]);
		}
	}
	printf("# %lu accesses, %lu answered: %lu changes told, %lu accesses changed nothing\n", n, answered, told, quiet);
	assert_true(told > n / 4 && quiet > n / 20);
}

/* --- two vCPUs --- */

/* By slot: the vCPU that alone writes to it counts its changes, and writes their number. */
static unsigned long made[SLOTS], taken[2];
static int running;

static void *guest(void *arg)
{
	unsigned long i, n = WRITES, vcpu = (unsigned long)arg;
	__u64 z = vcpu + 1;
	int slot;

	for (i = 0; i < n; i++) {
		z = z * 6364136223846793005ULL + 1442695040888963407ULL;
		slot = (z >> 33) % (SLOTS / 2) * 2 + vcpu;
		/* On a busy machine, too, the three are to run at the same time. */
		if (i % 64 == 0)
			sched_yield();
		if (access_one(vcpu, PORTS + 4 * slot, made[slot] + 1, 4, 1)) {
			iofilter_store(made[slot], made[slot] + 1);
			taken[vcpu]++;
		}
	}
	__sync_fetch_and_sub(&running, 1);
	return NULL;
}

static void test_storm(void **state)
{
	unsigned long told[SLOTS] = {}, last[SLOTS] = {}, before, sum = 0, made_sum = 0, rounds = 0, newer = 0;
	__u64 words[TABLE_NR_HOT];
	pthread_t threads[2];
	__u32 val;
	int i, end;

	(void)state;
	make();
	memset(made, 0, sizeof(made));
	running = 2;
	iofilter_table_changed(t, words);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, guest, (void *)(long)i), 0);
	do {
		end = !iofilter_load(running);
		iofilter_table_changed(t, words);
		rounds++;
		for (i = 0; i < SLOTS; i++) {
			before = iofilter_load(made[i]);
			val = iofilter_load(t->cells[i].val);
			if (!(words[TABLE_HOT_VALUES] >> i & 1))
				continue;
			told[i]++;
			/* Told again only if it was read newer than its bit then. */
			newer += val == last[i];
			assert_true(val >= last[i] && val >= before);
			last[i] = val;
		}
	} while (!end);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < SLOTS; i++) {
		/* The last change of each was told, and not more of them than there were. */
		assert_true(last[i] == made[i] && (__u32)t->cells[i].val == made[i]);
		assert_true(told[i] <= made[i]);
		sum += told[i];
		made_sum += made[i];
	}
	printf("# %lu writes taken, %lu and %lu; %lu changes made, %lu told in %lu rounds, %lu of them had been read already\n",
	       taken[0] + taken[1], taken[0], taken[1], made_sum, sum, rounds, newer);
	assert_true(sum > 1000 && made_sum > WRITES / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_exact), cmocka_unit_test(test_storm) };

	seed();
	t = malloc(sizeof(*t));
	file = calloc(1, sizeof(*file));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
