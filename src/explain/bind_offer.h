/* SPDX-License-Identifier: MIT
 *
 * bind_offer.h - the offers that cures.c lists in its table, and how they ask again
 *
 * Each is true if it helps: the cure is written and tried. Those of connect() are connect_cures.c's
 * own.
 */
#ifndef TCPWHY_EXPLAIN_BIND_OFFER_H
#define TCPWHY_EXPLAIN_BIND_OFFER_H

#include "explain/asked.h"
#include "explain/offer.h"

/* Asks again with the change applied, or the other request; o->trial says what came of it. True: it
 * helps. */
bool bind_try_change(struct offer *o, const struct load_change *c);
bool bind_try_request(struct offer *o, const struct tcpwhy_bind_request *q);

/* cures_option.c */
bool bind_offer_reuseaddr(struct offer *o);
bool bind_offer_reuseport(struct offer *o);
bool bind_offer_v6only_off(struct offer *o);
bool bind_offer_v6only_on(struct offer *o);
bool bind_offer_bind_device(struct offer *o);
bool bind_offer_freebind(struct offer *o);
bool bind_offer_capability(struct offer *o);

/* cures_address.c */
bool bind_offer_address(struct offer *o);

/* cures_sysctl.c */
bool bind_offer_fin_timeout(struct offer *o);
bool bind_offer_reserve(struct offer *o);
bool bind_offer_unprivileged(struct offer *o);
bool bind_offer_nonlocal(struct offer *o);
bool bind_offer_autobind_reuse(struct offer *o);
bool bind_offer_wider_range(struct offer *o);

#endif
