/* SPDX-License-Identifier: MIT */
#include "report/value.h"

#include "facts/result.h"

json_t *value_string(const char *s)
{
	char ascii[RESULT_TEXT_MAX];
	json_t *j = json_string(s);
	size_t i;

	if (j)
		return j;
	for (i = 0; s[i] && i + 1 < sizeof(ascii); i++)
		ascii[i] = (char)((unsigned char)s[i] < 0x80 ? s[i] : '?');
	ascii[i] = '\0';
	return json_string(ascii);
}

json_t *value_string_or_null(const char *s)
{
	return s && *s ? value_string(s) : json_null();
}

void value_put(json_t *object, const char *name, json_t *value, bool *ok)
{
	if (json_object_set_new(object, name, value))
		*ok = false;
}

void value_append(json_t *array, json_t *value, bool *ok)
{
	if (json_array_append_new(array, value))
		*ok = false;
}

bool value_print(json_t *root, FILE *out)
{
	bool ok = root && !json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	ok = ok && fputc('\n', out) != EOF;
	json_decref(root);
	return ok;
}
