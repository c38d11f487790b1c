/* SPDX-License-Identifier: MIT */
#include "live/owners.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID "3f4e5d6c7b8a90123f4e5d6c7b8a90123f4e5d6c7b8a90123f4e5d6c7b8a9012"

static void test_units(void **state)
{
	static const struct {
		const char *cgroup, *unit;
	} cases[] = {
		{"", ""},
		{"0::/\n", ""},
		{"0::/system.slice/nginx.service\n", "nginx.service"},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/a-b.scope\n",
		 "a-b.scope"},
		{"0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"},
		{"0::/system.slice/docker-" ID ".scope\n", "docker 3f4e5d6c7b8a"},
		{"5:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", "docker 3f4e5d6c7b8a"},
		{"0::/machine.slice/libpod-" ID ".scope/container\n", "podman 3f4e5d6c7b8a"},
		{"0::/kubepods.slice/kubepods-besteffort.slice/"
		 "kubepods-besteffort-pod1a2b3c4d_1111_2222_3333_444455556666.slice/"
		 "cri-containerd-" ID ".scope\n",
		 "pod 1a2b3c4d containerd 3f4e5d6c7b8a"},
		{"0::/kubepods/burstable/pod1a2b3c4d-1111-2222-3333-444455556666/" ID "\n",
		 "pod 1a2b3c4d container 3f4e5d6c7b8a"},
		{"0::/kubepods.slice/kubepods-pod1a2b3c4d_5.slice/crio-" ID ".scope\n",
		 "pod 1a2b3c4d crio 3f4e5d6c7b8a"},
		{"0::/lxc.payload.web/system.slice/ssh.service\n", "lxc web"},
		{"0::/podcast.slice/podcast.service\n", "podcast.service"},
		{"0::/a\x1b[31m.service\n", "a?[31m.service"},
		{"nonsense", ""},
		{"::::\n\n\n/", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char unit[96];

		owners_unit(cases[i].cgroup, unit, sizeof(unit));
		assert_string_equal(unit, cases[i].unit);
	}
}

/* Two descriptors of one socket are one owner; a holder without inode has none. */
static void test_our_own_socket(void **state)
{
	struct result_holder h[3] = {0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), copy = dup(fd);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	h[0].seen.inode = (uint32_t)st.st_ino;
	h[2].seen.inode = (uint32_t)st.st_ino;
	owners_of(h, 3);
	for (int i = 0; i < 3; i += 2) {
		assert_int_equal(h[i].owners_n, 1);
		assert_int_equal(h[i].owners[0].pid, getpid());
		assert_string_equal(h[i].owners[0].comm, "owners_test");
		assert_false(h[i].owners_more || h[i].owners_unseen);
	}
	assert_int_equal(h[1].owners_n, 0);
	assert_false(h[1].owners_unseen);
	close(copy);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_our_own_socket),
	};

	return unit_run("owners", tests);
}
