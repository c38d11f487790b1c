/* SPDX-License-Identifier: MIT */
#include "cli/sock_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "cli/usage.h"

#define DAY_MS 86400000

enum kind { FLAG, NUMBER, MILLISECONDS, TEXT };

struct option_row {
	char letter; /* 0: has only the name */
	const char *name;
	const char *value; /* its name in the help; NULL: takes none */
	const char *line;
	enum kind kind;
	size_t field; /* a bool, an int, an int, a const char * */
	int min, max; /* of a NUMBER */
};

#define FIELD(name) offsetof(struct sock_options, name)

static const struct option_row rows[] = {
	{'s', "server", NULL, "bind, listen and accept; without it, connect", FLAG, FIELD(server),
	 0, 0},
	{0, "keep", NULL, "serve one client after the other, until Ctrl-C", FLAG, FIELD(keep), 0,
	 0},
	{'i', "bulk", NULL, "a client sends -n buffers, a server throws away what comes", FLAG,
	 FIELD(bulk), 0, 0},
	{'v', "verbose", NULL, "tell each call, its result, and the state the kernel shows", FLAG,
	 FIELD(verbose), 0, 0},
	{'A', "reuseaddr", NULL, "SO_REUSEADDR", FLAG, FIELD(reuseaddr), 0, 0},
	{'T', "reuseport", NULL, "SO_REUSEPORT", FLAG, FIELD(reuseport), 0, 0},
	{'b', "port", "PORT", "bind that local port before connect()", NUMBER, FIELD(port_given), 0,
	 65535},
	{'l', "local", "ADDR[:PORT]", "bind that local address before connect()", TEXT,
	 FIELD(local), 0, 0},
	{0, "no-port", NULL, "IP_BIND_ADDRESS_NO_PORT: connect() chooses the port", FLAG,
	 FIELD(no_port), 0, 0},
	{'q', "backlog", "N", "of listen() (5)", NUMBER, FIELD(backlog), 0, INT_MAX},
	{'L', "linger", "SECONDS", "SO_LINGER; with 0, close() sends RST", NUMBER, FIELD(linger), 0,
	 65535},
	{'N', "nodelay", NULL, "TCP_NODELAY", FLAG, FIELD(nodelay), 0, 0},
	{'R', "rcvbuf", "BYTES", "SO_RCVBUF", NUMBER, FIELD(rcvbuf), 0, INT_MAX},
	{'S', "sndbuf", "BYTES", "SO_SNDBUF", NUMBER, FIELD(sndbuf), 0, INT_MAX},
	{0, "v6only", NULL, "IPV6_V6ONLY", FLAG, FIELD(v6only), 0, 0},
	{0, "freebind", NULL, "IP_FREEBIND", FLAG, FIELD(freebind), 0, 0},
	{0, "device", "IF", "SO_BINDTODEVICE", TEXT, FIELD(device), 0, 0},
	{'h', "half-close", NULL,
	 "at the end of input send FIN and go on reading; at the\n"
	 "                           peer's FIN go on sending",
	 FLAG, FIELD(half_close), 0, 0},
	{'O', "pause-accept", "MS", "pause between listen() and the first accept()", MILLISECONDS,
	 FIELD(pause_accept_ms), 0, 0},
	{'P', "pause-start", "MS", "pause before the first read or write", MILLISECONDS,
	 FIELD(pause_start_ms), 0, 0},
	{'p', "pause-each", "MS", "pause before each read or write of -i", MILLISECONDS,
	 FIELD(pause_each_ms), 0, 0},
	{'Q', "pause-close", "MS", "pause before close()", MILLISECONDS, FIELD(pause_close_ms), 0,
	 0},
	{'n', "count", "N", "writes of -i (1024)", NUMBER, FIELD(count), 0, INT_MAX},
	{'w', "write-size", "BYTES", "of one write of -i (1024)", NUMBER, FIELD(write_size), 1,
	 1 << 20},
	{'r', "read-size", "BYTES", "of one read of -i -s (1024)", NUMBER, FIELD(read_size), 1,
	 1 << 20},
	{0, "netns", "NAME|PATH", "open the sockets in that network namespace", TEXT, FIELD(netns),
	 0, 0},
	{0, "pid", "N", "open them in the network namespace of that process", NUMBER, FIELD(pid), 1,
	 INT_MAX},
	{0, "help", NULL, "show this", FLAG, FIELD(help), 0, 0},
	{0, "version", NULL, "show the version", FLAG, FIELD(version), 0, 0},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void sock_options_help(FILE *out)
{
	fputs("usage: tcpwhy sock [OPTIONS] ADDRESS PORT         a client\n"
	      "       tcpwhy sock [OPTIONS] -s [ADDRESS] PORT    a server\n\n"
	      "Makes one TCP connection by hand: standard input goes to it, what comes from it "
	      "goes "
	      "to\n"
	      "standard output. The end of input, or of the peer's data, closes it. ADDRESS:PORT, "
	      "and\n"
	      "[::1]:8080, will do too; fe80::1%eth0 for a link-local one.\n\n",
	      out);
	for (size_t i = 0; i < ROWS; i++) {
		char letter[5] = "    ";
		if (rows[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", rows[i].letter);
		fprintf(out, "  %s", letter);
		usage_option(out, rows[i].name, rows[i].value, 20, rows[i].line);
	}
	fputs("\nMS is milliseconds, or seconds with an s (500, 2s), or enter: until Enter is "
	      "pressed.\n"
	      "exit status: 0 done, 1 a call failed, 2 usage, 3 could not look, or input or output "
	      "failed\n",
	      out);
}

/* ---------------------------------------------------------------------------------------- parsing
 */

/* Digits only: no sign, no space, no hex. Returns past them, NULL if there are none or too many. */
static const char *read_digits(const char *s, int max, int *out)
{
	const char *start = s;
	long n = 0;

	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (*s - '0');
		if (n > max)
			return NULL;
	}
	if (s == start)
		return NULL;
	*out = (int)n;
	return s;
}

static bool read_number(const struct option_row *row, const char *value, int *out)
{
	int n;
	const char *end = read_digits(value, row->max, &n);

	if (!end || *end || n < row->min)
		return false;
	*out = n;
	return true;
}

static bool read_pause(const char *value, int *out)
{
	int n;

	if (!strcmp(value, "enter")) {
		*out = SOCK_ENTER;
		return true;
	}
	const char *end = read_digits(value, DAY_MS, &n);

	if (!end || (*end && strcmp(end, "s") != 0 && strcmp(end, "ms") != 0))
		return false;
	if (!strcmp(end, "s")) {
		if (n > DAY_MS / 1000)
			return false;
		n *= 1000;
	}
	*out = n;
	return true;
}

static int take(struct sock_options *o, const struct option_row *row, const char *value,
		struct err *err)
{
	void *field = (char *)o + row->field;

	switch (row->kind) {
	case FLAG:
		*(bool *)field = true;
		return 0;
	case NUMBER:
		if (read_number(row, value, field))
			return 0;
		return usage_wrong(err, "--%s: '%s' is not a number from %d to %d", row->name,
				   value, row->min, row->max);
	case MILLISECONDS:
		if (read_pause(value, field))
			return 0;
		return usage_wrong(err,
				   "--%s: '%s' is neither a time up to a day (500, 2s) nor enter",
				   row->name, value);
	case TEXT:
		if (!*value)
			return usage_wrong(err, "--%s: the value is empty", row->name);
		*(const char **)field = value;
		return 0;
	}
	return 0;
}

/* ADDRESS and PORT as ADDRESS:PORT; a server's port may stand alone. */
static void join_endpoint(const struct sock_options *o, const char *first, const char *second,
			  char *out, size_t size)
{
	const bool bare6 = strchr(first, ':') && first[0] != '[';
	const bool port_only = o->server && !strchr(first, ':');

	if (second)
		snprintf(out, size, bare6 ? "[%s]:%s" : "%s:%s", first, second);
	else
		snprintf(out, size, port_only ? ":%s" : "%s", first);
}

static bool is_endpoint(const char *text)
{
	struct sock_options o;

	return !endpoint_parse_zone(text, &o.addr, &o.family, &o.port, o.zone);
}

static int take_endpoint(struct sock_options *o, int argc, char **argv, struct err *err)
{
	const int n = argc - optind;
	char text[128], typed[128];

	if (n < 1)
		return usage_wrong(err, "%s (tcpwhy sock %s)",
				   o->server ? "PORT is missing" : "ADDRESS PORT is missing",
				   o->server ? "-s 8080" : "127.0.0.1 8080");
	const char *first = argv[optind], *second = n > 1 ? argv[optind + 1] : NULL;
	if (n > 2)
		return usage_wrong(err, "'%s' is one argument too many", argv[optind + 2]);
	if (n == 2 && is_endpoint(first))
		return usage_wrong(err, "'%s' is one argument too many: '%s' has a port", second,
				   first);
	join_endpoint(o, first, second, text, sizeof(text));
	const char *problem = endpoint_parse_zone(text, &o->addr, &o->family, &o->port, o->zone);
	snprintf(typed, sizeof(typed), "%s%s%s", first, second ? " " : "", second ? second : "");
	if (problem)
		return usage_wrong(err, "'%s' %s", typed, problem);
	if (o->zone[0] && o->device && strcmp(o->zone, o->device) != 0)
		return usage_wrong(err, "'%s' and --device name two devices", typed);
	if (o->zone[0])
		o->device = o->zone;
	return 0;
}

/* Where a client binds: --local ADDR, ADDR:PORT, --port PORT, or both. */
static int take_local(struct sock_options *o, struct err *err)
{
	enum tcpwhy_family family = o->family;
	static const struct tcpwhy_addr any6;

	o->bound = o->local || o->port_given >= 0;
	if (!o->bound)
		return 0;
	o->local_addr = family == TCPWHY_IPV6 ? any6 : address_v4_number(0);
	if (o->local && !address_parse(o->local, &o->local_addr, &family)) {
		const char *problem =
			endpoint_parse(o->local, &o->local_addr, &family, &o->local_port);
		if (problem)
			return usage_wrong(err, "--local: '%s' %s", o->local, problem);
		if (o->local_port && o->port_given >= 0)
			return usage_wrong(err, "--local and --port both name a port; give one");
	}
	if (family != o->family)
		return usage_wrong(err, "the destination and --local are of different families");
	if (o->port_given >= 0)
		o->local_port = (uint16_t)o->port_given;
	return 0;
}

static int check_server(const struct sock_options *o, struct err *err)
{
	if (o->local || o->port_given >= 0)
		return usage_wrong(err,
				   "--%s is a client's; a server's address and port stand alone: "
				   "tcpwhy sock -s 127.0.0.1 8080",
				   o->local ? "local" : "port");
	if (o->no_port)
		return usage_wrong(
			err, "--no-port leaves the port to connect(), which a server does not "
			     "call");
	return 0;
}

static int check_client(const struct sock_options *o, struct err *err)
{
	const char *servers = o->keep              ? "keep"
			      : o->pause_accept_ms ? "pause-accept"
			      : o->backlog >= 0    ? "backlog"
						   : NULL;

	if (servers)
		return usage_wrong(err, "--%s is a server's: add -s", servers);
	if (o->no_port && (!o->bound || o->local_port))
		return usage_wrong(err,
				   "--no-port acts on a bind() without a port: give --local ADDR, "
				   "and no port");
	return 0;
}

/* -i writes as a client and reads as a server. */
static int check_bulk(const struct sock_options *o, struct err *err)
{
	const char *writers = o->count >= 0 ? "count" : o->write_size >= 0 ? "write-size" : NULL;

	if (o->pause_each_ms && !o->bulk)
		return usage_wrong(err, "--pause-each is of --bulk: add -i");
	if (writers && (o->server || !o->bulk))
		return usage_wrong(err, "--%s is of a client with --bulk, which writes", writers);
	if (o->read_size >= 0 && !(o->server && o->bulk))
		return usage_wrong(err,
				   "--read-size is of a server with --bulk, which reads: -i -s");
	if (o->half_close && o->server && o->bulk)
		return usage_wrong(err,
				   "--half-close has no effect on a server with --bulk, which only "
				   "reads");
	return 0;
}

static int check_together(const struct sock_options *o, struct err *err)
{
	if (o->netns && o->pid)
		return usage_wrong(err, "--netns and --pid both name a namespace; give one");
	if (o->v6only && o->family == TCPWHY_IPV4)
		return usage_wrong(err,
				   "--v6only is an option of IPv6 sockets; the address is IPv4");
	if (o->device && strlen(o->device) >= ZONE_TEXT_MAX)
		return usage_wrong(err,
				   "--device: '%s' is not the name of a device (1 to 15 bytes)",
				   o->device);
	return 0;
}

/* Codes from 256 on: never a character. */
static void getopt_tables(struct option *longs, char *shorts)
{
	*shorts++ = ':';
	for (size_t i = 0; i < ROWS; i++) {
		longs[i] = (struct option){rows[i].name,
					   rows[i].value ? required_argument : no_argument, NULL,
					   256 + (int)i};
		if (rows[i].letter)
			*shorts++ = rows[i].letter;
		if (rows[i].letter && rows[i].value)
			*shorts++ = ':';
	}
	*shorts = '\0';
}

static const struct option_row *row_of(int code)
{
	if (code >= 256)
		return &rows[code - 256];
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].letter && rows[i].letter == code)
			return &rows[i];
	return NULL;
}

