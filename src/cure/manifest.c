/* SPDX-License-Identifier: MIT */
#include "cure/manifest.h"

#include <string.h>

#include "base/text.h"
#include "cure/sysctl_pair.h"

static bool whole(const struct text *t)
{
	return t->at + 1 < t->end;
}

bool manifest_is_safe(const struct sysctl_key *key, uint16_t kube)
{
	return key->kube_since != SYSCTL_NEVER && kube >= key->kube_since;
}

size_t manifest_unsafe(const struct manifest *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->settings_n; i++)
		n += !manifest_is_safe(m->settings[i].key, m->kube);
	return n;
}

/* ------------------------------------------------------------------------------------ the order
 */

/* n: it is not there. */
static size_t place_of(const struct manifest_setting *settings, size_t n,
		       const struct sysctl_key *key)
{
	size_t i = 0;

	while (i < n && settings[i].key != key)
		i++;
	return i;
}

/* Whether a new pod takes this one before anything else is set. */
static bool may_be_first(const struct manifest_setting *s, const struct sysctl_key *other)
{
	return sysctl_pair_allows(s->key, s->value, sysctl_pair_fresh(other));
}

static enum manifest_fit fit_of(const struct manifest *m, size_t i)
{
	const struct manifest_setting *s = &m->settings[i];
	const struct sysctl_key *other = sysctl_pair_other(s->key);
	size_t j = other ? place_of(m->settings, m->settings_n, other) : 0;

	if (!other)
		return MANIFEST_FITS;
	if (j == m->settings_n)
		return may_be_first(s, other) ? MANIFEST_FITS : MANIFEST_LACKS;
	if (!sysctl_pair_allows(s->key, s->value, m->settings[j].value))
		return MANIFEST_CONTRADICTS;
	if (may_be_first(s, other) || (m->kind == MANIFEST_INIT_CONTAINER && j < i))
		return MANIFEST_FITS;
	return MANIFEST_UNORDERED;
}

enum manifest_fit manifest_fit(const struct manifest *m, size_t *which)
{
	enum manifest_fit fit = MANIFEST_FITS;

	for (size_t i = 0; i < m->settings_n && fit == MANIFEST_FITS; i++) {
		fit = fit_of(m, i);
		*which = i;
	}
	return fit;
}

void manifest_order(struct manifest_setting *settings, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct manifest_setting s = settings[i];
		const struct sysctl_key *other = sysctl_pair_other(s.key);
		size_t j = other ? place_of(settings, n, other) : n;

		if (j == n || j < i || may_be_first(&s, other))
			continue;
		settings[i] = settings[j];
		settings[j] = s;
		return;
	}
}

/* -------------------------------------------------------------------------------------- quoting
 */

/* A string of JSON, which is one of YAML, too. Keys and values have no control characters. */
static void add_string(struct text *t, const char *s)
{
	text_char(t, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_char(t, '\\');
		text_char(t, *s);
	}
	text_char(t, '"');
}

bool manifest_shell(const struct manifest *m, char *out, size_t size)
{
	struct text t = text_in(out, size);

	text_add(&t, "sysctl -w");
	for (size_t i = 0; i < m->settings_n; i++) {
		text_char(&t, ' ');
		text_add(&t, m->settings[i].key->name);
		text_char(&t, '=');
		if (m->settings[i].value[0])
			text_word(&t, m->settings[i].value);
	}
	return whole(&t);
}

bool manifest_kubelet(const struct manifest *m, char *out, size_t size)
{
	struct text t = text_in(out, size);
	const char *before = "--allowed-unsafe-sysctls=";

	for (size_t i = 0; i < m->settings_n; i++) {
		if (manifest_is_safe(m->settings[i].key, m->kube))
			continue;
		text_add(&t, before);
		text_add(&t, m->settings[i].key->name);
		before = ",";
	}
	return whole(&t);
}

/* ----------------------------------------------------------------------------------------- YAML
 */

static void add_release(struct text *t, uint16_t release)
{
	text_number(t, release >> 8);
	text_char(t, '.');
	text_number(t, release & 255);
}

/* What the kernel of the nodes has to be, where old ones differ: before netns_since the sysctl was
 * the node's, and is not even shown in a pod. */
