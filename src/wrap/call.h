/* SPDX-License-Identifier: MIT
 *
 * call.h - which call a notification is, in each calling convention of the machine
 *
 * A 32-bit program on x86-64 may call bind() itself or through socketcall(), which has its
 * arguments in memory; an x32 program has a bit in the number. aarch64 runs 32-bit ARM.
 */
#ifndef TCPWHY_WRAP_CALL_H
#define TCPWHY_WRAP_CALL_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

enum call_kind {
	CALL_OTHER,
	CALL_SOCKET,
	CALL_BIND,
	CALL_LISTEN,
	CALL_CONNECT,
	CALL_IO_URING, /* io_uring_setup() */
};

struct call {
	enum call_kind kind;
	bool packed; /* args[0] is where the arguments lie, 32 bits each; call_unpack() */
	uint64_t args[3];
};

struct call call_of(const struct seccomp_data *data);
void call_unpack(struct call *c, const uint32_t words[3]);

#endif
