/* SPDX-License-Identifier: MIT
 *
 * journal_fuzz.c - the text of a journal, whatever it holds
 */
#include "fuzz.h"

#include "cure/journal_fold.h"
#include "cure/kind.h"

#include <string.h>

/* What is shown of any record; what it names is not looked for. */
static void describe(const struct journal_entry *e)
{
	const struct kind *kind = kind_find(journal_text(e->change, "action"));
	char what[128], where[64];

	promise(journal_result(e)[0]);
	if (!kind)
		return;
	kind->describe(e->change, what, where);
	promise(memchr(what, '\0', sizeof(what)) && memchr(where, '\0', sizeof(where)));
	kind->same(e->change, e->change);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_entries entries;
	uint64_t last, before = 0;

	promise(journal_fold((const char *)data, size, &entries, &last) == 0);
	for (size_t i = 0; i < entries.n; i++) {
		promise(json_is_object(entries.all[i].change));
		/* Ids grow, so that none is given twice. */
		promise(!entries.all[i].id || entries.all[i].id > before);
		if (entries.all[i].id)
			before = entries.all[i].id;
		describe(&entries.all[i]);
	}
	promise(before == last);
	journal_entries_free(&entries);
	return 0;
}
