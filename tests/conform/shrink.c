/* SPDX-License-Identifier: MIT */
#include "shrink.h"

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

static bool leave_out(struct shrink *sh, size_t from, size_t n)
{
	*sh->try = *sh->s;
	memmove(&sh->try->calls[from], &sh->try->calls[from + n],
		(sh->try->n - from - n) * sizeof(sh->try->calls[0]));
	sh->try->n -= n;
	return still_disagrees(sh);
}

static bool leave_out_chunks(struct shrink *sh)
{
	bool shorter = false;

	for (size_t chunk = sh->s->n / 2; chunk; chunk /= 2)
		for (size_t end = sh->s->n; end >= chunk; end -= end < chunk + 1 ? end : chunk) {
			if (end > sh->s->n)
				end = sh->s->n;
			if (end < chunk)
				break;
			shorter |= leave_out(sh, end - chunk, chunk);
		}
	return shorter;
}

/* Simpler arguments, tried on call i one at a time; false when there is no such simplification. */
static bool simplify(struct call *c, unsigned how)
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

static bool simplify_all(struct shrink *sh)
{
	enum { WAYS = 4 };
	bool simpler = false;

	for (size_t i = 0; i < sh->s->n; i++)
		for (unsigned how = 0; how < WAYS && i < sh->s->n; how++) {
			*sh->try = *sh->s;
			if (simplify(&sh->try->calls[i], how))
				simpler |= still_disagrees(sh);
		}
	return simpler;
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
	for (int rounds = 0; rounds < 10; rounds++)
		if (!leave_out_chunks(&sh) && !simplify_all(&sh))
			break;
	free(sh.try);
	return sh.rc;
}
