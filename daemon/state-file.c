/* SPDX-License-Identifier: Apache-2.0 */

/* Two slots, written in turn: a write that is torn leaves the other slot, which holds the content
 * before it. A slot is valid when its checksum fits; of two valid ones the greater generation is
 * read. The generation goes up with a write that has ended well, and its last bit is the slot's
 * number: so after a failure the same slot is tried again, and never the one that is still good.
 *
 * That needs each write to be on the disk before the next begins, hence O_DSYNC: the end of a write
 * is reported when it is there. The loop does not wait for that; it only keeps the newest content
 * aside, however often that changes meanwhile.
 *
 * All memory is there from the start, so that keeping cannot fail for lack of it. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "hash-map.h"
#include "log.h"
#include "macro.h"
#include "state-file.h"

#define STATE_VERSION 1u
#define STATE_SEED    UINT64_C(0x6d75737465722121)

static const char state_magic[8] = "muster\n"; /* the NUL is a part of it */

typedef struct StateSlot {
        StateHeader header;
        char content[STATE_CONTENT_MAX];
} StateSlot;

static_assert(sizeof(StateSlot) == STATE_SLOT_SIZE, "a slot has no gaps");

struct StateFile {
        Io *io;
        IoOp write;
        IoTask end;
        char *name;
        int fd;
        uint64_t generation; /* of the slot that was written last */
        bool waiting;        /* `next` has to be written yet */
        bool failing;        /* and the log says so */
        bool too_large;      /* likewise */
        void (*closed)(void *userdata);
        void *userdata;
        char next[STATE_CONTENT_MAX]; /* the newest content */
        size_t next_size;
        StateSlot slot; /* in flight */
};

/* ---- the format ---- */

StateHeader state_header(uint64_t generation, const void *data, size_t size) {
        StateHeader header = {
                .version = STATE_VERSION,
                .size = (uint32_t) size,
                .generation = generation,
        };

        memcpy(header.magic, state_magic, sizeof(state_magic));
        uint64_t seed = hash_bytes(&header, offsetof(StateHeader, checksum), STATE_SEED);
        header.checksum = hash_bytes(data, size, seed);
        return header;
}

/* `size` bytes of the slot are there. */
static bool slot_decode(const char *slot, size_t size, unsigned number, StateContent *ret) {
        const char *content = slot + sizeof(StateHeader);
        StateHeader header;

        if (size < sizeof(header))
                return false;
        memcpy(&header, slot, sizeof(header));
        if (header.size > size - sizeof(header) || header.generation % 2 != number)
                return false;
        /* What we would have written is what is valid; that holds for magic and version, too. */
        StateHeader expected = state_header(header.generation, content, header.size);
        if (memcmp(&header, &expected, sizeof(header)) != 0)
                return false;
        *ret = (StateContent){ content, header.size, header.generation };
        return true;
}