static int take_options(struct sock_options *o, int argc, char **argv, struct err *err)
{
	struct option longs[ROWS + 1] = {0};
	char shorts[2 * ROWS + 2];
	int code, r = 0;

	getopt_tables(longs, shorts);
	optind = 0;
	opterr = 0;
	while (!r && (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *row = row_of(code);
		r = row ? take(o, row, optarg, err) : usage_unknown(argv, code, err);
	}
	return r;
}

static void fill_in(struct sock_options *o)
{
	if (o->backlog < 0)
		o->backlog = 5;
	if (o->count < 0)
		o->count = 1024;
	if (o->write_size < 0)
		o->write_size = 1024;
	if (o->read_size < 0)
		o->read_size = 1024;
}

int sock_options_parse(int argc, char **argv, struct sock_options *out, struct err *err)
{
	*out = (struct sock_options){
		.backlog = -1,
		.port_given = -1,
		.linger = -1,
		.rcvbuf = -1,
		.sndbuf = -1,
		.count = -1,
		.write_size = -1,
		.read_size = -1,
	};
	int r = take_options(out, argc, argv, err);
	if (r || out->help || out->version)
		return r;
	r = take_endpoint(out, argc, argv, err);
	if (!r && out->server)
		r = check_server(out, err);
	if (!r && !out->server)
		r = take_local(out, err);
	if (!r && !out->server)
		r = check_client(out, err);
	if (!r)
		r = check_bulk(out, err);
	if (!r)
		r = check_together(out, err);
	fill_in(out);
	return r;
}
