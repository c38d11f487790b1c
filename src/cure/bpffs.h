/* SPDX-License-Identifier: MIT
 *
 * bpffs.h - the folder of BPF's file system in which tcpwhy keeps what shall outlive it
 *
 * /sys/fs/bpf/tcpwhy where that file system is mounted at its usual place, as systemd does; else a
 * mount of our own at /run/tcpwhy/bpf, which is taken away again when the last name in it is. Not
 * for anything else's names: the folder must be our user's and writable by nobody else.
 */
#ifndef TCPWHY_CURE_BPFFS_H
#define TCPWHY_CURE_BPFFS_H

#include <stdbool.h>

#include "base/error.h"

#define BPFFS_FOLDER     "/sys/fs/bpf/tcpwhy"
#define BPFFS_OWN_FOLDER "/run/tcpwhy/bpf"

/* Which of the two it is; *mount tells whether it has to be mounted first. */
const char *bpffs_where(bool *mount);

/* Whether the folder could be made and used, as far as it can be seen; nothing is made. 0, or
 * -errno with err->text, which says what it takes. */
int bpffs_check(struct err *err);

/* The folder held open, and nobody else of us making or removing it meanwhile. */
struct bpffs {
	const char *folder;
	int fd;
	int lock;
};

/* Opens folder, one of the two. make: it is made, and mounted, if need be. 0, or -errno with
 * err->text: -ENOENT it is not there and was not to be made. */
int bpffs_open(const char *folder, bool make, struct bpffs *out, struct err *err);
/* Removes the folder if nothing is in it any more, then lets go of it. */
void bpffs_close(struct bpffs *bpffs);

/* Whether folder is there, mounted, and has nothing in it. */
bool bpffs_is_empty(const char *folder);

#endif
