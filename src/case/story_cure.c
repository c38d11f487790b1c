/* SPDX-License-Identifier: MIT
 *
 * tcpwhy's own cures in a case: typed on a host and taken back, or, in the model, what they would
 * do
 *
 * On the kernel the line is executed by the program that runs, with a journal of the host's own in
 * the stage's /run. The model knows the two verbs that change what it has: sysctls and TIME_WAIT.
 */
#include "case/story_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

enum { NO_PRIVILEGE = 3 }; /* its status */

static bool is_kernel(const struct story *s)
{
	return !strcmp(s->stage->ops->name, "kernel");
}

/* What a cure changes in the model is the play's own. On a kernel it acts on the machine: a
 * reader's case goes no further there, and where the model does not play it either it is none. */
static void need_trust(lua_State *l)
{
	const struct story *s = story_of(l);

	if (is_kernel(s) && !s->play->head.world)
		story_need_trust(l, "change what is outside of them");
	if (is_kernel(s) && !s->config->trusted)
		story_cannot(l,
			     "only the cases that came with tcpwhy may change what is outside of "
			     "them: the model plays this");
}

/* ---------------------------------------------------------------------------------- on the kernel
 */

/* What it wrote, as one line. */
static void flatten(char *text)
{
	size_t n = 0;

	for (const char *c = text; *c; c++) {
		bool blank = *c == ' ' || *c == '\n' || *c == '\t';
		if (blank && (!n || text[n - 1] == ' '))
			continue;
		text[n++] = blank ? ' ' : *c;
	}
	text[n] = '\0';
}

/* The words on the stack from the second on, as `tcpwhy WORDS --journal OF-THE-HOST`. Its status,
 * or -errno; out is in Lua's memory. */
static int execute(lua_State *l, int node, char **out)
{
	const char *argv[STORY_WORDS_MAX + 4] = {"tcpwhy"};
	struct stage *st = story_of(l)->stage;
	struct err err = {""};
	char journal[64];
	int n = 1;

	for (int i = 2; i <= lua_gettop(l); i++)
		argv[n++] = lua_tostring(l, i);
	snprintf(journal, sizeof(journal), "/run/tcpwhy-lab/journal-%d", node);
	argv[n++] = "--journal";
	argv[n++] = journal;
	argv[n] = NULL;
	*out = lua_newuserdatauv(l, STORY_OUTPUT, 0);
	int r = st->ops->run(st, node, argv, STORY_QUICK_NS, *out, STORY_OUTPUT, &err);
	if (r < 0 && r != -ETIMEDOUT)
		story_must(l, r, &err);
	if (r == -ETIMEDOUT)
		snprintf(*out, STORY_OUTPUT, "no end within 5 s");
	flatten(*out);
	return r;
}

static bool cure_kernel(lua_State *l, int node, const char *line)
{
	char got[PLAY_TEXT_MAX], *out;
	int status = execute(l, node, &out);

	if (status == NO_PRIVILEGE) {
		story_skip(l, line, out);
		return false;
	}
	snprintf(got, sizeof(got), status ? "status %d: %s" : "status %d", status, out);
	story_expect(l, !status, line, got, "status 0");
	return !status;
}

static void undo_kernel(lua_State *l, int node)
{
	char got[PLAY_TEXT_MAX], *out;

	lua_settop(l, 1);
	story_push_words(l, "fix undo");
	int status = execute(l, node, &out);
	snprintf(got, sizeof(got), status ? "status %d: %s" : "status %d", status, out);
	story_expect(l, !status, "tcpwhy fix undo", got, "status 0");
}

/* ------------------------------------------------------------------------------------ in the model
 */

/* fix sysctl KEY=VALUE */
static void model_sysctl(lua_State *l, int node, const char *setting)
{
	struct story *s = story_of(l);
	const char *equals = strchr(setting, '=');
	struct err err = {""};

	if (!equals || s->cures_n == STORY_CURES_MAX)
		luaL_error(l, "fix sysctl: KEY=VALUE is meant, %d times at most", STORY_CURES_MAX);
	struct story_cure *c = &s->cures[s->cures_n];
	*c = (struct story_cure){.node = node};
	snprintf(c->name, sizeof(c->name), "%.*s", (int)(equals - setting), setting);
	int r = s->stage->ops->get_sysctl(s->stage, node, c->name, c->before, sizeof(c->before),
					  &err);
	if (!r)
		r = s->stage->ops->set_sysctl(s->stage, node, c->name, equals + 1, &err);
	story_must(l, r, &err);
	s->cures_n++;
}

