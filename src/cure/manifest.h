/* SPDX-License-Identifier: MIT
 *
 * manifest.h - sysctls of a pod, in the words of Kubernetes and CNI
 *
 * A pod does not inherit the sysctls of its node, and net.* is read-only in its containers. There
 * are three ways in: the pod's own securityContext.sysctls, an init container, and the CNI plugin
 * "tuning". This writes what each of them wants to be given. Pure: nothing is applied, and no
 * cluster is asked.
 */
#ifndef TCPWHY_CURE_MANIFEST_H
#define TCPWHY_CURE_MANIFEST_H

#include "cure/sysctl_key.h"

enum manifest_kind {
	MANIFEST_SYSCTL,         /* the kubelet sets them; what is not on its list it refuses */
	MANIFEST_INIT_CONTAINER, /* a privileged container that runs once, before the others */
	MANIFEST_CNI_TUNING, /* every pod of the nodes that have it in their CNI configuration */
};

/* A pod has securityContext.sysctls since then, and init containers since 1.6. */
#define MANIFEST_SYSCTL_SINCE SYSCTL_RELEASE(1, 11)
#define MANIFEST_INIT_SINCE   SYSCTL_RELEASE(1, 6)

struct manifest_setting {
	const struct sysctl_key *key;
	const char *value; /* in its normal form */
};

struct manifest {
	enum manifest_kind kind;
	uint16_t kube; /* SYSCTL_RELEASE of the cluster; 0: not told */
	const struct manifest_setting *settings;
	size_t settings_n;
	bool template;     /* for the pods of a Deployment or the like, not for a Pod */
	const char *image; /* of the init container: it has sh and sysctl */
};

/* Whether that Kubernetes lets every pod set it. */
bool manifest_is_safe(const struct sysctl_key *key, uint16_t kube);
/* How many of them it does not. */
size_t manifest_unsafe(const struct manifest *m);

/* Whether a new pod takes them all: two sysctls are held against each other (sysctl_pair.h), and
 * the one that is not among the settings has its fresh value there. The kubelet hands its list to
 * the container runtime as a map, and "tuning" has one: only an init container keeps an order. */
enum manifest_fit {
	MANIFEST_FITS,
	MANIFEST_LACKS,       /* *which needs the other one to be set too */
	MANIFEST_CONTRADICTS, /* *which is refused beside the other setting, in either order */
	MANIFEST_UNORDERED, /* *which has to be set after the other one, and kind keeps no order */
};
enum manifest_fit manifest_fit(const struct manifest *m, size_t *which);
/* Puts the two into the order that works, if one does. */
void manifest_order(struct manifest_setting *settings, size_t n);

/* Each writes a text into out, of size at least 1; false if it had no room. */

/* The YAML; for MANIFEST_CNI_TUNING the JSON of one plugin. */
bool manifest_write(const struct manifest *m, char *out, size_t size);
/* What the init container's "sh -c" runs. */
bool manifest_shell(const struct manifest *m, char *out, size_t size);
/* The option that a kubelet needs before it takes the unsafe ones. */
bool manifest_kubelet(const struct manifest *m, char *out, size_t size);

#endif
