/* SPDX-License-Identifier: MIT
 *
 * stage_kernel: two hosts and a wire, what can be seen of them, and that nothing is left behind
 */
#include "stage.h"

#include "case/rtnl.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct stage_pair open_pair(bool relayed)
{
	struct stage_pair p;
	struct err err;

	STAGE_DO(stage_pair_open(&p, relayed, 0, &err));
	return p;
}

static void two_hosts_connect(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(false);
	const struct tcpwhy_addr b6 = stage_addr(STAGE_B6), a6 = stage_addr(STAGE_A6);

	assert_null(p.relay);
	assert_null(p.capture);
	stage_pair_connect(&p);
	stage_say(p.client, "ping");
	stage_hear(p.server, "ping");
	const struct endpoint seen = stage_peer(p.server);
	assert_true(address_equal(&seen.addr, &p.a_addr));

	const int listener = stage_listen(p.s, p.b, &b6, 80);
	const int client = stage_connect(p.s, p.a, &b6, 80);
	assert_int_equal(stage_outcome(client), 0);
	const int server = stage_accept(listener);
	const struct endpoint seen6 = stage_peer(server);
	assert_true(address_equal(&seen6.addr, &a6));
	close(server);
	close(client);
	close(listener);
	stage_pair_close(&p);
}

static void a_closed_port_refuses(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(true);
	struct capture_record r;

	p.client = stage_connect(p.s, p.a, &p.b_addr, 81);
	assert_int_equal(stage_outcome(p.client), ECONNREFUSED);
	assert_true(capture_get(p.capture, 1, &r));
	assert_int_equal(r.frame.flags, FRAME_RST | FRAME_ACK);
	stage_pair_close(&p);
}

static void states_and_counters_are_seen(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(true);
	struct diag_sock found, all[8];
	struct err err;
	size_t n;

	stage_pair_connect(&p);
	const struct endpoint a = stage_local(p.client), b = stage_peer(p.client);
	assert_int_equal(stage_kernel_sock(p.s, p.a, &a, &b, &found, &err), 0);
	assert_int_equal(found.state, TCPWHY_ESTABLISHED);
	assert_int_equal(stage_kernel_socks(p.s, p.b, all, 8, &n, &err), 0);
	assert_int_equal(n, 2); /* the listener and the connection, and nothing of others' hosts */
	assert_int_equal(stage_kernel_sock(p.s, p.b, &a, &b, &found, &err), -ENOENT);
	assert_int_equal(stage_count(p.s, p.a, "ActiveOpens"), 1);
	assert_int_equal(stage_count(p.s, p.b, "PassiveOpens"), 1);

	stage_say(p.client, "three");
	stage_poll(p.server, POLLIN);
	assert_int_equal(stage_kernel_sock(p.s, p.b, &b, &a, &found, &err), 0);
	assert_int_equal(found.rqueue, 5);
	stage_hear(p.server, "three");

	assert_int_equal(shutdown(p.client, SHUT_WR), 0);
	STAGE_DO(stage_kernel_wait_state(p.s, p.b, &b, &a, TCPWHY_CLOSE_WAIT, stage_deadline(),
					 &err));
	STAGE_DO(stage_kernel_wait_state(p.s, p.a, &a, &b, TCPWHY_FIN_WAIT2, stage_deadline(),
					 &err));
	assert_int_equal(shutdown(p.server, SHUT_WR), 0);
	STAGE_DO(stage_kernel_wait_state(p.s, p.b, &b, &a, TCPWHY_CLOSE, stage_deadline(), &err));
	assert_int_equal(stage_kernel_sock(p.s, p.a, &a, &b, &found, &err), 0);
	assert_int_equal(found.state, TCPWHY_TIME_WAIT);
	assert_true(found.timewait);
	assert_int_equal(found.timer, DIAG_TIMER_TIME_WAIT);
	assert_true(found.expires_ms > 50000 && found.expires_ms <= 61000);
	stage_pair_close(&p);
}

/* A timer of the kernel's: the SYN that nobody answers. */
static void a_retransmission_timer_is_seen(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(true);
	struct diag_sock found;
	struct err err;

	relay_cut(p.relay, RELAY_A, true);
	p.client = stage_connect(p.s, p.a, &p.b_addr, 80);
	const struct endpoint a = stage_local(p.client), b = {p.b_addr, 80};
	assert_int_equal(stage_kernel_sock(p.s, p.a, &a, &b, &found, &err), 0);
	assert_int_equal(found.state, TCPWHY_SYN_SENT);
	assert_int_equal(found.timer, DIAG_TIMER_RETRANSMIT);
	assert_true(found.expires_ms <= 1000);
	stage_pair_close(&p);
}

