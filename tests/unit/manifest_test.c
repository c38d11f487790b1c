/* SPDX-License-Identifier: MIT */
#include "cure/manifest.h"
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 16384 };

/* ------------------------------------------------------------------------------- a strict reader
 *
 * The part of YAML that is written: mappings and lists by indent, plain words, strings and lists of
 * JSON. Whatever else is met fails. The document is written as lines "path=value", where a path is
 * spec/initContainers/0/name; a list of JSON is its text.
 */

struct reader {
	char path[16][64]; /* the name at each open depth */
	size_t indent[16];
	size_t depth;
	int item[16]; /* the last number of the list at that depth */
	char *out;
};

static void emit(struct reader *r, const char *value)
{
	for (size_t i = 0; i < r->depth; i++)
		r->out += sprintf(r->out, "%s%s", i ? "/" : "", r->path[i]);
	r->out += sprintf(r->out, "=%s\n", value);
}

static void push(struct reader *r, const char *name, size_t len, size_t indent)
{
	assert_true(r->depth < 16 && len && len < 64);
	snprintf(r->path[r->depth], 64, "%.*s", (int)len, name);
	r->indent[r->depth] = indent;
	r->item[r->depth + 1] = -1;
	r->depth++;
}

static void read_value(struct reader *r, const char *value)
{
	json_error_t error;
	json_t *json = json_loads(value, JSON_DECODE_ANY, &error);

	if (json_is_string(json)) {
		emit(r, json_string_value(json));
	} else if (json_is_array(json) || json_is_boolean(json) || json_is_integer(json)) {
		char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
		emit(r, text);
		free(text);
	} else {
		/* A plain word: none of the characters that YAML gives a meaning. */
		assert_int_equal(value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
						     "TUVWXYZ0123456789._-")],
				 '\0');
		assert_true(value[0] >= 'a');
		emit(r, value);
	}
	json_decref(json);
}

static void read_pair(struct reader *r, const char *line, size_t indent)
{
	const char *colon = strchr(line, ':');

	if (!colon)
		fail_msg("no colon: %s", line);
	while (r->depth && r->indent[r->depth - 1] >= indent)
		r->depth--;
	push(r, line, (size_t)(colon - line), indent);
	if (!colon[1])
		return;
	assert_int_equal(colon[1], ' ');
	read_value(r, colon + 2);
	r->depth--;
}

static void read_line(struct reader *r, const char *line)
{
	size_t indent = strspn(line, " ");
	char number[16];

	if (line[indent] == '#')
		return;
	assert_true(indent % 2 == 0 && line[indent] != '\t' && line[indent] != '\0');
	if (strncmp(line + indent, "- ", 2) != 0) {
		read_pair(r, line + indent, indent);
		return;
	}
	while (r->depth && r->indent[r->depth - 1] >= indent)
		r->depth--;
	snprintf(number, sizeof(number), "%d", ++r->item[r->depth]);
	push(r, number, strlen(number), indent);
	read_pair(r, line + indent + 2, indent + 2);
}

static void read_yaml(const char *text, char out[static TEXT])
{
	struct reader r = {.out = out};
	char line[TEXT];

	r.item[0] = -1;
	out[0] = '\0';
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)(end - text), text);
		read_line(&r, line);
	}
	assert_int_equal(*text, '\0'); /* ends with a newline */
}

/* ------------------------------------------------------------------------------------ manifests
 */

#define RANGE                                                                                      \
	{                                                                                          \
		sysctl_key_find("ip_local_port_range"), "32768 60999"                              \
	}
#define REUSE                                                                                      \
	{                                                                                          \
		sysctl_key_find("tcp_tw_reuse"), "1"                                               \
	}

static struct manifest manifest(enum manifest_kind kind, const struct manifest_setting *s, size_t n)
{
	return (struct manifest){.kind = kind,
				 .kube = SYSCTL_RELEASE(1, 29),
				 .settings = s,
				 .settings_n = n,
				 .image = "busybox:1.36"};
}

