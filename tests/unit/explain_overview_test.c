/* SPDX-License-Identifier: MIT
 *
 * A table of namespaces in numbers and what must be found there. Beside each in which a rule fires
 * stands one in which it nearly does.
 */
#include "explain/explain.h"
#include "scene.h"

#define LOW 20000

static struct overview seen;
static struct diagnosis found;

static struct overview_destination *destination(uint32_t living)
{
	struct overview_destination *d = &seen.destinations[seen.destinations_n++];

	*d = (struct overview_destination){.local = scene_addr("10.0.0.5"),
					   .peer = scene_addr("10.0.0.9"),
					   .peer_port = 80,
					   .family = TCPWHY_IPV4,
					   .living = living};
	return d;
}

static void range(uint32_t total)
{
	seen.range_total = total;
	seen.sysctls.port_low = LOW;
	seen.sysctls.port_high = (uint16_t)(LOW + total - 1);
}

static void quiet(void)
{
	destination(899);
	seen.range_held = 899;
}

static void destination_nearly(void)
{
	destination(900);
}

static void destination_full(void)
{
	destination(1000);
}

/* Of a port that bind() owns or that is reserved nothing is left for anybody. */
static void destination_full_but_owned(void)
{
	seen.range_owned = 100;
	seen.range_reserved = 100;
	destination(800);
}

static void destination_timewait(enum overview_wait wait, uint8_t tw_reuse)
{
	seen.sysctls.tw_reuse = tw_reuse;
	destination(0)->waiting[wait] = 1000;
}

static void timewait_old(void)
{
	destination_timewait(OVERVIEW_OLD, 1);
}

static void timewait_young(void)
{
	destination_timewait(OVERVIEW_YOUNG, 1);
}

static void timewait_no_timestamps(void)
{
	destination_timewait(OVERVIEW_NO_TIMESTAMPS, 1);
}

static void timewait_fin_wait2(void)
{
	destination_timewait(OVERVIEW_FIN_WAIT2, 1);
}

/* 2: loopback only. */
static void timewait_not_loopback(void)
{
	destination_timewait(OVERVIEW_OLD, 2);
}

static void timewait_loopback(void)
{
	destination_timewait(OVERVIEW_OLD, 2);
	seen.destinations[0].local = seen.destinations[0].peer = scene_addr("127.0.0.1");
}

static void timewait_unseen(void)
{
	destination_timewait(OVERVIEW_TIMESTAMPS_UNSEEN, 1);
}

static void bind0_nearly(void)
{
	seen.range_held = 900;
}

static void bind0_full(void)
{
	seen.range_held = 990;
	seen.range_reserved = 10;
}

/* Nobody holds a port, and there is none. */
static void all_reserved(void)
{
	seen.range_reserved = 1000;
}

static void nearly_all_reserved(void)
{
	seen.range_reserved = 998;
}

static void bind_owns_most(void)
{
	seen.range_owned = 900;
}

static void bind_owns_all(void)
{
	seen.range_owned = 1000;
}

static void listener(void)
{
	seen.listeners[seen.listeners_n++].who.seen.o =
		(struct tcpwhy_owner){.local = scene_addr("0.0.0.0"), .port = LOW + 5};
	seen.listeners_total++;
}

static void odd(void)
{
	range(1001);
}

static void odd_three(void)
{
	range(3);
}

static void odd_last_by_chance(void)
{
	range(5);
	seen.range_owned = seen.range_held = 4;
	seen.bind0_by_chance = seen.connect_by_chance = true;
}

static void three_full(void)
{
	range(3);
	seen.range_unmet = 1;
	seen.range_held = 2;
	destination(2);
}

