/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "base/address.h"

/* ------------------------------------------------------------------------------------------ table
 */

struct option_row {
	const char *name;
	const char *value; /* its name in the help; NULL: takes none */
	const char *line;
	/* Either a flag to be set, or a reader of the value: NULL, or what is wrong with it. */
	size_t flag;
	const char *(*read)(struct bind_options *o, const char *value);
};

static const char *read_device(struct bind_options *o, const char *value)
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

static const char *read_uid(struct bind_options *o, const char *value)
{
	unsigned long n;

	/* The last number is "no uid" to the kernel. */
	if (!read_number(value, UINT32_MAX - 1, &n))
		return "is not a numeric user id";
	o->uid = (uint32_t)n;
	o->uid_given = true;
	return NULL;
}

static const char *read_netns(struct bind_options *o, const char *value)
{
	o->netns = value;
	return *value ? NULL : "is not a name or path of a network namespace";
}

static const char *read_pid(struct bind_options *o, const char *value)
{
	unsigned long n;

	if (!read_number(value, INT_MAX, &n) || !n)
		return "is not a process id";
	o->pid = (int)n;
	return NULL;
}

static const char *read_release(struct bind_options *o, const char *value)
{
	o->row = tcpwhy_row_find(value);
	return o->row ? NULL : "is not a release whose rules are known";
}

#define FLAG(field) offsetof(struct bind_options, field), NULL

static const struct option_row rows[] = {
	{"reuseaddr", NULL, "the new socket sets SO_REUSEADDR", FLAG(reuseaddr)},
	{"reuseport", NULL, "the new socket sets SO_REUSEPORT", FLAG(reuseport)},
	{"v6only", NULL, "it sets IPV6_V6ONLY (default: net.ipv6.bindv6only)", FLAG(v6only)},
	{"device", "IF", "it is bound to that device (SO_BINDTODEVICE)", 0, read_device},
	{"freebind", NULL, "it sets IP_FREEBIND", FLAG(freebind)},
	{"no-listen", NULL, "ask for bind() alone, without listen()", FLAG(no_listen)},
	{"uid", "N", "it belongs to that user (default: this one)", 0, read_uid},
	{"holders", NULL, "show all sockets that are in the way", FLAG(holders)},
	{"try", NULL,
	 "really bind (and listen), close, and compare; this can change the\n"
	 "                    port's bucket, and so a later answer",
	 FLAG(try)},
	{"netns", "NAME|PATH", "ask in that network namespace", 0, read_netns},
	{"pid", "N", "ask in the network namespace of that process", 0, read_pid},
	{"release", "ROW", "use the rules of that release (default: of this kernel)", 0,
	 read_release},
	{"json", NULL, "answer as JSON", FLAG(json)},
	{"help", NULL, "show this", FLAG(help)},
	{"version", NULL, "show the version", FLAG(version)},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void options_help(FILE *out)
{
	fputs("usage: tcpwhy bind ADDRESS:PORT [OPTIONS]\n\n"
	      "Would bind(ADDRESS:PORT) and then listen() succeed now? If not: by which rule, "
	      "which\n"
	      "sockets are in the way, and what cures it. An IPv6 address stands in brackets:\n"
	      "[::]:8080. Port 0 asks whether bind() would find a free one.\n\n",
	      out);
	for (size_t i = 0; i < ROWS; i++) {
		char left[32];
		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
			 rows[i].value ? rows[i].value : "");
		fprintf(out, "  %-17s %s\n", left, rows[i].line);
	}
	fputs("\nreleases:", out);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		fprintf(out, " %s", tcpwhy_row_at(i)->name);
	fputs("\nexit status: 0 would succeed, 1 would be refused, 2 usage, 3 could not decide or "
	      "look;\n"
	      "with --try: what the kernel did, or 3 if that was not what was predicted\n",
	      out);
}

/* ---------------------------------------------------------------------------------------- parsing
 */

__attribute__((format(printf, 2, 3))) static int wrong(struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

static int take(struct bind_options *o, const struct option_row *row, const char *value,
		struct err *err)
{
	if (!row->read) {
		*(bool *)((char *)o + row->flag) = true;
		return 0;
	}
	const char *problem = row->read(o, value);
	return problem ? wrong(err, "--%s: '%s' %s", row->name, value, problem) : 0;
}

static int take_endpoint(struct bind_options *o, int argc, char **argv, struct err *err)
{
	if (optind >= argc)
		return wrong(err, "ADDRESS:PORT is missing (tcpwhy bind 0.0.0.0:8080)");
	if (optind + 1 < argc)
		return wrong(err, "'%s' is one argument too many", argv[optind + 1]);
	const char *problem = endpoint_parse(argv[optind], &o->addr, &o->family, &o->port);
	return problem ? wrong(err, "'%s' %s", argv[optind], problem) : 0;
}

static int check_together(const struct bind_options *o, struct err *err)
{
	if (o->netns && o->pid)
		return wrong(err, "--netns and --pid both name a namespace; give one");
	if (o->v6only && o->family == TCPWHY_IPV4)
		return wrong(err, "--v6only is an option of IPv6 sockets; the address is IPv4");
	return 0;
}

static int unknown_option(char **argv, int code, struct err *err)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		return wrong(err, "option '%s' needs a value", word);
	if (optopt > 0 && optopt < 256)
		return wrong(err, "there is no option '-%c'", optopt);
	return wrong(err,
		     optopt ? "option '%s' takes no value"
			    : "there is no option '%s', or it is cut short",
		     word);
}

int options_parse(int argc, char **argv, struct bind_options *out, struct err *err)
{
	struct option longs[ROWS + 1] = {0};
	struct bind_options o = {0};
	int code, r = 0;

	/* Codes from 256 on: never a character. */
	for (size_t i = 0; i < ROWS; i++)
		longs[i] = (struct option){rows[i].name,
					   rows[i].value ? required_argument : no_argument, NULL,
					   256 + (int)i};
	optind = 0;
	opterr = 0;
	while (!r && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (code == 'h')
			o.help = true;
		else if (code < 256)
			r = unknown_option(argv, code, err);
		else
			r = take(&o, &rows[code - 256], optarg, err);
	}
	if (!r && !o.help && !o.version) {
		r = take_endpoint(&o, argc, argv, err);
		if (!r)
			r = check_together(&o, err);
	}
	if (!r)
		*out = o;
	return r;
}
