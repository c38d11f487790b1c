/* SPDX-License-Identifier: MIT
 *
 * Container and pod names in a made-up /proc and /var/log/pods: what is found, what is ambiguous,
 * and what nobody should be able to make of hostile texts.
 */
#include "live/container.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define A   "3f4e5d6c7b8a90123f4e5d6c7b8a90123f4e5d6c7b8a90123f4e5d6c7b8a9012"
#define B   "3f4e5d0000000000000000000000000000000000000000000000000000000001"
#define U1  "1a2b3c4d-1111-2222-3333-444455556666"
#define U1_ "1a2b3c4d_1111_2222_3333_444455556666"
#define U2  "9a2b3c4d-1111-2222-3333-444455556666"

/* ------------------------------------------------------------------------------------ the parsers
 */

static void test_cgroup(void **state)
{
	static const struct {
		const char *cgroup, *id, *uid;
	} cases[] = {
		{"", "", ""},
		{"0::/\n", "", ""},
		{"0::/system.slice/nginx.service\n", "", ""},
		{"0::/system.slice/docker-" A ".scope\n", A, ""},
		{"5:memory:/docker/" A "\n1:name=systemd:/docker/" A "\n", A, ""},
		{"0::/machine.slice/libpod-" A ".scope/container\n", A, ""},
		{"0::/../../docker/" A, A, ""},
		{"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" U1_
		 ".slice/cri-containerd-" A ".scope\n",
		 A, U1},
		{"0::/kubepods.slice/kubepods-pod" U1_ ".slice/crio-" A ".scope\n", A, U1},
		{"0::/kubepods/burstable/pod" U1 "/" A "\n", A, U1},
		{"0::/kubepods/pod0123456789abcdef0123456789abcdef/" A "\n", A,
		 "0123456789abcdef0123456789abcdef"},
		{"0::/system.slice/kubepods-burstable-pod" U1_ ".slice:cri-containerd:" A "\n", A,
		 U1},
		/* The innermost container counts: its processes are not the outer one's. */
		{"0::/docker/" B "/kubelet/kubepods/pod" U1 "/" A "\n", A, U1},
		{"0::/docker/" A "/docker/" B "\n", B, ""},
		/* Controllers that nobody set up name the root. */
		{"12:pids:/\n3:cpu:/docker/" A "\n", A, ""},
		/* conmon stands beside the container, in its name. */
		{"0::/machine.slice/libpod-conmon-" A ".scope\n", "", ""},
		{"0::/kubepods.slice/kubepods-pod" U1_ ".slice/crio-conmon-" A ".scope\n", "", U1},
		{"0::/system.slice/docker-3f4e5d6c7b8a.scope\n", "3f4e5d6c7b8a", ""},
		/* No ids: too short, too long, no hex, no manager. */
		{"0::/system.slice/docker-3f4e5d.scope\n", "", ""},
		{"0::/docker/" A "0\n", "", ""},
		{"0::/docker/x" A "\n", "", ""},
		{"0::/system.slice/backup-3f4e5d6c7b8a.scope\n", "", ""},
		{"0::/system.slice/docker-3F4E5D6C7B8A.scope\n", "", ""},
		{"0::/podcast.slice/podcast.service\n", "", ""},
		{"0::/kubepods/podnothex__/x\n", "", ""},
		{"0::/pod1234567\n", "", ""},
		{"0::/pod12345678\n", "", "12345678"},
		{"nonsense", "", ""},
		{"::::\n\n\n/", "", ""},
		{"/////pod\n/pod.slice/-pod", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct container_name name;

		container_parse(cases[i].cgroup, &name);
		assert_string_equal(name.id, cases[i].id);
		assert_string_equal(name.pod_uid, cases[i].uid);
	}
}

static void test_pod_folder(void **state)
{
	static const char *const none[] = {
		"",
		"_",
		"__",
		"a_b",
		"a_b_",
		"_b_" U1,
		"a__" U1,
		"a_b_1234",
		"A_b_" U1,
		"a_b_" U1 "_c",
		"a_b/../c_" U1,
		"a_b_../../..",
		"a\x1b_b_" U1,
		"a_b_" U1 U1,
	};
	struct pod_folder f;

	(void)state;
	assert_true(pod_folder_parse("kube-system_dns.a-1_" U1, &f));
	assert_string_equal(f.namespace, "kube-system");
	assert_string_equal(f.name, "dns.a-1");
	assert_string_equal(f.uid, U1);
	assert_true(pod_folder_parse("default_etcd_0123456789abcdef0123456789abcdef", &f));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(pod_folder_parse(none[i], &f));
}

/* Whatever bytes: texts that end, of the characters that were promised. */
static void test_hostile(void **state)
{
	static const char *const pieces[] = {"/",       "0::",  "pod",   ".slice", ".scope", A,
					     "docker-", "\n",   ":",     "_",      "-",      "\xff",
					     "conmon-", "1a2b", "crio-", U1,       "\x1b[",  " "};
	uint64_t x = unit_seed();

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[2048] = "";
		struct container_name name;
		struct pod_folder f;

		for (uint64_t n = unit_random(&x) % 24; n; n--)
			strcat(text, pieces[unit_random(&x) % (sizeof(pieces) / sizeof(*pieces))]);
		container_parse(text, &name);
		assert_true(strspn(name.id, "0123456789abcdef") == strlen(name.id));
		assert_true(!name.id[0] || strlen(name.id) >= 12);
		assert_true(strspn(name.pod_uid, "0123456789abcdef-") == strlen(name.pod_uid));
		if (pod_folder_parse(text, &f))
			assert_null(strpbrk(f.name, "/_\n\x1b"));
	}
}

