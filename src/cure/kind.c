/* SPDX-License-Identifier: MIT */
#include "cure/kind.h"

#include <string.h>

#include "cure/journal.h"

static const struct kind *const kinds[] = {
	&destroy_kind,
	&hook_kind,
	&reuse_kind,
	&sysctl_kind,
};

const struct kind *kind_find(const char *action)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i]->action, action))
			return kinds[i];
	return NULL;
}

const char *kind_state_word(enum kind_state state)
{
	switch (state) {
	case KIND_IN_FORCE:
		return "in force";
	case KIND_PARTLY:
		return "partly in force";
	case KIND_NAMES:
		return "names are left";
	case KIND_BACK:
		return "as before";
	case KIND_GONE:
		return "gone";
	case KIND_OTHER:
		return "changed since";
	case KIND_FINAL:
		return "final";
	case KIND_UNSEEN:
		break;
	}
	return "not seen";
}

bool kind_other_boot(const json_t *change)
{
	const char *then = journal_text(change, "boot");
	char now[40];

	journal_boot(now);
	return *then && *now && strcmp(then, now) != 0;
}
