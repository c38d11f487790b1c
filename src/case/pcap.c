/* SPDX-License-Identifier: MIT */
#include "case/pcap.h"

#include "case/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What an Ethernet's 1,500 bytes leave. */
enum { MSS_V4 = 1460, MSS_V6 = 1440, SCALE_MAX = 14 };

static const uint8_t zeros[UINT16_MAX];

struct file {
	pcap_t *pcap;
	pcap_dumper_t *dump;
	uint8_t scale; /* of all windows; 0: the option is not needed */
	uint8_t bytes[FRAME_MAX];
};

static bool is_wanted(const struct pcapfile_source *s, const struct line_record *r)
{
	return s->link < 0 || s->link == r->link;
}

/* The shift that brings the widest window into 16 bits. */
static uint8_t scale_for(const struct pcapfile_source *s)
{
	struct line_record r;
	uint32_t widest = 0;
	uint8_t scale = 0;

	for (size_t i = 0; s->record(s->ctx, i, &r); i++)
		if (is_wanted(s, &r) && r.segment.window > widest)
			widest = r.segment.window;
	while (scale < SCALE_MAX && widest >> scale > UINT16_MAX)
		scale++;
	return scale;
}

static uint16_t window_of(const struct segment *s, uint8_t scale)
{
	const uint32_t window = s->flags & SEGMENT_SYN ? s->window : s->window >> scale;

	return (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX);
}

static struct frame frame_of(const struct line_record *r, uint8_t scale)
{
	const struct segment *s = &r->segment;
	const bool syn = s->flags & SEGMENT_SYN;
	const uint8_t high = (uint8_t)(r->link >> 8), low = (uint8_t)r->link;

	return (struct frame){
		.from_mac = {2, 0, 0, high, low, r->direction},
		.to_mac = {2, 0, 0, high, low, !r->direction},
		.from = s->from,
		.to = s->to,
		.from_port = s->from_port,
		.to_port = s->to_port,
		.flags = s->flags,
		.window = window_of(s, scale),
		.seq = s->seq,
		.ack = s->ack,
		.has_mss = syn,
		.mss = address_is_v4(&s->from) ? MSS_V4 : MSS_V6,
		.has_wscale = syn && scale,
		.wscale = scale,
		.has_timestamps = s->has_timestamp,
		.tsval = s->tsval,
		.tsecr = s->tsecr,
		.sack_permitted = s->sack_permitted,
		.n_sacks = s->has_sack,
		.sacks = {{s->sack_left, s->sack_edge}},
		.payload_len = (uint16_t)s->length,
		.payload = zeros,
	};
}

/* As it was, but for payload and Ethernet addresses; 0: nobody kept it. */
static size_t as_it_was(struct file *f, const struct pcapfile_source *s, size_t i,
			const struct frame *frame)
{
	uint8_t head[STAGE_HEAD];
	const size_t n = s->head ? s->head(s->ctx, i, head) : 0;
	const size_t len = n ? frame_blank(head, n, f->bytes, sizeof(f->bytes)) : 0;

	if (!len)
		return 0;
	memcpy(f->bytes, frame->to_mac, FRAME_MAC);
	memcpy(f->bytes + FRAME_MAC, frame->from_mac, FRAME_MAC);
	return len;
}

static int add(struct file *f, const struct pcapfile_source *s, size_t i,
	       const struct line_record *r)
{
	const struct frame frame = frame_of(r, f->scale);
	size_t len = as_it_was(f, s, i, &frame);

	if (!len && r->segment.length <= UINT16_MAX)
		len = frame_build(&frame, f->bytes, sizeof(f->bytes));
	const struct pcap_pkthdr h = {
		/* with nanoseconds where the name says microseconds */
		.ts = {.tv_sec = (time_t)(r->sent_ns / 1000000000),
		       .tv_usec = (suseconds_t)(r->sent_ns % 1000000000)},
		.caplen = (bpf_u_int32)len,
		.len = (bpf_u_int32)len,
	};

	if (!len)
		return -EMSGSIZE;
	pcap_dump((u_char *)f->dump, &h, f->bytes);
	return 0;
}

static int fail(struct err *err, int rc, const char *path, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%.120s: %.100s", path, why);
	return rc;
}

static int write_all(struct file *f, const char *path, const struct pcapfile_source *s,
		     struct err *err)
{
	struct line_record r;
	int n = 0;

	for (size_t i = 0; s->record(s->ctx, i, &r); i++) {
		if (!is_wanted(s, &r))
			continue;
		const int rc = add(f, s, i, &r);
		if (rc)
			return fail(err, rc, path, "a segment that fits no packet");
		n++;
	}
	if (pcap_dump_flush(f->dump) || ferror(pcap_dump_file(f->dump)))
		return fail(err, -EIO, path, "cannot be written to its end");
	return n;
}

/* Takes out over; NULL: it could not be opened, and errno says why. */
static int write_to(FILE *out, const char *name, const struct pcapfile_source *source,
		    struct err *err)
{
	struct file f = {.scale = scale_for(source)};
	int rc;

	if (!out) {
		rc = errno ? -errno : -EIO;
		return fail(err, rc, name, strerror(-rc));
	}
	f.pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, FRAME_MAX,
						      PCAP_TSTAMP_PRECISION_NANO);
	if (f.pcap)
		f.dump = pcap_dump_fopen(f.pcap, out);
	if (!f.dump) {
		fclose(out);
		rc = fail(err, -ENOMEM, name, "no memory");
	} else {
		rc = write_all(&f, name, source, err);
		pcap_dump_close(f.dump);
	}
	if (f.pcap)
		pcap_close(f.pcap);
	return rc;
}

int pcapfile_write(const char *path, const struct pcapfile_source *source, struct err *err)
{
	return write_to(fopen(path, "we"), path, source, err);
}

static bool of_stage(void *ctx, size_t i, struct line_record *out)
{
	struct stage *st = ctx;

	return st->ops->trace(st, i, out);
}

static size_t head_in_stage(void *ctx, size_t i, uint8_t out[static STAGE_HEAD])
{
	struct stage *st = ctx;

	return st->ops->head(st, i, out);
}

static struct pcapfile_source source_of(struct stage *st, int link)
{
	return (struct pcapfile_source){.record = of_stage,
					.head = st->ops->head ? head_in_stage : NULL,
					.ctx = st,
					.link = link};
}

int pcapfile_write_stage(const char *path, struct stage *st, int link, struct err *err)
{
	const struct pcapfile_source s = source_of(st, link);

	return pcapfile_write(path, &s, err);
}

int pcapfile_write_stage_to(int fd, struct stage *st, int link, struct err *err)
{
	const struct pcapfile_source s = source_of(st, link);
	const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *out = own < 0 ? NULL : fdopen(own, "w");

	if (own >= 0 && !out)
		close(own);
	return write_to(out, "the capture", &s, err);
}
