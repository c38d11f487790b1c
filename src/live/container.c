/* SPDX-License-Identifier: MIT */
#include "live/container.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ID_DIGITS     64
#define ID_SHORT      12 /* what is taken for an id behind a manager's name */
#define PREFIX_MIN    6
#define CGROUP_MAX    16384
#define LABEL_MAX     63 /* of a host name */
#define UIDS_MAX      64 /* of one pod name: folders of logs outlive their pods */
#define DISTINCT_MAX  8  /* kept to be listed */
#define DISTINCT_SHOW 4

const struct container_roots container_system = {"/proc", "/var/log/pods"};

/* ---------------------------------------------------------------------------------- cgroup paths
 */

static bool ends_with(const char *s, size_t n, const char *tail)
{
	size_t len = strlen(tail);

	return n >= len && memcmp(s + n - len, tail, len) == 0;
}

static bool is_lower_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* How many characters at the end of s are hex digits. */
static size_t hex_tail(const char *s, size_t n)
{
	size_t len = 0;

	while (len < n && is_lower_hex(s[n - 1 - len]))
		len++;
	return len;
}

/* What stands before the id: nothing ("/docker/ID"), or a manager's name ("docker-ID.scope",
 * "kubepods-pod1a2b.slice:cri-containerd:ID"). Not conmon, which watches over a container from
 * outside. */
static bool is_id_behind(const char *before, size_t n, size_t digits)
{
	static const char *const managers[] = {"docker-",         "libpod-",  "crio-",
					       "cri-containerd-", "nerdctl-", "cri-docker-"};

	if (ends_with(before, n, "conmon-"))
		return false;
	if (digits == ID_DIGITS)
		return !n || before[n - 1] == '-' || before[n - 1] == ':';
	for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++) {
		if (digits >= ID_SHORT && digits < ID_DIGITS && strlen(managers[i]) == n &&
		    memcmp(before, managers[i], n) == 0)
			return true;
	}
	return false;
}

static void see_container(const char *part, size_t n, struct container_name *out)
{
	size_t digits;

	if (ends_with(part, n, ".scope"))
		n -= strlen(".scope");
	digits = hex_tail(part, n);
	if (digits > ID_DIGITS || !is_id_behind(part, n - digits, digits))
		return;
	memcpy(out->id, part + n - digits, digits);
	out->id[digits] = '\0';
}

/* "pod1a2b3c4d-..." (cgroupfs) or "kubepods-besteffort-pod1a2b3c4d_....slice" (systemd, which has
 * its own use for '-'). A static pod's uid is a hash without any. */
static void see_pod(const char *part, size_t n, struct container_name *out)
{
	size_t start = n, len;

	if (memchr(part, ':', n))
		n = (size_t)((const char *)memchr(part, ':', n) - part);
	if (ends_with(part, n, ".slice"))
		n -= strlen(".slice");
	for (size_t i = 0; i + 3 < n; i++) {
		if ((i == 0 || part[i - 1] == '-') && memcmp(part + i, "pod", 3) == 0)
			start = i + 3;
	}
	if (start >= n)
		return;
	len = n - start;
	if (len < 8 || len >= POD_UID_MAX)
		return;
	for (size_t i = 0; i < len; i++) {
		char c = part[start + i];
		if (!is_lower_hex(c) && c != '_' && c != '-')
			return;
	}
	for (size_t i = 0; i < len; i++)
		out->pod_uid[i] = part[start + i] == '_' ? '-' : part[start + i];
	out->pod_uid[len] = '\0';
}

static void see_path(const char *path, struct container_name *out)
{
	while (*path == '/') {
		size_t n = strcspn(++path, "/\n");

		see_pod(path, n, out);
		see_container(path, n, out);
		path += n;
	}
}

/* "0::/a/b" of version 2, "4:memory:/a/b" of version 1. The first line that names anything counts:
 * where there are several, those of controllers that nobody set name the root. */
void container_parse(const char *cgroup, struct container_name *out)
{
	*out = (struct container_name){0};
	for (const char *line = cgroup; *line; line += strcspn(line, "\n")) {
		line += *line == '\n';
		see_path(line + strcspn(line, "/\n"), out);
		if (out->id[0] || out->pod_uid[0])
			return;
	}
}

/* -------------------------------------------------------------------------------------- pod names
 */

/* Copies up to the character stop; false if that is not there, or it does not fit, or is empty. */
static bool take_until(const char **from, char stop, char *out, size_t size)
{
	const char *end = strchr(*from, stop);
	size_t n = end ? (size_t)(end - *from) : 0;

	if (!n || n >= size)
		return false;
	memcpy(out, *from, n);
	out[n] = '\0';
	*from = end + (stop != '\0');
	return true;
}

