/* SPDX-License-Identifier: MIT */
#include "script.h"

#include "differ/lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[STEP_KINDS] = {
	[STEP_SYSCTL] = "sysctl",     [STEP_SOCKET] = "socket",
	[STEP_SET] = "set",           [STEP_BIND] = "bind",
	[STEP_LISTEN] = "listen",     [STEP_CONNECT] = "connect",
	[STEP_ACCEPT] = "accept",     [STEP_SEND] = "send",
	[STEP_RECV] = "recv",         [STEP_ERROR] = "error",
	[STEP_SHUTDOWN] = "shutdown", [STEP_CLOSE] = "close",
	[STEP_WAIT] = "wait",         [STEP_IN] = "in",
	[STEP_EXPECT] = "expect",     [STEP_OUT] = "out",
	[STEP_STATE] = "state",       [STEP_SOCK] = "sock",
	[STEP_TIMER] = "timer",       [STEP_QUEUE] = "queue",
	[STEP_COUNTER] = "counter",
};

const char *const script_option_names[OPTIONS] = {
	[OPTION_REUSEADDR] = "reuseaddr",
	[OPTION_LINGER0] = "linger0",
	[OPTION_LINGER2] = "linger2",
	[OPTION_V6ONLY] = "v6only",
};

const struct script_sysctl_info script_sysctls[SYSCTLS] = {
	[SYSCTL_TIMESTAMPS] = {"tcp_timestamps", "ipv4/tcp_timestamps", 1},
	[SYSCTL_MAX_TW] = {"tcp_max_tw_buckets", "ipv4/tcp_max_tw_buckets", 4096},
	[SYSCTL_FIN_TIMEOUT] = {"tcp_fin_timeout", "ipv4/tcp_fin_timeout", 60},
	[SYSCTL_SOMAXCONN] = {"somaxconn", "core/somaxconn", 4096},
	[SYSCTL_MAX_SYN_BACKLOG] = {"tcp_max_syn_backlog", "ipv4/tcp_max_syn_backlog", 128},
	[SYSCTL_SYNCOOKIES] = {"tcp_syncookies", "ipv4/tcp_syncookies", 1},
	[SYSCTL_ABORT_ON_OVERFLOW] = {"tcp_abort_on_overflow", "ipv4/tcp_abort_on_overflow", 0},
	[SYSCTL_RFC1337] = {"tcp_rfc1337", "ipv4/tcp_rfc1337", 0},
	[SYSCTL_SACK] = {"tcp_sack", "ipv4/tcp_sack", 1},
	[SYSCTL_SYN_RETRIES] = {"tcp_syn_retries", "ipv4/tcp_syn_retries", 6},
	[SYSCTL_SYNACK_RETRIES] = {"tcp_synack_retries", "ipv4/tcp_synack_retries", 5},
	[SYSCTL_LINEAR_TIMEOUTS] = {"tcp_syn_linear_timeouts", "ipv4/tcp_syn_linear_timeouts", 4},
	[SYSCTL_RETRIES2] = {"tcp_retries2", "ipv4/tcp_retries2", 15},
	[SYSCTL_ORPHAN_RETRIES] = {"tcp_orphan_retries", "ipv4/tcp_orphan_retries", 0},
	[SYSCTL_INVALID_RATELIMIT] = {"tcp_invalid_ratelimit", "ipv4/tcp_invalid_ratelimit", 500},
	[SYSCTL_CHALLENGE_LIMIT] = {"tcp_challenge_ack_limit", "ipv4/tcp_challenge_ack_limit",
				    INT32_MAX},
};

static const char *const how_names[] = {"rd", "wr", "rdwr"};
static const char *const timer_names[] = {"none", "retransmit", "keepalive", "timewait", "probe"};
static const char *const base_names[BASES] = {"", "rcv", "edge", "sack", "iss", "nxt", "una"};
static const char flag_letters[] = "FSRPA";

const char *step_kind_name(enum step_kind kind)
{
	return kind_names[kind];
}

/* ---------------------------------------------------------------------------------- printing */

char *flags_format(uint8_t flags, char out[static FLAGS_TEXT])
{
	size_t n = 0;

	for (unsigned i = 0; flag_letters[i]; i++)
		if (flags & 1u << i)
			out[n++] = flag_letters[i];
	if (!n)
		out[n++] = '-';
	out[n] = '\0';
	return out;
}

struct text {
	char *at;
	size_t left;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const int n = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < t->left) {
		t->at += n;
		t->left -= (size_t)n;
	}
}

static void put_number(struct text *t, const char *word, const struct number *n)
{
	if (n->base == BASE_ZERO)
		put(t, " %s %lld", word, (long long)n->offset);
	else if (n->offset)
		put(t, " %s %s%+lld", word, base_names[n->base], (long long)n->offset);
	else
		put(t, " %s %s", word, base_names[n->base]);
}