static void a_socket_bound_to_its_device_is_found(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(false);
	struct sockaddr_storage to;
	struct diag_sock found;
	struct err err;
	char name[IF_NAMESIZE];

	p.listener = stage_listen(p.s, p.b, &p.b_addr, 80);
	p.client = stage_tcp(p.s, p.a, &p.b_addr);
	snprintf(name, sizeof(name), "eth%u", stage_kernel_device(p.s, p.wire, 0) - 2);
	assert_int_equal(
		setsockopt(p.client, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)),
		0);
	connect(p.client, (struct sockaddr *)&to, stage_sockaddr(&to, &p.b_addr, 80));
	assert_int_equal(stage_outcome(p.client), 0);
	const struct endpoint a = stage_local(p.client), b = stage_peer(p.client);
	assert_int_equal(stage_kernel_sock(p.s, p.a, &a, &b, &found, &err), 0);
	assert_int_equal(found.device, stage_kernel_device(p.s, p.wire, 0));
	stage_pair_close(&p);
}

static void waiting_says_what_is_there_instead(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(false);
	struct err err;

	stage_pair_connect(&p);
	const struct endpoint a = stage_local(p.client), b = stage_peer(p.client);
	assert_int_equal(stage_kernel_wait_state(p.s, p.a, &a, &b, TCPWHY_TIME_WAIT, 0, &err),
			 -ETIMEDOUT);
	assert_string_equal(err.text, "host a: the socket is in ESTABLISHED, not in TIME_WAIT");
	assert_int_equal(stage_kernel_wait_counter(p.s, p.a, "ActiveOpens", 2, 0, &err),
			 -ETIMEDOUT);
	assert_string_equal(err.text, "counter ActiveOpens of host a: 1, waited for 2");
	assert_int_equal(stage_kernel_wait_counter(p.s, p.a, "NoSuch", 2, 0, &err), -ENOENT);
	assert_string_equal(err.text,
			    "counter 'NoSuch' of host a: this kernel has none of that name");
	stage_pair_close(&p);
}

static void names_are_unique(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(false);
	struct err err;

	assert_int_equal(stage_kernel_add_host(p.s, "b", &err), -EEXIST);
	assert_string_equal(err.text, "there is a host 'b' already");
	assert_int_equal(stage_kernel_add_host(p.s, "", &err), -EINVAL);
	assert_int_equal(stage_kernel_add_host(p.s, "01234567890123456789012345678901", &err),
			 -EINVAL);
	assert_int_equal(stage_kernel_find_host(p.s, "b"), p.b);
	assert_int_equal(stage_kernel_find_host(p.s, "c"), -ENOENT);
	stage_pair_close(&p);
}

/* More source addresses, on a wire that is there already; one that is there twice is refused. */
static void a_host_gets_more_addresses(void **state)
{
	(void)state;
	struct stage_pair p = open_pair(false);
	const struct tcpwhy_addr more = stage_addr("10.0.7.7");
	struct sockaddr_storage at, to;
	struct err err;

	STAGE_DO(stage_kernel_add_addr(p.s, p.wire, 0, &more, &err));
	assert_int_equal(stage_kernel_add_addr(p.s, p.wire, 0, &more, &err), -EEXIST);
	assert_non_null(strstr(err.text, "10.0.7.7"));
	p.listener = stage_listen(p.s, p.b, &p.b_addr, 80);
	p.client = stage_tcp(p.s, p.a, &more);
	assert_int_equal(bind(p.client, (struct sockaddr *)&at, stage_sockaddr(&at, &more, 0)), 0);
	connect(p.client, (struct sockaddr *)&to, stage_sockaddr(&to, &p.b_addr, 80));
	assert_int_equal(stage_outcome(p.client), 0);
	p.server = stage_accept(p.listener);
	const struct endpoint seen = stage_peer(p.server);
	assert_true(address_equal(&seen.addr, &more));
	stage_pair_close(&p);
}

static void two_stages_are_two_worlds(void **state)
{
	(void)state;
	struct stage_pair one = open_pair(true), other = open_pair(true);

	stage_pair_connect(&one);
	stage_pair_connect(&other);
	stage_say(one.client, "one");
	stage_say(other.client, "other");
	stage_hear(one.server, "one");
	stage_hear(other.server, "other");
	stage_pair_close(&one);
	stage_pair_close(&other);
}

