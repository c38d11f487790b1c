/* SPDX-License-Identifier: MIT
 *
 * The filter, run by a small interpreter over calls of every convention: what waits for the
 * supervisor, and that all else does not. The kernel runs the same code in tests/cli/run.sh.
 */
#include "unit.h"

#include <linux/audit.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "wrap/filter.h"

#define X32 0x40000000

/* Classic BPF, as far as seccomp_check_filter() lets it in and libseccomp writes it. */
static uint32_t verdict(const struct filter *f, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (unsigned pc = 0; pc < f->length; pc++) {
		const struct sock_filter *i = &f->code[pc];
		bool is = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)d + i->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			is = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			is = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			is = a > i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			is = a & i->k;
			break;
		default:
			fail_msg("instruction %#x is not known", i->code);
		}
		pc += is ? i->jt : i->jf;
	}
	fail_msg("the filter has no end");
	return 0;
}

static bool waits(const struct wrap_cure *cure, bool prepared, struct seccomp_data d)
{
	struct filter f;
	struct err err;
	uint32_t v;

	assert_int_equal(filter_make(cure, prepared, &f, &err), 0);
	v = verdict(&f, &d);
	assert_true(v == SECCOMP_RET_ALLOW || v == SECCOMP_RET_USER_NOTIF);
	return v == SECCOMP_RET_USER_NOTIF;
}

#ifdef __x86_64__
static const struct wrap_cure reuse = {.reuseaddr = true};
static const struct wrap_cure no_port = {.bind_address_no_port = true};
static const struct wrap_cure range = {.range_low = 40000, .range_high = 41000};

enum { NEVER = 0, REUSE = 1, NO_PORT = 2, RANGE = 4 };

static void test_calls(void **state)
{
	static const struct {
		const char *name;
		struct seccomp_data d;
		unsigned when;
	} calls[] = {
		{"bind", {.nr = 49, .arch = AUDIT_ARCH_X86_64}, REUSE | NO_PORT | RANGE},
		{"listen", {.nr = 50, .arch = AUDIT_ARCH_X86_64}, REUSE | RANGE},
		{"connect", {.nr = 42, .arch = AUDIT_ARCH_X86_64}, RANGE},
		{"socket", {.nr = 41, .arch = AUDIT_ARCH_X86_64, .args = {2, 1, 6}}, NEVER},
		{"accept", {.nr = 43, .arch = AUDIT_ARCH_X86_64}, NEVER},
		{"read", {.nr = 0, .arch = AUDIT_ARCH_X86_64}, NEVER},
		{"x32 bind", {.nr = X32 | 49, .arch = AUDIT_ARCH_X86_64}, REUSE | NO_PORT | RANGE},
		{"x32 listen", {.nr = X32 | 50, .arch = AUDIT_ARCH_X86_64}, REUSE | RANGE},
		{"i386 bind", {.nr = 361, .arch = AUDIT_ARCH_I386}, REUSE | NO_PORT | RANGE},
		{"i386 bind, packed",
		 {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_BIND}},
		 REUSE | NO_PORT | RANGE},
		{"i386 listen, packed",
		 {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_LISTEN}},
		 REUSE | RANGE},
		{"i386 connect, packed",
		 {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_CONNECT}},
		 RANGE},
		{"i386 socket, packed",
		 {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_SOCKET}},
		 NEVER},
		{"i386 number of another", {.nr = 49, .arch = AUDIT_ARCH_I386}, NEVER},
		{"x86-64 number of another", {.nr = 361, .arch = AUDIT_ARCH_X86_64}, NEVER},
		{"bind of no convention here", {.nr = 200, .arch = AUDIT_ARCH_AARCH64}, NEVER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		unsigned when = (waits(&reuse, false, calls[i].d) ? REUSE : 0) |
				(waits(&no_port, false, calls[i].d) ? NO_PORT : 0) |
				(waits(&range, false, calls[i].d) ? RANGE : 0);

		if (when != calls[i].when)
			fail_msg("%s: %u, not %u", calls[i].name, when, calls[i].when);
	}
}

static void test_prepared(void **state)
{
	static const struct {
		const char *name;
		struct seccomp_data d;
		bool waits;
	} calls[] = {
		{"tcp", {.nr = 41, .args = {AF_INET, SOCK_STREAM, 0}}, true},
		{"tcp by its number",
		 {.nr = 41, .args = {AF_INET, SOCK_STREAM, IPPROTO_TCP}},
		 true},
		{"over IPv6", {.nr = 41, .args = {AF_INET6, SOCK_STREAM, 0}}, true},
		{"with flags",
		 {.nr = 41, .args = {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0}},
		 true},
		{"with rubbish above an int",
		 {.nr = 41, .args = {AF_INET | 1ull << 32, SOCK_STREAM | 7ull << 32, 1ull << 63}},
		 true},
		{"udp", {.nr = 41, .args = {AF_INET, SOCK_DGRAM, 0}}, false},
		{"unix", {.nr = 41, .args = {AF_UNIX, SOCK_STREAM, 0}}, false},
		{"sctp", {.nr = 41, .args = {AF_INET, SOCK_STREAM, IPPROTO_SCTP}}, false},
		{"bind", {.nr = 49}, false},
		{"x32", {.nr = X32 | 41, .args = {AF_INET, SOCK_STREAM, 0}}, true},
	};
	/* Those of 32 bits come with any arguments: the packed ones are elsewhere. */
	const struct seccomp_data packed = {
		.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_SOCKET, 0xfff1}};
	const struct seccomp_data direct = {
		.nr = 359, .arch = AUDIT_ARCH_I386, .args = {AF_INET, SOCK_STREAM, 0}};
	const struct seccomp_data other = {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {SYS_BIND}};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct seccomp_data d = calls[i].d;

		d.arch = AUDIT_ARCH_X86_64;
		if (waits(&reuse, true, d) != calls[i].waits)
			fail_msg("%s", calls[i].name);
	}
	assert_true(waits(&reuse, true, packed));
	assert_true(waits(&reuse, true, direct));
	assert_false(waits(&reuse, true, other));
}
#else
static void test_calls(void **state)
{
	(void)state;
	unit_skip("the table of calls is of x86-64");
}

static void test_prepared(void **state)
{
	(void)state;
	unit_skip("the table of calls is of x86-64");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_prepared),
	};

	return unit_run("wrap_filter", tests);
}
