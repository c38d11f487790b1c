/* SPDX-License-Identifier: MIT */
#include "shrink.h"

#include "differ/shorten.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct shrink {
	struct kernel *k;
	const struct tcpwhy_row *row;
	struct script *s; /* the shortest so far */
	struct script *try;
	struct mismatch *m;
	enum check_class class;
	enum call_kind kind;
	struct check_stats stats;
	unsigned tries;
	const volatile int *stop;
	struct err *err;
	int rc;
};

/* Ports that the kernel chooses differ from run to run, so what disagreed once may need a few
 * tries. */
enum { RUNS = 4 };

static bool shows_it(struct shrink *sh, struct mismatch *m)
{
	for (int runs = 0; runs < RUNS && !sh->rc && !*sh->stop; runs++) {
		sh->rc = check_script(sh->k, sh->try, sh->row, &sh->stats, m, sh->err);
		if (sh->rc || m->class != sh->class)
			continue;
		if (m->class == CHECK_TABLE || sh->try->calls[m->at].kind == sh->kind)
			return true;
	}
	return false;
}

/* Does sh->try still disagree? Then it is the shortest, cut off after the call that shows it. */
static bool still_disagrees(struct shrink *sh)
{
	struct mismatch m;

	if (sh->rc || *sh->stop || sh->tries++ >= SHRINK_TRIES || !sh->try->n || !shows_it(sh, &m))
		return false;
	sh->try->n = m.at + 1;
	*sh->s = *sh->try;
	*sh->m = m;
	return true;
}

static bool leave_out(void *ctx, size_t from, size_t n)
{
	struct shrink *sh = ctx;

	*sh->try = *sh->s;
	memmove(&sh->try->calls[from], &sh->try->calls[from + n],
		(sh->try->n - from - n) * sizeof(sh->try->calls[0]));
	sh->try->n -= n;
	return still_disagrees(sh);
}

/* Simpler arguments, tried on call i one at a time; false when there is no such simplification. */
static bool make_simpler(struct call *c, unsigned how)
{
	const struct call before = *c;

	switch (how) {
	case 0:
		if (c->kind == CALL_SOCKET)
			c->family = TCPWHY_IPV4;
		break;
	case 1:
		if (c->at.port)
			c->at.port = 20001;
		break;
	case 2:
		if (c->kind == CALL_BIND || c->kind == CALL_CONNECT)
			c->at.addr = address_v4_number(0x7f000001);
		break;
	case 3:
		if (c->kind == CALL_SHUTDOWN)
			c->which = TCPWHY_SHUT_WR;
		break;
	}
	return memcmp(&before, c, sizeof(before)) != 0;
}

enum { WAYS = 4 };

static bool simplify(void *ctx, size_t i, unsigned how)
{
	struct shrink *sh = ctx;

	*sh->try = *sh->s;
	return make_simpler(&sh->try->calls[i], how) && still_disagrees(sh);
}

int shrink_script(struct kernel *k, const struct tcpwhy_row *row, struct script *s,
		  struct mismatch *m, const volatile int *stop, struct err *err)
{
	struct shrink sh = {
		.k = k,
		.row = row,
		.s = s,
		.try = malloc(sizeof(*sh.try)),
		.m = m,
		.class = m->class,
		.kind = s->calls[m->at].kind,
		.stop = stop,
		.err = err,
	};

	if (!sh.try)
		return -ENOMEM;
	s->n = m->at + 1;
	shorten(&(struct shorten){
		.n = &s->n,
		.leave_out = leave_out,
		.simplify = simplify,
		.ways = WAYS,
		.ctx = &sh,
	});
	free(sh.try);
	return sh.rc;
}
