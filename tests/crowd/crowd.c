/* SPDX-License-Identifier: MIT
 *
 * crowd.c - do `tcpwhy bind --json` and `tcpwhy connect --json` say beforehand what the calls then
 * do?
 *
 * A random script of the conformance test fills a namespace with sockets in every state. Then the
 * command is asked, as a user would ask it, and the real calls are made. Output is TAP; status 1 if
 * one answer was wrong, or a cure called proven did not help, or if --no-depends is given and one
 * was "depends". --cures N goes on until N cures with a command were typed and undone (cure.c).
 */
#include "crowd/crowd.h"

#include "conform/generate.h"
#include "conform/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <net/if.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/address.h"

extern char **environ;

enum { QUESTIONS = 4 };

struct question {
	struct endpoint at;
	uint8_t family;
	bool reuseaddr, reuseport, v6only, freebind, listen;
	unsigned device;
	uint32_t uid;
};

/* ---------------------------------------------------------------------------------- questions */

static uint64_t next(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t below(uint64_t *x, uint32_t n)
{
	return (uint32_t)(next(x) % n);
}

/* An end that some call of the script named, so that collisions are the rule. */
static struct endpoint named_end(const struct script *s, uint64_t *x)
{
	for (unsigned tries = 0; tries < 200; tries++) {
		const struct call *c = &s->calls[below(x, (uint32_t)s->n)];
		if (c->kind == CALL_BIND || c->kind == CALL_CONNECT)
			return c->at;
	}
	return (struct endpoint){.addr = address_v4_number(0), .port = 20000};
}

/* Some other address in its place: wildcards, loopbacks, the other family. */
static struct tcpwhy_addr some_address(uint64_t *x, struct tcpwhy_addr named)
{
	static const char *const texts[] = {
		"0.0.0.0",  "127.0.0.1", "127.0.0.2",        "::",        "::1",
		"10.0.0.1", "192.0.2.9", "::ffff:127.0.0.1", "224.0.0.1", "::ffff:0.0.0.0"};
	enum tcpwhy_family family;
	struct tcpwhy_addr a = named;
	const uint32_t i = below(x, 2 * sizeof(texts) / sizeof(texts[0]));

	if (i < sizeof(texts) / sizeof(texts[0]))
		address_parse(texts[i], &a, &family);
	return a;
}

/* A port of the crowd; now and then 0, or one that needs a privilege. */
static uint16_t some_port(uint64_t *x, uint16_t named)
{
	const uint32_t dice = below(x, 12);

	if (dice == 0)
		return 0;
	return dice == 1 ? 81 : named;
}

static struct question ask_something(const struct script *s, uint64_t *x)
{
	const struct endpoint named = named_end(s, x);
	struct question q = {.at.addr = some_address(x, named.addr)};
	const bool v4 = address_is_v4(&q.at.addr);

	q.at.port = some_port(x, named.port);
	q.family = v4 && below(x, 4) ? TCPWHY_IPV4 : TCPWHY_IPV6;
	q.reuseaddr = below(x, 2);
	q.reuseport = !below(x, 3);
	q.v6only = q.family == TCPWHY_IPV6 && !below(x, 4);
	q.freebind = !below(x, 8);
	q.listen = below(x, 4);
	q.device = below(x, 6) ? 0 : NETNS_LO + below(x, NETNS_DEVICES - NETNS_LO);
	q.uid = below(x, 4) ? 0 : 1000 + below(x, 2);
	return q;
}

/* ------------------------------------------------------------------------- what tcpwhy says */

void args_add(struct args *a, const char *text)
{
	snprintf(a->text[a->n], ARG_MAX_TEXT, "%s", text);
	a->list[a->n] = a->text[a->n];
	a->list[++a->n] = NULL;
}

void args_add_if(struct args *a, bool wanted, const char *text)
{
	if (wanted)
		args_add(a, text);
}

static void arguments(const struct question *q, struct args *a)
{
	char text[ARG_MAX_TEXT];

	a->n = 0;
	args_add(a, "tcpwhy");
	args_add(a, "bind");
	args_add(a, "--json");
	args_add(a, endpoint_format(&q->at.addr, q->at.port, q->family == TCPWHY_IPV6, text));
	args_add_if(a, q->reuseaddr, "--reuseaddr");
	args_add_if(a, q->reuseport, "--reuseport");
	args_add_if(a, q->v6only, "--v6only");
	args_add_if(a, q->freebind, "--freebind");
	args_add_if(a, !q->listen, "--no-listen");
	if (q->device) {
		args_add(a, "--device");
		args_add(a, if_indextoname(q->device, text) ? text : "none");
	}
	if (q->uid) {
		snprintf(text, sizeof(text), "%u", q->uid);
		args_add(a, "--uid");
		args_add(a, text);
	}
}

static void copy_string(const json_t *root, const char *key, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(root, key));

	snprintf(out, size, "%s", s ? s : "-");
}

