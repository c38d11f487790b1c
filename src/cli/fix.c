/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix: applies a cure. A table of verbs, each in a file of its own
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/fix_options.h"
#include "cli/fix_yaml.h"

static const struct {
	const char *word;
	int (*run)(int argc, char **argv);
	const char *form, *line;
} verbs[] = {
	{"sysctl", fix_sysctl, "KEY=VALUE",
	 "sets a sysctl of one network namespace: of a container or a pod, too"},
	{"destroy-time-wait", fix_destroy_time_wait, "ADDR:PORT",
	 "frees a port of TIME_WAIT, so that a server can bind it again at once"},
	{"reuseaddr", fix_reuseaddr, "--pid N [--port PORT | ADDR:PORT]",
	 "SO_REUSEADDR for a server that runs, so that its next restart works"},
	{"hook", fix_hook, "--cgroup PATH reuseaddr|spread=ADDR[,ADDR...]",
	 "SO_REUSEADDR, or more source addresses, for all that runs in a cgroup"},
	{"yaml", fix_yaml, "sysctl|init-container|cni-tuning --kube VERSION KEY=VALUE...",
	 "prints what sets sysctls in the pods of a cluster"},
	{"list", fix_list, "", "what was changed, and how each of it stands now"},
	{"undo", fix_undo, "[ID]", "takes back a change, or the newest one that is in force"},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_usage(FILE *out)
{
	fputs("usage: tcpwhy fix VERB [ARGUMENTS]      tcpwhy fix VERB --help\n\n"
	      "Applies a cure: says what is given up by it, writes it into a journal before it is\n"
	      "made, makes it, and looks whether it was. Nothing changes outside the network\n"
	      "namespace, cgroup or process that is named.\n\n",
	      out);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(out, "  %-18s %s\n  %-18s   %s\n", verbs[i].word, verbs[i].form, "",
			verbs[i].line);
	fputs("\nExit status: 0 done, or there was nothing to do; 1 refused, or some is left;\n"
	      "2 usage; 3 could not look, or the privilege for it or the journal is missing.\n",
	      out);
}

int cmd_fix(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		print_usage(stdout);
		return STATUS_OK;
	}
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(word, verbs[i].word))
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "tcpwhy fix: %s%s\n", *word ? "there is no cure " : "which cure?", word);
	fputs("Try: tcpwhy fix --help\n", stderr);
	return STATUS_USAGE;
}
