/* SPDX-License-Identifier: MIT
 *
 * killed_change.h - the journal of changes whose maker is killed: where it is, what it says, undo
 *
 * It lies in memory: the waits for a disk are no subject of these tests.
 */
#ifndef TCPWHY_TESTS_KILLED_CHANGE_H
#define TCPWHY_TESTS_KILLED_CHANGE_H

#include "child.h"

#include "cure/journal.h"
#include "cure/kind.h"

struct killed {
	char dir[64], journal[80];
};

static inline int killed_init(struct killed *k)
{
	snprintf(k->dir, sizeof(k->dir), "%s/tcpwhy-kill.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(k->dir))
		return -1;
	snprintf(k->journal, sizeof(k->journal), "%s/journal", k->dir);
	return 0;
}

static inline int killed_fini(const struct killed *k)
{
	unlink(k->journal);
	return rmdir(k->dir);
}

/* How the newest change stands; KIND_FINAL: there is none. */
static inline enum kind_state killed_newest(const struct killed *k, const struct kind *kind)
{
	struct kind_look look = {.state = KIND_FINAL};
	struct journal_entries entries;
	struct journal journal;
	struct err err;

	assert_int_equal(journal_open_read(&journal, k->journal, &err), 0);
	assert_int_equal(journal_read(&journal, &entries, &err), 0);
	if (entries.n)
		kind->look(entries.all[entries.n - 1].change, &look);
	journal_entries_free(&entries);
	journal_close(&journal);
	return look.state;
}

/* As tcpwhy fix undo does it, of so many of the newest changes. For a child: its status, 0 when all
 * are back. */
static inline int killed_undo(const struct killed *k, const struct kind *kind, size_t most)
{
	struct journal_entries entries;
	struct journal journal;
	struct kind_look after;
	struct err err;

	if (journal_open(&journal, k->journal, &err) || journal_read(&journal, &entries, &err))
		return 1;
	for (size_t i = entries.n; i-- > 0 && most; most--) {
		const struct journal_entry *e = &entries.all[i];

		if (kind->undo(e->change, false, &after, &err) || after.state != KIND_BACK ||
		    journal_after(&journal, e->id, json_pack("{s:s}", "result", "undone"), &err))
			return 1;
	}
	journal_entries_free(&entries);
	journal_close(&journal);
	return 0;
}

#endif
