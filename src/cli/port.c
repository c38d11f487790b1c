/* SPDX-License-Identifier: MIT
 *
 * port.c - the host's pool of listen ports, from the command line
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/port.h"
#include "cure/sysctl_key.h"
#include "explain/offer.h"
#include "lease/place.h"
#include "live/netns.h"
#include "report/value.h"

/* More at once is a mistake: each is a descriptor, or a line. LISTEN_FDS end below the pool's own.
 */
enum { LEASES_MAX = 1024, HELD_MAX = 60, LISTEN_FDS_START = 3 };

static const char usage_text[] =
	"usage: tcpwhy port init LOW-HIGH [--group NAME] [--reserve]\n"
	"       tcpwhy port lease [N] [--random] [--ttl S] [--for PID]\n"
	"       tcpwhy port lease [N] --held\n"
	"       tcpwhy port exec [N] [--held] [--random] [--ttl S] -- CMD [ARG...]\n"
	"       tcpwhy port release PORT... [--force]\n"
	"       tcpwhy port list | check\n"
	"\n"
	"A pool of listen ports that all processes of a network namespace share, outside the\n"
	"range that connect() and bind() to port 0 use up. The port that was given back longest\n"
	"ago is leased first; what a process held comes back when it ends, however it ends.\n"
	"\n"
	"  init     makes the pool, or gives it another range\n"
	"  lease    prints N ports (1). They are the calling process's until it ends\n"
	"  exec     starts CMD with a port in PORT; it is CMD's until it ends\n"
	"  release  gives ports back\n"
	"  list     who has which port, and who bound one without a lease\n"
	"  check    brings back what was left behind, and says what is wrong\n"
	"\n"
	"  --held             bound and listening, so that nobody else can bind it: exec passes\n"
	"                     the sockets on as LISTEN_FDS; lease holds them until its input ends\n"
	"  --random           a random one, instead of the longest unused\n"
	"  --ttl S            for S seconds at most; lease: whoever lives or dies\n"
	"  --for PID          lease: for that process\n"
	"  --force            release: also what another living process has\n"
	"  --group NAME       init: the group may use the pool too\n"
	"  --reserve          init: changes nothing, but prints the command that keeps the\n"
	"                     kernel's own choices off the range\n"
	"  --folder DIR       the pool's folder, if not /run/tcpwhy\n"
	"  --netns NAME|PATH  in that network namespace\n"
	"  --pid N            in the network namespace of that process\n"
	"  --json             list, lease, check: as one JSON object\n"
	"\n"
	"Exit status: 0 done; 1 not done: no port is left, or not leased, or another's, or the\n"
	"kernel gives out the range itself; check: something is wrong; 2 usage; 3 could not look.\n"
	"exec: CMD's own; 126, 127 it could not be executed, there is no such command.\n";

static int usage(const char *wrong, const char *what)
{
	fprintf(stderr, "tcpwhy port: %s%s%s\n", wrong, what ? ": " : "", what ? what : "");
	fputs("Try: tcpwhy port --help\n", stderr);
	return STATUS_USAGE;
}

int port_open(const struct port_request *q, bool read_only, struct tcpwhy_pool **out)
{
	struct tcpwhy_pool_why why;
	int error = tcpwhy_pool_open(q->folder, read_only, out, &why);

	if (error == -ENOENT) {
		size_t used = strlen(why.text);

		snprintf(why.text + used, sizeof(why.text) - used,
			 "; tcpwhy port init LOW-HIGH makes one");
	}
	if (error)
		return command_failed("port", q->json, why.text);
	if (why.text[0])
		fprintf(stderr, "tcpwhy port: %s\n", why.text);
	return 0;
}

/* ----------------------------------------------------------------------------------------- init */

const char *port_place(const struct port_request *q, char out[static PORT_PLACE_MAX])
{
	const struct explain_question there = {.netns = q->target.netns, .pid = q->target.pid};
	struct text t = text_in(out, PORT_PLACE_MAX);

	offer_place(&t, &there);
	return out;
}