static void holds(const struct manifest *m, const char *wanted)
{
	char text[TEXT], got[TEXT];

	assert_true(manifest_write(m, text, sizeof(text)));
	read_yaml(text, got);
	assert_string_equal(got, wanted);
}

static void test_sysctls(void **state)
{
	const struct manifest_setting s[] = {RANGE, REUSE};
	struct manifest m = manifest(MANIFEST_SYSCTL, s, 2);

	(void)state;
	holds(&m, "spec/securityContext/sysctls/0/name=net.ipv4.ip_local_port_range\n"
		  "spec/securityContext/sysctls/0/value=32768 60999\n"
		  "spec/securityContext/sysctls/1/name=net.ipv4.tcp_tw_reuse\n"
		  "spec/securityContext/sysctls/1/value=1\n");
	m.template = true;
	m.settings_n = 1;
	holds(&m, "spec/template/spec/securityContext/sysctls/0/name=net.ipv4.ip_local_port_range\n"
		  "spec/template/spec/securityContext/sysctls/0/value=32768 60999\n");
}

/* The least that works: one container, privileged and uid 0, and nothing of the host. */
static void test_init_container(void **state)
{
	const struct manifest_setting s[] = {REUSE, RANGE};
	struct manifest m = manifest(MANIFEST_INIT_CONTAINER, s, 2);

	(void)state;
	m.image = "registry.local:5000/tools/sh@sha256:0123";
	holds(&m, "spec/initContainers/0/name=tcpwhy-sysctl\n"
		  "spec/initContainers/0/image=registry.local:5000/tools/sh@sha256:0123\n"
		  "spec/initContainers/0/command=[\"sh\",\"-c\",\"sysctl -w "
		  "net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range='32768 60999'\"]\n"
		  "spec/initContainers/0/securityContext/privileged=true\n"
		  "spec/initContainers/0/securityContext/runAsUser=0\n"
		  "spec/initContainers/0/securityContext/runAsNonRoot=false\n");
}

static void test_tuning(void **state)
{
	const struct manifest_setting s[] = {REUSE, RANGE};
	struct manifest m = manifest(MANIFEST_CNI_TUNING, s, 2);
	char text[TEXT];

	(void)state;
	m.kube = 0;
	assert_true(manifest_write(&m, text, sizeof(text)));
	json_t *got = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	json_t *wanted = json_pack("{s:s, s:{s:s, s:s}}", "type", "tuning", "sysctl",
				   "net.ipv4.tcp_tw_reuse", "1", "net.ipv4.ip_local_port_range",
				   "32768 60999");
	assert_non_null(got);
	assert_true(json_equal(got, wanted));
	json_decref(got);
	json_decref(wanted);
}