static void test_odd_texts(void **state)
{
	static const struct {
		void (*scene)(void);
		size_t bad, warn;
		uint32_t bind0_free;
	} plays[] = {{odd_last_by_chance, 0, 1, 1}, {three_full, 2, 1, 0}};
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");

	(void)state;
	for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		memset(&seen, 0, sizeof(seen));
		seen.sysctls = row->defaults;
		plays[i].scene();
		assert_int_equal(explain_overview(&seen, row, NULL, 0, &heap_memory, &found), 0);
		assert_int_equal(found.bad, plays[i].bad);
		assert_int_equal(found.warn, plays[i].warn);
		assert_int_equal(found.bind0_free, plays[i].bind0_free);
		assert_true(!!strstr(found.findings[found.findings_n - 1].title, "by chance") ==
			    seen.bind0_by_chance);
	}
}

static void one_port(void)
{
	range(1);
}

static void range_unseen(void)
{
	range(0);
	seen.sysctls.port_low = seen.sysctls.port_high = 0;
}

static void test_findings(void **state)
{
	static const struct {
		const char *name;
		void (*scene)(void);
		const char *rule; /* without "doctor."; NULL: nothing is found */
		enum severity severity;
	} plays[] = {
		{"quiet", quiet, NULL, 0},
		{"nearly", destination_nearly, "destination-nearly-exhausted", SEVERITY_WARN},
		{"full", destination_full, "destination-exhausted", SEVERITY_BAD},
		{"full but owned", destination_full_but_owned, "destination-exhausted",
		 SEVERITY_BAD},
		{"old TIME_WAIT", timewait_old, NULL, 0},
		{"young", timewait_young, "destination-exhausted", SEVERITY_BAD},
		{"no timestamps", timewait_no_timestamps, "destination-exhausted", SEVERITY_BAD},
		{"FIN_WAIT2", timewait_fin_wait2, "destination-exhausted", SEVERITY_BAD},
		{"not loopback", timewait_not_loopback, "destination-exhausted", SEVERITY_BAD},
		{"loopback", timewait_loopback, NULL, 0},
		{"timestamps unseen", timewait_unseen, NULL, 0},
		{"bind(0) nearly", bind0_nearly, "bind0-nearly-exhausted", SEVERITY_WARN},
		{"bind(0) full", bind0_full, "bind0-exhausted", SEVERITY_BAD},
		{"all reserved", all_reserved, "range-reserved", SEVERITY_BAD},
		{"nearly all reserved", nearly_all_reserved, NULL, 0},
		{"bind() owns most", bind_owns_most, "bind-owns-the-range", SEVERITY_WARN},
		{"bind() owns all", bind_owns_all, "bind-owns-the-range", SEVERITY_BAD},
		{"listener", listener, "listener-in-ephemeral-range", SEVERITY_WARN},
		{"odd", odd, "odd-range", SEVERITY_WARN},
		{"odd, of three", odd_three, "odd-range", SEVERITY_WARN},
		{"one port", one_port, NULL, 0},
		{"range unseen", range_unseen, NULL, 0},
	};
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");

	(void)state;
	for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		memset(&seen, 0, sizeof(seen));
		seen.sysctls = row->defaults;
		seen.taken_ns = 1000 * SECOND;
		range(1000);
		plays[i].scene();
		print_message("# %s\n", plays[i].name);
		assert_int_equal(explain_overview(&seen, row, NULL, 0, &heap_memory, &found), 0);
		assert_int_equal(found.findings_n, plays[i].rule ? 1 : 0);
		if (!plays[i].rule)
			continue;
		assert_string_equal(found.findings[0].rule + strlen("doctor."), plays[i].rule);
		assert_int_equal(found.findings[0].severity, plays[i].severity);
		assert_int_equal(found.bad, plays[i].severity == SEVERITY_BAD);
		assert_int_equal(found.warn, plays[i].severity == SEVERITY_WARN);
		assert_true(found.findings[0].because[0] && found.findings[0].evidence[0]);
		assert_true(found.findings[0].cures_n > 0);
	}
}

