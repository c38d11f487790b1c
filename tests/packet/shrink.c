/* SPDX-License-Identifier: MIT */
#include "shrink.h"

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

static bool leave_out(struct shrink *sh, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		if (!may_go(&sh->s->steps[i]))
			return false;
	*sh->try = *sh->s;
	memmove(&sh->try->steps[from], &sh->try->steps[from + n],
		(sh->try->n - from - n) * sizeof(sh->try->steps[0]));
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

/* Simpler fields of a step, one way at a time; false when there is no such simplification. */
static bool simplify(struct step *s, unsigned how)
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
static bool leave_out_timestamps(struct shrink *sh)
{
	bool some = false;

	*sh->try = *sh->s;
	for (size_t i = 0; i < sh->try->n; i++) {
		struct pattern *p = &sh->try->steps[i].seg;
		some |= p->has_timestamp;
		p->has_timestamp = p->ecr_given = false;
	}
	return some && still_disagrees(sh);
}

static bool simplify_all(struct shrink *sh)
{
	enum { WAYS = 6 };
	bool simpler = leave_out_timestamps(sh);

	for (size_t i = 0; i < sh->s->n; i++)
		for (unsigned how = 0; how < WAYS && i < sh->s->n; how++) {
			*sh->try = *sh->s;
			if (simplify(&sh->try->steps[i], how))
				simpler |= still_disagrees(sh);
		}
	return simpler;
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
	for (int rounds = 0; rounds < 10; rounds++)
		if (!leave_out_chunks(&sh) && !simplify_all(&sh))
			break;
	free(sh.try);
	return sh.rc;
}
