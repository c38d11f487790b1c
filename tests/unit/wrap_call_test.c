/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <linux/audit.h>

#include "wrap/call.h"

static void test_conventions(void **state)
{
	static const struct {
		struct seccomp_data d;
		enum call_kind kind;
	} calls[] = {
		{{.nr = 41, .arch = AUDIT_ARCH_X86_64}, CALL_SOCKET},
		{{.nr = 49, .arch = AUDIT_ARCH_X86_64}, CALL_BIND},
		{{.nr = 50, .arch = AUDIT_ARCH_X86_64}, CALL_LISTEN},
		{{.nr = 42, .arch = AUDIT_ARCH_X86_64}, CALL_CONNECT},
		{{.nr = 425, .arch = AUDIT_ARCH_X86_64}, CALL_IO_URING},
		{{.nr = 0x40000000 | 49, .arch = AUDIT_ARCH_X86_64}, CALL_BIND},
		{{.nr = 361, .arch = AUDIT_ARCH_I386}, CALL_BIND},
		{{.nr = 363, .arch = AUDIT_ARCH_I386}, CALL_LISTEN},
		{{.nr = 200, .arch = AUDIT_ARCH_AARCH64}, CALL_BIND},
		{{.nr = 201, .arch = AUDIT_ARCH_AARCH64}, CALL_LISTEN},
		{{.nr = 203, .arch = AUDIT_ARCH_AARCH64}, CALL_CONNECT},
		{{.nr = 282, .arch = AUDIT_ARCH_ARM}, CALL_BIND},
		/* Numbers of one convention in another. */
		{{.nr = 49, .arch = AUDIT_ARCH_AARCH64}, CALL_OTHER},
		{{.nr = 200, .arch = AUDIT_ARCH_X86_64}, CALL_OTHER},
		{{.nr = 49, .arch = 0}, CALL_OTHER},
		{{.nr = -1, .arch = AUDIT_ARCH_X86_64}, CALL_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (call_of(&calls[i].d).kind != calls[i].kind)
			fail_msg("row %zu", i);
}

static void test_packed(void **state)
{
	const struct seccomp_data d = {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {2, 0xffffd000}};
	const struct seccomp_data accept = {.nr = 102, .arch = AUDIT_ARCH_I386, .args = {5, 1}};
	struct call c = call_of(&d);

	(void)state;
	assert_int_equal(c.kind, CALL_BIND);
	assert_true(c.packed);
	assert_int_equal(c.args[0], 0xffffd000);
	call_unpack(&c, (const uint32_t[]){3, 0xffffe000, 16});
	assert_false(c.packed);
	assert_int_equal(c.args[0], 3);
	assert_int_equal(c.args[1], 0xffffe000);
	assert_int_equal(c.args[2], 16);
	assert_int_equal(call_of(&accept).kind, CALL_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conventions),
		cmocka_unit_test(test_packed),
	};

	return unit_run("wrap_call", tests);
}
