// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Rule files: a rule, which is one line: read|write ADDRESS WIDTHS [if BITS] [trap VALUE[/MASK]] ACTION [MODIFIER...] */
#include <string.h>
#include "lib.h"
#include "table.h"

struct rule {
	struct table_file *f;
	struct table_rule *r;
	struct group *group;
	const char *at, *action_at, *and_at, *state_at;
	bool has_action, has_and, has_or, has_set, has_clear, has_rewind;
};

/* NUMBER, NUMBER-NUMBER, GROUP, GROUP+NUMBER or GROUP+NUMBER-NUMBER */
static void address(struct rule *p, const char *word, size_t len)
{
	struct table_file *f = p->f;
	const char *dash = memchr(word, '-', len), *plus = memchr(word, '+', len), *end = word + len;
	__u64 base = 0, first, last;
	int i;

	p->at = word;
	if (*word >= '0' && *word <= '9') {
		plus = NULL;
	} else {
		p->group = table_find_group(f, word, (plus ?: dash ?: end) - word);
		if (!p->group)
			table_error(f, f->line, word, "'%.*s' is neither an address nor a group", (int)((plus ?: dash ?: end) - word), word);
		base = p->group->first;
		if (!plus && dash)
			table_error(f, f->line, dash, "'-' needs offsets: %s+FIRST-LAST", p->group->name);
	}
	if (p->group && !plus) {
		first = base;
		last = p->group->last;
	} else {
		const char *from = plus ? plus + 1 : word;

		first = base + table_number(f, from, (dash ?: end) - from, "address", ~0ULL - base);
		last = dash ? base + table_number(f, dash + 1, end - dash - 1, "address", ~0ULL - base) : first;
	}
	if (last < first)
		table_error(f, f->line, dash + 1, "the last address is before the first");
	for (i = 0; !p->group && i < f->nr_groups; i++)
		if (first >= f->groups[i].first && first <= f->groups[i].last)
			p->group = &f->groups[i];
	if (!p->group)
		table_error(f, f->line, word, "0x%llx is in no group of ports or memory", (unsigned long long)first);
	if (first > p->group->last || last > p->group->last)
		table_error(f, f->line, word, "0x%llx is not in '%s', which ends at 0x%llx", (unsigned long long)last, p->group->name,
			    (unsigned long long)p->group->last);
	p->r->addr = first;
	p->r->count = last - first + 1;
}

static void widths(struct rule *p)
{
	static const char letters[] = "bwlq";
	struct table_file *f = p->f;
	__u64 longest;
	const char *word, *which;
	size_t len, i;

	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the width is missing: b, w, l or q, or several of them");
	for (i = 0; i < len; i++) {
		which = strchr(letters, word[i]);
		if (!which)
			table_error(f, f->line, word + i, "'%c' is no width: b, w, l or q", word[i]);
		if (p->r->widths & 1 << (which - letters))
			table_error(f, f->line, word + i, "the width '%c' is named twice", word[i]);
		p->r->widths |= 1 << (which - letters);
	}
	if (p->group->bus == KVM_IOFILTER_PIO && p->r->widths & 8)
		table_error(f, f->line, word, "an access to a port has at most 4 bytes");
	longest = p->r->widths & 8 ? 8 : p->r->widths & 4 ? 4 : p->r->widths & 2 ? 2 : 1;
	if (p->group->exact && p->r->addr + p->r->count + longest - 2 > p->group->last)
		table_error(f, f->line, word, "'%s' is exact: %llu bytes at 0x%llx go beyond its end, and are not seen", p->group->name,
			    (unsigned long long)longest, (unsigned long long)(p->r->addr + p->r->count - 1));
}

static __u64 widest(const struct rule *p)
{
	int w = p->r->widths;

	return w & 8 ? ~0ULL : w & 4 ? 0xffffffff : w & 2 ? 0xffff : 0xff;
}

/* NAME,NAME.. as bits by their index in @names. @negated: where "!NAME" goes; NULL: not allowed. */
static __u64 names(struct rule *p, const char *what, char (*in)[TABLE_NAME_LEN], int n, __u64 *negated)
{
	struct table_file *f = p->f;
	const char *word, *end, *comma;
	__u64 mask = 0;
	size_t len;
	bool not;
	int i;

	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the name of a %s is missing", what);
	for (end = word + len; word <= end; word = comma + 1) {
		comma = memchr(word, ',', end - word) ?: end;
		not = negated && *word == '!' && word < comma;
		i = table_find(in, n, word + not, comma - word - not);
		if (i < 0)
			table_error(f, f->line, word + not, "'%.*s' is no %s", (int)(comma - word - not), word + not, what);
		if ((mask | (negated ? *negated : 0)) >> i & 1)
			table_error(f, f->line, word, "the %s '%s' is named twice", what, in[i]);
		*(not ? negated : &mask) |= 1ULL << i;
	}
	return mask;
}