/* Of an RFC 1123 name: it cannot have what would break a path, a terminal or the folder's name. */
static bool is_dns_name(const char *s)
{
	for (; *s; s++) {
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && *s != '-' &&
		    *s != '.')
			return false;
	}
	return true;
}

static bool is_uid(const char *s)
{
	for (; *s; s++) {
		if (!is_lower_hex(*s) && *s != '-')
			return false;
	}
	return true;
}

bool pod_folder_parse(const char *text, struct pod_folder *out)
{
	struct pod_folder f;

	if (!take_until(&text, '_', f.namespace, sizeof(f.namespace)) ||
	    !take_until(&text, '_', f.name, sizeof(f.name)) ||
	    !take_until(&text, '\0', f.uid, sizeof(f.uid)) || strlen(f.uid) < 8 ||
	    !is_dns_name(f.namespace) || !is_dns_name(f.name) || !is_uid(f.uid))
		return false;
	*out = f;
	return true;
}

/* ------------------------------------------------------------------------------ distinct answers
 */

/* What was met, each once, to see whether it was one thing, and else to list it. */
struct distinct {
	char text[DISTINCT_MAX][320];
	size_t n;
	bool more;
};

static void distinct_add(struct distinct *d, const char *text)
{
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->text[i], text) == 0)
			return;
	}
	if (d->n == DISTINCT_MAX) {
		d->more = true;
		return;
	}
	snprintf(d->text[d->n++], sizeof(d->text[0]), "%s", text);
}

static void distinct_tell(const struct distinct *d, struct err *err, const char *what)
{
	size_t at = 0, shown = 0;
	int n = snprintf(err->text, sizeof(err->text), "%s:", what);

	at = n < 0 ? 0 : (size_t)n;
	for (; shown < d->n && shown < DISTINCT_SHOW && at < sizeof(err->text); shown++) {
		n = snprintf(err->text + at, sizeof(err->text) - at, "%s %.80s", shown ? "," : "",
			     d->text[shown]);
		at += n < 0 ? 0 : (size_t)n;
	}
	if ((d->n > shown || d->more) && at < sizeof(err->text))
		snprintf(err->text + at, sizeof(err->text) - at, ", and more");
}

/* -------------------------------------------------------------------------------------- processes
 */

static bool read_cgroup(int proc, int pid, char *buf, size_t size, bool *unseen)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%d/cgroup", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		*unseen |= errno == EACCES || errno == EPERM;
		return false;
	}
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* Which namespace it is in; false: the process has ended, or may not be looked into. */
static bool namespace_of(int proc, int pid, const char *kind, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/ns/%s", pid, kind);
	return fstatat(proc, path, st, 0) == 0;
}

/* What is searched for; fits() decides over one process and may note what it met. */
struct search {
	const struct container_roots *roots;
	int proc;
	bool (*fits)(struct search *s, int pid, const struct container_name *name);
	const char *id;                   /* of a container: its beginning */
	char host[LABEL_MAX + 1];         /* of a pod: its host name */
	char uids[UIDS_MAX][POD_UID_MAX]; /* of a pod */
	size_t uids_n;
	int pid;     /* the lowest that fits; 0 none */
	bool unseen; /* something could not be looked into */
	struct distinct named, namespaces;
};

static void note_process(struct search *s, int pid)
{
	char text[64];
	struct stat st;

	if (namespace_of(s->proc, pid, "net", &st)) {
		snprintf(text, sizeof(text), "net:[%llu]", (unsigned long long)st.st_ino);
		distinct_add(&s->namespaces, text);
	} else if (errno == EACCES || errno == EPERM) {
		s->unseen = true;
	} else {
		return;
	}
	if (!s->pid || pid < s->pid)
		s->pid = pid;
}

static int search_processes(struct search *s, struct err *err)
{
	DIR *dir = opendir(s->roots->proc);
	struct dirent *entry;

	if (!dir) {
		int error = -errno;

		snprintf(err->text, sizeof(err->text), "%.150s: %s", s->roots->proc,
			 strerror(-error));
		return error;
	}
	s->proc = dirfd(dir);
	while ((entry = readdir(dir))) {
		char *end, cgroup[CGROUP_MAX];
		struct container_name name;
		long pid = strtol(entry->d_name, &end, 10);

		if (!isdigit((unsigned char)entry->d_name[0]) || *end || pid < 1 ||
		    pid > INT32_MAX ||
		    !read_cgroup(s->proc, (int)pid, cgroup, sizeof(cgroup), &s->unseen))
			continue;
		container_parse(cgroup, &name);
		if (s->fits(s, (int)pid, &name))
			note_process(s, (int)pid);
	}
	closedir(dir);
	s->proc = -1;
	return 0;
}

