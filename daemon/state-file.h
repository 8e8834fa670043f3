/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One small file in the state directory whose content survives restarts, crashes and power cuts:
 * after any of them it is read as it was at the last write that ended, or at the one under way. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "io.h"

typedef struct StateFile StateFile;

/* Opens or creates `name` in the directory and appends to `ret_content` what it holds: nothing when
 * it is new, and nothing, with a line in the log, when it is damaged or of another version. Reads
 * at once, for before the loop runs. Negative errno. */
int state_file_open(StateFile **ret, Io *io, int dir_fd, const char *name, Buffer *ret_content);

/* Keeps `data` (copied), soon: one write is in flight at most, and of what comes meanwhile the
 * newest alone is written after it. A write that fails is logged, once until one succeeds again; it
 * is made up for by the next put, or at the close. More than STATE_CONTENT_MAX is not kept. */
void state_file_put(StateFile *file, const void *data, size_t size);

/* A write is in flight. */
bool state_file_busy(const StateFile *file);

/* `closed` is called from the loop once nothing is in flight and the newest content is written, or
 * could not be; then, or from within, state_file_free(). No put from now on. */
void state_file_close(StateFile *file, void (*closed)(void *userdata), void *userdata);

/* Nothing may be in flight. Returns NULL. */
StateFile *state_file_free(StateFile *file);

/* ---- the format, and what tests need ---- */

#define STATE_SLOT_SIZE   ((size_t) 65536)
#define STATE_FILE_SIZE   (2 * STATE_SLOT_SIZE)
#define STATE_CONTENT_MAX (STATE_SLOT_SIZE - sizeof(StateHeader))

/* At the beginning of a slot; the content follows. In the byte order of the machine, which writes
 * for itself. */
typedef struct StateHeader {
        char magic[8];
        uint32_t version;
        uint32_t size;       /* of the content */
        uint64_t generation; /* the slot's number is its last bit */
        uint64_t checksum;   /* over the fields above and the content */
} StateHeader;

typedef struct StateContent {
        const char *data; /* within the bytes of the file */
        size_t size;
        uint64_t generation;
} StateContent;

StateHeader state_header(uint64_t generation, const void *data, size_t size);

/* The newest content in the bytes of a file, whatever they are. 1; 0: nothing was ever written;
 * -EBADMSG: something was, but no slot is valid. */
int state_decode(const void *bytes, size_t size, StateContent *ret);

/* What state_file_open() does once the file is read: takes over the descriptor. Negative errno, and
 * then the descriptor is still the caller's. */
int state_file_new(StateFile **ret, Io *io, int fd, const char *name, uint64_t generation);