static bool is_chance(const json_t *root)
{
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(root, "unknown"), i, line)
	{
		if (strstr(json_string_value(line), "random start"))
			return true;
	}
	return false;
}

/* "now, ...", "in 0.4 s, ...", or words about the next time. */
static double when_of(const char *costs)
{
	double s = -1;

	if (!strncmp(costs, "now", 3))
		return 0;
	return sscanf(costs, "in %lf s", &s) == 1 ? s : -1;
}

static void copy_cures(const json_t *root, struct outcome_pair *out)
{
	const json_t *cure;
	size_t i;

	out->cures_n = 0;
	json_array_foreach(json_object_get(root, "cures"), i, cure)
	{
		struct said_cure *c = &out->cures[out->cures_n];
		if (out->cures_n == CURES_MAX || !json_is_true(json_object_get(cure, "proven")) ||
		    !json_is_string(json_object_get(cure, "command")))
			continue;
		copy_string(cure, "id", c->id, sizeof(c->id));
		copy_string(cure, "command", c->command, sizeof(c->command));
		c->in_s = when_of(json_string_value(json_object_get(cure, "costs")));
		out->cures_n++;
	}
}

bool ask_tcpwhy(const char *tcpwhy, struct args *a, struct outcome_pair *said)
{
	posix_spawn_file_actions_t actions;
	int ends[2], status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	const int error = posix_spawn(&pid, tcpwhy, &actions, NULL, a->list, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	json_t *root = error ? NULL : json_loadfd(ends[0], 0, NULL);
	close(ends[0]);
	if (!error)
		waitpid(pid, &status, 0);
	if (!root)
		return false;
	copy_string(root, "answer", said->answer, sizeof(said->answer));
	copy_string(root, "errno", said->error, sizeof(said->error));
	copy_string(root, "at", said->at, sizeof(said->at));
	said->chance = is_chance(root);
	copy_cures(root, said);
	json_decref(root);
	return true;
}

/* ----------------------------------------------------------------------------- what happens */

static void on(int fd, int level, int option)
{
	setsockopt(fd, level, option, &(int){1}, sizeof(int));
}

static void set_options(int fd, const struct question *q)
{
	char name[IF_NAMESIZE];

	if (q->reuseaddr)
		on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (q->reuseport)
		on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (q->freebind)
		on(fd, IPPROTO_IP, IP_FREEBIND);
	if (q->family == TCPWHY_IPV6 && q->v6only)
		on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (q->device && if_indextoname(q->device, name))
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name));
}

static int real_bind(int fd, const struct question *q)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(q->at.port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(q->at.port)};

	if (q->family == TCPWHY_IPV4) {
		memcpy(&v4.sin_addr, q->at.addr.b + 12, 4);
		return bind(fd, (struct sockaddr *)&v4, sizeof(v4)) ? errno : 0;
	}
	memcpy(&v6.sin6_addr, q->at.addr.b, 16);
	return bind(fd, (struct sockaddr *)&v6, sizeof(v6)) ? errno : 0;
}

void note(struct outcome_pair *out, int error, const char *at)
{
	snprintf(out->answer, sizeof(out->answer), "%s", error ? "refused" : "ok");
	snprintf(out->error, sizeof(out->error), "%s", error ? errno_name(error) : "-");
	snprintf(out->at, sizeof(out->at), "%s", error ? at : "-");
}

