/* SPDX-License-Identifier: MIT
 *
 * explain_fixture.h - what stands on a port, what is asked about it, and the answer: for the tests
 * of explain_bind()
 *
 * The host is scene.h's. Port 8080 is asked for, unless it says otherwise.
 */
#ifndef TCPWHY_TESTS_EXPLAIN_FIXTURE_H
#define TCPWHY_TESTS_EXPLAIN_FIXTURE_H

#include "unit.h"

#include "explain/explain.h"
#include "scene.h"

struct asks {
	const char *addr;
	uint16_t port;
	bool reuse, reuseport, v6only, low_denied;
	uint32_t uid;
};

static inline struct explain_question question_of(const struct asks *a)
{
	struct explain_question q = {
		.bind =
			{
				.port = a->port,
				.reuse = a->reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO,
				.reuseport = a->reuseport,
				.v6only = a->v6only,
				.uid = a->uid,
				.listen = true,
				.may_bind_low = a->low_denied ? TCPWHY_NO : TCPWHY_YES,
			},
	};
	enum tcpwhy_family family;

	assert_true(address_parse(a->addr, &q.bind.addr, &family));
	q.bind.family = (uint8_t)family;
	return q;
}

static inline void ask(struct scene *s, const struct explain_question *q, struct result *r)
{
	assert_int_equal(explain_bind(&s->snap, tcpwhy_row_find("6.18.y"), q, &heap_memory, r), 0);
}

static inline const struct cure *cure_of(const struct result *r, const char *id)
{
	for (size_t i = 0; i < r->cures_n; i++)
		if (!strcmp(r->cures[i].id, id))
			return &r->cures[i];
	fail_msg("no cure %s", id);
	return NULL;
}

static inline void done(struct scene *s, struct result *r)
{
	result_free(r, &heap_memory);
	free(s);
}

/* ----------------------------------------------------------------------------------------- scenes
 */

static inline void empty(struct scene *s)
{
	(void)s;
}

static inline void time_wait(struct scene *s)
{
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 58 * SECOND);
	scene_mini(s, TCPWHY_TIME_WAIT, "10.0.0.5", 8080, 41 * SECOND);
}

static inline void fin_wait2(struct scene *s)
{
	scene_mini(s, TCPWHY_FIN_WAIT2, "10.0.0.5", 8080, 30 * SECOND);
}

static inline void listener(struct scene *s)
{
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 8080);
}

static inline void connection(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_ESTABLISHED, "10.0.0.5", 8080), "10.0.0.9", 5);
}

static inline void orphan_closing(struct scene *s)
{
	scene_peer(scene_owner(s, TCPWHY_FIN_WAIT1, "10.0.0.5", 8080), "10.0.0.9", 5)->inode = 0;
}

static inline void listener_and_time_wait(struct scene *s)
{
	listener(s);
	time_wait(s);
}

static inline void tiny_range_taken(struct scene *s)
{
	s->snap.sysctls.port_low = 50000;
	s->snap.sysctls.port_high = 50001;
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 50000);
	scene_owner(s, TCPWHY_LISTEN, "0.0.0.0", 50001);
}

#endif