/* --------------------------------------------------------------------------------- a made-up tree
 */

struct tree {
	char dir[64], proc[80], logs[80];
	struct container_roots roots;
};

static void shell(const char *command, const char *path)
{
	char line[512];

	snprintf(line, sizeof(line), "%s %s", command, path);
	assert_int_equal(system(line), 0);
}

static int plant(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	strcpy(t->dir, "/tmp/tcpwhy-container.XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->proc, sizeof(t->proc), "%s/proc", t->dir);
	snprintf(t->logs, sizeof(t->logs), "%s/logs", t->dir);
	t->roots = (struct container_roots){t->proc, t->logs};
	assert_int_equal(mkdir(t->proc, 0700), 0);
	assert_int_equal(mkdir(t->logs, 0700), 0);
	*state = t;
	return 0;
}

static int uproot(void **state)
{
	struct tree *t = *state;

	shell("rm -rf", t->dir);
	free(t);
	return 0;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A process: its cgroup, and the file that stands for its network namespace (NULL: it has ended).
 */
static void process(const struct tree *t, const char *pid, const char *cgroup, const char *netns)
{
	char path[256], file[256];

	snprintf(path, sizeof(path), "%s/%s/ns", t->proc, pid);
	shell("mkdir -p", path);
	snprintf(path, sizeof(path), "%s/%s/cgroup", t->proc, pid);
	write_text(path, cgroup);
	if (!netns)
		return;
	snprintf(file, sizeof(file), "%s/%s", t->dir, netns);
	if (access(file, F_OK))
		write_text(file, "");
	snprintf(path, sizeof(path), "%s/%s/ns/net", t->proc, pid);
	assert_int_equal(symlink(file, path), 0);
}

static void pod_logs(const struct tree *t, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", t->logs, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_container(void **state)
{
	struct tree *t = *state;
	struct err err;
	int pid = -1;

	process(t, "1", "0::/init.scope\n", "host");
	process(t, "300", "0::/system.slice/docker-" A ".scope\n", "n1");
	process(t, "200", "0::/system.slice/docker-" A ".scope\n", "n1");
	process(t, "100", "0::/system.slice/docker-" A ".scope\n", NULL);
	process(t, "400", "0::/docker/" B "\n", "n2");
	process(t, "12x", "0::/docker/" B "\n", "n2");
	assert_int_equal(container_find(&t->roots, A, &pid, &err), 0);
	assert_int_equal(pid, 200);
	assert_int_equal(container_find(&t->roots, "3f4e5d6", &pid, &err), 0);
	assert_int_equal(pid, 200);
	assert_int_equal(container_find(&t->roots, "3f4e5d0", &pid, &err), 0);
	assert_int_equal(pid, 400);

	assert_int_equal(container_find(&t->roots, "3f4e5d", &pid, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.text, A));
	assert_non_null(strstr(err.text, B));
	assert_int_equal(container_find(&t->roots, "3f4e5", &pid, &err), -EINVAL);
	assert_int_equal(container_find(&t->roots, "", &pid, &err), -EINVAL);
	assert_int_equal(container_find(&t->roots, A "0", &pid, &err), -EINVAL);
	assert_int_equal(container_find(&t->roots, "web-server", &pid, &err), -EINVAL);
	assert_int_equal(container_find(&t->roots, "ffffff", &pid, &err), -ENOENT);
	assert_non_null(strstr(err.text, "ffffff"));

	process(t, "500", "0::/docker/" B "/system.slice/private.service\n", "n3");
	assert_int_equal(container_find(&t->roots, B, &pid, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.text, "net:["));
	assert_non_null(strstr(err.text, "--pid"));
	/* Outputs are untouched on failure. */
	assert_int_equal(pid, 400);
}

static void test_shared_netns(void **state)
{
	struct tree *t = *state;

	process(t, "self", "0::/\n", "host");
	process(t, "10", "0::/docker/" A "\n", "host");
	process(t, "20", "0::/docker/" B "\n", "n1");
	assert_true(container_shares_netns(&t->roots, 10));
	assert_false(container_shares_netns(&t->roots, 20));
	/* What cannot be told is not said to be its own. */
	assert_true(container_shares_netns(&t->roots, 30));
}

static void test_pod(void **state)
{
	struct tree *t = *state;
	struct err err;
	int pid = -1;

	pod_logs(t, "shop_web-0_" U1);
	pod_logs(t, "shop_web-0_" U2); /* an earlier one of the name; its logs are left */
	pod_logs(t, "shop_web_" U2);
	pod_logs(t, "test_db_11111111-1111");
	pod_logs(t, "shop_db_22222222-2222");
	pod_logs(t, "garbage");
	process(t, "70", "0::/kubepods/pod" U1 "/" A "\n", "n1");
	process(t, "60", "0::/kubepods/pod" U1 "/" B "\n", "n1");
	process(t, "80", "0::/kubepods/pod22222222-2222/" B "\n", "n2");
	assert_int_equal(pod_find(&t->roots, "shop/web-0", &pid, &err), 0);
	assert_int_equal(pid, 60);
	assert_int_equal(pod_find(&t->roots, "web-0", &pid, &err), 0);
	assert_int_equal(pid, 60);
	assert_int_equal(pod_find(&t->roots, "shop/db", &pid, &err), 0);
	assert_int_equal(pid, 80);

	assert_int_equal(pod_find(&t->roots, "db", &pid, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.text, "shop/db"));
	assert_non_null(strstr(err.text, "test/db"));
	assert_int_equal(pod_find(&t->roots, "test/db", &pid, &err), -ENOENT);
	assert_int_equal(pod_find(&t->roots, "test/web-0", &pid, &err), -ENOENT);
	assert_non_null(strstr(err.text, "namespace"));
	for (const char *const *bad = (const char *const[]){"", "/", "a/", "/b", "a/b/c", "..", "A",
							    "a b", "shop/we\x1b", NULL};
	     *bad; bad++) {
		int rc = pod_find(&t->roots, *bad, &pid, &err);
		assert_true(rc == -EINVAL || (strcmp(*bad, "..") == 0 && rc == -ENOENT));
	}

	/* Both pods of one name alive, as while one is being replaced. */
	process(t, "90", "0::/kubepods/pod" U2 "/" B "\n", "n1");
	assert_int_equal(pod_find(&t->roots, "shop/web-0", &pid, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.text, U1));
	assert_non_null(strstr(err.text, U2));
	assert_int_equal(pid, 80);
}

/* A child in a UTS namespace of its own stands for a pod's process. */
static void test_pod_by_hostname(void **state)
{
	struct tree *t = *state;
	char target[64], path[256], ready;
	int up[2], pid = -1;
	struct err err;
	pid_t child;

	assert_int_equal(pipe(up), 0);
	child = fork();
	if (!child) {
		bool ok = unshare(CLONE_NEWUTS) == 0 && sethostname("web-0", 5) == 0;

		(void)!write(up[1], ok ? "y" : "n", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(up[0], &ready, 1), 1);
	if (ready == 'y') {
		process(t, "70", "0::/kubepods/pod" U1 "/" A "\n", "n1");
		snprintf(target, sizeof(target), "/proc/%d/ns/uts", (int)child);
		snprintf(path, sizeof(path), "%s/70/ns/uts", t->proc);
		assert_int_equal(symlink(target, path), 0);
		/* Of no pod: its host name does not matter. */
		process(t, "71", "0::/system.slice/x.service\n", "n2");
		snprintf(path, sizeof(path), "%s/71/ns/uts", t->proc);
		assert_int_equal(symlink(target, path), 0);
		assert_int_equal(pod_find(&t->roots, "web-0", &pid, &err), 0);
		assert_int_equal(pid, 70);
		assert_int_equal(pod_find(&t->roots, "web-1", &pid, &err), -ENOENT);
		assert_int_equal(pod_find(&t->roots, "shop/web-0", &pid, &err), -ENOENT);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(up[0]);
	close(up[1]);
	if (ready != 'y')
		unit_skip("no privilege to make a UTS namespace");
}

/* Processes that come and go while /proc is read: an answer or none, never another process. */
static void test_races(void **state)
{
	struct tree *t = *state;
	char gone[256];
	struct err err;
	pid_t child;

	process(t, "50", "0::/docker/" B "\n", "n2");
	snprintf(gone, sizeof(gone), "%s/40", t->proc);
	child = fork();
	if (!child) {
		for (int i = 0; i < 100; i++) {
			process(t, "40", "0::/docker/" A "\n", "n1");
			shell("rm -rf", gone);
		}
		_exit(0);
	}
	for (int done = 0; !done;) {
		int pid = -1, rc = container_find(&t->roots, A, &pid, &err);

		assert_true((rc == 0 && pid == 40) || (rc == -ENOENT && pid == -1));
		done = waitpid(child, NULL, WNOHANG) == child;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_pod_folder),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test_setup_teardown(test_container, plant, uproot),
		cmocka_unit_test_setup_teardown(test_shared_netns, plant, uproot),
		cmocka_unit_test_setup_teardown(test_pod, plant, uproot),
		cmocka_unit_test_setup_teardown(test_pod_by_hostname, plant, uproot),
		cmocka_unit_test_setup_teardown(test_races, plant, uproot),
	};

	return unit_run("container", tests);
}