/* One thing in one network namespace, or an error that says why not. what: "container 3f4e5d" */
static int conclude(const struct search *s, const char *what, int *pid, struct err *err)
{
	char head[200];

	if (s->named.n > 1 || s->named.more) {
		snprintf(head, sizeof(head), "%.90s fits more than one", what);
		distinct_tell(&s->named, err, head);
		return -ENOTUNIQ;
	}
	if (s->namespaces.n > 1 || s->namespaces.more) {
		snprintf(head, sizeof(head),
			 "%.90s has processes in several network namespaces, so name one by --pid",
			 what);
		distinct_tell(&s->namespaces, err, head);
		return -ENOTUNIQ;
	}
	if (s->pid) {
		*pid = s->pid;
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "no process here belongs to %.150s%s", what,
		 s->unseen ? ", as far as may be seen" : "");
	return s->unseen ? -EACCES : -ENOENT;
}

/* ------------------------------------------------------------------------------------- containers
 */

static bool fits_container(struct search *s, int pid, const struct container_name *name)
{
	(void)pid;
	if (!name->id[0] || strncmp(name->id, s->id, strlen(s->id)) != 0)
		return false;
	distinct_add(&s->named, name->id);
	return true;
}

int container_find(const struct container_roots *roots, const char *id, int *pid, struct err *err)
{
	struct search s = {.roots = roots, .fits = fits_container, .id = id};
	size_t n = strlen(id);
	char what[96];
	int rc;

	if (n < PREFIX_MIN || n > ID_DIGITS || hex_tail(id, n) != n) {
		snprintf(err->text, sizeof(err->text),
			 "'%.70s' is no container id: %d to %d hex digits", id, PREFIX_MIN,
			 ID_DIGITS);
		return -EINVAL;
	}
	rc = search_processes(&s, err);
	if (rc)
		return rc;
	snprintf(what, sizeof(what), "container %.64s", id);
	return conclude(&s, what, pid, err);
}

/* ------------------------------------------------------------------------------------------- pods
 */

struct hostname_job {
	int fd;
	int error;
	char name[LABEL_MAX + 2];
};

static void *read_inside(void *arg)
{
	struct hostname_job *job = arg;
	struct utsname uts;

	if (setns(job->fd, CLONE_NEWUTS) || uname(&uts))
		job->error = errno;
	else
		snprintf(job->name, sizeof(job->name), "%.64s", uts.nodename);
	return NULL;
}

/* The host name in the UTS namespace of a process: only who is in it is told, so a thread goes
 * there. 0 or -errno. */
static int hostname_of(int proc, int pid, char *out, size_t size)
{
	struct hostname_job job = {.fd = -1};
	pthread_t thread;
	char path[64];

	snprintf(path, sizeof(path), "%d/ns/uts", pid);
	job.fd = openat(proc, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (job.fd < 0)
		return -errno;
	job.error = pthread_create(&thread, NULL, read_inside, &job);
	if (!job.error)
		pthread_join(thread, NULL);
	close(job.fd);
	snprintf(out, size, "%s", job.name);
	return -job.error;
}

static bool fits_uid(struct search *s, int pid, const struct container_name *name)
{
	(void)pid;
	for (size_t i = 0; i < s->uids_n && name->pod_uid[0]; i++) {
		if (strcmp(name->pod_uid, s->uids[i]) != 0)
			continue;
		distinct_add(&s->named, name->pod_uid);
		return true;
	}
	return false;
}

static bool fits_hostname(struct search *s, int pid, const struct container_name *name)
{
	char host[LABEL_MAX + 2];
	int rc;

	if (!name->pod_uid[0])
		return false;
	rc = hostname_of(s->proc, pid, host, sizeof(host));
	s->unseen |= rc == -EACCES || rc == -EPERM;
	if (rc || strcmp(host, s->host) != 0)
		return false;
	distinct_add(&s->named, name->pod_uid);
	return true;
}

/* The uids that the folder of logs gives for the name, and the namespaces it has them from. */
static void read_pod_logs(struct search *s, const char *namespace, const char *name,
			  struct distinct *namespaces)
{
	DIR *dir = opendir(s->roots->pod_logs);
	struct dirent *entry;

	if (!dir) {
		s->unseen |= errno == EACCES || errno == EPERM;
		return;
	}
	while ((entry = readdir(dir))) {
		struct pod_folder f;
		char full[sizeof(f.namespace) + sizeof(f.name) + 1];

		if (!pod_folder_parse(entry->d_name, &f) || strcmp(f.name, name) != 0 ||
		    (namespace[0] && strcmp(f.namespace, namespace) != 0))
			continue;
		snprintf(full, sizeof(full), "%s/%s", f.namespace, f.name);
		distinct_add(namespaces, full);
		if (s->uids_n < UIDS_MAX)
			memcpy(s->uids[s->uids_n++], f.uid, sizeof(f.uid));
		else
			s->unseen = true;
	}
	closedir(dir);
}

static int split_pod_name(const char *text, char *namespace, size_t namespace_size,
			  const char **name, struct err *err)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : 0;

	*name = slash ? slash + 1 : text;
	if ((slash && !n) || n >= namespace_size || !**name || strlen(*name) > 253 ||
	    !is_dns_name(*name)) {
		snprintf(err->text, sizeof(err->text), "'%.100s' is no pod: [NAMESPACE/]NAME",
			 text);
		return -EINVAL;
	}
	memcpy(namespace, text, n);
	namespace[n] = '\0';
	return 0;
}

