/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "base/address.h"
#include "cli/usage.h"

/* ------------------------------------------------------------------------------------------ table
 */

struct option_row {
	unsigned of; /* of enum options_of */
	const char *name;
	const char *value; /* its name in the help; NULL: takes none */
	const char *line;
	/* Either a flag to be set, or a reader of the value: NULL, or what is wrong with it. */
	size_t flag;
	const char *(*read)(struct question_options *o, const char *value);
};

static const char *read_device(struct question_options *o, const char *value)
{
	o->device = value;
	return *value && strlen(value) < 16 ? NULL : "is not the name of a device (1 to 15 bytes)";
}

/* Digits only: no sign, no space, no hex. */
static bool read_number(const char *s, unsigned long max, unsigned long *out)
{
	unsigned long n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (unsigned long)(*s - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

static const char *read_uid(struct question_options *o, const char *value)
{
	unsigned long n;

	/* The last number is "no uid" to the kernel. */
	if (!read_number(value, UINT32_MAX - 1, &n))
		return "is not a numeric user id";
	o->uid = (uint32_t)n;
	o->uid_given = true;
	return NULL;
}

static const char *read_netns(struct question_options *o, const char *value)
{
	o->netns = value;
	return *value ? NULL : "is not a name or path of a network namespace";
}

static const char *read_pid(struct question_options *o, const char *value)
{
	unsigned long n;

	if (!read_number(value, INT_MAX, &n) || !n)
		return "is not a process id";
	o->pid = (int)n;
	return NULL;
}

static const char *read_release(struct question_options *o, const char *value)
{
	o->row = tcpwhy_row_find(value);
	return o->row ? NULL : "is not a release whose rules are known";
}

/* "A:PORT" and "[V6]:PORT", or an address alone. */
static const char *read_from(struct question_options *o, const char *value)
{
	const size_t n = strlen(value);
	const bool bracketed = value[0] == '[' && n > 2 && value[n - 1] == ']';
	enum tcpwhy_family family;
	char bare[ADDRESS_TEXT_MAX];

	o->from_given = true;
	o->from_port = 0;
	snprintf(bare, sizeof(bare), "%.*s", (int)(n < 2 ? 0 : n - 2), value + 1);
	if (address_parse(bracketed ? bare : value, &o->from, &family))
		return NULL;
	return endpoint_parse(value, &o->from, &family, &o->from_port);
}

#define BOTH        (OPTIONS_BIND | OPTIONS_CONNECT)
#define FLAG(field) offsetof(struct question_options, field), NULL

static const struct option_row rows[] = {
	{OPTIONS_CONNECT, "from", "ADDR[:PORT]",
	 "bind() that address first: without a port by\n"
	 "                       IP_BIND_ADDRESS_NO_PORT, connect() then chooses one",
	 0, read_from},
	{OPTIONS_CONNECT, "bind-first", NULL,
	 "leave that option out: bind() chooses the port, for all\n"
	 "                       destinations",
	 FLAG(bind_first)},
	{BOTH, "reuseaddr", NULL, "the socket sets SO_REUSEADDR before bind()", FLAG(reuseaddr)},
	{BOTH, "reuseport", NULL, "it sets SO_REUSEPORT before bind()", FLAG(reuseport)},
	{OPTIONS_BIND, "v6only", NULL, "it sets IPV6_V6ONLY (default: net.ipv6.bindv6only)",
	 FLAG(v6only)},
	{BOTH, "device", "IF", "it is bound to that device (SO_BINDTODEVICE)", 0, read_device},
	{OPTIONS_BIND, "freebind", NULL, "it sets IP_FREEBIND", FLAG(freebind)},
	{OPTIONS_BIND, "no-listen", NULL, "ask for bind() alone, without listen()",
	 FLAG(no_listen)},
	{BOTH, "uid", "N", "it belongs to that user (default: this one)", 0, read_uid},
	{OPTIONS_BIND, "holders", NULL, "show all sockets that are in the way", FLAG(holders)},
	{OPTIONS_BIND, "try", NULL,
	 "really bind (and listen), close, and compare; this can\n"
	 "                       change the port's bucket, and so a later answer",
	 FLAG(try)},
	{BOTH, "netns", "NAME|PATH", "ask in that network namespace", 0, read_netns},
	{BOTH, "pid", "N", "ask in the network namespace of that process", 0, read_pid},
	{BOTH, "release", "ROW", "use the rules of that release (default: of this kernel)", 0,
	 read_release},
	{BOTH, "json", NULL, "answer as JSON", FLAG(json)},
	{BOTH, "help", NULL, "show this", FLAG(help)},
	{BOTH, "version", NULL, "show the version", FLAG(version)},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char bind_usage[] =
	"usage: tcpwhy bind ADDRESS:PORT [OPTIONS]\n\n"
	"Would bind(ADDRESS:PORT) and then listen() succeed now? If not: by which rule, which\n"
	"sockets are in the way, and what cures it. An IPv6 address stands in brackets:\n"
	"[::]:8080. Port 0 asks whether bind() would find a free one.\n\n";
static const char connect_usage[] =
	"usage: tcpwhy connect ADDRESS:PORT [OPTIONS]\n\n"
	"Would connect(ADDRESS:PORT) find a local port now? If not: by which rule, what the ports\n"
	"of the range are taken by, when the next one comes free, and what cures it. Nothing is\n"
	"sent. An IPv6 address stands in brackets: [2001:db8::1]:80.\n\n";

void options_help(enum options_of of, FILE *out)
{
	fputs(of == OPTIONS_BIND ? bind_usage : connect_usage, out);
	for (size_t i = 0; i < ROWS; i++) {
		if (!(rows[i].of & of))
			continue;
		fputs("  ", out);
		usage_option(out, rows[i].name, rows[i].value, 20, rows[i].line);
	}
	usage_releases(out);
	fputs("\nexit status: 0 would succeed, 1 would be refused, 2 usage, 3 could not decide or "
	      "look\n",
	      out);
	if (of == OPTIONS_BIND)
		fputs("with --try: what the kernel did, or 3 if that was not what was predicted\n",
		      out);
}

/* ---------------------------------------------------------------------------------------- parsing
 */

static void add_releases(struct err *err)
{
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		const size_t n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, "%s %s", i ? "," : ":",
			 tcpwhy_row_at(i)->name);
	}
}

static int take(struct question_options *o, const struct option_row *row, const char *value,
		struct err *err)
{
	if (!row->read) {
		*(bool *)((char *)o + row->flag) = true;
		return 0;
	}
	const char *problem = row->read(o, value);
	if (!problem)
		return 0;
	usage_wrong(err, "--%s: '%s' %s", row->name, value, problem);
	if (row->read == read_release)
		add_releases(err);
	return -EINVAL;
}

static int take_endpoint(enum options_of of, struct question_options *o, int argc, char **argv,
			 struct err *err)
{
	if (optind >= argc)
		return usage_wrong(err, "ADDRESS:PORT is missing (tcpwhy %s)",
				   of == OPTIONS_BIND ? "bind 0.0.0.0:8080"
						      : "connect 192.0.2.1:443");
	if (optind + 1 < argc)
		return usage_wrong(err, "'%s' is one argument too many", argv[optind + 1]);
	const char *problem =
		endpoint_parse_zone(argv[optind], &o->addr, &o->family, &o->port, o->zone);
	if (problem)
		return usage_wrong(err, "'%s' %s", argv[optind], problem);
	if (o->zone[0] && o->device && strcmp(o->zone, o->device) != 0)
		return usage_wrong(err, "'%s' and --device name two devices", argv[optind]);
	return 0;
}

/* What makes sense only of connect. */
static int check_connect(const struct question_options *o, struct err *err)
{
	if (!o->port)
		return usage_wrong(
			err, "nobody listens on port 0: connect needs the destination's port");
	if (o->bind_first && o->from_port)
		return usage_wrong(err,
				   "--bind-first lets bind() choose the port; --from names one");
	if (o->from_given && address_is_v4(&o->from) != address_is_v4(&o->addr) &&
	    !address_is_any(&o->from))
		return usage_wrong(err, "the destination and --from are of different families");
	if (!o->from_given && !o->bind_first && (o->reuseaddr || o->reuseport))
		return usage_wrong(err, "--reuseaddr and --reuseport act on bind(): add --from or "
					"--bind-first");
	return 0;
}

static int check_together(const struct question_options *o, struct err *err)
{
	if (o->netns && o->pid)
		return usage_wrong(err, "--netns and --pid both name a namespace; give one");
	if (o->v6only && o->family == TCPWHY_IPV4)
		return usage_wrong(err,
				   "--v6only is an option of IPv6 sockets; the address is IPv4");
	return 0;
}

/* Codes from 256 on: never a character. */
static void long_options(enum options_of of, struct option *longs)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].of & of)
			*longs++ = (struct option){rows[i].name,
						   rows[i].value ? required_argument : no_argument,
						   NULL, 256 + (int)i};
}

int options_parse(enum options_of of, int argc, char **argv, struct question_options *out,
		  struct err *err)
{
	struct option longs[ROWS + 1] = {0};
	struct question_options o = {0};
	int code, r = 0;

	long_options(of, longs);
	optind = 0;
	opterr = 0;
	while (!r && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (code == 'h')
			o.help = true;
		else if (code < 256)
			r = usage_unknown(argv, code, err);
		else
			r = take(&o, &rows[code - 256], optarg, err);
	}
	if (!r && !o.help && !o.version) {
		r = take_endpoint(of, &o, argc, argv, err);
		if (!r)
			r = check_together(&o, err);
		if (!r && of == OPTIONS_CONNECT)
			r = check_connect(&o, err);
	}
	if (!r) {
		*out = o;
		if (out->zone[0])
			out->device = out->zone;
	}
	return r;
}
