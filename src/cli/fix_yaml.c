/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix yaml: sysctls of a pod, as Kubernetes or CNI want them. Prints, and changes nothing
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/fix_options.h"
#include "cli/fix_yaml.h"
#include "cure/manifest.h"
#include "cure/sysctl_pair.h"

enum { SETTINGS_MAX = 32, NEAR_MAX = 3 };

#define TEXT_MAX (4 * SYSCTL_VALUE_MAX)

struct request {
	struct fix_options o;
	struct manifest m;
	struct manifest_setting settings[SETTINGS_MAX];
	char values[SETTINGS_MAX][SYSCTL_VALUE_MAX];
	const char *kube_typed;
	char kube[16]; /* "1.29" */
	bool host_network, unsafe;
	/* What came of it: refusal is "" if it is printed. */
	char refusal[2048];
	char ways[4 * TEXT_MAX]; /* what can be done instead, a line each */
	char text[TEXT_MAX], shell[TEXT_MAX], kubelet[TEXT_MAX];
};

static const char *const kinds[] = {
	[MANIFEST_SYSCTL] = "sysctl",
	[MANIFEST_INIT_CONTAINER] = "init-container",
	[MANIFEST_CNI_TUNING] = "cni-tuning",
};

/* What manifest_shell() begins with: the settings follow, quoted for a shell. */
static const char sysctl_w[] = "sysctl -w ";

static const char usage_text[] =
	"usage: tcpwhy fix yaml sysctl|init-container|cni-tuning [options] KEY=VALUE...\n"
	"\n"
	"Prints what sets sysctls in the pods of a cluster, and changes nothing. A pod does not\n"
	"inherit those of its node.\n"
	"\n"
	"  sysctl           securityContext.sysctls: no privilege; the kubelet refuses what is "
	"not\n"
	"                   on its list of safe ones\n"
	"  init-container   a privileged container that runs once, before the others\n"
	"  cni-tuning       JSON of the CNI plugin \"tuning\", for the plugins of a network\n"
	"\n"
	"  --kube VERSION     of the cluster, as 1.29: which are safe differs (not needed for\n"
	"                     cni-tuning)\n"
	"  --template         for the pods of a Deployment, StatefulSet, ...: a patch\n"
	"  --image IMAGE      of the init container: it has sh and sysctl (busybox:1.36)\n"
	"  --unsafe           sysctl: also what the nodes must be told to allow; init-container:\n"
	"                     also what needs no privilege\n"
	"  --host-network     the pod has hostNetwork\n";

/* ----------------------------------------------------------------------------------- the words
 */

static int wrong_key(const struct fix_verb *verb, const char *name)
{
	const struct sysctl_key *near[NEAR_MAX];
	size_t n = sysctl_key_near(name, near, NEAR_MAX);
	char what[512];
	int len = snprintf(what, sizeof(what), "%.128s", name);

	for (size_t i = 0; i < n; i++)
		len += snprintf(what + len, sizeof(what) - (size_t)len, "%s%s%s",
				i ? ", " : " (did you mean ", near[i]->name,
				i + 1 == n ? "?)" : "");
	return fix_usage(verb, "not a sysctl that is known here", what);
}

static int wrong_value(const struct fix_verb *verb, const struct sysctl_key *key, const char *value,
		       const char *wrong)
{
	char what[512];

	if (key->form == SYSCTL_NUMBER)
		snprintf(what, sizeof(what), "%s=%.64s: %s (%u to %u)", key->name, value, wrong,
			 key->least, key->greatest);
	else
		snprintf(what, sizeof(what), "%s=%.64s: %s", key->name, value, wrong);
	return fix_usage(verb, "not such a value", what);
}

static bool is_set(const struct request *q, const struct sysctl_key *key)
{
	for (size_t i = 0; i < q->m.settings_n; i++)
		if (q->settings[i].key == key)
			return true;
	return false;
}

/* 0, or the status to end with. */
static int parse_setting(const struct fix_verb *verb, const char *word, struct request *q)
{
	const char *equals = strchr(word, '=');
	char name[128], *value = q->values[q->m.settings_n];

	if (!equals || equals == word || equals - word >= (ptrdiff_t)sizeof(name))
		return fix_usage(verb, "not KEY=VALUE", word);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	const struct sysctl_key *key = sysctl_key_find(name);
	if (!key)
		return wrong_key(verb, name);
	if (is_set(q, key))
		return fix_usage(verb, "it is there twice", key->name);
	const char *wrong = sysctl_key_value(key, equals + 1, value, SYSCTL_VALUE_MAX);
	if (wrong)
		return wrong_value(verb, key, equals + 1, wrong);
	/* The sysctl of busybox would say 0 and set nothing. */
	if (!*value)
		return fix_usage(verb, "empty is what a new pod has already", key->name);
	q->settings[q->m.settings_n++] = (struct manifest_setting){key, value};
	return 0;
}