/* A star of sixteen hosts: everybody reaches everybody through the middle. */
static void many_hosts_in_a_star(void **state)
{
	(void)state;
	enum { HOSTS = 16 };
	const struct tcpwhy_addr any = address_v4_number(0), gateway = stage_addr("10.0.0.254");
	struct stage_kernel *s;
	struct tcpwhy_addr addrs[HOSTS];
	int hosts[HOSTS];
	struct err err;
	const uint64_t begun = stage_now();

	STAGE_DO(stage_kernel_new(&s, &err));
	const int middle = stage_kernel_add_host(s, "middle", &err);
	STAGE_DO(stage_kernel_forward(s, middle, &err));
	for (int i = 0; i < HOSTS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "node%d", i);
		addrs[i] = address_v4_number(0x0a000001 + (uint32_t)i);
		STAGE_DO(hosts[i] = stage_kernel_add_host(s, name, &err));
		/* every wire has the same address in the middle: routes tell them apart */
		const struct stage_wire w = {
			.ends = {{hosts[i], &addrs[i], 1}, {middle, &gateway, 1}}};
		STAGE_DO(stage_kernel_add_wire(s, &w, &err));
		STAGE_DO(stage_kernel_add_route(s, hosts[i], &any, 0, &gateway, false, &err));
	}
	printf("# a star of %d hosts in %.1f ms\n", HOSTS, (double)(stage_now() - begun) / 1e6);
	for (int i = 0; i < HOSTS; i++) {
		const int to = (i + 5) % HOSTS;
		const int listener = stage_listen(s, hosts[to], &addrs[to], 80);
		const int client = stage_connect(s, hosts[i], &addrs[to], 80);
		assert_int_equal(stage_outcome(client), 0);
		close(client);
		close(listener);
	}
	stage_kernel_free(s);
}

/* --------------------------------------------------------------------------- nothing is left
 * behind */

/* Gives each namespace a number in the judge's (nsid), which the kernel takes back when the
 * namespace itself is gone, not when somebody lets go of it. */
static void number_namespace(struct mnl_socket *judge, int fd, int number)
{
	char buf[256], answer[4096];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = RTM_NEWNSID;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(h, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(h, NETNSA_FD, (uint32_t)fd);
	mnl_attr_put_u32(h, NETNSA_NSID, (uint32_t)number);
	assert_true(mnl_socket_sendto(judge, h, h->nlmsg_len) > 0);
	const ssize_t n = mnl_socket_recvfrom(judge, answer, sizeof(answer));
	assert_true(n > 0);
	assert_int_equal(mnl_cb_run(answer, (size_t)n, 0, 0, NULL, NULL), MNL_CB_STOP);
}

static int count_message(const struct nlmsghdr *h, void *n)
{
	(void)h;
	++*(unsigned *)n;
	return MNL_CB_OK;
}

static unsigned numbered_namespaces(struct mnl_socket *judge)
{
	char buf[256], answer[8192];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	unsigned n = 0;
	int rc = MNL_CB_OK;

	h->nlmsg_type = RTM_GETNSID;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(h, sizeof(struct rtgenmsg));
	assert_true(mnl_socket_sendto(judge, h, h->nlmsg_len) > 0);
	while (rc > MNL_CB_STOP) {
		const ssize_t len = mnl_socket_recvfrom(judge, answer, sizeof(answer));
		assert_true(len > 0);
		rc = mnl_cb_run(answer, (size_t)len, 0, 0, count_message, &n);
		assert_true(rc >= 0);
	}
	return n;
}

static int all_are_gone(void *judge)
{
	return numbered_namespaces(judge) == 0;
}

/* Numbers the namespaces that a process holds by descriptor, but not the judge's own. */
static unsigned number_those_of(struct mnl_socket *judge, pid_t pid, const struct netns *own)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++) {
		char path[64], what[64];
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		const ssize_t len = readlink(path, what, sizeof(what) - 1);
		what[len > 0 ? len : 0] = '\0';
		if (strncmp(what, "net:[", 5) || strtoull(what + 5, NULL, 10) == own->inode)
			continue;
		const int ns = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(ns >= 0);
		number_namespace(judge, ns, (int)++n);
		close(ns);
	}
	return n;
}