static bool is_at(const struct tcpwhy_addr *wanted, uint16_t port, const struct tcpwhy_addr *a,
		  uint16_t its)
{
	return port == its && (address_is_any6(wanted) || address_equal(wanted, a) ||
			       (address_is_any(wanted) && address_is_v4(a)));
}

/* fix destroy-time-wait ADDR:PORT */
static void model_destroy(lua_State *l, int node, int place)
{
	struct stage *st = story_of(l)->stage;
	enum tcpwhy_family family;
	struct tcpwhy_addr a;
	struct err err = {""};
	uint16_t port;

	story_endpoint(l, place, &a, &family, &port);
	/* Those that stay are passed over, too. */
	sandbox_charge(l, STORY_CALL_UNITS + story_of(l)->sockets_n);
	int n = st->ops->list(st, node, NULL, 0, &err);
	story_must(l, n, &err);
	sandbox_charge(l, (uint64_t)n * 4);
	struct stage_sock *list = lua_newuserdatauv(l, (size_t)(n ? n : 1) * sizeof(*list), 0);
	st->ops->list(st, node, list, (size_t)n, &err);
	for (int i = 0; i < n; i++) {
		const struct stage_sock *k = &list[i];
		if (k->timewait && is_at(&a, port, &k->local, k->port))
			story_must(l,
				   st->ops->destroy(st, node, &k->local, k->port, &k->peer,
						    k->peer_port, &err),
				   &err);
	}
}

/* The words stand from the second place on. */
static void cure_model(lua_State *l, int node, int words)
{
	const char *verb = words == 3 ? lua_tostring(l, 3) : "";

	if (!strcmp(verb, "sysctl"))
		model_sysctl(l, node, lua_tostring(l, 4));
	else if (!strcmp(verb, "destroy-time-wait"))
		model_destroy(l, node, 4);
	else
		story_end(l, PLAY_CANNOT,
			  "the model knows `fix sysctl KEY=VALUE` and "
			  "`fix destroy-time-wait ADDR:PORT` only");
}

static void undo_model(lua_State *l, int node)
{
	struct story *s = story_of(l);
	struct err err = {""};
	unsigned i = s->cures_n;

	while (i && s->cures[i - 1].node != node)
		i--;
	if (!i)
		luaL_error(l, "there is nothing to be undone on this host");
	struct story_cure c = s->cures[i - 1];
	memmove(&s->cures[i - 1], &s->cures[i], (s->cures_n - i) * sizeof(c));
	s->cures_n--;
	story_must(l, s->stage->ops->set_sysctl(s->stage, node, c.name, c.before, &err), &err);
}

/* ------------------------------------------------------------------------------------------ words
 */

/* host:cure("fix sysctl net.ipv4.tcp_tw_reuse=1"): as typed behind tcpwhy; false where this host
 * lacks the privilege for it, and that is said */
int story_cure_word(lua_State *l)
{
	int node = story_check_host(l, 1);
	size_t n;
	const char *text = luaL_checklstring(l, 2, &n);
	struct story *s = story_of(l);
	char line[PLAY_TEXT_MAX];
	bool done = true;

	story_stage(s, l);
	need_trust(l);
	sandbox_charge(l, STORY_CALL_UNITS + n);
	luaL_argcheck(l, !strncmp(text, "fix ", 4), 2, "\"fix ...\"");
	snprintf(line, sizeof(line), "tcpwhy %s", text);
	story_note(s, node, sandbox_line(l), line);
	lua_settop(l, 2);
	int words = story_push_words(l, text);
	lua_remove(l, 2);
	if (is_kernel(s))
		done = cure_kernel(l, node, line);
	else
		cure_model(l, node, words);
	lua_pushboolean(l, done);
	return 1;
}

/* host:undo(): takes the newest one back */
int story_undo_word(lua_State *l)
{
	int node = story_check_host(l, 1);
	struct story *s = story_of(l);

	story_stage(s, l);
	need_trust(l);
	sandbox_charge(l, STORY_CALL_UNITS);
	story_note(s, node, sandbox_line(l), "tcpwhy fix undo");
	if (is_kernel(s))
		undo_kernel(l, node);
	else
		undo_model(l, node);
	return 0;
}
