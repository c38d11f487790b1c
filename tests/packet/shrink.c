/* SPDX-License-Identifier: MIT */
#include "shrink.h"

#include "differ/shorten.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct shrink {
	struct kernel *k;
	struct check_how how;
	struct script *s; /* the shortest so far */
	struct script *try;
	struct mismatch *m;
	enum check_class class;
	enum step_kind kind;
	struct check_stats stats;
	unsigned tries;
	const volatile int *stop;
	struct err *err;
	int rc;
};

/* A void script may not have been one, and what may be chance must show every time. */
enum { RUNS = 3 };

static bool shows_it(struct shrink *sh, struct mismatch *m)
{
	for (int runs = 0; runs < RUNS && !sh->rc && !*sh->stop; runs++) {
		sh->rc = check_script(sh->k, sh->try, &sh->how, &sh->stats, m, sh->err);
		if (sh->rc || m->class == CHECK_VOID)
			continue;
		if (m->class != sh->class || sh->try->steps[m->at].kind != sh->kind)
			return false;
		if (!m->by_chance || runs + 1 == RUNS)
			return true;
	}
	return false;
}

/* Does sh->try still disagree? Then it is the shortest, cut off after the step that shows it. */
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

/* What a script does with cookies, or without, says what it may ask (generate.c): that stays. */
static bool may_go(const struct step *s)
{
	return s->kind != STEP_SYSCTL || s->which != SYSCTL_SYNCOOKIES;
}

static bool leave_out(void *ctx, size_t from, size_t n)
{
	struct shrink *sh = ctx;

	for (size_t i = from; i < from + n; i++)
		if (!may_go(&sh->s->steps[i]))
			return false;
	*sh->try = *sh->s;
	memmove(&sh->try->steps[from], &sh->try->steps[from + n],
		(sh->try->n - from - n) * sizeof(sh->try->steps[0]));
	sh->try->n -= n;
	return still_disagrees(sh);
}

/* Simpler fields of a step, one way at a time; false when there is no such simplification. */
static bool make_simpler(struct step *s, unsigned how)
{
	const struct step before = *s;
	struct pattern *p = &s->seg;

	switch (how) {
	case 0:
		if (s->flow.family == TCPWHY_IPV6)
			s->flow.family = TCPWHY_IPV4;
		break;
	case 1:
		p->sack_permitted = false;
		break;
	case 2:
		p->flags &= (uint8_t)~SEGMENT_PSH;
		break;
	case 3:
		p->length = p->length > 10 ? 10 : p->length;
		break;
	case 4:
		p->ecr_given = false;
		break;
	case 5:
		p->length = 0;
		break;
	}
	return memcmp(&before, s, sizeof(before)) != 0;
}

/* All or none: a connection has timestamps or has them not. */
static bool leave_out_timestamps(void *ctx)
{
	struct shrink *sh = ctx;
	bool some = false;

	*sh->try = *sh->s;
	for (size_t i = 0; i < sh->try->n; i++) {
		struct pattern *p = &sh->try->steps[i].seg;
		some |= p->has_timestamp;
		p->has_timestamp = p->ecr_given = false;
	}
	return some && still_disagrees(sh);
}

enum { WAYS = 6 };

static bool simplify(void *ctx, size_t i, unsigned how)
{
	struct shrink *sh = ctx;

	*sh->try = *sh->s;
	return make_simpler(&sh->try->steps[i], how) && still_disagrees(sh);
}

int shrink_script(struct kernel *k, const struct check_how *how, struct script *s,
		  struct mismatch *m, const volatile int *stop, struct err *err)
{
	struct shrink sh = {
		.k = k,
		.how = {.row = how->row},
		.s = s,
		.try = malloc(sizeof(*sh.try)),
		.m = m,
		.class = m->class,
		.kind = s->steps[m->at].kind,
		.stop = stop,
		.err = err,
	};

	if (!sh.try)
		return -ENOMEM;
	s->n = m->at + 1;
	shorten(&(struct shorten){
		.n = &s->n,
		.leave_out = leave_out,
		.simplify_whole = leave_out_timestamps,
		.simplify = simplify,
		.ways = WAYS,
		.ctx = &sh,
	});
	free(sh.try);
	return sh.rc;
}