static void put_ecr(struct text *t, const struct pattern *p)
{
	if (p->ecr_given)
		put(t, p->ecr_relative ? " ecr %+lld" : " ecr %lld", (long long)p->ecr);
}

static void put_in(struct text *t, const struct pattern *p)
{
	char flags[FLAGS_TEXT];

	put(t, " %s", flags_format(p->flags, flags));
	put_number(t, "seq", &p->seq);
	if (p->flags & SEGMENT_ACK)
		put_number(t, "ack", &p->ack);
	if (p->length)
		put(t, " len %u", p->length);
	if (p->has_timestamp)
		put(t, " ts %u", p->tsval);
	put_ecr(t, p);
	if (p->window != SCRIPT_WINDOW)
		put(t, " win %u", p->window);
	if (p->sack_permitted)
		put(t, " sackok");
}

static void put_out(struct text *t, const struct pattern *p)
{
	char flags[FLAGS_TEXT];

	put(t, " %s", p->none ? "none" : flags_format(p->flags, flags));
	if (p->seq_given)
		put_number(t, "seq", &p->seq);
	if (p->ack_given)
		put_number(t, "ack", &p->ack);
	if (p->length_given)
		put(t, " len %u", p->length);
	if (p->no_timestamp)
		put(t, " nots");
	put_ecr(t, p);
}

static void put_flow(struct text *t, const char *word, const struct flow *f)
{
	put(t, "%s%s %u>%u", word, f->family == TCPWHY_IPV6 ? "6" : "", f->peer_port, f->host_port);
}

static void put_step(struct text *t, const struct step *s)
{
	const char name = (char)('a' + s->sock);
	const char *word = kind_names[s->kind];
	const long long v0 = s->value[0], v1 = s->value[1];

	switch ((enum step_kind)s->kind) {
	case STEP_SYSCTL:
		put(t, "sysctl %s %lld", script_sysctls[s->which].name, v0);
		break;
	case STEP_SOCKET:
		put(t, "%c = socket %u", name, s->flow.family);
		break;
	case STEP_SET:
		put(t, "set %c %s %lld", name, script_option_names[s->which], v0);
		break;
	case STEP_BIND:
	case STEP_LISTEN:
	case STEP_CONNECT:
	case STEP_SEND:
	case STEP_RECV:
	case STEP_QUEUE:
		put(t, "%s %c %lld", word, name, v0);
		break;
	case STEP_ACCEPT:
		put(t, "%c = accept %c", name, 'a' + s->listener);
		break;
	case STEP_ERROR:
	case STEP_CLOSE:
		put(t, "%s %c", word, name);
		break;
	case STEP_SHUTDOWN:
		put(t, "shutdown %c %s", name, how_names[s->which]);
		break;
	case STEP_WAIT:
		put(t, "wait %lld", v0);
		break;
	case STEP_EXPECT:
		if (v0 <= 0)
			put(t, "expect %s", errno_name((int)-v0));
		else
			put(t, "expect %lld", v0);
		break;
	case STEP_IN:
		put_flow(t, word, &s->flow);
		put_in(t, &s->seg);
		break;
	case STEP_OUT:
		put(t, "out");
		put_out(t, &s->seg);
		break;
	case STEP_STATE:
		put_flow(t, word, &s->flow);
		put(t, " %s", tcpwhy_state_name(s->which));
		break;
	case STEP_SOCK:
		put(t, "sock %c %s", name, tcpwhy_state_name(s->which));
		break;
	case STEP_TIMER:
		put_flow(t, word, &s->flow);
		put(t, " %s %lld %lld", timer_names[s->which], v0, v1);
		break;
	case STEP_COUNTER:
		put(t, "counter %s %lld", counter_name(s->which), v0);
		break;
	case STEP_KINDS:
		break;
	}
}

void step_print(const struct step *s, char text[static STEP_TEXT])
{
	struct text t = {text, STEP_TEXT};

	text[0] = '\0';
	put_step(&t, s);
}

void script_print(const struct script *s, const char *before, FILE *out)
{
	char text[STEP_TEXT];

	for (size_t i = 0; i < s->n; i++) {
		step_print(&s->steps[i], text);
		fprintf(out, "%s%s\n", before, text);
	}
}

/* ----------------------------------------------------------------------------------- parsing */

static int parse_integer(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	const long long value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < -(long long)UINT32_MAX ||
	    value > (long long)UINT32_MAX)
		return -EINVAL;
	*out = value;
	return 0;
}

