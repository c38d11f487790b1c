/* SPDX-License-Identifier: MIT */
#include "case/pick.h"

bool pick_takes(const struct pick *p, const struct frame *f)
{
	if ((f->flags & p->flags_set) != p->flags_set || f->flags & p->flags_clear)
		return false;
	if ((p->from_port && p->from_port != f->from_port) ||
	    (p->to_port && p->to_port != f->to_port))
		return false;
	if (p->payload != PICK_ANY_LENGTH && (p->payload == PICK_DATA) != (f->payload_len > 0))
		return false;
	return !p->also || p->also(f, p->ctx);
}