/* A name of an image has no other characters (the distribution project's reference grammar). */
static bool is_image(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:@-";

	return *s && strchr("_./:@-", *s) == NULL && s[strspn(s, plain)] == '\0' && strlen(s) < 512;
}

static int parse_kube(const struct fix_verb *verb, struct request *q)
{
	if (!q->kube_typed)
		return q->m.kind == MANIFEST_CNI_TUNING
			       ? 0
			       : fix_usage(verb, "which version of Kubernetes? --kube 1.29", NULL);
	q->m.kube = sysctl_release_parse(q->kube_typed);
	if (q->m.kube < SYSCTL_RELEASE(1, 0) || q->m.kube > SYSCTL_RELEASE(1, 255))
		return fix_usage(verb, "not a version of Kubernetes, such as 1.29", q->kube_typed);
	if (q->m.kind == MANIFEST_SYSCTL && q->m.kube < MANIFEST_SYSCTL_SINCE)
		return fix_usage(verb, "before 1.11 a pod has no securityContext.sysctls",
				 q->kube_typed);
	if (q->m.kind == MANIFEST_INIT_CONTAINER && q->m.kube < MANIFEST_INIT_SINCE)
		return fix_usage(verb, "before 1.6 a pod has no initContainers", q->kube_typed);
	snprintf(q->kube, sizeof(q->kube), "%u.%u", q->m.kube >> 8, q->m.kube & 255);
	return 0;
}

static int parse_kind(const struct fix_verb *verb, const char *word, struct request *q)
{
	for (size_t i = 0; word && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(word, kinds[i]))
			continue;
		q->m.kind = (enum manifest_kind)i;
		return 0;
	}
	return fix_usage(verb, "sysctl, init-container or cni-tuning?", word);
}

static int parse_words(const struct fix_verb *verb, int n, char **words, struct request *q)
{
	int rc = parse_kind(verb, n ? words[0] : NULL, q);

	if (!rc)
		rc = parse_kube(verb, q);
	if (!rc && n < 2)
		rc = fix_usage(verb, "which sysctl? KEY=VALUE", NULL);
	if (!rc && n - 1 > SETTINGS_MAX)
		rc = fix_usage(verb, "more than 32 at once", NULL);
	if (!rc && !is_image(q->m.image))
		rc = fix_usage(verb, "not the name of an image", q->m.image);
	for (int i = 1; !rc && i < n; i++)
		rc = parse_setting(verb, words[i], q);
	return rc;
}

/* ---------------------------------------------------------------------------------- the refusal
 */

static void add_way(struct request *q, const char *before, const char *rest)
{
	size_t len = strlen(q->ways);

	snprintf(q->ways + len, sizeof(q->ways) - len, "%s%s\n", before, rest);
}

/* The same question with another first word. */
static void add_command(struct request *q, const char *before, enum manifest_kind kind,
			const char *option)
{
	struct manifest m = q->m;
	char line[TEXT_MAX + 128];

	m.kind = kind;
	if (!manifest_shell(&m, q->shell, sizeof(q->shell)))
		return;
	bool cni = kind == MANIFEST_CNI_TUNING;
	snprintf(line, sizeof(line), "tcpwhy fix yaml %s%s%s%s%s %s", kinds[kind], option,
		 cni ? "" : " --kube ",
		 cni          ? ""
		 : q->kube[0] ? q->kube
			      : "VERSION",
		 q->m.template && !cni ? " --template" : "", q->shell + strlen(sysctl_w));
	add_way(q, before, line);
}

static void list_unsafe(const struct request *q, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < q->m.settings_n && len < size; i++)
		if (!manifest_is_safe(q->settings[i].key, q->m.kube))
			len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "",
						q->settings[i].key->name);
}

static void refuse_host_network(struct request *q)
{
	snprintf(
		q->refusal, sizeof(q->refusal),
		"a pod with hostNetwork has no network namespace of its own: the kubelet refuses "
		"its sysctls, an init container would change the whole node, and CNI is not asked");
	for (size_t i = 0; i < q->m.settings_n; i++) {
		struct manifest one = q->m;
		one.settings = &q->settings[i];
		one.settings_n = 1;
		if (manifest_shell(&one, q->shell, sizeof(q->shell)))
			add_way(q, "for the whole node: tcpwhy fix sysctl ",
				q->shell + strlen(sysctl_w));
	}
}

static const struct sysctl_key *machine_wide(const struct request *q)
{
	for (size_t i = 0; i < q->m.settings_n; i++)
		if (q->settings[i].key->netns_since == SYSCTL_NEVER)
			return q->settings[i].key;
	return NULL;
}

