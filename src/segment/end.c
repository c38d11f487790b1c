/* SPDX-License-Identifier: MIT
 *
 * How a connection ends: tcp_done(), tcp_reset(), and what the application learns of it
 */
#include <errno.h>

#include "segment/state.h"

/* tcp_set_state(TCP_CLOSE) counts a reset, whoever sent it. */
static void count_end(struct host *h, uint8_t state)
{
	if (state == TCPWHY_ESTABLISHED || state == TCPWHY_CLOSE_WAIT)
		count(h, COUNTER_EstabResets);
	else if (state == TCPWHY_SYN_SENT || state == TCPWHY_SYN_RECV)
		count(h, COUNTER_AttemptFails);
}

void tcb_done(struct host *h, struct tcb *t, int error)
{
	count_end(h, t->state);
	retransmit_stop(h, t);
	tcpwhy_reset_in(h->engine, t->sock); /* refused if it is out of the tables already */
	t->state = TCPWHY_CLOSE;
	t->shut = SHUT_RECEIVE | SHUT_SEND;
	t->write_seq = t->snd_nxt = t->snd_una;
	t->flight_used = 0;
	ahead_forget(h, t);
	t->fin_queued = false;
	if (error)
		t->error = error;
	if (t->orphan)
		t->sock = 0;
}

void tcb_reset(struct host *h, struct tcb *t)
{
	int error = ECONNRESET;

	if (t->state == TCPWHY_SYN_SENT)
		error = ECONNREFUSED;
	else if (t->state == TCPWHY_CLOSE_WAIT)
		error = EPIPE;
	tcb_done(h, t, error);
}
