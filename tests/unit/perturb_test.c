/* SPDX-License-Identifier: MIT
 *
 * Where connect() starts: by key, by table, by ten seconds; and the real kernel's steps beside it
 */
#include "child.h"
#include "engine_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <sys/socket.h>

enum { LOW = 20000, COUNT = 4000, TABLE = 256 };

struct run {
	struct tcpwhy_engine *e;
	uint32_t table[TABLE];
	struct tcpwhy_perturb perturb;
	uint64_t x;
};

static uint32_t drawn(void *ctx, uint32_t n)
{
	return (uint32_t)(unit_random(ctx) % n);
}

static void run_open(struct run *r, uint64_t key)
{
	memset(r, 0, sizeof(*r));
	r->e = fixture_engine(0);
	r->perturb = (struct tcpwhy_perturb){.key = {key, ~key}, .table = r->table, .size = TABLE};
	r->x = 7;
	sysctl_set(r->e, LOW, LOW + COUNT - 1);
}

static uint16_t connect_once(struct run *r, uint16_t peer_port)
{
	struct tcpwhy_choice choice = {.draw = drawn, .ctx = &r->x, .perturb = &r->perturb};
	struct tcpwhy_addr peer = at("10.0.0.1"), source = at("10.0.0.2");
	struct tcpwhy_verdict v;

	assert_int_equal(
		tcpwhy_connect(r->e, sock4(r->e, 0), &peer, peer_port, &source, &choice, &v), 0);
	assert_int_equal(v.error, 0);
	return v.port;
}

/* After a port found at once the next start is 2, 4 ... 16 further. */
static bool follows(uint16_t before, uint16_t after)
{
	const unsigned step = (unsigned)(after - before + COUNT) % COUNT;

	return step >= 2 && step <= 16 && step % 2 == 0;
}

static void test_same_key_same_ports(void **state)
{
	struct run a, b, c;
	unsigned differ = 0;

	(void)state;
	run_open(&a, 1);
	run_open(&b, 1);
	run_open(&c, 2);
	for (unsigned i = 0; i < 200; i++) {
		const uint16_t port = connect_once(&a, (uint16_t)(80 + i % 5));
		assert_int_equal(port, connect_once(&b, (uint16_t)(80 + i % 5)));
		differ += port != connect_once(&c, (uint16_t)(80 + i % 5));
	}
	assert_true(differ > 150);
	tcpwhy_engine_free(a.e);
	tcpwhy_engine_free(b.e);
	tcpwhy_engine_free(c.e);
}

static void test_steps_and_epochs(void **state)
{
	struct run r;

	(void)state;
	run_open(&r, 3);
	uint16_t before = connect_once(&r, 80);
	for (unsigned i = 0; i < 200; i++) {
		const uint16_t port = connect_once(&r, 80);
		assert_true(follows(before, port));
		before = port;
	}
	unsigned jumps = 0;
	for (unsigned i = 1; i <= 20; i++) {
		tcpwhy_advance(r.e, i * UINT64_C(10000000000));
		const uint16_t port = connect_once(&r, 80);
		jumps += !follows(before, port);
		before = port;
	}
	assert_true(jumps >= 18); /* a jump may land within sixteen by chance */
	tcpwhy_engine_free(r.e);
}

/* ------------------------------------------------------------------------------- the kernel */

static bool write_text(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool lo_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;

	close(fd);
	return ok;
}

static uint16_t kernel_connect(struct sockaddr_in to)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    getsockname(fd, (struct sockaddr *)&from, &length))
		return 0;
	return ntohs(from.sin_port); /* the socket stays, so that no port comes back */
}

/* 0 agreed, 1 not, 2 could not be set up. Every start but one epoch's jump is in the set the engine
 * knows. */
static int watch_kernel(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	const int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned strays = 0;

	if (unshare(CLONE_NEWNET) || !lo_up() ||
	    !write_text("/proc/sys/net/ipv4/ip_local_port_range", "20000 23999"))
		return 2;
	close(l);
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (bind(listener, (struct sockaddr *)&to, sizeof(to)) || listen(listener, 1024))
		return 2;
	uint16_t before = kernel_connect(to);
	for (unsigned i = 0; i < 150; i++) {
		const uint16_t port = kernel_connect(to);
		strays += !follows(before, port);
		before = port;
	}
	return strays > 1;
}

static void test_kernel_steps(void **state)
{
	(void)state;
	if (geteuid())
		unit_skip("a network namespace takes root");
	child_run(watch_kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_key_same_ports),
		cmocka_unit_test(test_steps_and_epochs),
		cmocka_unit_test(test_kernel_steps),
	};

	return unit_run("perturb", tests);
}
