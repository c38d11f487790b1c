/* SPDX-License-Identifier: MIT */
#include "report/name.h"

#include <string.h>

const char *name_errno(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "an unknown error";
}

const char *name_call(enum tcpwhy_call call)
{
	switch (call) {
	case TCPWHY_CALL_NONE:
		break;
	case TCPWHY_CALL_BIND:
		return "bind";
	case TCPWHY_CALL_LISTEN:
		return "listen";
	case TCPWHY_CALL_CONNECT:
		return "connect";
	}
	return NULL;
}

char *name_address(const struct tcpwhy_addr *a, uint8_t family, char out[static ENDPOINT_TEXT_MAX])
{
	char text[ADDRESS_TEXT_MAX];
	bool mapped = family == TCPWHY_IPV6 && address_is_v4(a);

	address_format(a, text);
	strcpy(out, mapped ? "::ffff:" : "");
	return strcat(out, text);
}

char *name_endpoint(const struct tcpwhy_addr *a, uint16_t port, uint8_t family,
		    char out[static ENDPOINT_TEXT_MAX])
{
	return endpoint_format(a, port, family == TCPWHY_IPV6, out);
}

bool name_has_peer(const struct tcpwhy_owner *o)
{
	static const struct tcpwhy_addr none;

	return o->peer_port || !(address_equal(&o->peer, &none) || address_is_any(&o->peer));
}