/* The lists of safe sysctls, each version beside the one before. */
static void test_safe(void **state)
{
	static const struct {
		const char *key;
		uint16_t since; /* of 1.x; 0: always, UINT16_MAX: never */
	} cases[] = {
		{"ip_local_port_range", 0},         {"tcp_syncookies", 0},
		{"ip_unprivileged_port_start", 22}, {"ip_local_reserved_ports", 27},
		{"tcp_keepalive_time", 29},         {"tcp_keepalive_intvl", 29},
		{"tcp_keepalive_probes", 29},       {"tcp_fin_timeout", 29},
		{"tcp_tw_reuse", UINT16_MAX},       {"tcp_tw_reuse_delay", UINT16_MAX},
		{"somaxconn", UINT16_MAX},          {"tcp_max_tw_buckets", UINT16_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sysctl_key *k = sysctl_key_find(cases[i].key);
		for (uint16_t minor = 11; minor < 40; minor++)
			if (manifest_is_safe(k, SYSCTL_RELEASE(1, minor)) !=
			    (minor >= cases[i].since))
				fail_msg("%s in 1.%u", cases[i].key, minor);
	}
}

static void test_kubelet(void **state)
{
	const struct manifest_setting s[] = {REUSE,
					     RANGE,
					     {sysctl_key_find("somaxconn"), "1024"},
					     {sysctl_key_find("tcp_fin_timeout"), "20"}};
	struct manifest m = manifest(MANIFEST_SYSCTL, s, 4);
	char out[256];

	(void)state;
	assert_int_equal(manifest_unsafe(&m), 2);
	assert_true(manifest_kubelet(&m, out, sizeof(out)));
	assert_string_equal(out,
			    "--allowed-unsafe-sysctls=net.ipv4.tcp_tw_reuse,net.core.somaxconn");
	m.kube = SYSCTL_RELEASE(1, 28);
	assert_int_equal(manifest_unsafe(&m), 3);
	assert_false(manifest_kubelet(&m, out, 40));
}

/* What had no room is no manifest. */
static void test_no_room(void **state)
{
	const struct manifest_setting s[] = {REUSE, RANGE};
	char text[TEXT], shorter[TEXT];

	(void)state;
	for (int kind = MANIFEST_SYSCTL; kind <= MANIFEST_CNI_TUNING; kind++) {
		struct manifest m = manifest((enum manifest_kind)kind, s, 2);
		assert_true(manifest_write(&m, text, sizeof(text)));
		assert_false(manifest_write(&m, shorter, strlen(text)));
		assert_true(manifest_write(&m, shorter, strlen(text) + 2));
		assert_string_equal(shorter, text);
	}
}

/* Values are only digits, but quoting does not rely on it. */
static void test_quotes(void **state)
{
	const struct manifest_setting s[] = {{sysctl_key_find("tcp_tw_reuse"), "1'; \"\\$(x)"}};
	struct manifest m = manifest(MANIFEST_INIT_CONTAINER, s, 1);
	char shell[TEXT];

	(void)state;
	assert_true(manifest_shell(&m, shell, sizeof(shell)));
	assert_string_equal(shell, "sysctl -w net.ipv4.tcp_tw_reuse='1'\\''; \"\\$(x)'");
	m.image = "i";
	holds(&m, "spec/initContainers/0/name=tcpwhy-sysctl\n"
		  "spec/initContainers/0/image=i\n"
		  "spec/initContainers/0/command=[\"sh\",\"-c\",\"sysctl -w net.ipv4.tcp_tw_reuse="
		  "'1'\\\\''; \\\"\\\\$(x)'\"]\n"
		  "spec/initContainers/0/securityContext/privileged=true\n"
		  "spec/initContainers/0/securityContext/runAsUser=0\n"
		  "spec/initContainers/0/securityContext/runAsNonRoot=false\n");
}

/* -------------------------------------------------------------------------------- it really runs
 */

static bool reads(const char *path, const char *wanted)
{
	char seen[256] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, seen, sizeof(seen) - 1);
	close(fd);
	return n == (ssize_t)strlen(wanted) && strcmp(seen, wanted) == 0;
}

static int execute(const char *shell)
{
	char sh[] = "sh", option[] = "-c";
	char *text = strdup(shell);
	char *argv[] = {sh, option, text, NULL}, *environment[] = {NULL};
	int status;
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execve("/bin/sh", argv, environment);
		_exit(127);
	}
	free(text);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As in a pod: the argv word for word, in a namespace where the values are others. */
static int run_in_namespace(const char *shell)
{
	if (unshare(CLONE_NEWNET) || access("/proc/sys/net/ipv4/tcp_tw_reuse", W_OK))
		return 77;
	bool before = reads("/proc/sys/net/ipv4/tcp_tw_reuse", "1\n") ||
		      reads("/proc/sys/net/ipv4/ip_local_port_range", "20000\t30001\n");
	int status = execute(shell);
	bool after = reads("/proc/sys/net/ipv4/tcp_tw_reuse", "1\n") &&
		     reads("/proc/sys/net/ipv4/ip_local_port_range", "20000\t30001\n") &&
		     reads("/proc/sys/net/ipv4/ip_local_reserved_ports", "20080-20081,20090\n");

	return status == 0 && !before && after ? 0 : 1;
}

