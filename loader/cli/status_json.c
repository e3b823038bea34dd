// SPDX-License-Identifier: GPL-2.0
/* The status of attached devices as JSON. All times are ns. */
#include <iofilter/map.h>
#include "cli.h"

const char *fuse_str(__u32 fuse)
{
	static const char *const names[] = {
		[IOFILTER_FUSE_OK] = "ok",
		[IOFILTER_FUSE_MODEL] = "model",
		[IOFILTER_FUSE_MOVES] = "moves",
		[IOFILTER_FUSE_VANISHED] = "vanished",
	};

	return fuse < sizeof(names) / sizeof(names[0]) ? names[fuse] : "unknown";
}

const char *proof_str(const struct iofilter_info *i)
{
	if (i->mode == IOFILTER_CLOCK_HELD)
		return "held";
	if (i->mode != IOFILTER_CLOCK_PROVE)
		return i->mode == IOFILTER_CLOCK_STOPPED ? "stopped" : "owned";
	if (i->proof == IOFILTER_FUSED)
		return "fused";
	if (i->proof == IOFILTER_PROVEN)
		return "proven";
	if (i->calibrating)
		return "calibrating";
	return i->too_slow ? "too-slow" : "unproven";
}

static struct json_object *clock_json(const struct iofilter_info *i)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "proof", json_object_new_string(proof_str(i)));
	json_object_object_add(o, "fuse", json_object_new_string(fuse_str(i->fuse)));
	json_object_object_add(o, "ready", json_object_new_boolean(i->ready));
	json_add_u64(o, "proven_for", i->proven_for);
	json_object_object_add(o, "bounds", i->bounded ? json_object_new_uint64(i->bounds) : NULL);
	json_add_u64(o, "bracket", i->bracket);
	json_add_u64(o, "absence", i->absence);
	json_add_u64(o, "expiry", i->expiry);
	json_add_u64(o, "best_bracket", i->best_bracket);
	json_add_u64(o, "samples", i->samples);
	json_add_u64(o, "narrow", i->narrow);
	json_add_u64(o, "lost", i->lost);
	json_object_object_add(o, "last_sample_ago", i->samples ? json_object_new_uint64(i->last_sample_ago) : NULL);
	json_add_u64(o, "moves", i->moves);
	json_add_u64(o, "vanished", i->vanished);
	json_add_u64(o, "audits", i->audits);
	json_add_u64(o, "suspicions", i->suspicions);
	json_add_u64(o, "delays", i->delays);
	json_add_u64(o, "delay_total", i->delay_total);
	return o;
}

static struct json_object *registers_json(const struct iofilter_info *i)
{
	struct json_object *o = json_object_new_object();

	json_add_u64(o, "known", i->known);
	json_add_u64(o, "changes", i->changes);
	json_object_object_add(o, "published", json_object_new_boolean(i->published));
	json_object_object_add(o, "fuse", json_object_new_string(fuse_str(i->fuse)));
	json_add_u64(o, "absence", i->absence);
	json_add_u64(o, "expiry", i->expiry);
	json_add_u64(o, "best_bracket", i->best_bracket);
	json_add_u64(o, "samples", i->samples);
	json_add_u64(o, "lost", i->lost);
	json_add_u64(o, "suspicions", i->suspicions);
	return o;
}

const char *drive_str(__u32 drive)
{
	static const char *const names[] = { "none", "unknown", "idle", "working", "data" };

	return drive < sizeof(names) / sizeof(names[0]) ? names[drive] : "unknown";
}

static struct json_object *drive_json(const struct iofilter_info *i)
{
	struct json_object *o = registers_json(i);

	json_object_object_del(o, "published");
	json_object_object_add(o, "drive", json_object_new_string(drive_str(i->drive)));
	json_add_u64(o, "line", i->line);
	return o;
}

static struct json_object *ranges_json(const struct iofilter_info *i)
{
	struct json_object *list = json_object_new_array(), *o;