static void trap(struct rule *p, const char *at)
{
	struct table_file *f = p->f;
	const char *word, *slash;
	size_t len;

	if (p->r->op == TABLE_READ)
		table_error(f, f->line, at, "a read has no value to trap on");
	if (p->r->traps)
		table_error(f, f->line, at, "a rule has one trap");
	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the value to trap on is missing: VALUE or VALUE/MASK");
	slash = memchr(word, '/', len);
	p->r->trap_bits = table_number(f, word, slash ? (size_t)(slash - word) : len, "trap", widest(p));
	p->r->trap_mask = slash ? table_number(f, slash + 1, word + len - slash - 1, "mask", widest(p)) : widest(p);
	if (p->r->trap_bits & ~p->r->trap_mask)
		table_error(f, f->line, word, "no value has bits that its mask 0x%llx clears: this never traps",
			    (unsigned long long)p->r->trap_mask);
	p->r->traps = 1;
}

/* NAME, NAME.WIDTH or NAME.WIDTH+BYTE */
static void slot(struct rule *p, const char *word, size_t len)
{
	struct table_file *f = p->f;
	const char *end = word + len, *dot = memchr(word, '.', len), *plus;
	__u64 byte = 0;
	int i;

	plus = dot ? memchr(dot, '+', end - dot) : NULL;
	i = table_find(f->t->text.slots, f->t->nr_slots, word, (dot ?: end) - word);
	if (i < 0)
		table_error(f, f->line, word, "'%.*s' is no slot", (int)((dot ?: end) - word), word);
	if (dot) {
		const char *which = (plus ?: end) - dot == 2 ? memchr("bwlq", dot[1], 4) : NULL;

		if (!which)
			table_error(f, f->line, dot, "'%.*s' is no part of a slot: .b, .w, .l or .q", (int)((plus ?: end) - dot), dot);
		p->r->slot_len = 1 << strcspn("bwlq", (char[]){ dot[1], 0 });
	} else if (p->r->widths & (p->r->widths - 1)) {
		table_error(f, f->line, word, "the rule has several widths: which part of '%.*s'? .b, .w, .l or .q", (int)len, word);
	} else {
		p->r->slot_len = p->r->widths;
	}
	if (plus)
		byte = table_number(f, plus + 1, end - plus - 1, "byte of a slot", 7);
	if (byte + p->r->slot_len > 8)
		table_error(f, f->line, word, "%d bytes from byte %llu on go beyond the end of the slot", p->r->slot_len,
			    (unsigned long long)byte);
	p->r->slot = i * 8 + byte;
}

static bool is_modifier(const char *word, size_t len)
{
	static const char *const modifiers[] = { "if", "trap", "take", "pass", "answer", "repeat", "and", "or", "set", "clear", "rewind" };

	for (size_t i = 0; i < sizeof(modifiers) / sizeof(modifiers[0]); i++)
		if (strlen(modifiers[i]) == len && !memcmp(modifiers[i], word, len))
			return true;
	return false;
}

static void action(struct rule *p, const char *at, int what)
{
	struct table_file *f = p->f;
	const char *word, *back;
	size_t len;
	int i;

	if (p->has_action)
		table_error(f, f->line, at, "a rule has one action");
	p->has_action = true;
	p->action_at = at;
	p->r->action = what;
	back = f->at;
	if (!table_word(f, &word, &len) || is_modifier(word, len)) {
		f->at = back;
		if (what == TABLE_CONST || what == TABLE_REPEAT)
			table_error(f, f->line, word, "what to answer is missing: %s", what == TABLE_REPEAT ? "a buffer" : "a value or a slot");
		return;
	}
	if (what == TABLE_REPEAT) {
		i = table_find(f->t->text.buffers, f->t->nr_buffers, word, len);
		if (i < 0)
			table_error(f, f->line, word, "'%.*s' is no buffer", (int)len, word);
		p->r->buffer = i;
	} else if (what == TABLE_CONST && *word >= '0' && *word <= '9') {
		p->r->value = table_number(f, word, len, "answer", widest(p));
	} else if (what == TABLE_PASS && p->r->op == TABLE_READ) {
		table_error(f, f->line, word, "the VMM answers: nothing is kept of it");
	} else {
		slot(p, word, len);
		if (what == TABLE_CONST)
			p->r->action = TABLE_SLOT;
	}
}

static void once(struct rule *p, bool *has, const char *at, const char *what)
{
	if (*has)
		table_error(p->f, p->f->line, at, "'%s' stands twice", what);
	*has = true;
}