/* The command is all that is on stdout, so that it can be run as it is. */
static int print_reserve(const struct port_request *q)
{
	char list[SYSCTL_VALUE_MAX], place[PORT_PLACE_MAX];
	int error = tcpwhy_pool_reserved_ports(q->low, q->high, list, sizeof(list));

	if (error == -ENAMETOOLONG)
		return command_failed("port", false,
				      "the list of reserved ports is longer than tcpwhy fix sysctl "
				      "takes (4,095 characters)");
	if (error)
		return command_failed("port", false,
				      "net.ipv4.ip_local_reserved_ports cannot be read");
	printf("tcpwhy fix sysctl%s net.ipv4.ip_local_reserved_ports=%s\n", port_place(q, place),
	       list);
	return command_written("port", true, STATUS_OK);
}

static int port_init(const struct port_request *q)
{
	const struct tcpwhy_pool_plan plan = {q->low, q->high, q->folder, q->group};
	struct tcpwhy_pool_why why = {""};
	char place[PORT_PLACE_MAX];
	int error;

	if (q->reserve)
		return print_reserve(q);
	error = tcpwhy_pool_create(&plan, &why);
	if (error == -EINVAL)
		return usage(why.text, NULL);
	if (error)
		fprintf(stderr, "tcpwhy port: %s\n", why.text);
	if (error == -ERANGE)
		fprintf(stderr,
			"Take a range outside, or keep the kernel off this one first. The "
			"command:\n"
			"tcpwhy port init %u-%u --reserve%s\n",
			q->low, q->high, port_place(q, place));
	if (error == -ERANGE || error == -EBUSY)
		return STATUS_REFUSED;
	return error ? STATUS_UNDECIDED : STATUS_OK;
}

/* ---------------------------------------------------------------------------------------- lease */

static int lease_failed(const struct port_request *q, int error)
{
	char text[128];

	snprintf(text, sizeof(text), "leasing a port: %s",
		 error == -EUSERS ? "too many processes have leases" : strerror(-error));
	return command_failed("port", q->json, text);
}

static int too_few(struct tcpwhy_pool *pool, int got)
{
	char withheld[256];

	if (got > 0)
		fprintf(stderr, "tcpwhy port: only %d port%s of the pool %s free\n", got,
			got == 1 ? "" : "s", got == 1 ? "is" : "are");
	else
		fputs("tcpwhy port: no port of the pool is free\n", stderr);
	if (port_withheld(pool, withheld, sizeof(withheld)))
		fprintf(stderr, "tcpwhy port: %s; tcpwhy port list\n", withheld);
	return STATUS_REFUSED;
}

/* All n or none. 0 or a status. */
static int take(const struct port_request *q, struct tcpwhy_pool *pool,
		const struct tcpwhy_lease_wish *wish, struct tcpwhy_lease *leases)
{
	int got = tcpwhy_lease(pool, wish, leases, q->n);

	if (got < 0 && got != -ENOSPC)
		return lease_failed(q, got);
	if (got >= 0 && (unsigned)got == q->n)
		return 0;
	if (got > 0)
		tcpwhy_lease_release(pool, leases, (unsigned)got);
	return too_few(pool, got);
}

static bool print_ports(const struct port_request *q, const struct tcpwhy_lease *leases)
{
	json_t *list;

	if (!q->json) {
		for (unsigned i = 0; i < q->n; i++)
			printf("%u\n", leases[i].port);
		return true;
	}
	list = json_array();
	for (unsigned i = 0; i < q->n; i++)
		json_array_append_new(list, json_integer(leases[i].port));
	return value_print(json_pack("{s:i, s:o}", "schema", 1, "ports", list), stdout);
}

/* To whom the leases of this process, which ends now, go. 0 or a status. */
static int assign(const struct port_request *q, struct tcpwhy_pool *pool,
		  struct tcpwhy_lease *leases)
{
	pid_t owner = q->owner ? q->owner : q->ttl_s ? 0 : getppid();
	int error = 0;

	for (unsigned i = 0; i < q->n && !error; i++)
		error = tcpwhy_lease_assign(pool, &leases[i], owner, q->ttl_s);
	if (error == -ESRCH) {
		fprintf(stderr, "tcpwhy port: there is no process %d here\n", (int)owner);
		return STATUS_REFUSED;
	}
	return error ? lease_failed(q, error) : 0;
}

static void wait_for_end_of_input(void)
{
	char bytes[512];
	ssize_t n;

	do {
		n = read(STDIN_FILENO, bytes, sizeof(bytes));
	} while (n > 0 || (n < 0 && errno == EINTR));
}