static void add_kernel(struct text *t, const struct sysctl_key *key)
{
	uint16_t from = key->since > key->netns_since ? key->since : key->netns_since;

	if (from) {
		text_add(t, "; the node's kernel: ");
		add_release(t, from);
		text_add(t, " or later");
	}
	if (key->until) {
		text_add(t, ", before ");
		add_release(t, key->until);
	}
}

static void add_comments(struct text *t, const struct manifest *m)
{
	char option[2048];

	for (size_t i = 0; i < m->settings_n; i++) {
		text_add(t, "# ");
		text_add(t, m->settings[i].key->name);
		add_kernel(t, m->settings[i].key);
		text_char(t, '\n');
	}
	if (m->kind == MANIFEST_INIT_CONTAINER) {
		text_add(t, "# It runs once, before the containers of the pod, which gain no "
			    "privilege by it;\n"
			    "# the namespace has to allow privileged pods (Pod Security).\n");
	} else if (manifest_unsafe(m) && manifest_kubelet(m, option, sizeof(option))) {
		text_add(t, "# Refused by Kubernetes ");
		add_release(t, m->kube);
		text_add(t, " (SysctlForbidden), unless each node has: kubelet ");
		text_add(t, option);
		text_char(t, '\n');
	}
	text_add(t, m->template ? "# kubectl patch deployment NAME --patch-file FILE\n"
				: "# Part of a Pod.\n");
}

/* A line at a depth below the pod's spec. */
static void add_line(struct text *t, const struct manifest *m, unsigned depth, const char *line)
{
	for (unsigned i = 0; i < depth + (m->template ? 3 : 1); i++)
		text_add(t, "  ");
	text_add(t, line);
}

static void add_pod_spec(struct text *t, const struct manifest *m)
{
	text_add(t, m->template ? "spec:\n  template:\n    spec:\n" : "spec:\n");
}

static bool write_sysctls(const struct manifest *m, struct text *t)
{
	add_comments(t, m);
	add_pod_spec(t, m);
	add_line(t, m, 0, "securityContext:\n");
	add_line(t, m, 1, "sysctls:\n");
	for (size_t i = 0; i < m->settings_n; i++) {
		add_line(t, m, 2, "- name: ");
		text_add(t, m->settings[i].key->name);
		text_char(t, '\n');
		add_line(t, m, 3, "value: ");
		add_string(t, m->settings[i].value);
		text_char(t, '\n');
	}
	return whole(t);
}

/* privileged, because else /proc/sys is mounted read-only; uid 0 by name, because the pod's own
 * securityContext may say otherwise, and another uid may not write there. Nothing of the host. */
static bool write_init_container(const struct manifest *m, struct text *t)
{
	char shell[2 * SYSCTL_VALUE_MAX];

	if (!manifest_shell(m, shell, sizeof(shell)))
		return false;
	add_comments(t, m);
	add_pod_spec(t, m);
	add_line(t, m, 0, "initContainers:\n");
	add_line(t, m, 1, "- name: tcpwhy-sysctl\n");
	add_line(t, m, 2, "image: ");
	add_string(t, m->image);
	text_char(t, '\n');
	add_line(t, m, 2, "command: [\"sh\", \"-c\", ");
	add_string(t, shell);
	text_add(t, "]\n");
	add_line(t, m, 2, "securityContext:\n");
	add_line(t, m, 3, "privileged: true\n");
	add_line(t, m, 3, "runAsUser: 0\n");
	add_line(t, m, 3, "runAsNonRoot: false\n");
	return whole(t);
}

static bool write_tuning(const struct manifest *m, struct text *t)
{
	text_add(t, "{\n  \"type\": \"tuning\",\n  \"sysctl\": {\n");
	for (size_t i = 0; i < m->settings_n; i++) {
		text_add(t, "    ");
		add_string(t, m->settings[i].key->name);
		text_add(t, ": ");
		add_string(t, m->settings[i].value);
		text_add(t, i + 1 < m->settings_n ? ",\n" : "\n");
	}
	text_add(t, "  }\n}\n");
	return whole(t);
}

bool manifest_write(const struct manifest *m, char *out, size_t size)
{
	struct text t = text_in(out, size);

	switch (m->kind) {
	case MANIFEST_SYSCTL:
		return write_sysctls(m, &t);
	case MANIFEST_INIT_CONTAINER:
		return write_init_container(m, &t);
	case MANIFEST_CNI_TUNING:
		return write_tuning(m, &t);
	}
	return false;
}
