/* SPDX-License-Identifier: MIT */
#include "wrap/filter.h"

#include <errno.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "wrap/option.h"

#define SOCKET_TYPE 0xf /* SOCK_TYPE_MASK; SOCK_NONBLOCK and SOCK_CLOEXEC lie above */

/* The low half of an argument that is an int: what stands above it is nobody's. */
#define INT_IS(arg, value) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, value)

/* The 32-bit convention beside the native one, which only the kernel's compatibility code knows. */
static uint32_t other_convention(void)
{
	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		return SCMP_ARCH_X86;
	case SCMP_ARCH_AARCH64:
		return SCMP_ARCH_ARM;
	default:
		return 0;
	}
}

/* A convention that is not named here is unknown to the kernel too. */
static int add_native(scmp_filter_ctx ctx)
{
	int failed = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);

	if (!failed && seccomp_arch_native() == SCMP_ARCH_X86_64)
		failed = seccomp_arch_add(ctx, SCMP_ARCH_X32);
	return failed;
}

/* In the 32-bit convention libseccomp adds the same call through socketcall(). */
static int add_calls(scmp_filter_ctx ctx, unsigned moments)
{
	static const struct {
		unsigned moments;
		int number;
	} calls[] = {{AT_BIND_PORT | AT_BIND_ANY, SCMP_SYS(bind)},
		     {AT_LISTEN_BOUND | AT_LISTEN_UNBOUND, SCMP_SYS(listen)},
		     {AT_CONNECT, SCMP_SYS(connect)}};
	int failed = other_convention() ? seccomp_arch_add(ctx, other_convention()) : 0;

	for (size_t i = 0; !failed && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (moments & calls[i].moments)
			failed = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, calls[i].number, 0);
	return failed;
}

static int add_socket(scmp_filter_ctx ctx)
{
	static const unsigned families[] = {AF_INET, AF_INET6};
	static const unsigned protocols[] = {0, IPPROTO_TCP};
	int failed = 0;

	for (int i = 0; !failed && i < 4; i++)
		failed = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(socket), 3,
					  INT_IS(0, families[i / 2]),
					  SCMP_CMP(1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_STREAM),
					  INT_IS(2, protocols[i % 2]));
	return failed;
}

/* Every socket() of a 32-bit program: libseccomp 2.5 would compare the arguments of socketcall()
 * with registers that hold none of them. */
static int add_other_socket(scmp_filter_ctx ctx)
{
	scmp_filter_ctx other = other_convention() ? seccomp_init(SCMP_ACT_ALLOW) : NULL;
	int failed;

	if (!other)
		return other_convention() ? -ENOMEM : 0;
	failed = seccomp_attr_set(other, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (!failed)
		failed = seccomp_arch_remove(other, SCMP_ARCH_NATIVE);
	if (!failed)
		failed = seccomp_arch_add(other, other_convention());
	if (!failed)
		failed = seccomp_rule_add(other, SCMP_ACT_NOTIFY, SCMP_SYS(socket), 0);
	/* Merged, it belongs to ctx. */
	if (!failed)
		failed = seccomp_merge(ctx, other);
	if (failed)
		seccomp_release(other);
	return failed;
}

/* IORING_OP_CONNECT is of 5.5 and OP_SOCKET of 5.19; OP_BIND and OP_LISTEN are of 6.11, and before
 * that a program that uses io_uring for its files shall cause no warning. */
static bool ring_replaces(const struct wrap_cure *cure, bool prepared)
{
	int major = 0, minor = 0;
	struct utsname u;

	if (prepared || option_moments(cure) & AT_CONNECT)
		return true;
	return uname(&u) || sscanf(u.release, "%d.%d", &major, &minor) != 2 ||
	       major * 1000 + minor >= 6011;
}

static int read_code(scmp_filter_ctx ctx, struct filter *out)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	int failed = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	ssize_t n = 0;

	if (!failed)
		n = pread(fd, out->code, sizeof(out->code), 0);
	if (n < 0)
		failed = -errno;
	else if ((size_t)n == sizeof(out->code))
		failed = -E2BIG;
	if (fd >= 0)
		close(fd);
	if (!failed)
		out->length = (unsigned short)((size_t)n / sizeof(out->code[0]));
	return failed;
}

int filter_make(const struct wrap_cure *cure, bool prepared, struct filter *out, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int failed = ctx ? add_native(ctx) : -ENOMEM;

	if (!failed)
		failed = prepared ? add_socket(ctx) : add_calls(ctx, option_moments(cure));
	if (!failed && prepared)
		failed = add_other_socket(ctx);
	if (!failed && ring_replaces(cure, prepared))
		failed = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(io_uring_setup), 0);
	if (!failed)
		failed = read_code(ctx, out);
	if (ctx)
		seccomp_release(ctx);
	if (failed)
		snprintf(err->text, sizeof(err->text), "the seccomp filter could not be made: %s",
			 strerror(-failed));
	return failed;
}

int filter_load(const struct filter *f)
{
	struct sock_fprog program = {f->length, (struct sock_filter *)f->code};
	/* SPEC_ALLOW: before 5.16 a filter would else switch off speculation in the whole program,
	 * which has nothing to do with what we want. WAIT_KILLABLE_RECV (5.19): a call that we
	 * already look at is no longer interrupted by signals and made anew. */
	unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return fd < 0 ? -errno : (int)fd;
}