static int port_lease(const struct port_request *q)
{
	const struct tcpwhy_lease_wish wish = {
		.listening = q->held, .held = q->held, .random = q->random, .probe = true};
	struct tcpwhy_lease leases[LEASES_MAX];
	struct tcpwhy_pool *pool;
	int status = port_open(q, false, &pool);

	if (status)
		return status;
	status = take(q, pool, &wish, leases);
	if (!status && !q->held)
		status = assign(q, pool, leases);
	/* Who cannot be told has no use for them: closing the pool gives back what is ours. */
	if (!status)
		status = command_written("port", print_ports(q, leases), STATUS_OK);
	if (!status && q->held)
		wait_for_end_of_input();
	tcpwhy_pool_close(pool);
	return status;
}

/* ----------------------------------------------------------------------------------------- exec */

static bool say_ports(const struct port_request *q, const struct tcpwhy_lease *leases)
{
	char text[LEASES_MAX * 6 + 1] = "", first[8];
	size_t used = 0;

	snprintf(first, sizeof(first), "%u", leases[0].port);
	for (unsigned i = 0; i < q->n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u", i ? " " : "",
					 leases[i].port);
	return !setenv("PORT", first, 1) && !setenv("PORTS", text, 1);
}

/* sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, for the process LISTEN_PID. What stands there
 * is closed, as by any program that passes them; none of it is ours (the pool's is above, and so
 * are the copies that are made first). */
static bool pass_sockets(const struct port_request *q, struct tcpwhy_lease *leases)
{
	char n[16], pid[16], names[HELD_MAX * 8] = "";
	size_t used = 0;

	for (unsigned i = 0; i < q->n; i++) {
		leases[i].fd = fcntl(leases[i].fd, F_DUPFD_CLOEXEC, LISTEN_FDS_START + HELD_MAX);
		if (leases[i].fd < 0)
			return false;
	}
	for (unsigned i = 0; i < q->n; i++) {
		if (dup2(leases[i].fd, LISTEN_FDS_START + (int)i) < 0)
			return false;
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%u", i ? ":" : "",
					 leases[i].port);
	}
	snprintf(n, sizeof(n), "%u", q->n);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return !setenv("LISTEN_FDS", n, 1) && !setenv("LISTEN_PID", pid, 1) &&
	       !setenv("LISTEN_FDNAMES", names, 1);
}

static int start_command(const struct port_request *q, struct tcpwhy_pool *pool,
			 struct tcpwhy_lease *leases)
{
	int error;

	if (!say_ports(q, leases) || (q->held && !pass_sockets(q, leases)) ||
	    tcpwhy_pool_keep(pool))
		return command_failed("port", false, strerror(errno));
	execvp(q->command[0], q->command);
	error = errno;
	fprintf(stderr, "tcpwhy port: %s: %s\n", q->command[0], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

static int port_exec(const struct port_request *q)
{
	const struct tcpwhy_lease_wish wish = {.listening = q->held,
					       .held = q->held,
					       .random = q->random,
					       .probe = true,
					       .ttl_s = q->ttl_s};
	struct tcpwhy_lease leases[LEASES_MAX];
	struct tcpwhy_pool *pool;
	int status = port_open(q, false, &pool);

	if (status)
		return status;
	status = take(q, pool, &wish, leases);
	if (!status)
		status = start_command(q, pool, leases);
	tcpwhy_pool_close(pool);
	return status;
}

/* -------------------------------------------------------------------------------------- release */

struct search {
	uint16_t port;
	struct tcpwhy_port found;
};

static int find_port(void *ctx, const struct tcpwhy_port *port)
{
	struct search *s = ctx;

	if (port->port != s->port)
		return 0;
	s->found = *port;
	return 1;
}

/* What belongs to nobody, to the process that called us, or to one that is gone. */
static bool may_release(const struct port_request *q, const struct tcpwhy_port *p)
{
	return q->force || p->state != TCPWHY_PORT_LEASED || !p->pid ||
	       (!p->foreign && p->pid == getppid());
}

static int release_one(const struct port_request *q, struct tcpwhy_pool *pool, uint16_t port)
{
	struct search s = {.port = port};

	if (tcpwhy_pool_list(pool, find_port, &s) != 1) {
		fprintf(stderr, "tcpwhy port: %u is not of the pool\n", port);
		return STATUS_REFUSED;
	}
	if (!may_release(q, &s.found)) {
		fprintf(stderr,
			"tcpwhy port: %u is leased to process %d%s; --force ends the lease, not "
			"what the process does with the port\n",
			port, (int)s.found.pid, s.found.foreign ? " of another PID namespace" : "");
		return STATUS_REFUSED;
	}
	if (tcpwhy_lease_revoke(pool, port) == 1)
		return STATUS_OK;
	fprintf(stderr, "tcpwhy port: %u is not leased\n", port);
	return STATUS_REFUSED;
}

static int port_release(const struct port_request *q)
{
	struct tcpwhy_pool *pool;
	int status = port_open(q, false, &pool);

	if (status)
		return status;
	for (unsigned i = 0; i < q->ports_n; i++) {
		int one = release_one(q, pool, q->ports[i]);

		status = one > status ? one : status;
	}
	tcpwhy_pool_close(pool);
	return status;
}

/* ----------------------------------------------------------------------------- the command line */

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !n || n > max)
		return false;
	*out = n;
	return true;
}