/* A child that has a stage with everything on it, a TIME_WAIT too, and does nothing more. */
static void hold_a_stage(int ready)
{
	struct stage_pair p;
	struct err err = {""};
	const struct nat_rule snat = {.action = NAT_SOURCE,
				      .family = TCPWHY_IPV4,
				      .to = {address_v4_number(0x0a000009)},
				      .n_to = 1};
	const struct relay_rule hold = {.action = RELAY_HOLD, .pick = {.payload = PICK_DATA}};
	char word = 'y';

	signal(SIGINT, SIG_DFL); /* ignored where a shell started us in the background */
	/* a test that fails before its kill() shall not leave this one waiting for ever */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (stage_pair_open(&p, true, 1000000, &err) ||
	    nat_set(stage_kernel_netns(p.s, p.b), &snat, 1, &err)) {
		fprintf(stderr, "%s\n", err.text);
		word = 'n';
	} else {
		stage_pair_connect(&p);
		/* so many open connections: what they leave shall not keep their namespaces */
		for (int i = 0; i < 50; i++) {
			const int client = stage_connect(p.s, p.a, &p.b_addr, 80);
			if (stage_outcome(client) || stage_accept(p.listener) < 0)
				word = 'n';
		}
		relay_add_rule(p.relay, RELAY_A, &hold);
	}
	if (write(ready, &word, 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

static void ends_without_a_trace(int signal_number)
{
	struct netns own;
	struct rtnl judge;
	struct err err;
	int ready[2], status;
	char word;

	STAGE_DO(hostns_new(&own, &err));
	STAGE_DO(rtnl_open_in(&own, &judge, &err));
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	const pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		hold_a_stage(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &word, 1), 1);
	close(ready[0]);
	assert_int_equal(word, 'y');
	/* two hosts and the wires; more if an earlier test failed and left its own open */
	const unsigned n = number_those_of(judge.talk.nl, pid, &own);
	assert_true(n >= 3);
	assert_int_equal(numbered_namespaces(judge.talk.nl), n);
	assert_int_equal(kill(pid, signal_number), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal_number);
	const uint64_t died = stage_now();
	assert_int_equal(stage_kernel_wait(all_are_gone, judge.talk.nl, stage_deadline()), 0);
	printf("# gone %.0f ms after signal %d\n", (double)(stage_now() - died) / 1e6,
	       signal_number);
	rtnl_close(&judge);
	netns_close(&own);
}

static void kill_9_leaves_nothing(void **state)
{
	(void)state;
	ends_without_a_trace(SIGKILL);
}

static void ctrl_c_leaves_nothing(void **state)
{
	(void)state;
	ends_without_a_trace(SIGINT);
}

/* Our own namespace is never entered by a device, and no descriptor is forgotten. */
static void a_freed_stage_leaves_nothing(void **state)
{
	(void)state;
	struct if_nameindex *devices = if_nameindex();
	unsigned before = 0, after = 0;

	const int lowest = dup(0);
	for (size_t i = 0; devices[i].if_index; i++)
		before++;
	if_freenameindex(devices);
	struct stage_pair p = open_pair(true);
	stage_pair_connect(&p);
	devices = if_nameindex();
	for (size_t i = 0; devices[i].if_index; i++)
		after++;
	if_freenameindex(devices);
	assert_int_equal(before, after);
	stage_pair_close(&p);
	close(lowest);
	const int again = dup(0);
	assert_int_equal(lowest, again);
	close(again);
}

/* All are made before one is freed: the kernel takes namespaces apart in the background, and who
 * makes one meanwhile waits for it. */
static void says_what_a_stage_costs(void **state)
{
	(void)state;
	enum { ROUNDS = 10 };
	struct stage_pair p[ROUNDS];

	for (int relayed = 0; relayed < 2; relayed++) {
		const uint64_t begun = stage_now();
		for (int i = 0; i < ROUNDS; i++)
			p[i] = open_pair(relayed);
		const uint64_t made = stage_now();
		for (int i = 0; i < ROUNDS; i++)
			stage_pair_close(&p[i]);
		printf("# two hosts and a %s wire: made in %.2f ms, freed in %.2f ms\n",
		       relayed ? "relayed" : "direct", (double)(made - begun) / ROUNDS / 1e6,
		       (double)(stage_now() - made) / ROUNDS / 1e6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hosts_connect),
		cmocka_unit_test(a_closed_port_refuses),
		cmocka_unit_test(states_and_counters_are_seen),
		cmocka_unit_test(a_retransmission_timer_is_seen),
		cmocka_unit_test(a_socket_bound_to_its_device_is_found),
		cmocka_unit_test(waiting_says_what_is_there_instead),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(a_host_gets_more_addresses),
		cmocka_unit_test(two_stages_are_two_worlds),
		cmocka_unit_test(many_hosts_in_a_star),
		cmocka_unit_test(kill_9_leaves_nothing),
		cmocka_unit_test(ctrl_c_leaves_nothing),
		cmocka_unit_test(a_freed_stage_leaves_nothing),
		cmocka_unit_test(says_what_a_stage_costs),
	};

	stage_permit();
	return unit_run("stage_kernel", tests);
}
