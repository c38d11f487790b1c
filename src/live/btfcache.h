/* SPDX-License-Identifier: MIT
 *
 * btfcache.h - a small file with the kernel's types that one BPF program needs
 *
 * Loading with all of the kernel's types (/sys/kernel/btf/vmlinux, 5 MiB) takes tens of
 * milliseconds, most of them spent looking for a few names among 100,000. A file with only the
 * structs and members the program declares is looked through at once. It is kept under /run/tcpwhy,
 * by the kernel's build id and the program's hash, written and read by root only; everything works
 * without it, slower.
 */
#ifndef TCPWHY_LIVE_BTFCACHE_H
#define TCPWHY_LIVE_BTFCACHE_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTFCACHE_FOLDER "/run/tcpwhy"

/* Names a program: FNV-1a of its ELF bytes. */
uint64_t btfcache_hash(const void *bytes, size_t n);

/* A descriptor of the kept file for this kernel and program, or -errno. Only a regular file of our
 * own user's, in a folder of our own user's, that no other user can write is taken. */
int btfcache_open(const char *folder, uint64_t program);

/* Makes the small file from the kernel's types: those that wanted (the program's own BTF) declares.
 * Keeps it in folder if possible. A descriptor of it, in memory if it could not be kept; or -errno.
 */
int btfcache_make(const char *folder, uint64_t program, const struct btf *wanted);

/* Removes the kept file: it did not work. */
void btfcache_drop(const char *folder, uint64_t program);

/* Only the structs and members of kernel that wanted declares, with the kernel's offsets and sizes.
 * NULL with errno. */
struct btf *btfcache_reduce(const struct btf *kernel, const struct btf *wanted);

#endif
