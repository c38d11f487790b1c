/* SPDX-License-Identifier: MIT
 *
 * sysctl_key.h - the sysctls that decide over TCP's ports, TIME_WAIT, handshakes and resets
 *
 * A table: what each means, which values it takes, which kernels have it, whether each network
 * namespace has its own, what is given up by changing it, and since when a pod may ask for it.
 * Pure: it neither reads nor writes a sysctl; what the kernel has now is for src/live, the change
 * for cure/sysctl.h. Releases are those of the mainline: a distributor's kernel may differ, and
 * what /proc/sys shows is what counts.
 */
#ifndef TCPWHY_CURE_SYSCTL_KEY_H
#define TCPWHY_CURE_SYSCTL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sysctl_form {
	SYSCTL_NUMBER, /* 60 */
	SYSCTL_RANGE,  /* "32768 60999": two ports, the first not above the second */
	SYSCTL_PORTS   /* "8080,9000-9100", or nothing */
};

/* A release of Linux or of Kubernetes, so that they compare as numbers. */
#define SYSCTL_RELEASE(major, minor) ((uint16_t)((major) << 8 | (minor)))
#define SYSCTL_NEVER                 UINT16_MAX

/* Of another network namespace's value the kernel knows nothing: net->ipv4.sysctl_...; a
 * machine-wide one is not even shown outside the first namespace. */
struct sysctl_key {
	const char *name;  /* "net.ipv4.tcp_tw_reuse" */
	const char *means; /* one sentence */
	const char
		*raising; /* what is given up by a greater value, or by more ports; NULL: nothing */
	const char *lowering; /* by a smaller one */
	const char *refusal;  /* why the kernel may refuse a value that is in range, or NULL */
	uint8_t form;         /* enum sysctl_form */
	bool refuses_less;    /* the kernel (6.18) itself refuses what is below least ... */
	bool refuses_more; /* ... and above greatest; else it takes it, and it means nothing more */
	bool ticks; /* kept in the kernel's ticks: reads back up to 10 ms more than was written */
	bool netns_unread;        /* the release of netns_since is not from a kernel's source */
	uint32_t least, greatest; /* of a port list and a range: of each port */
	uint16_t since;           /* the first release that has it; 0: every one from 3.10 on */
	uint16_t until;           /* the first that no longer has it; 0: there is none */
	uint16_t netns_since; /* each network namespace has its own; 0: always; or SYSCTL_NEVER */
	uint16_t kube_since;  /* Kubernetes lets any pod set it; 0: always; or SYSCTL_NEVER */
};

/* Room for every value but a port list of more than a page, which the kernel takes in pieces. */
#define SYSCTL_VALUE_MAX 4096

/* The rows in the order of the manual page; NULL beyond the last. */
const struct sysctl_key *sysctl_key_at(size_t i);

/* By name as people write it: net.ipv4.tcp_tw_reuse, tcp_tw_reuse, net/ipv4/tcp_tw_reuse,
 * /proc/sys/net/ipv4/tcp_tw_reuse. A name that two families have is IPv4's. NULL: not in the table.
 */
const struct sysctl_key *sysctl_key_find(const char *name);

/* The rows that a mistyped name may have meant, nearest first; returns how many, at most max. */
size_t sysctl_key_near(const char *name, const struct sysctl_key **near, size_t max);

/* Writes the value as the kernel prints it (but with a space where it has a tab, and ports sorted
 * and joined) into out; size SYSCTL_VALUE_MAX has room. NULL, or what is wrong with text, a few
 * words, with out untouched. */
const char *sysctl_key_value(const struct sysctl_key *key, const char *text, char *out,
			     size_t size);

/* Whether reading the sysctl gave what was written: both may be in any form. */
bool sysctl_key_same(const struct sysctl_key *key, const char *written, const char *seen);

/* Whether that release of Linux has it, and then whether each network namespace has its own. */
bool sysctl_key_exists(const struct sysctl_key *key, uint16_t linux_release);
bool sysctl_key_per_netns(const struct sysctl_key *key, uint16_t linux_release);

/* "6.18.44-generic", "v1.29.3", "1.29": SYSCTL_RELEASE of its first two numbers; 0 if text is no
 * such. */
uint16_t sysctl_release_parse(const char *text);

/* "/proc/sys/net/ipv4/tcp_tw_reuse"; false if out has no room. */
bool sysctl_key_path(const struct sysctl_key *key, char *out, size_t size);

#endif