	for (__u32 j = 0; j < i->nr_ranges; j++) {
		o = json_object_new_object();
		json_object_object_add(o, "bus",
				       json_object_new_string(i->ranges[j].bus == KVM_IOFILTER_PIO ? "pio" : "mmio"));
		json_add_u64(o, "addr", i->ranges[j].addr);
		json_add_u64(o, "len", i->ranges[j].len);
		if (i->has_stats) {
			json_add_u64(o, "reads_handled", i->stats[j].reads_handled);
			json_add_u64(o, "reads_punted", i->stats[j].reads_punted);
			json_add_u64(o, "writes_handled", i->stats[j].writes_handled);
			json_add_u64(o, "writes_punted", i->stats[j].writes_punted);
		}
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *channels_json(const struct iofilter_info *i)
{
	struct json_object *list = json_object_new_array(), *o;

	for (__u32 n = 0; n < i->nr_channels && n < IOFILTER_MAX_CHANNELS; n++) {
		const struct iofilter_channel *c = &i->channels[n];

		o = json_object_new_object();
		json_add_u64(o, "channel", n);
		json_object_object_add(o, "known", json_object_new_boolean(c->known));
		json_add_u64(o, "mode", c->mode);
		json_add_u64(o, "access", c->access);
		json_object_object_add(o, "bcd", json_object_new_boolean(c->bcd));
		json_add_u64(o, "count", c->count);
		json_object_object_add(o, "proven", json_object_new_boolean(c->proof == IOFILTER_PROVEN));
		json_object_object_add(o, "fused", json_object_new_boolean(c->proof == IOFILTER_FUSED));
		json_object_object_add(o, "ready", json_object_new_boolean(c->ready));
		json_add_u64(o, "bounds", c->bounds);
		json_add_u64(o, "latch_bytes", c->latch_bytes);
		json_add_u64(o, "latch", c->latch_bytes ? c->latch : 0);
		json_object_object_add(o, "status_latched", json_object_new_boolean(c->status_latched));
		json_add_u64(o, "status", c->status_latched ? c->status : 0);
		json_object_object_add(o, "pair", json_object_new_boolean(c->pair));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *map_json(const struct iofilter_info *i)
{
	static const char *const when[] = { "off", "once", "periodic" };
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "kind", json_object_new_string(i->map == IOFILTER_MAP_CONST ? "const" : "counter"));
	json_add_u64(o, "value", i->value);
	if (i->map == IOFILTER_MAP_CONST)
		return o;
	json_object_object_add(o, "running", json_object_new_boolean(i->running));
	json_object_object_add(o, "freq", i->freq ? json_object_new_uint64(i->freq) : NULL);
	json_object_object_add(o, "divider", i->divider ? json_object_new_uint64(i->divider) : NULL);
	json_add_u64(o, "reload", i->reload);
	json_add_u64(o, "compare", i->compare);
	json_object_object_add(o, "alarm", json_object_new_string(i->alarm < 3 ? when[i->alarm] : "unknown"));
	json_object_object_add(o, "alarm_in", i->alarm_in ? json_object_new_uint64(i->alarm_in) : NULL);
	json_add_u64(o, "alarms", i->alarms);
	return o;
}

struct json_object *status_json(const struct iofilter_info *infos, int n)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	struct json_object *list = json_object_new_array(), *o, *punted;

	for (const struct iofilter_info *i = infos; i < infos + n; i++) {
		o = json_object_new_object();
		json_object_object_add(o, "pid", json_object_new_int(i->pid));
		json_object_object_add(o, "device", json_object_new_string(i->device));
		json_object_object_add(o, "link", json_object_new_int64(i->link_id));
		json_object_object_add(o, "state", json_object_new_string(end_str(i->end)));
		json_add_u64(o, "attached_at", i->attached_at);
		json_object_object_add(o, "ranges", ranges_json(i));
		if (i->has_state) {
			json_object_object_add(o, "draining", json_object_new_boolean(i->draining));
			json_add_u64(o, "in_flight", i->in_flight);
			json_add_u64(o, "cut", i->cut);
			json_add_u64(o, "addr", i->addr);
			json_add_u64(o, "width", i->width);
			json_add_u64(o, "reads", i->reads);
			json_add_u64(o, "answered", i->verdicts[IOFILTER_ANSWERED]);
			punted = json_object_new_object();
			for (int v = IOFILTER_ANSWERED + 1; v < IOFILTER_NR_VERDICTS; v++)
				json_add_u64(punted, names[v], i->verdicts[v]);
			json_object_object_add(o, "punted", punted);
			json_object_object_add(
				o, "share",
				i->reads ? json_object_new_double((double)i->verdicts[IOFILTER_ANSWERED] / i->reads) :
					   NULL);
			if (i->rules) {
				json_add_u64(o, "rules", i->rules);
				json_add_u64(o, "forgotten", i->forgotten);
				json_add_u64(o, "absence", i->absence);
			} else if (i->map) {
				json_object_object_add(o, "map", map_json(i));
			} else if (i->drive) {
				json_object_object_add(o, "channel", drive_json(i));
			} else if (i->no_clock) {
				json_object_object_add(o, "registers", registers_json(i));
			} else {
				json_object_object_add(o, "clock", clock_json(i));
			}
			if (i->lead) {
				json_add_u64(o, "lead", i->lead);
				json_add_u64(o, "odd_reads", i->odd_reads);
			}
			if (i->nr_channels) {
				json_object_object_add(o, "channels", channels_json(i));
				json_add_u64(o, "clock_channel", i->clock_channel);
				json_add_u64(o, "commands", i->commands);
				json_add_u64(o, "odd_reads", i->odd_reads);
			}
		}
		json_object_array_add(list, o);
	}
	return list;
}
