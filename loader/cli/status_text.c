// SPDX-License-Identifier: GPL-2.0
/* The status of attached devices for people. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <iofilter/map.h>
#include "cli.h"

static const char *age(__u64 s, char *buf, size_t size)
{
	if (s < 120)
		snprintf(buf, size, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		snprintf(buf, size, "%llu min", (unsigned long long)s / 60);
	else
		snprintf(buf, size, "%llu h %llu min", (unsigned long long)s / 3600, (unsigned long long)s / 60 % 60);
	return buf;
}

static double us(__u64 ns)
{
	return ns / 1000.0;
}

static void print_proof(const struct iofilter_info *i)
{
	static const char *const blown[] = {
		[IOFILTER_FUSE_OK] = "",
		[IOFILTER_FUSE_MODEL] = "the VMM's answers are not those of this device",
		[IOFILTER_FUSE_MOVES] = "the VMM's clock moved too often with no sign of a pause",
		[IOFILTER_FUSE_VANISHED] = "the VMM stopped answering like this device again and again",
	};
	const char *proof = proof_str(i);
	char buf[32];

	if (!strcmp(proof, "fused"))
		printf("    proof     fuse blown (%s): %s; 'iofilter update --reset' starts anew\n", fuse_str(i->fuse),
		       i->fuse < sizeof(blown) / sizeof(blown[0]) ? blown[i->fuse] : "");
	else if (!strcmp(proof, "held"))
		printf("    proof     held: nothing is answered until 'iofilter clock start'\n");
	else if (!strcmp(proof, "owned") || !strcmp(proof, "stopped"))
		printf("    proof     none needed: the VMM owns the clock%s\n", *proof == 's' ? ", and has stopped it" : "");
	else if (!strcmp(proof, "proven"))
		printf("    proof     proven for %s%s\n", age(i->proven_for / 1000000000, buf, sizeof(buf)),
		       i->ready ? "" : ", waiting for a newer answer of the VMM");
	else if (!strcmp(proof, "calibrating"))
		printf("    proof     calibrating: %u more answers of the VMM to measure\n", i->calibrating);
	else if (!strcmp(proof, "too-slow"))
		printf("    proof     too slow to prove: the VMM's best round trip is %.1f us, the bracket %.1f us\n",
		       us(i->best_bracket), us(i->bracket));
	else
		printf("    proof     unproven: the VMM's answers have not matched yet (%llu samples, %llu narrow)\n",
		       (unsigned long long)i->samples, (unsigned long long)i->narrow);
}

static void print_counts(const struct iofilter_info *i)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	const char *sep = "";

	printf("    answered  %llu of %llu %s", (unsigned long long)i->verdicts[IOFILTER_ANSWERED], (unsigned long long)i->reads,
	       i->rules ? "accesses" : "reads");
	if (i->reads)
		printf(" (%.2f %%)", 100.0 * i->verdicts[IOFILTER_ANSWERED] / i->reads);
	printf("\n    punted    ");
	for (int v = IOFILTER_ANSWERED + 1; v < IOFILTER_NR_VERDICTS; v++) {
		if (!i->verdicts[v])
			continue;
		printf("%s%s %llu", sep, names[v], (unsigned long long)i->verdicts[v]);
		sep = ", ";
	}
	puts(*sep ? "" : "nothing");
}

static void print_channel(__u32 n, const struct iofilter_channel *c)
{
	static const char *const access[] = { "nothing", "LSB", "MSB", "LSB and MSB" };

	printf("    channel %u ", n);
	if (!c->known || !c->count) {
		puts(c->known ? "unknown: no count written yet" : "unknown: not programmed since the filter watches");
		return;
	}
	printf("mode %u, %s%s, count %u: %s", c->mode, access[c->access & 3], c->bcd ? ", BCD" : "", c->count,
	       c->proof == IOFILTER_PROVEN ? "proven" : c->proof == IOFILTER_FUSED ? "fuse blown" : "unproven");
	if (c->bounds)
		printf(", known to %.3f us", us(c->bounds));
	if (c->status_latched)
		printf("; in flight: status 0x%02x", c->status);
	if (c->latch_bytes)
		printf("; in flight: %u byte%s of latched 0x%04x", c->latch_bytes, c->latch_bytes > 1 ? "s" : "", c->latch);
	if (c->pair)
		printf("; in flight: the MSB of a pair");
	putchar('\n');
}

static void print_channels(const struct iofilter_info *i)
{
	if (!i->nr_channels)
		return;
	for (__u32 n = 0; n < i->nr_channels && n < IOFILTER_MAX_CHANNELS; n++)
		print_channel(n, &i->channels[n]);
	printf("    latched   %llu latch commands carried out%s\n", (unsigned long long)i->commands,
	       i->odd_reads ? "; in flight: the second of two reads of port 0x61" : "");
}

static void print_times(const struct iofilter_info *i)
{
	printf("    timing    absence %.0f us, expiry %.0f us; best round trip %.1f us; %llu samples, %llu suspicions\n", us(i->absence),
	       us(i->expiry), us(i->best_bracket), (unsigned long long)i->samples, (unsigned long long)i->suspicions);
}

static void print_drive(const struct iofilter_info *i)
{
	if (i->fuse)
		printf("    proof     fuse blown (%s): the drive showed something else than it must; 'iofilter update --reset' starts anew\n",
		       fuse_str(i->fuse));
	printf("    drive     %s, %u registers known; ", drive_str(i->drive), i->known);
	if (i->line)
		printf("its interrupt is seen on line %u\n", i->line);
	else
		puts("its interrupt is not seen");
	print_times(i);
}

static void print_registers(const struct iofilter_info *i)
{
	if (i->fuse)
		printf("    proof     fuse blown (%s): too many registers changed by themselves; 'iofilter update --reset' starts anew\n",
		       fuse_str(i->fuse));
	printf("    registers %u known, %llu changed by themselves; the time is %s\n", i->known, (unsigned long long)i->changes,
	       i->published ? "published by the VMM" : "the VMM's to answer");
	print_times(i);
}

static void print_map(const struct iofilter_info *i)
{
	static const char *const when[] = { "off", "once", "periodic" };

	if (i->map == IOFILTER_MAP_CONST) {
		printf("    constant  0x%llx\n", (unsigned long long)i->value);
		return;
	}
	printf("    counter   %u bits, ", i->width);
	if (i->freq)
		printf("%llu Hz", (unsigned long long)i->freq);
	else
		printf("a tick in %llu ns", (unsigned long long)i->divider);
	if (i->reload)
		printf(", modulo %llu", (unsigned long long)i->reload);
	printf("; %s at 0x%llx\n", i->running ? "it is" : "stopped", (unsigned long long)i->value);
	printf("    alarm     %s, at 0x%llx; ", i->alarm < 3 ? when[i->alarm] : "unknown", (unsigned long long)i->compare);
	if (i->alarm_in)
		printf("in %.3f us; ", us(i->alarm_in));
	printf("%llu so far\n", (unsigned long long)i->alarms);
}

static void print_state(const struct iofilter_info *i)
{
	char whose[32] = "";

	print_counts(i);
	if (i->rules) {
		printf("    rules     %u ('iofilter table show' lists them); what writes told was forgotten %llu times; absence %.0f us\n",
		       i->rules, (unsigned long long)i->forgotten, us(i->absence));
		return;
	}
	if (i->map) {
		print_map(i);
		return;
	}
	print_channels(i);
	if (i->in_flight || i->cut || i->draining)
		printf("    in flight %u read sequences; %llu cut off%s\n", i->in_flight, (unsigned long long)i->cut,
		       i->draining ? "; draining" : "");
	if (i->drive) {
		print_drive(i);
		return;
	}
	if (i->no_clock) {
		print_registers(i);
		return;
	}
	print_proof(i);
	if (i->bounded && i->nr_channels)
		snprintf(whose, sizeof(whose), "of channel %u ", i->clock_channel);
	if (i->bounded)
		printf("    clock     %sknown to %.3f us, last sample %.1f ms ago; "
		       "%llu moves, %llu audits, %llu suspicions, %llu delays (%.0f us)\n",
		       whose, us(i->bounds), us(i->last_sample_ago) / 1000, (unsigned long long)i->moves, (unsigned long long)i->audits,
		       (unsigned long long)i->suspicions, (unsigned long long)i->delays, us(i->delay_total));
	if (i->nr_channels == 0 && i->odd_reads)
		puts("    in flight the second of two reads of port 0x61");
	if (i->lead)
		printf("    lead      the VMM's clock is taken to be ahead by at most %.1f us; %llu audits, %llu suspicions\n", us(i->lead),
		       (unsigned long long)i->audits, (unsigned long long)i->suspicions);
	if (!i->bracket)
		return;
	printf("    timing    bracket %.0f us, absence %.0f us, expiry %.0f us; best round trip %.1f us\n",
	       us(i->bracket), us(i->absence), us(i->expiry), us(i->best_bracket));
}

static void print_one(const struct iofilter_info *i)
{
	char buf[64];

	printf("  %s", i->device);
	if (i->end != IOFILTER_ATTACHED) {
		printf("  %s; its pins are left ('iofilter clean' removes them)\n", end_str(i->end));
	} else {
		if (i->nr_ranges)
			printf("  %s", range_str(&i->ranges[0], buf, sizeof(buf)));
		printf("  link %u", i->link_id);
		if (i->attached_at)
			printf("  attached for %s", age(time(NULL) - i->attached_at, buf, sizeof(buf)));
		putchar('\n');
	}
	if (i->has_state)
		print_state(i);
	for (__u32 j = 0; i->has_stats && j < i->nr_ranges; j++)
		printf("    module    %s: reads %llu handled, %llu punted; writes %llu handled, %llu punted\n",
		       range_str(&i->ranges[j], buf, sizeof(buf)), (unsigned long long)i->stats[j].reads_handled,
		       (unsigned long long)i->stats[j].reads_punted, (unsigned long long)i->stats[j].writes_handled,
		       (unsigned long long)i->stats[j].writes_punted);
}

void status_text(const struct iofilter_info *infos, int n)
{
	struct iofilter_vm vm;

	for (int i = 0; i < n; i++) {
		if (!i || infos[i].pid != infos[i - 1].pid) {
			if (!infos[i].pid)
				puts("VM unknown");
			else if (iofilter_vm_get(infos[i].pid, &vm))
				printf("VM %d (ended)\n", infos[i].pid);
			else
				printf("VM %d (%s), %u vCPUs\n", vm.pid, vm.name, vm.vcpus);
		}
		print_one(&infos[i]);
	}
}
