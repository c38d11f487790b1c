/* SPDX-License-Identifier: MIT
 *
 * reaper.h - a small process that ends a scene's orphans when the scene's own process is gone
 *
 * A connection that is open when its process dies leaves orphans whose FIN nobody answers any more:
 * the relay that carried it is dead, too. Each orphan keeps its namespace until the kernel gives up
 * (tcp_orphan_retries, about two minutes). The reaper is told of every namespace, waits for the end
 * of whoever told it, kill -9 included, destroys what is left (SOCK_DESTROY) and goes. Processes
 * that still are in such a namespace, programs of a case that became daemons, are killed before. It
 * holds nothing else of ours: no file, no terminal, no session. TIME_WAIT keeps no namespace and is
 * left alone. Folders that it was told of are removed, if they are empty: cgroups.
 */
#ifndef TCPWHY_CASE_REAPER_H
#define TCPWHY_CASE_REAPER_H

#include "live/netns.h"

struct reaper {
	int fd; /* O_CLOEXEC; its end is our end. A copy in a forked child delays it. */
};

/* 0, or -errno with err->text. */
int reaper_start(struct reaper *r, struct err *err);
/* 0, or -errno with err->text. */
int reaper_add(const struct reaper *r, const struct netns *ns, struct err *err);
/* 0, or -errno with err->text: -ENAMETOOLONG. */
int reaper_add_folder(const struct reaper *r, const char *folder, struct err *err);
/* It begins its work now, and is not waited for. */
void reaper_end(struct reaper *r);

#endif
