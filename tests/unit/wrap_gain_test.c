/* SPDX-License-Identifier: MIT
 *
 * What executing files gives, over files made here. Mode bits that matter need no root to set.
 */
#include "unit.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "wrap/gain.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/tcpwhy-gain.XXXXXX");
	return !mkdtemp(dir) || chmod(dir, 0755);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"plain", "setuid", "script", "deep", "round"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static const char *file(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static enum gain gain_of(const char *name)
{
	struct gain_program p;

	gain_look(name, &p);
	return p.gain;
}

/* As another user, in a process of its own: 0 to 3 is the gain, 8 added if it cannot be read, 16 if
 * it is not found. */
static int as_nobody(const char *name)
{
	struct gain_program p;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(64);
		gain_look(name, &p);
		_exit((int)p.gain | (p.unreadable ? 8 : 0) | (p.path[0] ? 0 : 16));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_found(void **state)
{
	struct gain_program p;
	char *before = strdup(getenv("PATH"));

	(void)state;
	gain_look("sh", &p);
	assert_true(p.path[0] == '/');
	assert_int_equal(p.gain, GAIN_NOTHING);
	assert_false(p.unreadable);
	gain_look("no-such-program-anywhere", &p);
	assert_string_equal(p.path, "");
	gain_look(file("plain", "", 0644), &p);
	assert_string_equal(p.path, "");
	gain_look("/", &p);
	assert_string_equal(p.path, "");
	file("plain", "", 0755);
	setenv("PATH", "/nowhere::/bin", 1);
	gain_look("plain", &p);
	assert_string_equal(p.path, "");
	setenv("PATH", dir, 1);
	gain_look("plain", &p);
	assert_int_equal(strncmp(p.path, dir, strlen(dir)), 0);
	setenv("PATH", before, 1);
	free(before);
}

static void test_own_bits_give_nothing(void **state)
{
	(void)state;
	assert_int_equal(gain_of(file("setuid", "", 04755)), GAIN_NOTHING);
	assert_int_equal(gain_of(file("setuid", "", 02755)), GAIN_NOTHING);
}

static void test_bits_of_others(void **state)
{
	struct statvfs fs;

	(void)state;
	if (geteuid() != 0)
		unit_skip("needs root, to be another user");
	if (statvfs(dir, &fs) || fs.f_flag & ST_NOSUID)
		unit_skip("/tmp is mounted nosuid");
	assert_int_equal(as_nobody(file("setuid", "", 0755)), GAIN_NOTHING);
	assert_int_equal(as_nobody(file("setuid", "", 04755)), GAIN_USER);
	assert_int_equal(as_nobody(file("setuid", "", 02755)), GAIN_GROUP);
	/* Without the group's x: mandatory locking. */
	assert_int_equal(as_nobody(file("setuid", "", 02745)), GAIN_NOTHING);
	assert_int_equal(as_nobody(file("setuid", "", 0711)), GAIN_NOTHING | 8);
	assert_int_equal(as_nobody(file("setuid", "", 0700)), GAIN_NOTHING | 16);
}

static void test_capabilities(void **state)
{
	struct vfs_cap_data caps = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
				    .data = {{.permitted = 1u << CAP_NET_BIND_SERVICE}}};
	const char *path = file("plain", "", 0755);

	(void)state;
	if (setxattr(path, "security.capability", &caps, sizeof(caps), 0))
		unit_skip("capabilities cannot be given to a file here");
	assert_int_equal(as_nobody(path), GAIN_CAPABILITIES);
	assert_int_equal(gain_of(path), GAIN_NOTHING);
}

static void test_scripts(void **state)
{
	char text[256], setuid[128];

	(void)state;
	if (geteuid() != 0)
		unit_skip("needs root, to be another user");
	/* A script's own bit counts for nothing, its interpreter's does. */
	assert_int_equal(as_nobody(file("script", "#!/bin/sh\n", 04755)), GAIN_NOTHING);
	strcpy(setuid, file("setuid", "", 04755));
	if (as_nobody(setuid) != GAIN_USER)
		unit_skip("/tmp is mounted nosuid");
	snprintf(text, sizeof(text), "#! %s -x\n", setuid);
	assert_int_equal(as_nobody(file("script", text, 0755)), GAIN_USER);
	snprintf(text, sizeof(text), "#!%s/script", dir);
	assert_int_equal(as_nobody(file("deep", text, 0755)), GAIN_USER);
	/* One that is its own interpreter has an end too. */
	snprintf(text, sizeof(text), "#!%s/round\n", dir);
	assert_int_equal(as_nobody(file("round", text, 0755)), GAIN_NOTHING);
	assert_int_equal(as_nobody(file("script", "#!\n", 0755)), GAIN_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),          cmocka_unit_test(test_own_bits_give_nothing),
		cmocka_unit_test(test_bits_of_others), cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_scripts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("wrap_gain", tests, set_up, tear_down);
}
