/* SPDX-License-Identifier: MIT
 *
 * tcpwhy lab: which release does what
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "cli/command.h"
#include "cli/lab_options.h"
#include "live/probe.h"
#include "load/load.h"
#include "report/releases.h"

static int show_releases(const struct lab_options *o)
{
	struct utsname name = {0};
	struct load_settled settled;
	struct probe found;

	uname(&name);
	probe_kernel(&found);
	load_settle(name.release, &found, &settled);
	const struct releases r = {
		.kernel = name.release,
		.nearest = load_row_for(name.release),
		.exact = load_row_is_exact(name.release),
		.own = &settled.row,
		.otherwise = settled.otherwise,
		.found = &found,
	};
	if (o->json)
		return command_written("lab", report_releases_json(&r, stdout), STATUS_OK);
	report_releases_screen(&r, o->verbose, stdout);
	return command_written("lab", true, STATUS_OK);
}

int cmd_lab(int argc, char **argv)
{
	struct lab_options o;
	struct err err = {""};

	if (lab_options_parse(argc, argv, &o, &err)) {
		fprintf(stderr, "tcpwhy lab: %s\n", err.text);
		return STATUS_USAGE;
	}
	if (o.help)
		lab_options_help(stdout);
	else if (o.version)
		puts("tcpwhy " TCPWHY_VERSION);
	if (o.help || o.version)
		return STATUS_OK;
	return show_releases(&o);
}