/* Each byte equals its neighbour, and the first is 0. */
static bool is_blank(const char *bytes, size_t size) {
        return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

int state_decode(const void *bytes, size_t size, StateContent *ret) {
        bool found = false;

        for (unsigned i = 0; i < 2 && size > i * STATE_SLOT_SIZE; i++) {
                const char *slot = (const char *) bytes + i * STATE_SLOT_SIZE;
                size_t there = MIN(size - i * STATE_SLOT_SIZE, STATE_SLOT_SIZE);
                StateContent content;

                if (!slot_decode(slot, there, i, &content))
                        continue;
                if (!found || content.generation > ret->generation)
                        *ret = content;
                found = true;
        }
        if (found)
                return 1;
        return is_blank(bytes, size) ? 0 : -EBADMSG;
}

/* ---- writing ---- */

static void write_failed(StateFile *file, int error) {
        if (!file->failing)
                log_errno(error, "Cannot write the state file %s; what it would keep may be lost",
                          file->name);
        file->failing = true;
}

static void write_start(StateFile *file) {
        const uint64_t generation = file->generation + 1;
        const uint64_t place = generation % 2 * STATE_SLOT_SIZE;
        const size_t size = sizeof(StateHeader) + file->next_size;

        file->slot.header = state_header(generation, file->next, file->next_size);
        memcpy(file->slot.content, file->next, file->next_size);
        int r = io_write(file->io, &file->write, file->fd, &file->slot, size, place);
        if (r < 0)
                write_failed(file, r);
        else
                file->waiting = false;
}

static void on_written(IoOp *op, const IoResult *result) {
        StateFile *file = CONTAINER_OF(op, StateFile, write);
        bool newer = file->waiting;

        if (result->value < 0) {
                write_failed(file, result->value);
                file->waiting = true;
        } else {
                file->generation++;
                file->failing = false;
        }
        if (newer) /* without a newer one a failure waits for its next occasion */
                write_start(file);
        if (file->closed && !state_file_busy(file))
                file->closed(file->userdata);
}

void state_file_put(StateFile *file, const void *data, size_t size) {
        assert(!file->closed);
        if (size > STATE_CONTENT_MAX) {
                if (!file->too_large)
                        log_errno(-EMSGSIZE, "The state file %s cannot keep %zu bytes", file->name,
                                  size);
                file->too_large = true;
                return;
        }
        if (size > 0)
                memcpy(file->next, data, size);
        file->next_size = size;
        file->waiting = true;
        if (!state_file_busy(file))
                write_start(file);
}

bool state_file_busy(const StateFile *file) {
        return io_op_in_flight(&file->write);
}

static void on_end(IoTask *task) {
        const StateFile *file = CONTAINER_OF(task, StateFile, end);

        file->closed(file->userdata);
}

void state_file_close(StateFile *file, void (*closed)(void *userdata), void *userdata) {
        file->closed = closed;
        file->userdata = userdata;
        if (file->waiting && !state_file_busy(file))
                write_start(file);
        if (!state_file_busy(file))
                io_post(file->io, &file->end);
}

/* ---- opening ---- */

StateFile *state_file_free(StateFile *file) {
        if (!file)
                return NULL;
        assert(!state_file_busy(file));
        io_unpost(&file->end);
        io_close(file->io, file->fd);
        free(file->name);
        free(file);
        return NULL;
}

int state_file_new(StateFile **ret, Io *io, int fd, const char *name, uint64_t generation) {
        CLEANUP_FREE StateFile *file = calloc(1, sizeof(*file));
        CLEANUP_FREE char *copy = strdup(name);

        if (!file || !copy)
                return -ENOMEM;
        int r = io_adopt(io, fd);
        if (r < 0)
                return r;
        file->io = io;
        file->write.done = on_written;
        file->end.run = on_end;
        list_init(&file->end.node);
        file->name = TAKE_PTR(copy);
        file->fd = fd;
        file->generation = generation;
        *ret = TAKE_PTR(file);
        return 0;
}

/* At most STATE_FILE_SIZE bytes; how many, or a negative errno. */
static ssize_t read_all(int fd, char *bytes) {
        size_t size = 0;
        ssize_t n = 0;

        do {
                size += (size_t) n;
                n = pread(fd, bytes + size, STATE_FILE_SIZE - size, (off_t) size);
        } while (n > 0);
        return n < 0 ? -errno : (ssize_t) size;
}

/* The generation that was read; the content goes to `ret_content`. */
static int load(int fd, const char *name, Buffer *ret_content, uint64_t *ret_generation) {
        CLEANUP_FREE char *bytes = malloc(STATE_FILE_SIZE);
        StateContent content = {};

        if (!bytes)
                return -ENOMEM;
        ssize_t size = read_all(fd, bytes);
        if (size < 0)
                return (int) size;
        int r = state_decode(bytes, (size_t) size, &content);
        if (r == -EBADMSG)
                log_warning("The state file %s is damaged or of another version; it begins anew",
                            name);
        *ret_generation = content.generation;
        return r > 0 ? buffer_append(ret_content, content.data, content.size) : 0;
}

int state_file_open(StateFile **ret, Io *io, int dir_fd, const char *name, Buffer *ret_content) {
        uint64_t generation = 0;
        struct stat st;

        CLEANUP_CLOSE int fd = openat(
                        dir_fd, name, O_RDWR | O_CREAT | O_DSYNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        int r = load(fd, name, ret_content, &generation);
        if (r < 0)
                return r;
        if (st.st_size != (off_t) STATE_FILE_SIZE && ftruncate(fd, STATE_FILE_SIZE) < 0)
                return -errno;
        r = state_file_new(ret, io, fd, name, generation);
        if (r == 0)
                (void) TAKE_FD(fd);
        return r;
}
