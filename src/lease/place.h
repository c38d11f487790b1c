/* SPDX-License-Identifier: MIT
 *
 * place.h - where the pool of a network namespace lies, and who may be believed there
 *
 * /run/tcpwhy/ports-COOKIE, and beside it ports-COOKIE.range: the range as text, from which a
 * damaged pool is built anew. COOKIE is the namespace's (SO_NETNS_COOKIE, 5.14), which no other one
 * gets until the next boot; before, its inode. Folder and files must be root's or the caller's own
 * and no symbolic links.
 */
#ifndef TCPWHY_LEASE_PLACE_H
#define TCPWHY_LEASE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct place_id {
	uint64_t cookie, inode; /* of the calling thread's network namespace; 0 unknown */
	uint8_t boot_id[16];    /* zero unknown */
};

struct place {
	struct place_id id;
	int folder;
	int lock;       /* of the lock's file; -1: not locked */
	char path[200]; /* of the folder, for people */
	char name[48];  /* of the pool's file */
	char range[56]; /* of the range's file */
	char gate[56];  /* of the lock's file */
};

/* Opens the folder. path NULL: /run/tcpwhy if it has a pool of this namespace or we may make one
 * there, or else $XDG_RUNTIME_DIR/tcpwhy. make: creates the folder. 0 or -errno; place->path says
 * of what. */
int place_open(struct place *place, const char *path, bool make);
void place_close(struct place *place);

/* Keeps others from making, rebuilding or setting aside, until place_close() or death. -EBUSY after
 * a few seconds. The lock is on a file that only the users of the pool can open: the folder can be
 * opened, and so locked, by anybody. */
int place_lock(struct place *place);
/* Gives the lock's file the group of the pool's, if it may; with the place locked. */
void place_share_lock(const struct place *place);

/* Opens a plain file of the folder that is root's or ours: a descriptor, or -errno (-EPERM another
 * user's, -EINVAL no plain file). */
int place_open_file(const struct place *place, const char *name, bool read_only, struct stat *st);

bool place_has_range(const struct place *place);
/* The range's file. -EUCLEAN: there is one, and it makes no sense. */
int place_read_range(const struct place *place, uint16_t *low, uint16_t *high);
int place_write_range(const struct place *place, uint16_t low, uint16_t high);
/* "20000-29999", all of it, low >= 1. */
bool place_parse_range(const char *text, uint16_t *low, uint16_t *high);

/* Gives the file a second name, which is written to aside; the first is then given to another one
 * in one step. Where a file can have only one name, it loses the first. */
int place_set_aside(const struct place *place, const char *name, char *aside, size_t size);

#endif