static void refuse_machine_wide(struct request *q)
{
	snprintf(q->refusal, sizeof(q->refusal),
		 "%s is the machine's: no pod has one of its own. On each node: tcpwhy fix sysctl",
		 machine_wide(q)->name);
}

static void refuse_unsafe(struct request *q)
{
	char names[1536], before[TEXT_MAX + 128];

	list_unsafe(q, names, sizeof(names));
	snprintf(q->refusal, sizeof(q->refusal),
		 "Kubernetes %s refuses %s: not on its list of safe sysctls", q->kube, names);
	add_command(q, "privileged, for this pod: ", MANIFEST_INIT_CONTAINER, "");
	add_command(q, "for every pod of a network: ", MANIFEST_CNI_TUNING, "");
	snprintf(before, sizeof(before), "once each node has kubelet %s: ", q->kubelet);
	add_command(q, before, MANIFEST_SYSCTL, " --unsafe");
}

static void refuse_privilege(struct request *q)
{
	snprintf(q->refusal, sizeof(q->refusal),
		 "a privileged container is not needed: Kubernetes %s lets every pod set %s",
		 q->kube, q->m.settings_n == 1 ? "it" : "these");
	add_command(q, "without privilege: ", MANIFEST_SYSCTL, "");
}

/* The way out of a setting that needs the other one of its pair: both, in a container that sets
 * them in their order. */
static void add_both(struct request *q, const struct manifest_setting *s)
{
	const struct manifest as_asked = q->m;
	struct manifest_setting both[SETTINGS_MAX + 1];
	const struct sysctl_key *other = sysctl_pair_other(s->key);
	char value[64];

	if (!sysctl_pair_makes_room(s->key, s->value, sysctl_pair_fresh(other), value,
				    sizeof(value)))
		return;
	both[0] = (struct manifest_setting){other, value};
	memcpy(both + 1, q->settings, q->m.settings_n * sizeof(both[0]));
	q->m.settings = both;
	q->m.settings_n++;
	add_command(q, "both, in this order: ", MANIFEST_INIT_CONTAINER, "");
	q->m = as_asked;
}

static void refuse_lacking(struct request *q, const struct manifest_setting *s)
{
	snprintf(
		q->refusal, sizeof(q->refusal),
		"a new pod does not take %s=\"%.64s\" (EINVAL): %s, which is %s there unless it is "
		"set too",
		s->key->name, s->value, s->key->refusal,
		sysctl_pair_fresh(sysctl_pair_other(s->key)));
	add_both(q, s);
}

static void refuse_contradiction(struct request *q, const struct manifest_setting *s)
{
	snprintf(q->refusal, sizeof(q->refusal),
		 "no order of these works: of %s the kernel says that %s (EINVAL)", s->key->name,
		 s->key->refusal);
}

static void refuse_unordered(struct request *q, const struct manifest_setting *s)
{
	const struct sysctl_key *other = sysctl_pair_other(s->key);

	snprintf(q->refusal, sizeof(q->refusal),
		 "%s has to be set before %s (%s), and %s sets them in any order", other->name,
		 s->key->name, s->key->refusal,
		 q->m.kind == MANIFEST_SYSCTL ? "the container runtime" : "the plugin");
	manifest_order(q->settings, q->m.settings_n);
	add_command(q, "in this order: ", MANIFEST_INIT_CONTAINER, "");
}

static bool refuse_unfit(struct request *q)
{
	size_t which;

	switch (manifest_fit(&q->m, &which)) {
	case MANIFEST_FITS:
		return false;
	case MANIFEST_LACKS:
		refuse_lacking(q, &q->settings[which]);
		return true;
	case MANIFEST_CONTRADICTS:
		refuse_contradiction(q, &q->settings[which]);
		return true;
	case MANIFEST_UNORDERED:
		refuse_unordered(q, &q->settings[which]);
		return true;
	}
	return false;
}

/* Whether the pod's own sysctls would do: only an init container keeps an order. */
static bool needs_no_container(const struct request *q)
{
	struct manifest m = q->m;
	size_t which;

	m.kind = MANIFEST_SYSCTL;
	return m.kube >= MANIFEST_SYSCTL_SINCE && !manifest_unsafe(&m) &&
	       manifest_fit(&m, &which) == MANIFEST_FITS;
}

static void judge(struct request *q)
{
	size_t unsafe = manifest_unsafe(&q->m);

	if (q->m.kind == MANIFEST_INIT_CONTAINER)
		manifest_order(q->settings, q->m.settings_n);
	if (q->host_network)
		refuse_host_network(q);
	else if (machine_wide(q))
		refuse_machine_wide(q);
	else if (refuse_unfit(q))
		return;
	else if (q->m.kind == MANIFEST_SYSCTL && unsafe && !q->unsafe)
		refuse_unsafe(q);
	else if (q->m.kind == MANIFEST_INIT_CONTAINER && !q->unsafe && needs_no_container(q))
		refuse_privilege(q);
}