static int find_by_name(struct search *s, const char *text, const char *namespace, const char *name,
			struct err *err)
{
	if (namespace[0]) {
		snprintf(err->text, sizeof(err->text),
			 "%.90s has no folder of pod %.80s, and nothing else here tells the "
			 "namespace of a pod",
			 s->roots->pod_logs, text);
		return s->unseen ? -EACCES : -ENOENT;
	}
	/* A longer name is cut, and does not end in what a label cannot end in. */
	snprintf(s->host, sizeof(s->host), "%.63s", name);
	for (size_t n = strlen(s->host); n && (s->host[n - 1] == '-' || s->host[n - 1] == '.'); n--)
		s->host[n - 1] = '\0';
	s->fits = fits_hostname;
	return search_processes(s, err);
}

int pod_find(const struct container_roots *roots, const char *text, int *pid, struct err *err)
{
	struct search *s = calloc(1, sizeof(*s));
	struct distinct pods = {0};
	char namespace[64], what[200];
	const char *name;
	int rc = s ? split_pod_name(text, namespace, sizeof(namespace), &name, err) : -ENOMEM;

	if (!s)
		snprintf(err->text, sizeof(err->text), "no memory");
	if (rc) {
		free(s);
		return rc;
	}
	s->roots = roots;
	s->fits = fits_uid;
	read_pod_logs(s, namespace, name, &pods);
	snprintf(what, sizeof(what), "pod %.150s", text);
	if (pods.n > 1 || pods.more) {
		snprintf(what, sizeof(what), "pod %.90s fits more than one", text);
		distinct_tell(&pods, err, what);
		rc = -ENOTUNIQ;
	} else if (s->uids_n) {
		rc = search_processes(s, err);
	} else {
		rc = find_by_name(s, text, namespace, name, err);
	}
	if (!rc)
		rc = conclude(s, what, pid, err);
	free(s);
	return rc;
}

/* --------------------------------------------------------------------------------- who has its own
 */

bool container_shares_netns(const struct container_roots *roots, int pid)
{
	char path[PATH_MAX];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "%s/%d/ns/net", roots->proc, pid);
	if (stat(path, &theirs))
		return true;
	snprintf(path, sizeof(path), "%s/self/ns/net", roots->proc);
	return stat(path, &ours) || (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev);
}

static int refuse_shared(const char *kind, const char *name, int pid, struct err *err)
{
	if (!container_shares_netns(&container_system, pid))
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "%s %.80s has no network namespace of its own that may be seen (process %d): a "
		 "change there would be one of this host's; if that is meant, leave %s away",
		 kind, name, pid, kind[0] == 'p' ? "--pod" : "--container");
	return -EPERM;
}

int container_pid(const char *id, int *pid, struct err *err)
{
	int found, rc = container_find(&container_system, id, &found, err);

	if (!rc)
		rc = refuse_shared("container", id, found, err);
	if (!rc)
		*pid = found;
	return rc;
}

int pod_pid(const char *name, int *pid, struct err *err)
{
	int found, rc = pod_find(&container_system, name, &found, err);

	if (!rc)
		rc = refuse_shared("pod", name, found, err);
	if (!rc)
		*pid = found;
	return rc;
}
