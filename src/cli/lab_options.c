/* SPDX-License-Identifier: MIT */
#include "cli/lab_options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cli/usage.h"

static const struct {
	const char *name, *value; /* value: NULL takes none */
	int code;
	const char *line;
} rows[] = {
	{"release", "ROW", 'r', "play in the model of that release only"},
	{"compare", "ROW,ROW", 'c', "play in the model of those releases, and tell what differs"},
	{"stage", "STAGE", 'S', "play only in the model (world) or only on this kernel (kernel)"},
	{"slow", NULL, 's', "play in real time, too, what takes minutes on the kernel"},
	{"pcap", "FILE", 'p', "write the segments as a capture file, \"-\" to standard output"},
	{"list", NULL, 'l', "name the cases and what they are about"},
	{"releases", NULL, 'R', "show which release has which feature, and this kernel's row"},
	{"verbose", NULL, 'v', "show each segment, with the states of both ends (-v)"},
	{"json", NULL, 'j', "answer as JSON"},
	{"help", NULL, 'h', "show this"},
	{"version", NULL, 'V', "show the version"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Added to the letter of what is written as a word: usage_unknown() tells them apart by that. */
enum { WORD = 256 };

void lab_options_help(FILE *out)
{
	fputs("usage: tcpwhy lab [CASE...] [OPTIONS]\n\n"
	      "Plays cases: in the model of each release that they name, and on this kernel, in\n"
	      "network namespaces that are gone afterwards. CASE is a name of --list or the path "
	      "of\n"
	      "a file; none plays all. Where both stages played, their segments, results and\n"
	      "counters are compared.\n\n",
	      out);
	for (size_t i = 0; i < ROWS; i++) {
		fputs("  ", out);
		usage_option(out, rows[i].name, rows[i].value, 20, rows[i].line);
	}
	usage_releases(out);
	fputs("\nexit status: 0 all expectations hold and the stages agree, 1 not so, 2 usage or "
	      "a\n"
	      "case that is no case, 3 could not play\n",
	      out);
}

static int unknown_row(struct err *err, const char *option, const char *name)
{
	usage_wrong(err, "--%s: '%s' is not a release whose rules are known", option, name);
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		const size_t n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, "%s %s", i ? "," : ":",
			 tcpwhy_row_at(i)->name);
	}
	return -EINVAL;
}

/* "3.10,6.18.y" */
static int take_rows(struct lab_options *o, const char *option, const char *value, struct err *err)
{
	do {
		char name[16];
		size_t n = strcspn(value, ",");
		snprintf(name, sizeof(name), "%.*s", (int)(n < 15 ? n : 15), value);
		if (o->rows_n == LAB_ROWS_MAX)
			return usage_wrong(err, "--%s: at most %d releases", option, LAB_ROWS_MAX);
		o->rows[o->rows_n] = tcpwhy_row_find(name);
		if (!o->rows[o->rows_n])
			return unknown_row(err, option, name);
		o->rows_n++;
		value += n;
	} while (*value++);
	return 0;
}

static int take_stage(struct lab_options *o, struct err *err)
{
	o->no_kernel = !strcmp(optarg, "world");
	o->no_world = !strcmp(optarg, "kernel");
	if (o->no_kernel || o->no_world)
		return 0;
	return usage_wrong(err, "--stage: '%s' is none: world (the model) or kernel", optarg);
}

static int take(struct lab_options *o, int code, char **argv, struct err *err)
{
	switch (code < WORD ? code : code - WORD) {
	case 'r':
		return take_rows(o, "release", optarg, err);
	case 'c':
		o->compare = true;
		return take_rows(o, "compare", optarg, err);
	case 'S':
		return take_stage(o, err);
	case 's':
		o->slow = true;
		return 0;
	case 'p':
		o->pcap = optarg;
		return *optarg ? 0 : usage_wrong(err, "--pcap needs the name of a file");
	case 'l':
		o->list = true;
		return 0;
	case 'R':
		o->releases = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case 'V':
		o->version = true;
		return 0;
	}
	return usage_unknown(argv, code, err);
}

static int check(const struct lab_options *o, struct err *err)
{
	const bool plays = o->rows_n || o->slow || o->pcap || o->no_world || o->no_kernel;

	if (o->releases && (o->cases_n || o->list || plays))
		return usage_wrong(err, "--releases shows the table and plays nothing: give -v or "
					"--json with it, or nothing");
	if (o->list && (o->cases_n || plays))
		return usage_wrong(err, "--list lists all cases and plays none");
	if (o->json && o->pcap && !strcmp(o->pcap, "-"))
		return usage_wrong(err, "--json and --pcap - both want standard output");
	return 0;
}

int lab_options_parse(int argc, char **argv, struct lab_options *out, struct err *err)
{
	struct option longs[ROWS + 1] = {0};
	struct lab_options o = {0};
	int code, r = 0;

	for (size_t i = 0; i < ROWS; i++)
		longs[i] = (struct option){rows[i].name,
					   rows[i].value ? required_argument : no_argument, NULL,
					   WORD + rows[i].code};
	optind = 0;
	opterr = 0;
	while (!r && (code = getopt_long(argc, argv, ":hv", longs, NULL)) != -1)
		r = take(&o, code, argv, err);
	o.cases = argv + optind;
	o.cases_n = argc - optind;
	if (!r && !o.help && !o.version)
		r = check(&o, err);
	if (!r)
		*out = o;
	return r;
}