/* ----------------------------------------------------------------------------------- the answer
 */

static json_t *json_settings(const struct request *q)
{
	json_t *list = json_array();

	for (size_t i = 0; i < q->m.settings_n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:o}", "key", q->settings[i].key->name,
						"value", q->settings[i].value, "safe",
						q->m.kube ? json_boolean(manifest_is_safe(
								    q->settings[i].key, q->m.kube))
							  : json_null()));
	return list;
}

/* The command of the init container, word for word: a lab can execute it. */
static json_t *json_argv(const struct request *q)
{
	if (q->refusal[0] || q->m.kind != MANIFEST_INIT_CONTAINER)
		return json_null();
	return json_pack("[s, s, s]", "sh", "-c", q->shell);
}

static json_t *json_ways(const struct request *q)
{
	json_t *list = json_array();
	const char *line = q->ways;

	for (const char *end; (end = strchr(line, '\n')); line = end + 1)
		json_array_append_new(list, json_stringn(line, (size_t)(end - line)));
	return list;
}

static bool print_json(const struct request *q)
{
	bool cni = q->m.kind == MANIFEST_CNI_TUNING, refused = q->refusal[0];
	json_t *root = json_pack(
		"{s:i, s:s, s:s, s:s?, s:s, s:s?, s:o, s:s?, s:o?, s:s?, s:o, s:o}", "schema", 1,
		"fix", "yaml", "kind", kinds[q->m.kind], "kube", q->kube[0] ? q->kube : NULL,
		"answer", refused ? "refused" : "done", "because", refused ? q->refusal : NULL,
		"argv", json_argv(q), "yaml", refused || cni ? NULL : q->text, "cni",
		refused || !cni ? NULL : json_loads(q->text, 0, NULL), "kubelet",
		q->m.kind == MANIFEST_SYSCTL && q->kubelet[0] ? q->kubelet : NULL, "instead",
		json_ways(q), "settings", json_settings(q));
	bool ok = root && !json_dumpf(root, stdout, JSON_INDENT(2));

	if (ok)
		putchar('\n');
	json_decref(root);
	return ok;
}

/* What is refused leaves stdout empty: it may be a pipe to kubectl. */
static void print_text(const struct request *q)
{
	const char *line = q->ways;

	fputs(q->text, stdout);
	if (q->refusal[0])
		fprintf(stderr, "tcpwhy fix yaml: %s\n", q->refusal);
	for (const char *end; (end = strchr(line, '\n')); line = end + 1)
		fprintf(stderr, "  %.*s\n", (int)(end - line), line);
	if (!q->refusal[0] && q->m.kind == MANIFEST_CNI_TUNING)
		fputs("tcpwhy fix yaml: put it last into \"plugins\" of the network's .conflist on "
		      "each "
		      "node; pods started from then on have it\n",
		      stderr);
}

static int answer(struct request *q)
{
	bool ok = true;

	if (!manifest_kubelet(&q->m, q->kubelet, sizeof(q->kubelet)))
		return fix_failed(&q->o, "the values are too long");
	judge(q);
	if (!manifest_shell(&q->m, q->shell, sizeof(q->shell)) ||
	    (!q->refusal[0] && !manifest_write(&q->m, q->text, sizeof(q->text))))
		return fix_failed(&q->o, "the values are too long");
	if (q->o.json)
		ok = print_json(q);
	else
		print_text(q);
	return command_written("fix", ok, q->refusal[0] ? STATUS_REFUSED : STATUS_OK);
}

int fix_yaml(int argc, char **argv)
{
	struct request *q = calloc(1, sizeof(*q));
	int status;

	if (!q)
		return command_failed("fix", false, "no memory");
	const struct fix_own_option own[] = {
		{"kube", NULL, &q->kube_typed},
		{"template", &q->m.template, NULL},
		{"image", NULL, &q->m.image},
		{"unsafe", &q->unsafe, NULL},
		{"host-network", &q->host_network, NULL},
	};
	const struct fix_verb verb = {"yaml", usage_text, FIX_TAKES_JSON, own,
				      sizeof(own) / sizeof(own[0])};

	q->m.image = "busybox:1.36";
	q->m.settings = q->settings;
	if (fix_options_parse(&verb, argc, argv, &q->o, &status)) {
		status = parse_words(&verb, argc - optind, argv + optind, q);
		if (!status)
			status = answer(q);
	}
	free(q);
	return status;
}
