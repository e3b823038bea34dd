// SPDX-License-Identifier: GPL-2.0
/* ucontext to begin a coroutine, setjmp() to switch: no system call. The next one is the winner of a tournament. */
#include <setjmp.h>
#include <ucontext.h>
#include "co.h"

#define CO_MAX	 128
#define CO_STACK (64 * 1024)

static struct co {
	u64 at;
	jmp_buf jmp;
	bool started, deaf, woken;
	void (*run)(long arg);
	long arg;
} cos[CO_MAX];
static char *stacks;
static u8 win[2 * CO_MAX]; /* win[1]: whose turn is next */
static int self = -1;
static jmp_buf main_jmp;
static bool ending;
u64 co_switches;

static void replay(int co)
{
	int i = (CO_MAX + co) / 2;

	for (; i; i /= 2)
		win[i] = cos[win[2 * i]].at <= cos[win[2 * i + 1]].at ? win[2 * i] : win[2 * i + 1];
}

void co_reset(void)
{
	int i;

	if (!stacks)
		stacks = malloc((size_t)CO_MAX * CO_STACK);
	for (i = 0; i < CO_MAX; i++) {
		cos[i] = (struct co){ .at = CO_NEVER };
		win[CO_MAX + i] = i;
	}
	for (i = CO_MAX - 1; i; i--)
		win[i] = win[2 * i];
	self = -1;
	ending = false;
}

int co_new(void (*run)(long arg), long arg, u64 at)
{
	int i;

	for (i = 0; cos[i].run; i++)
		;
	cos[i] = (struct co){ .at = at, .run = run, .arg = arg };
	replay(i);
	return i;
}

static void begin(void)
{
	cos[self].run(cos[self].arg);
	co_sleep_deaf(CO_NEVER / 2);
}

static void next(void)
{
	ucontext_t ctx;

	if (ending)
		_longjmp(main_jmp, 1);
	self = win[1];
	if (cos[self].at > sim_now)
		sim_now = cos[self].at;
	co_switches++;
	if (cos[self].started)
		_longjmp(cos[self].jmp, 1);
	cos[self].started = true;
	getcontext(&ctx);
	ctx.uc_stack.ss_sp = stacks + (size_t)self * CO_STACK;
	ctx.uc_stack.ss_size = CO_STACK;
	makecontext(&ctx, begin, 0);
	setcontext(&ctx);
}

static int sleep_for(u64 ns, bool deaf)
{
	int me = self;

	if (me < 0) /* outside: nothing else runs */
		return 0;
	cos[me].at = sim_now + ns;
	cos[me].deaf = deaf;
	cos[me].woken = false;
	replay(me);
	if (win[1] == me && !ending)
		sim_now = cos[me].at;
	else if (!_setjmp(cos[me].jmp))
		next();
	cos[me].deaf = true;
	return cos[me].woken;
}

int co_sleep(u64 ns)
{
	return sleep_for(ns, false);
}

int co_sleep_deaf(u64 ns)
{
	return sleep_for(ns, true);
}

void co_wake(int co)
{
	if (cos[co].deaf || cos[co].at <= sim_now)
		return;
	cos[co].at = sim_now;
	cos[co].woken = true;
	replay(co);
}

int co_self(void)
{
	return self;
}

void co_end(void)
{
	ending = true;
}

void co_run(void)
{
	if (!_setjmp(main_jmp))
		next();
	self = -1;
}
