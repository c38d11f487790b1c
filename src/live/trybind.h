/* SPDX-License-Identifier: MIT
 *
 * trybind.h - the real bind(), and listen(), in the calling thread's namespace
 */
#ifndef TCPWHY_LIVE_TRYBIND_H
#define TCPWHY_LIVE_TRYBIND_H

#include "base/error.h"
#include "tcpwhy/engine.h"

/* As live_try_bind(). Takes on q->uid, and gives up CAP_NET_BIND_SERVICE if q says that the asker
 * has not got it: only for a thread that ends afterwards. */
int trybind_here(const struct tcpwhy_bind_request *q, int *error, enum tcpwhy_call *at,
		 struct err *err);

#endif