static int parse_unsigned(const char *text, uint32_t *out)
{
	int64_t value;

	if (parse_integer(text, &value) || value < 0)
		return -EINVAL;
	*out = (uint32_t)value;
	return 0;
}

static int parse_number(const char *text, struct number *n)
{
	for (uint8_t b = BASE_RCV; b < BASES; b++) {
		const size_t len = strlen(base_names[b]);
		if (strncmp(text, base_names[b], len))
			continue;
		*n = (struct number){.base = b};
		return text[len] ? parse_integer(text + len, &n->offset) : 0;
	}
	*n = (struct number){.base = BASE_ZERO};
	return parse_integer(text, &n->offset);
}

static int parse_flags(const char *text, uint8_t *flags)
{
	*flags = 0;
	if (!strcmp(text, "-"))
		return 0;
	for (; *text; text++) {
		const char *found = strchr(flag_letters, *text);
		if (!found)
			return -EINVAL;
		*flags |= (uint8_t)(1u << (found - flag_letters));
	}
	return 0;
}

static int parse_flow(const char *word, struct flow *f)
{
	unsigned peer, host;
	char end;

	if (sscanf(word, "%u>%u%c", &peer, &host, &end) != 2 || !peer || peer > 65535 || !host ||
	    host > 65535)
		return -EINVAL;
	f->peer_port = (uint16_t)peer;
	f->host_port = (uint16_t)host;
	return 0;
}

static int parse_ecr(const char *word, struct pattern *p)
{
	p->ecr_given = true;
	p->ecr_relative = word[0] == '+' || word[0] == '-';
	return parse_integer(word, &p->ecr);
}

/* A field and its value; how many words it took, 0 for none that is known. */
static size_t parse_field(const char *word, const char *value, struct pattern *p)
{
	if (!strcmp(word, "sackok")) {
		p->sack_permitted = true;
		return 1;
	}
	if (!strcmp(word, "nots")) {
		p->no_timestamp = true;
		return 1;
	}
	if (!value)
		return 0;
	if (!strcmp(word, "seq")) {
		p->seq_given = true;
		return parse_number(value, &p->seq) ? 0 : 2;
	}
	if (!strcmp(word, "ack")) {
		p->ack_given = true;
		return parse_number(value, &p->ack) ? 0 : 2;
	}
	if (!strcmp(word, "len")) {
		p->length_given = true;
		return parse_unsigned(value, &p->length) ? 0 : 2;
	}
	if (!strcmp(word, "ts")) {
		p->has_timestamp = true;
		return parse_unsigned(value, &p->tsval) ? 0 : 2;
	}
	if (!strcmp(word, "ecr"))
		return parse_ecr(value, p) ? 0 : 2;
	if (!strcmp(word, "win"))
		return parse_unsigned(value, &p->window) ? 0 : 2;
	return 0;
}

static int parse_segment(const struct words *w, size_t at, struct pattern *p)
{
	*p = (struct pattern){.ack = {.base = BASE_NXT}, .window = SCRIPT_WINDOW};
	if (at >= w->n)
		return -EINVAL;
	if (!strcmp(w->w[at], "none")) {
		p->none = true;
		return w->n == at + 1 ? 0 : -EINVAL;
	}
	if (parse_flags(w->w[at++], &p->flags))
		return -EINVAL;
	while (at < w->n) {
		const size_t took = parse_field(w->w[at], at + 1 < w->n ? w->w[at + 1] : NULL, p);
		if (!took)
			return -EINVAL;
		at += took;
	}
	return 0;
}

static int parse_expect(const struct words *w, struct step *s)
{
	int error;

	if (w->n != 2)
		return -EINVAL;
	if (errno_parse(w->w[1], &error))
		return parse_integer(w->w[1], &s->value[0]);
	s->value[0] = -error;
	return 0;
}

static int parse_counter(const char *word, uint8_t *which)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (strcmp(counter_name((enum counter)i), word))
			continue;
		*which = (uint8_t)i;
		return 0;
	}
	return -EINVAL;
}

static int parse_sysctl(const char *word, uint8_t *which)
{
	for (uint8_t i = 0; i < SYSCTLS; i++) {
		if (strcmp(script_sysctls[i].name, word))
			continue;
		*which = i;
		return 0;
	}
	return -EINVAL;
}

/* "a = socket 4", "c = accept a" */
static int parse_made(const struct words *w, struct step *s)
{
	int64_t family;

	if (w->n != 4 || word_parse_sock(w->w[0], &s->sock))
		return -EINVAL;
	if (!strcmp(w->w[2], "accept")) {
		s->kind = STEP_ACCEPT;
		return word_parse_sock(w->w[3], &s->listener);
	}
	s->kind = STEP_SOCKET;
	if (strcmp(w->w[2], "socket") || parse_integer(w->w[3], &family))
		return -EINVAL;
	s->flow.family = (uint8_t)family;
	return family == TCPWHY_IPV4 || family == TCPWHY_IPV6 ? 0 : -EINVAL;
}

