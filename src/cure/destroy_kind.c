/* SPDX-License-Identifier: MIT
 *
 * What stands in the journal of destroyed mini-sockets: nothing of it can be taken back
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cure/journal.h"
#include "cure/kind.h"

static const char why_final[] = "a TIME_WAIT that was destroyed cannot be made again";

static void look(const json_t *change, struct kind_look *out)
{
	(void)change;
	out->state = KIND_FINAL;
	snprintf(out->words, sizeof(out->words), "%s", why_final);
}

static int undo(const json_t *change, bool force, struct kind_look *after, struct err *err)
{
	(void)force;
	look(change, after);
	snprintf(err->text, sizeof(err->text), "%s", why_final);
	return -EINVAL;
}

static void describe(const json_t *change, char what[static 128], char where[static 64])
{
	const char *address = journal_text(change, "address");
	const char *to = journal_text(change, "to");
	bool bracketed = strchr(address, ':') != NULL;

	if (*to)
		snprintf(what, 128, "%lld TIME_WAIT towards %.60s",
			 (long long)json_integer_value(json_object_get(change, "count")), to);
	else
		snprintf(what, 128, "%lld TIME_WAIT of %s%.50s%s:%lld",
			 (long long)json_integer_value(json_object_get(change, "count")),
			 bracketed ? "[" : "", address, bracketed ? "]" : "",
			 (long long)json_integer_value(json_object_get(change, "port")));
	snprintf(where, 64, "net:[%lld]",
		 (long long)json_integer_value(json_object_get(change, "netns")));
}

/* What is final is in nobody's way. */
static bool same(const json_t *a, const json_t *b)
{
	(void)a;
	(void)b;
	return false;
}

const struct kind destroy_kind = {.action = "destroy-time-wait",
				  .look = look,
				  .undo = undo,
				  .describe = describe,
				  .same = same};
