/* SPDX-License-Identifier: MIT */
#include "word.h"

#include "tcpwhy/engine.h"

#include <errno.h>
#include <string.h>

static const struct {
	int error;
	const char *name;
} errno_names[] = {
	{0, "OK"},
	{EACCES, "EACCES"},
	{EADDRINUSE, "EADDRINUSE"},
	{EADDRNOTAVAIL, "EADDRNOTAVAIL"},
	{EAFNOSUPPORT, "EAFNOSUPPORT"},
	{EAGAIN, "EAGAIN"},
	{EALREADY, "EALREADY"},
	{EBADF, "EBADF"},
	{ECONNABORTED, "ECONNABORTED"},
	{ECONNREFUSED, "ECONNREFUSED"},
	{ECONNRESET, "ECONNRESET"},
	{EHOSTUNREACH, "EHOSTUNREACH"},
	{EINPROGRESS, "EINPROGRESS"},
	{EINVAL, "EINVAL"},
	{EISCONN, "EISCONN"},
	{ENETUNREACH, "ENETUNREACH"},
	{ENODEV, "ENODEV"},
	{ENOENT, "ENOENT"},
	{ENOMEM, "ENOMEM"},
	{ENOPROTOOPT, "ENOPROTOOPT"},
	{ENOTCONN, "ENOTCONN"},
	{EOPNOTSUPP, "EOPNOTSUPP"},
	{EPERM, "EPERM"},
	{EPIPE, "EPIPE"},
	{ETIMEDOUT, "ETIMEDOUT"},
};

enum { ERRNO_NAMES = sizeof(errno_names) / sizeof(errno_names[0]), LAST_STATE = TCPWHY_BOUND };

const char *errno_name(int error)
{
	for (size_t i = 0; i < ERRNO_NAMES; i++)
		if (errno_names[i].error == error)
			return errno_names[i].name;
	return "?";
}

int errno_parse(const char *word, int *out)
{
	for (size_t i = 0; i < ERRNO_NAMES; i++) {
		if (strcmp(errno_names[i].name, word))
			continue;
		*out = errno_names[i].error;
		return 0;
	}
	return -EINVAL;
}

int word_parse(const char *word, const char *const *names, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], word))
			continue;
		*out = (uint8_t)i;
		return 0;
	}
	return -EINVAL;
}

int word_parse_sock(const char *word, uint8_t *out)
{
	if (word[0] < 'a' || word[0] > 'z' || word[1])
		return -EINVAL;
	*out = (uint8_t)(word[0] - 'a');
	return 0;
}

int word_parse_state(const char *word, uint8_t *out)
{
	for (unsigned i = 1; i <= LAST_STATE; i++) {
		if (strcmp(tcpwhy_state_name((enum tcpwhy_state)i), word))
			continue;
		*out = (uint8_t)i;
		return 0;
	}
	return -EINVAL;
}