/* The words of a line after its first two. */
static int parse_rest(const struct words *w, struct step *s)
{
	switch ((enum step_kind)s->kind) {
	case STEP_SYSCTL:
		return w->n != 3 || parse_sysctl(w->w[1], &s->which)
			       ? -EINVAL
			       : parse_integer(w->w[2], &s->value[0]);
	case STEP_COUNTER:
		return w->n != 3 || parse_counter(w->w[1], &s->which)
			       ? -EINVAL
			       : parse_integer(w->w[2], &s->value[0]);
	case STEP_SET:
		return w->n != 4 || word_parse_sock(w->w[1], &s->sock) ||
				       word_parse(w->w[2], script_option_names, OPTIONS, &s->which)
			       ? -EINVAL
			       : parse_integer(w->w[3], &s->value[0]);
	case STEP_BIND:
	case STEP_LISTEN:
	case STEP_CONNECT:
	case STEP_SEND:
	case STEP_RECV:
	case STEP_QUEUE:
		return w->n != 3 || word_parse_sock(w->w[1], &s->sock)
			       ? -EINVAL
			       : parse_integer(w->w[2], &s->value[0]);
	case STEP_ERROR:
	case STEP_CLOSE:
		return w->n != 2 ? -EINVAL : word_parse_sock(w->w[1], &s->sock);
	case STEP_SHUTDOWN:
		return w->n != 3 || word_parse_sock(w->w[1], &s->sock)
			       ? -EINVAL
			       : word_parse(w->w[2], how_names, 3, &s->which);
	case STEP_WAIT:
		return w->n != 2 ? -EINVAL : parse_integer(w->w[1], &s->value[0]);
	case STEP_EXPECT:
		return parse_expect(w, s);
	case STEP_OUT:
		return parse_segment(w, 1, &s->seg);
	case STEP_IN:
		return w->n < 3 || parse_flow(w->w[1], &s->flow) ? -EINVAL
								 : parse_segment(w, 2, &s->seg);
	case STEP_STATE:
		return w->n != 3 || parse_flow(w->w[1], &s->flow)
			       ? -EINVAL
			       : word_parse_state(w->w[2], &s->which);
	case STEP_SOCK:
		return w->n != 3 || word_parse_sock(w->w[1], &s->sock)
			       ? -EINVAL
			       : word_parse_state(w->w[2], &s->which);
	case STEP_TIMER:
		return w->n != 5 || parse_flow(w->w[1], &s->flow) ||
				       word_parse(w->w[2], timer_names, 5, &s->which) ||
				       parse_integer(w->w[3], &s->value[0])
			       ? -EINVAL
			       : parse_integer(w->w[4], &s->value[1]);
	case STEP_SOCKET:
	case STEP_ACCEPT:
	case STEP_KINDS:
		break;
	}
	return -EINVAL;
}

/* The first word: a kind, and for what names a flow, 6 for IPv6. */
static bool parse_kind(const char *word, struct step *s)
{
	const size_t len = strlen(word);
	const bool six = len > 1 && word[len - 1] == '6';

	s->flow.family = six ? TCPWHY_IPV6 : TCPWHY_IPV4;
	for (s->kind = 0; s->kind < STEP_KINDS; s->kind++)
		if (!strncmp(kind_names[s->kind], word, len - six) &&
		    !kind_names[s->kind][len - six])
			return true;
	return false;
}

static int parse_line(const struct words *w, void *ctx)
{
	struct script *s = ctx;
	struct step step = {0};
	int rc = -EINVAL;

	if (s->n == SCRIPT_STEPS)
		return -EINVAL;
	if (w->n > 1 && !strcmp(w->w[1], "="))
		rc = parse_made(w, &step);
	else if (parse_kind(w->w[0], &step))
		rc = parse_rest(w, &step);
	if (!rc)
		s->steps[s->n++] = step;
	return rc;
}

int script_parse(const char *text, struct script *s, struct err *err)
{
	struct script *parsed = calloc(1, sizeof(*parsed));
	int rc = -ENOMEM;

	if (parsed)
		rc = lines_parse(text, "step", parse_line, parsed, err);
	else
		snprintf(err->text, sizeof(err->text), "no memory");
	if (!rc)
		*s = *parsed;
	free(parsed);
	return rc;
}

int script_read(const char *path, struct script *s, struct err *err)
{
	char *text = lines_read(path, err);
	const int rc = text ? script_parse(text, s, err) : -EINVAL;

	free(text);
	return rc;
}
