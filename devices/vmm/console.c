// SPDX-License-Identifier: GPL-2.0
/*
 * The serial port's other end: stdin and stdout. On a terminal in raw mode, where Ctrl-A x ends the VM and Ctrl-A Ctrl-A is a Ctrl-A.
 * Output blocks the guest if nobody reads it, as a line with flow control does.
 */
#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include <event2/event.h>
#include <devices/serial.h>
#include <devices/state.h>
#include "board.h"
#include "vmm.h"

#define ESCAPE 1 /* Ctrl-A */

struct console {
	struct vmm *vmm;
	struct event *input;
	bool raw, escaped;
	struct termios saved;
	__u8 buf[256];
	unsigned int first, count;
};

void console_out(void *arg, __u8 c)
{
	(void)arg;
	while (write(STDOUT_FILENO, &c, 1) < 0 && (errno == EINTR || errno == EAGAIN))
		;
}

void console_pump(struct vmm *vmm)
{
	struct console *c = vmm->console;

	/* In a pause nothing comes in. */
	if (!c || !c->count || vmm->stopped)
		return;
	while (c->count && serial_room(&vmm->board->serial)) {
		serial_input(&vmm->board->serial, c->buf[c->first++]);
		c->count--;
	}
	if (!c->count)
		event_add(c->input, NULL);
}

/* What has come in and the guest has not taken. */
void console_state(struct vmm *vmm, struct state *s)
{
	struct console *c = vmm->console;

	STATE(s, c->escaped);
	STATE(s, c->first);
	STATE(s, c->count);
	state_bytes(s, c->buf, sizeof(c->buf));
	state_check(s, c->first <= sizeof(c->buf) && c->count <= sizeof(c->buf) - c->first);
	if (s->restoring && c->count)
		event_del(c->input);
}

/* Return: how many characters are left for the guest. */
static unsigned int unescape(struct console *c, __u8 *buf, unsigned int n)
{
	unsigned int i, to = 0;

	for (i = 0; i < n; i++) {
		if (!c->escaped && buf[i] == ESCAPE) {
			c->escaped = true;
			continue;
		}
		if (c->escaped && buf[i] == 'x')
			vmm_end(c->vmm, VMM_SIGNAL);
		c->escaped = false;
		buf[to++] = buf[i];
	}
	return to;
}

/* Not persistent: it is added again when the guest has taken what there is. */
static void on_input(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;
	ssize_t n;

	(void)what;
	n = read(fd, c->buf, sizeof(c->buf));
	if (n <= 0) {
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			event_add(c->input, NULL);
		return;
	}
	pthread_mutex_lock(&c->vmm->lock);
	c->first = 0;
	c->count = c->raw ? unescape(c, c->buf, n) : n;
	if (c->count)
		console_pump(c->vmm);
	else
		event_add(c->input, NULL);
	time_run(c->vmm);
	pthread_mutex_unlock(&c->vmm->lock);
}

int console_create(struct vmm *vmm)
{
	struct console *c = calloc(1, sizeof(*c));
	struct termios t;

	if (!c)
		return -1;
	vmm->console = c;
	c->vmm = vmm;
	c->input = event_new(vmm->events, STDIN_FILENO, EV_READ, on_input, c);
	if (!c->input || event_add(c->input, NULL))
		return -1;
	if (!tcgetattr(STDIN_FILENO, &c->saved) && isatty(STDOUT_FILENO)) {
		t = c->saved;
		cfmakeraw(&t);
		c->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	return 0;
}

void console_destroy(struct vmm *vmm)
{
	if (vmm->console && vmm->console->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &vmm->console->saved);
	if (vmm->console && vmm->console->input)
		event_free(vmm->console->input);
	free(vmm->console);
	vmm->console = NULL;
}
