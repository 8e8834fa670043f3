/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text to numbers, whole strings only: nothing may stand before or after. All return 0, -EINVAL
 * (not of the form) or -ERANGE (does not fit); the result is untouched on failure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only: no sign, no blank. */
int parse_u64(const char *text, uint64_t *ret);

/* systemd.time(7) spans: "5" (seconds), "1.5s", "500ms", "1min 30s", "2h", "infinity". Result in
 * ns. */
int parse_duration(const char *text, uint64_t *ret_ns);

/* Bytes with an optional K, M or G (powers of 1,024). */
int parse_size(const char *text, uint64_t *ret);

/* yes/no, true/false, on/off, 1/0 as systemd takes them, in any case. */
int parse_bool(const char *text, bool *ret);

/* One to 20 hexadecimal digits in `size` bytes of text (not ended by NUL). */
int parse_hex(const char *text, size_t size, uint64_t *ret);

/* Writes a span as a person would ("500ms", "5s", "1min 30s"); returns `buffer`. */
#define DURATION_TEXT_MAX 64
char *format_duration(char buffer[static DURATION_TEXT_MAX], uint64_t ns);
/* The same of a measured span, rounded to three digits. */
char *format_about(char buffer[static DURATION_TEXT_MAX], uint64_t ns);