/* Half of the TIME_WAIT comes back; the numbers add up to what connect() may use. */
static void test_standing(void **state)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	struct overview_destination *d;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.sysctls = row->defaults;
	seen.sysctls.tw_reuse = 1;
	seen.taken_ns = 1000 * SECOND;
	range(1000);
	d = destination(100);
	d->waiting[OVERVIEW_OLD] = 200;
	d->waiting[OVERVIEW_YOUNG] = 300;
	d->waiting[OVERVIEW_TIMESTAMPS_UNSEEN] = 5;
	assert_int_equal(explain_overview(&seen, row, NULL, 0, &heap_memory, &found), 0);
	assert_int_equal(found.standing[0].taken, 400);
	assert_int_equal(found.standing[0].reusable, 200);
	assert_int_equal(found.standing[0].unknown, 5);
	assert_int_equal(found.standing[0].free, 395);
}

static void test_worst_first_and_confirmed(void **state)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	struct result r = {.verdict.answer = TCPWHY_REFUSED, .cures_n = 1};

	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.sysctls = row->defaults;
	seen.taken_ns = 1000 * SECOND;
	range(1000);
	destination_nearly();
	listener();
	destination_full();
	assert_int_equal(explain_overview(&seen, row, "blue", 0, &heap_memory, &found), 0);
	assert_int_equal(found.findings_n, 3);
	assert_int_equal(found.bad, 1);
	assert_int_equal(found.findings[0].destination, 1);
	assert_string_equal(found.findings[0].ask,
			    "tcpwhy connect --netns blue 10.0.0.9:80 --from 10.0.0.5");
	strcpy(r.cures[0].id, "tw-reuse");
	explain_confirm(&found, &found.findings[0], &r);
	assert_int_equal(found.bad, 1);
	assert_string_equal(found.findings[0].cures[0].id, "tw-reuse");
	r.verdict.answer = TCPWHY_OK;
	explain_confirm(&found, &found.findings[0], &r);
	assert_int_equal(found.bad, 0);
	assert_int_equal(found.warn, 3);
}

static void survey(const char *netns)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");

	assert_int_equal(explain_overview(&seen, row, netns, 0, &heap_memory, &found), 0);
}

static void start(void)
{
	memset(&seen, 0, sizeof(seen));
	seen.sysctls = tcpwhy_row_find("6.18.y")->defaults;
	seen.taken_ns = 1000 * SECOND;
	range(1000);
}

/* Typed one after the other, none takes back what another did. */
static void test_listeners_are_reserved_together(void **state)
{
	(void)state;
	start();
	seen.reserved[0] = 1u << 9;
	listener();
	listener();
	seen.listeners[1].who.seen.o.port = LOW + 6;
	survey("blue");
	assert_int_equal(found.findings_n, 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(found.findings[i].cures[0].command,
				    "tcpwhy fix sysctl --netns blue "
				    "net.ipv4.ip_local_reserved_ports=9,20005-20006");
	seen.sysctls_unknown = SNAPSHOT_S_RESERVED;
	survey("blue");
	assert_string_equal(found.findings[0].cures[0].command, "");
}

static void test_range_commands(void **state)
{
	(void)state;
	start();
	odd();
	survey(NULL);
	assert_string_equal(found.findings[0].cures[0].command,
			    "tcpwhy fix sysctl net.ipv4.ip_local_port_range='20000 21001'");
	start();
	bind0_full();
	survey(NULL);
	assert_string_equal(found.findings[0].cures[1].id, "lease-port");
	assert_string_equal(found.findings[0].cures[1].command,
			    "tcpwhy port init 19000-19999 && tcpwhy run --lease -- CMD");
	survey("blue");
	assert_string_equal(found.findings[0].cures[1].command, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_standing),
		cmocka_unit_test(test_odd_texts),
		cmocka_unit_test(test_worst_first_and_confirmed),
		cmocka_unit_test(test_listeners_are_reserved_together),
		cmocka_unit_test(test_range_commands),
	};

	return unit_run("explain_overview", tests);
}
