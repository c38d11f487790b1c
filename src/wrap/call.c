/* SPDX-License-Identifier: MIT */
#include "wrap/call.h"

#include <linux/audit.h>
#include <linux/net.h>
#include <stddef.h>

#define X32 0x40000000 /* in the number; the architecture is that of x86-64 */

/* The numbers of each convention, in the order of enum call_kind. libseccomp has them too, but as
 * strings that it allocates. */
static const struct {
	uint32_t arch;
	int socketcall; /* -1 none */
	int numbers[CALL_IO_URING + 1];
} conventions[] = {
	{AUDIT_ARCH_X86_64, -1, {-1, 41, 49, 50, 42, 425}},
	{AUDIT_ARCH_I386, 102, {-1, 359, 361, 363, 362, 425}},
	{AUDIT_ARCH_AARCH64, -1, {-1, 198, 200, 201, 203, 425}},
	{AUDIT_ARCH_ARM, 102, {-1, 281, 282, 284, 283, 425}},
};

static enum call_kind packed_kind(uint64_t number)
{
	switch (number) {
	case SYS_SOCKET:
		return CALL_SOCKET;
	case SYS_BIND:
		return CALL_BIND;
	case SYS_LISTEN:
		return CALL_LISTEN;
	case SYS_CONNECT:
		return CALL_CONNECT;
	default:
		return CALL_OTHER;
	}
}

struct call call_of(const struct seccomp_data *d)
{
	struct call c = {.kind = CALL_OTHER, .args = {d->args[0], d->args[1], d->args[2]}};
	int nr = d->arch == AUDIT_ARCH_X86_64 ? d->nr & ~X32 : d->nr;

	for (size_t i = 0; i < sizeof(conventions) / sizeof(conventions[0]); i++) {
		if (conventions[i].arch != d->arch)
			continue;
		if (nr == conventions[i].socketcall) {
			c.kind = packed_kind(d->args[0]);
			c.packed = true;
			c.args[0] = d->args[1];
			return c;
		}
		for (int kind = CALL_SOCKET; kind <= CALL_IO_URING; kind++)
			if (conventions[i].numbers[kind] == nr)
				c.kind = (enum call_kind)kind;
	}
	return c;
}

void call_unpack(struct call *c, const uint32_t words[3])
{
	for (int i = 0; i < 3; i++)
		c->args[i] = words[i];
	c->packed = false;
}
