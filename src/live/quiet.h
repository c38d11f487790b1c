/* SPDX-License-Identifier: MIT
 *
 * quiet.h - libbpf says nothing on stderr while we try things that may fail
 */
#ifndef TCPWHY_LIVE_QUIET_H
#define TCPWHY_LIVE_QUIET_H

#include <bpf/libbpf.h>

/* Silences libbpf; give the result to quiet_end(). */
static inline libbpf_print_fn_t quiet_begin(void)
{
	return libbpf_set_print(NULL);
}

static inline void quiet_end(libbpf_print_fn_t before)
{
	libbpf_set_print(before);
}

#endif