static int parse_group(const char *name, gid_t *out)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return usage("no such group", name);
	*out = group->gr_gid;
	return 0;
}

enum word { INIT = 1, LEASE = 2, LIST = 4, RELEASE = 8, EXEC = 16, CHECK = 32, ALL = 63 };

enum option_key { FOLDER = 256, NETNS, PID, JSON, HELD, RANDOM, TTL, FOR, FORCE, GROUP, RESERVE };

static const struct option options[] = {
	{"folder", required_argument, NULL, FOLDER}, {"netns", required_argument, NULL, NETNS},
	{"pid", required_argument, NULL, PID},       {"json", no_argument, NULL, JSON},
	{"held", no_argument, NULL, HELD},           {"random", no_argument, NULL, RANDOM},
	{"ttl", required_argument, NULL, TTL},       {"for", required_argument, NULL, FOR},
	{"force", no_argument, NULL, FORCE},         {"group", required_argument, NULL, GROUP},
	{"reserve", no_argument, NULL, RESERVE},     {NULL, 0, NULL, 0}};

/* Which words an option belongs to. */
static unsigned words_of(int key)
{
	switch ((enum option_key)key) {
	case FOLDER:
	case NETNS:
	case PID:
		return ALL;
	case JSON:
		return LIST | LEASE | CHECK;
	case HELD:
	case RANDOM:
	case TTL:
		return LEASE | EXEC;
	case FOR:
		return LEASE;
	case FORCE:
		return RELEASE;
	case GROUP:
	case RESERVE:
		return INIT;
	}
	return 0;
}

static int take_option(int key, const char *value, struct port_request *q)
{
	unsigned long n = 0;

	switch ((enum option_key)key) {
	case FOLDER:
		q->folder = value;
		return 0;
	case NETNS:
		q->target.netns = value;
		return 0;
	case PID:
	case FOR:
		if (!parse_number(value, INT32_MAX, &n))
			return usage("not a process id", value);
		*(key == PID ? &q->target.pid : &q->owner) = (int)n;
		return 0;
	case TTL:
		if (!parse_number(value, 30ul * 86400, &n))
			return usage("--ttl takes 1 to 2592000 seconds", value);
		q->ttl_s = (uint32_t)n;
		return 0;
	case GROUP:
		return parse_group(value, &q->group);
	case JSON:
		q->json = true;
		return 0;
	case HELD:
		q->held = true;
		return 0;
	case RANDOM:
		q->random = true;
		return 0;
	case FORCE:
		q->force = true;
		return 0;
	case RESERVE:
		q->reserve = true;
		return 0;
	}
	return 0;
}

static int parse_options(enum word word, int argc, char **argv, struct port_request *q)
{
	int c, rc;

	optind = 1;
	opterr = 0;
	/* '+' for exec: what follows is CMD's. */
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		const char *at = argv[optind - 1];

		if (c == ':')
			return usage("this option needs a value", at);
		if (!(words_of(c) & word))
			return usage("no such option here", at);
		rc = take_option(c, optarg, q);
		if (rc)
			return rc;
	}
	if (q->target.netns && q->target.pid)
		return usage("--netns and --pid exclude each other", NULL);
	if (q->held && (word & LEASE) && (q->ttl_s || q->owner))
		return usage("--held holds until the input ends: without --ttl and --for", NULL);
	return 0;
}