static void test_runs(void **state)
{
	const struct manifest_setting s[] = {
		REUSE,
		{sysctl_key_find("ip_local_port_range"), "20000 30001"},
		{sysctl_key_find("ip_local_reserved_ports"), "20080-20081,20090"}};
	const struct manifest m = manifest(MANIFEST_INIT_CONTAINER, s, 3);
	char shell[TEXT];
	int status;

	(void)state;
	assert_true(manifest_shell(&m, shell, sizeof(shell)));
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		_exit(run_in_namespace(shell));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		unit_skip("no network namespace whose sysctls may be written: not root");
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* -------------------------------------------------------------------------------- the order */

#define RANGE_FROM(value)                                                                          \
	{                                                                                          \
		sysctl_key_find("ip_local_port_range"), value                                      \
	}
#define START(value)                                                                               \
	{                                                                                          \
		sysctl_key_find("ip_unprivileged_port_start"), value                               \
	}

/* Of both settings in the order that is given: how they fit without an order, and with one; and
 * which is then the first. */
static void test_pairs(void **state)
{
	const struct {
		struct manifest_setting s[2];
		size_t n;
		enum manifest_fit unordered, ordered;
		const char *first;
	} cases[] = {
		{{RANGE_FROM("1024 9999")}, 1, MANIFEST_FITS, MANIFEST_FITS, "1024 9999"},
		{{RANGE_FROM("1023 9999")}, 1, MANIFEST_LACKS, MANIFEST_LACKS, "1023 9999"},
		{{START("32768")}, 1, MANIFEST_FITS, MANIFEST_FITS, "32768"},
		{{START("32769")}, 1, MANIFEST_LACKS, MANIFEST_LACKS, "32769"},
		{{RANGE_FROM("1 9"), START("1")}, 2, MANIFEST_UNORDERED, MANIFEST_FITS, "1"},
		{{START("1"), RANGE_FROM("1 9")}, 2, MANIFEST_UNORDERED, MANIFEST_FITS, "1"},
		{{START("40000"), RANGE_FROM("40000 50000")},
		 2,
		 MANIFEST_UNORDERED,
		 MANIFEST_FITS,
		 "40000 50000"},
		{{RANGE_FROM("1 9"), START("2")},
		 2,
		 MANIFEST_CONTRADICTS,
		 MANIFEST_CONTRADICTS,
		 "2"},
		{{RANGE_FROM("2000 9999"), START("80")},
		 2,
		 MANIFEST_FITS,
		 MANIFEST_FITS,
		 "2000 9999"},
		{{REUSE, RANGE_FROM("1 9")}, 2, MANIFEST_LACKS, MANIFEST_LACKS, "1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct manifest_setting s[2] = {cases[i].s[0], cases[i].s[1]};
		struct manifest m = manifest(MANIFEST_SYSCTL, s, cases[i].n);
		size_t which = 9;

		assert_int_equal(manifest_fit(&m, &which), cases[i].unordered);
		m.kind = MANIFEST_CNI_TUNING;
		assert_int_equal(manifest_fit(&m, &which), cases[i].unordered);
		m.kind = MANIFEST_INIT_CONTAINER;
		manifest_order(s, cases[i].n);
		assert_int_equal(manifest_fit(&m, &which), cases[i].ordered);
		assert_string_equal(s[0].value, cases[i].first);
		assert_true(which < cases[i].n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sysctls), cmocka_unit_test(test_init_container),
		cmocka_unit_test(test_tuning),  cmocka_unit_test(test_safe),
		cmocka_unit_test(test_kubelet), cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_quotes),  cmocka_unit_test(test_runs),
		cmocka_unit_test(test_pairs),
	};

	return unit_run("manifest", tests);
}
