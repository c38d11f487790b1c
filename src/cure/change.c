/* SPDX-License-Identifier: MIT */
#include "cure/change.h"

const char *change_word(enum change_end end)
{
	switch (end) {
	case CHANGE_DONE:
		return "done";
	case CHANGE_LEFT:
		return "left";
	case CHANGE_NOTHING:
	case CHANGE_DRY_RUN:
	case CHANGE_REFUSED:
		break;
	}
	return "refused";
}