static void clause(struct rule *p, const char *at, size_t len)
{
	struct table_file *f = p->f;
	struct table_rule *r = p->r;
	struct table_text *text = &f->t->text;
	const char *word;
	size_t n;

#define IS(s) (len == sizeof(s) - 1 && !memcmp(at, s, len))
	if (IS("if")) {
		if (r->must1 | r->must0)
			table_error(f, f->line, at, "'if' stands twice: write A,B");
		r->must1 = names(p, "bit", text->bits, f->t->nr_bits, &r->must0);
	} else if (IS("trap")) {
		trap(p, at);
	} else if (IS("pass")) {
		action(p, at, TABLE_PASS);
	} else if (IS("take")) {
		if (r->op == TABLE_READ)
			table_error(f, f->line, at, "a read is answered, not taken");
		action(p, at, TABLE_TAKE);
	} else if (IS("answer") || IS("repeat")) {
		if (r->op == TABLE_WRITE)
			table_error(f, f->line, at, "a write has no answer");
		action(p, at, IS("answer") ? TABLE_CONST : TABLE_REPEAT);
	} else if (IS("and") || IS("or")) {
		once(p, IS("and") ? &p->has_and : &p->has_or, at, IS("and") ? "and" : "or");
		if (!table_word(f, &word, &n))
			table_error(f, f->line, word, "the value is missing");
		*(IS("and") ? &r->and : &r->or) = table_number(f, word, n, "value", widest(p));
		p->and_at = at;
	} else if (IS("set")) {
		once(p, &p->has_set, at, "set");
		r->set = names(p, "bit", text->bits, f->t->nr_bits, NULL);
		p->state_at = at;
	} else if (IS("clear")) {
		once(p, &p->has_clear, at, "clear");
		r->clear = names(p, "bit", text->bits, f->t->nr_bits, NULL);
		p->state_at = at;
	} else if (IS("rewind")) {
		once(p, &p->has_rewind, at, "rewind");
		r->rewind = names(p, "buffer", text->buffers, f->t->nr_buffers, NULL);
		p->state_at = at;
	} else {
		table_error(f, f->line, at,
			    "unknown '%.*s': if, trap, an action (answer, repeat, take, pass), and, or, set, clear or rewind", (int)len, at);
	}
#undef IS
	if (r->set & r->clear)
		table_error(f, f->line, at, "a bit is both set and cleared");
}

static void check(struct rule *p)
{
	struct table_file *f = p->f;
	struct table_rule *r = p->r;

	if (!p->has_action)
		table_error(f, f->line, f->at, "the rule has no action: %s",
			    r->op == TABLE_READ ? "answer, repeat or pass" : "take or pass");
	if (p->and_at && (r->op == TABLE_WRITE ? !r->slot_len : r->action != TABLE_SLOT))
		table_error(f, f->line, p->and_at, "there is no value to change: %s",
			    r->op == TABLE_WRITE ? "nothing is stored" : "the answer is fixed");
	if (r->op == TABLE_READ && r->action == TABLE_PASS && p->state_at)
		table_error(f, f->line, p->state_at, "a read that goes to the VMM changes nothing here");
	/* From one buffer: else it is not seen when the data ends. */
	if (r->op == TABLE_READ && r->action == TABLE_REPEAT && r->rewind >> r->buffer & 1)
		table_error(f, f->line, p->state_at, "a read of '%s' that begins it anew never ends it", f->t->text.buffers[r->buffer]);
	r->effects = r->slot_len && r->op == TABLE_WRITE;
	r->effects |= r->set || r->clear || r->rewind || r->action == TABLE_REPEAT;
	if (r->op == TABLE_WRITE && r->effects)
		p->group->derived = true;
}

void table_parse_rule(struct table_file *f, int op)
{
	struct iofilter_table *t = f->t;
	struct rule p = { .f = f, .r = &t->rules[t->nr_rules < TABLE_RULES ? t->nr_rules : 0] };
	const char *start = f->at, *word;
	size_t len;

	if (t->nr_rules == TABLE_RULES)
		table_error(f, f->line, NULL, "more than %d rules", TABLE_RULES);
	*p.r = (struct table_rule){ .op = op, .and = ~0ULL, .line = f->line };
	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the address is missing");
	address(&p, word, len);
	widths(&p);
	while (table_word(f, &word, &len))
		clause(&p, word, len);
	check(&p);
	while (*start == ' ' || *start == '\t')
		start++;
	len = f->at - start;
	if (len >= TABLE_LINE_LEN)
		len = TABLE_LINE_LEN - 1;
	memcpy(t->text.rules[t->nr_rules], start, len);
	while (len && (start[len - 1] == ' ' || start[len - 1] == '\t' || start[len - 1] == '\r'))
		t->text.rules[t->nr_rules][--len] = '\0';
	f->rule_group[t->nr_rules++] = p.group;
}
