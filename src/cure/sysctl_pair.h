/* SPDX-License-Identifier: MIT
 *
 * sysctl_pair.h - two sysctls that the kernel holds against each other
 *
 * The first port of ip_local_port_range may not be below ip_unprivileged_port_start. Whichever of
 * the two is written, the other one as it stands decides (ipv4_local_port_range() and
 * ipv4_privileged_ports(), both since 4.11), so of two changes one order works and the other is
 * EINVAL. Pure: what stands in a namespace is for cure/sysctl.h.
 */
#ifndef TCPWHY_CURE_SYSCTL_PAIR_H
#define TCPWHY_CURE_SYSCTL_PAIR_H

#include "cure/sysctl_key.h"

/* The one that key's values are held against; NULL: there is none. */
const struct sysctl_key *sysctl_pair_other(const struct sysctl_key *key);

/* Whether the kernel takes value for key, one of a pair, while the other one is other: both as the
 * kernel prints them, or as sysctl_key_value() writes them. */
bool sysctl_pair_allows(const struct sysctl_key *key, const char *value, const char *other);

/* What a network namespace begins with; the value of no other one is inherited. NULL: key is not
 * one of a pair. */
const char *sysctl_pair_fresh(const struct sysctl_key *key);

/* Writes the value of the other one that lets value in, with as little else changed as can be.
 * False: out has no room, or key is not one of a pair. */
bool sysctl_pair_makes_room(const struct sysctl_key *key, const char *value, const char *other,
			    char *out, size_t size);

#endif
