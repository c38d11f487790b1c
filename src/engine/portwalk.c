/* SPDX-License-Identifier: MIT */
#include "engine/portwalk.h"

uint32_t portwalk_remaining(const struct portwalk *w)
{
	return w->step == 1 || w->count == 1 ? w->count : w->count & ~1u;
}

uint16_t portwalk_from(const struct portwalk *w, uint32_t offset)
{
	uint32_t remaining = portwalk_remaining(w);

	for (uint32_t i = 0; i < remaining; i += w->step, offset += w->step) {
		if (offset >= w->count)
			offset -= remaining;
		uint16_t port = (uint16_t)(w->low + offset);
		if (w->taken(w->ctx, port) == TCPWHY_NO)
			return port;
	}
	return 0;
}

bool portwalk_sees(const struct portwalk *w, enum portwalk_set set, uint32_t offset)
{
	switch (set) {
	case PORTWALK_ALL:
		return true;
	case PORTWALK_ODD:
		return offset % 2 == 1 || w->count == 1;
	case PORTWALK_EVEN_LOW:
		return offset % 2 == 0 && offset < portwalk_remaining(w);
	case PORTWALK_EVEN_HIGH:
		return offset % 2 == 0 && offset > 0;
	}
	return false;
}

struct found portwalk_look(const struct portwalk *w, enum portwalk_set set)
{
	struct found f = {0};

	for (uint32_t offset = 0; offset < w->count; offset++) {
		if (!portwalk_sees(w, set, offset))
			continue;
		uint16_t port = (uint16_t)(w->low + offset);
		enum tcpwhy_tri taken = w->taken(w->ctx, port);
		if (taken == TCPWHY_YES)
			continue;
		if (!f.possible++)
			f.port = port;
		f.certain += taken == TCPWHY_NO;
	}
	return f;
}

bool portwalk_has_high(const struct portwalk *w)
{
	return w->count % 2 == 1 && w->count >= 5;
}

bool portwalk_is_odd(const struct portwalk *w, uint16_t port)
{
	return (port - w->low) % 2 == 1 || w->count == 1;
}

bool portwalk_is_free(const struct portwalk *w, uint16_t port)
{
	return port >= w->low && port - w->low < w->count && w->taken(w->ctx, port) == TCPWHY_NO;
}

bool portwalk_even_leads_to(const struct portwalk *w, uint16_t port)
{
	uint32_t offset = port - w->low;

	if (!portwalk_is_free(w, port) || offset % 2)
		return false;
	/* Any start but the last port's own is possible; the last port is met only past a taken
	 * one. */
	if (w->count % 2 == 0 || w->count == 1 || offset + 1 < w->count)
		return true;
	return portwalk_has_high(w) && w->taken(w->ctx, (uint16_t)(port - 2)) != TCPWHY_NO;
}