bool bind_really(const void *question, struct outcome_pair *happened)
{
	const struct question *q = question;

	if (seteuid(q->uid))
		return false;
	const int fd = socket(q->family == TCPWHY_IPV4 ? AF_INET : AF_INET6,
			      SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (seteuid(0) || fd < 0)
		return false;
	set_options(fd, q);
	if (seteuid(q->uid))
		return false;
	int error = real_bind(fd, q);
	const char *at = "bind";
	if (!error && q->listen) {
		at = "listen";
		error = listen(fd, 8) ? errno : 0;
	}
	note(happened, error, at);
	close(fd);
	return !seteuid(0);
}

/* ------------------------------------------------------------------------------------- crowd */

static bool same(const struct outcome_pair *a, const struct outcome_pair *b)
{
	return !strcmp(a->answer, b->answer) && !strcmp(a->error, b->error) &&
	       !strcmp(a->at, b->at);
}

void args_print(const struct args *a)
{
	for (size_t i = 0; i < a->n; i++)
		printf(" %s", a->list[i]);
}

static void print_differ(const struct args *a, const struct outcome_pair *said,
			 const struct outcome_pair *happened)
{
	printf("# said %s %s %s, happened %s %s %s, asked", said->answer, said->error, said->at,
	       happened->answer, happened->error, happened->at);
	args_print(a);
	printf("\n");
}

enum score score(const struct options *o, struct args *a, const struct outcome_pair *said,
		 const struct outcome_pair *happened, struct tally *t)
{
	struct outcome_pair again;
	bool depends = !strcmp(said->answer, "depends");

	t->questions++;
	t->chance += depends && said->chance;
	t->depends += depends && !said->chance;
	if (depends) {
		if (!said->chance && o->no_depends)
			print_differ(a, said, happened);
		return SCORE_DEPENDS;
	}
	t->ok += !strcmp(happened->answer, "ok");
	t->refused += !strcmp(happened->answer, "refused");
	if (same(said, happened))
		return SCORE_GOOD;
	if (ask_tcpwhy(o->tcpwhy, a, &again) && !same(said, &again)) {
		t->changed++;
		return SCORE_GOOD;
	}
	t->wrong++;
	print_differ(a, said, happened);
	return SCORE_WRONG;
}

/* False: the machinery failed. */
static bool judge(const struct options *o, const struct script *s, const struct question *q,
		  struct tally *t)
{
	const struct asking asking = {q, sizeof(*q), 'b', bind_really, NULL, NULL};
	struct args a;
	struct outcome_pair said, happened;

	arguments(q, &a);
	if (!ask_tcpwhy(o->tcpwhy, &a, &said) || !bind_really(q, &happened))
		return false;
	if (score(o, &a, &said, &happened, t) == SCORE_WRONG ||
	    !cures_type(o, &asking, &a, &said, t)) {
		printf("# after:\n");
		script_print(s, stdout);
		fflush(stdout);
	}
	return true;
}

static bool one_crowd(struct kernel *k, const struct options *o, uint64_t seed, struct tally *t,
		      struct err *err)
{
	static struct script s;
	struct outcome outcome;
	uint64_t x = seed;

	if (kernel_reset(k, err))
		return false;
	generate_script(seed, tcpwhy_row_find("6.18.y"), &s);
	for (size_t i = 0; i < s.n; i++)
		kernel_play(k, &s.calls[i], &outcome);
	t->crowds++;
	for (unsigned i = 0; i < QUESTIONS; i++) {
		const struct question q = ask_something(&s, &x);
		if (!judge(o, &s, &q, t)) {
			snprintf(err->text, sizeof(err->text),
				 "%s gave no JSON, or no socket could be made", o->tcpwhy);
			return false;
		}
	}
	return true;
}

static int run(const struct options *o)
{
	struct tally t = {0};
	struct kernel k;
	struct err err;

	if (!cures_enter(&err) || netns_enter(&err) || kernel_open(&k, &err)) {
		printf("Bail out! %s\n", err.text);
		return 2;
	}
	bool works = true;
	for (unsigned i = 0; works && (o->cures ? t.cured < o->cures : i < o->crowds); i++) {
		const uint64_t seed = o->seed * UINT64_C(1000003) + i;
		if (o->connect)
			works = !kernel_reset(&k, &err) && connect_crowd(o, seed, &t, &err);
		else
			works = one_crowd(&k, o, seed, &t, &err);
	}
	kernel_close(&k);
	cures_leave();
	const bool good = works && !t.wrong && !t.cure_failed && !(o->no_depends && t.depends);
	printf("# seed %llu: %u crowds, %u questions: %u ok, %u refused, %u depends, %u by chance, "
	       "%u changed meanwhile, %u wrong; %u cures typed, %u failed\n",
	       (unsigned long long)o->seed, t.crowds, t.questions, t.ok, t.refused, t.depends,
	       t.chance, t.changed, t.wrong, t.cured, t.cure_failed);
	if (!works)
		printf("# %s\n", err.text);
	printf("%sok 1 - tcpwhy %s is right about %u crowds\n", good ? "" : "not ",
	       o->connect ? "connect" : "bind", t.crowds);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o = {.tcpwhy = "build/tcpwhy", .seed = 1, .crowds = 100};
	static const struct option longs[] = {
		{"tcpwhy", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
		{"crowds", required_argument, NULL, 'n'}, {"no-depends", no_argument, NULL, 'd'},
		{"cures", required_argument, NULL, 'u'},  {"connect", no_argument, NULL, 'c'},
		{"call", required_argument, NULL, 'x'},   {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 't') {
			o.tcpwhy = optarg;
		} else if (c == 's') {
			o.seed = strtoull(optarg, NULL, 0);
		} else if (c == 'n') {
			o.crowds = (unsigned)strtoul(optarg, NULL, 0);
		} else if (c == 'u') {
			o.cures = (unsigned)strtoul(optarg, NULL, 0);
		} else if (c == 'x') {
			return cures_call(optarg);
		} else if (c == 'd') {
			o.no_depends = true;
		} else if (c == 'c') {
			o.connect = true;
		} else {
			fputs("usage: crowd [--connect] [--tcpwhy PATH] [--seed S] [--crowds N] "
			      "[--cures N] [--no-depends]\n",
			      stderr);
			return 2;
		}
	}
	if (geteuid()) {
		printf("1..0 # SKIP crowds are made in network namespaces, and that takes root\n");
		return 77;
	}
	printf("1..1\n");
	fflush(stdout);
	return run(&o);
}