static int parse_ports(int n, char **texts, struct port_request *q)
{
	if (!n)
		return usage("which port?", NULL);
	q->ports = calloc((size_t)n, sizeof(*q->ports));
	if (!q->ports)
		return command_failed("port", false, "no memory");
	for (int i = 0; i < n; i++) {
		unsigned long port;

		if (!parse_number(texts[i], UINT16_MAX, &port))
			return usage("no port", texts[i]);
		q->ports[q->ports_n++] = (uint16_t)port;
	}
	return 0;
}

static int parse_count(int n, char **texts, struct port_request *q)
{
	unsigned long count = 1;

	if (n > 1)
		return usage("one number of ports", texts[1]);
	if (n && !parse_number(texts[0], q->held ? HELD_MAX : LEASES_MAX, &count))
		return usage(q->held ? "not a number of ports from 1 to 60"
				     : "not a number of ports from 1 to 1024",
			     texts[0]);
	q->n = (unsigned)count;
	return 0;
}

static int parse_arguments(enum word word, int n, char **texts, struct port_request *q)
{
	if (word == INIT) {
		if (n != 1 || !place_parse_range(texts[0], &q->low, &q->high))
			return usage("init takes one range, as 20000-29999", n ? texts[0] : NULL);
		return 0;
	}
	if (word == RELEASE)
		return parse_ports(n, texts, q);
	if (word == LEASE || word == EXEC)
		return parse_count(n, texts, q);
	return n ? usage("no argument here", texts[0]) : 0;
}

/* -------------------------------------------------------------------------------- the namespace */

static const struct {
	const char *text;
	enum word word;
	int (*run)(const struct port_request *q);
} words[] = {
	{"init", INIT, port_init}, {"lease", LEASE, port_lease},
	{"list", LIST, port_list}, {"release", RELEASE, port_release},
	{"exec", EXEC, port_exec}, {"check", CHECK, port_check},
};

struct errand {
	const struct port_request *q;
	int (*run)(const struct port_request *q);
};

static int run_errand(void *ctx)
{
	const struct errand *errand = ctx;

	return errand->run(errand->q);
}

/* CMD is to run in the namespace, so this process goes there itself; all else runs in a thread. */
static int run_there(const struct port_request *q, enum word word,
		     int (*run)(const struct port_request *q))
{
	struct errand errand = {q, run};
	struct netns ns;
	struct err err;
	int status;

	if (!q->target.netns && !q->target.pid)
		return run(q);
	if (netns_open(q->target.netns, q->target.pid, &ns, &err))
		return command_failed("port", q->json, err.text);
	if (word != EXEC)
		status = netns_run(&ns, false, run_errand, &errand, &err);
	else if (ns.own || setns(ns.fd, CLONE_NEWNET) == 0)
		status = run(q);
	else
		status = -snprintf(err.text, sizeof(err.text),
				   "entering the network namespace: %s (needs CAP_SYS_ADMIN)",
				   strerror(errno));
	netns_close(&ns);
	return status < 0 ? command_failed("port", q->json, err.text) : status;
}

/* The arguments of tcpwhy end at "--"; only exec has one. */
static int split_command(enum word word, int *argc, char **argv, struct port_request *q)
{
	for (int i = 1; i < *argc && word == EXEC; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		q->command = argv + i + 1;
		*argc = i;
		break;
	}
	if (word == EXEC && (!q->command || !q->command[0]))
		return usage("exec needs a command: -- CMD", NULL);
	return 0;
}

static int run_word(size_t which, int argc, char **argv)
{
	struct port_request q = {.group = (gid_t)-1};
	enum word word = words[which].word;
	int rc = split_command(word, &argc, argv, &q);

	if (!rc)
		rc = parse_options(word, argc, argv, &q);
	if (!rc)
		rc = parse_arguments(word, argc - optind, argv + optind, &q);
	if (!rc)
		rc = run_there(&q, word, words[which].run);
	free(q.ports);
	return rc;
}

int cmd_port(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage_text, stdout);
			return STATUS_OK;
		}
	}
	if (argc < 2)
		return usage("init, lease, list, release, exec or check?", NULL);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(argv[1], words[i].text))
			return run_word(i, argc - 1, argv + 1);
	}
	return usage("no such word", argv[1]);
}
