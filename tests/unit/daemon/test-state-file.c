/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture.h"
#include "io-sim.h"
#include "log.h"
#include "macro.h"
#include "state-file.h"

static void count_closed(void *userdata) {
        ++*(unsigned *) userdata;
}

/* Runs the file to its end. */
static void close_and_free(Io *io, StateFile *file) {
        unsigned closed = 0;

        state_file_close(file, count_closed, &closed);
        assert_int_equal(closed, 0); /* never from within the call */
        while (closed == 0)
                assert_int_equal(io_turn(io), 0);
        assert_int_equal(closed, 1);
        assert_false(state_file_busy(file));
        assert_null(state_file_free(file));
        assert_int_equal(io_in_flight(io), 0);
        assert_int_equal(io_open_descriptors(io), 0);
}

static void wait_idle(Io *io, const StateFile *file) {
        while (state_file_busy(file))
                assert_int_equal(io_turn(io), 0);
}

static void put_text(StateFile *file, const char *text) {
        state_file_put(file, text, strlen(text));
}

static size_t count_lines(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += *text == '\n';
        return n;
}

/* ---- the format ---- */

static void put_slot(char *bytes, uint64_t generation, const char *text) {
        char *slot = bytes + generation % 2 * STATE_SLOT_SIZE;
        StateHeader header = state_header(generation, text, strlen(text));

        memcpy(slot, &header, sizeof(header));
        memcpy(slot + sizeof(header), text, strlen(text));
}

static void expect_decoded(const char *bytes, size_t size, uint64_t generation, const char *text) {
        StateContent content;

        assert_int_equal(state_decode(bytes, size, &content), 1);
        assert_int_equal(content.generation, generation);
        assert_int_equal(content.size, strlen(text));
        assert_memory_equal(content.data, text, content.size);
}

static void test_decode(void **state) {
        static char bytes[STATE_FILE_SIZE];
        StateContent content;

        assert_int_equal(state_decode(NULL, 0, &content), 0);
        assert_int_equal(state_decode(bytes, 1, &content), 0);
        assert_int_equal(state_decode(bytes, sizeof(bytes), &content), 0);

        put_slot(bytes, 1, "one");
        expect_decoded(bytes, sizeof(bytes), 1, "one");
        put_slot(bytes, 2, "two!");
        expect_decoded(bytes, sizeof(bytes), 2, "two!");
        put_slot(bytes, 3, "");
        expect_decoded(bytes, sizeof(bytes), 3, "");
        put_slot(bytes, UINT64_MAX - 1, "last but one");
        expect_decoded(bytes, sizeof(bytes), UINT64_MAX - 1, "last but one");

        /* Cut short behind, and within, what is needed of it. */
        put_slot(bytes, 5, "five");
        put_slot(bytes, 4, "four");
        expect_decoded(bytes, STATE_SLOT_SIZE + sizeof(StateHeader) + 4, 5, "five");
        for (size_t size = STATE_SLOT_SIZE; size < STATE_SLOT_SIZE + sizeof(StateHeader) + 4; size++)
                expect_decoded(bytes, size, 4, "four");
        for (size_t size = 1; size < sizeof(StateHeader) + 4; size++)
                assert_int_equal(state_decode(bytes, size, &content), -EBADMSG);
}

/* Each byte that counts, in either slot, in both. */
static void test_decode_damaged(void **state) {
        static char bytes[STATE_FILE_SIZE];
        StateContent content;

        put_slot(bytes, 8, "eight");
        put_slot(bytes, 9, "nine.");
        for (size_t i = 0; i < sizeof(StateHeader) + 5; i++) {
                char *old = &bytes[i], *new = &bytes[STATE_SLOT_SIZE + i];

                *new ^= 0x10;
                expect_decoded(bytes, sizeof(bytes), 8, "eight");
                *old ^= 0x10;
                assert_int_equal(state_decode(bytes, sizeof(bytes), &content), -EBADMSG);
                *new ^= 0x10;
                expect_decoded(bytes, sizeof(bytes), 9, "nine.");
                *old ^= 0x10;
        }
        /* A slot in the other's place. */
        memcpy(bytes, bytes + STATE_SLOT_SIZE, STATE_SLOT_SIZE);
        memset(bytes + STATE_SLOT_SIZE, 0, STATE_SLOT_SIZE);
        assert_int_equal(state_decode(bytes, sizeof(bytes), &content), -EBADMSG);
}

/* ---- on a disk ---- */

typedef struct Disk {
        Io *io;
        char path[64];
        int dir_fd;
} Disk;

static int setup(void **state) {
        Disk *disk = calloc(1, sizeof(*disk));
        const char *message = NULL;

        assert_non_null(disk);
        log_open("test", LOG_TARGET_STDERR, LOG_INFO);
        if (io_new_uring(&disk->io, 64, &message) < 0)
                fail_msg("%s", message);
        (void) snprintf(disk->path, sizeof(disk->path), "/tmp/test-state-file-XXXXXX");
        assert_non_null(mkdtemp(disk->path));
        disk->dir_fd = open(disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(disk->dir_fd >= 0);
        *state = disk;
        return 0;
}

static int teardown(void **state) {
        Disk *disk = *state;

        (void) unlinkat(disk->dir_fd, "daily", 0);
        (void) close(disk->dir_fd);
        assert_int_equal(rmdir(disk->path), 0);
        assert_null(io_free(disk->io));
        free(disk);
        return 0;
}

/* Opens it and expects that content and so many lines in the log. */
static StateFile *open_expecting(const Disk *disk, const char *text, size_t lines) {
        Buffer content = BUFFER_INIT(0);
        StateFile *file = NULL;
        Capture capture = capture_begin(stderr);

        int r = state_file_open(&file, disk->io, disk->dir_fd, "daily", &content);
        const char *log = capture_end(&capture);
        assert_int_equal(r, 0);
        assert_int_equal(count_lines(log), lines);
        assert_true(lines == 0 || strstr(log, "daily"));
        assert_int_equal(content.size, strlen(text));
        if (content.size > 0)
                assert_memory_equal(content.data, text, content.size);
        buffer_deinit(&content);
        return file;
}

static void damage(const Disk *disk, off_t offset) {
        int fd = openat(disk->dir_fd, "daily", O_RDWR | O_CLOEXEC);
        char byte;

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, offset), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
        (void) close(fd);
}

/* Writes "one", then "two", which are in slots 1 and 0. */
static void write_two(const Disk *disk) {
        StateFile *file = open_expecting(disk, "", 0);

        put_text(file, "one");
        wait_idle(disk->io, file);
        put_text(file, "two");
        close_and_free(disk->io, file);
}

static void test_round_trip(void **state) {
        const Disk *disk = *state;
        char text[16] = "", before[16] = "";
        struct stat st;

        for (unsigned i = 0; i < 5; i++) {
                StateFile *file = open_expecting(disk, before, 0);

                assert_false(state_file_busy(file));
                (void) snprintf(text, sizeof(text), "content %u", i);
                put_text(file, text);
                assert_true(state_file_busy(file));
                close_and_free(disk->io, file);
                memcpy(before, text, sizeof(text));
        }
        close_and_free(disk->io, open_expecting(disk, before, 0));
        assert_int_equal(fstatat(disk->dir_fd, "daily", &st, 0), 0);
        assert_int_equal(st.st_size, STATE_FILE_SIZE);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_torn(void **state) {
        const Disk *disk = *state;

        write_two(disk);
        damage(disk, 3); /* the newest */
        StateFile *file = open_expecting(disk, "one", 0);
        put_text(file, "three"); /* does not touch what is still good */
        close_and_free(disk->io, file);
        damage(disk, STATE_SLOT_SIZE + 3);
        close_and_free(disk->io, open_expecting(disk, "three", 0));
        damage(disk, sizeof(StateHeader) + 1);
        file = open_expecting(disk, "", 1);
        put_text(file, "four");
        close_and_free(disk->io, file);
        close_and_free(disk->io, open_expecting(disk, "four", 0));
}

static void test_foreign_version(void **state) {
        const Disk *disk = *state;

        write_two(disk);
        damage(disk, offsetof(StateHeader, version));
        damage(disk, STATE_SLOT_SIZE + offsetof(StateHeader, version));
        close_and_free(disk->io, open_expecting(disk, "", 1));
}

static void test_foreign_file(void **state) {
        static const char text[] = "something else\n";
        const Disk *disk = *state;
        StateFile *file = NULL;
        Buffer content = BUFFER_INIT(0);

        int fd = openat(disk->dir_fd, "daily", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
        (void) close(fd);
        file = open_expecting(disk, "", 1);
        put_text(file, "one");
        close_and_free(disk->io, file);
        close_and_free(disk->io, open_expecting(disk, "one", 0));

        /* What is no regular file. */
        assert_int_equal(unlinkat(disk->dir_fd, "daily", 0), 0);
        assert_int_equal(symlinkat("/dev/null", disk->dir_fd, "daily"), 0);
        assert_int_equal(state_file_open(&file, disk->io, disk->dir_fd, "daily", &content), -ELOOP);
        assert_int_equal(unlinkat(disk->dir_fd, "daily", 0), 0);
        assert_int_equal(mkfifoat(disk->dir_fd, "daily", 0600), 0);
        assert_int_equal(state_file_open(&file, disk->io, disk->dir_fd, "daily", &content), -EINVAL);
        assert_int_equal(io_open_descriptors(disk->io), 0);
}

static void test_largest(void **state) {
        static char text[STATE_CONTENT_MAX + 2];
        const Disk *disk = *state;
        StateFile *file = open_expecting(disk, "", 0);

        memset(text, 'x', STATE_CONTENT_MAX);
        put_text(file, text);
        wait_idle(disk->io, file);
        text[STATE_CONTENT_MAX] = 'x';
        Capture capture = capture_begin(stderr);
        put_text(file, text);
        put_text(file, text);
        const char *log = capture_end(&capture);
        assert_int_equal(count_lines(log), 1);
        assert_non_null(strstr(log, "Message too long"));
        assert_false(state_file_busy(file));
        close_and_free(disk->io, file);
        text[STATE_CONTENT_MAX] = '\0';
        close_and_free(disk->io, open_expecting(disk, text, 0));
}

/* ---- on a simulated disk ---- */

static StateFile *new_simulated(const SimOptions *options, Io **ret_io, int *ret_fd) {
        StateFile *file = NULL;

        log_open("test", LOG_TARGET_STDERR, LOG_INFO);
        assert_int_equal(io_new_sim(ret_io, options), 0);
        *ret_fd = sim_file(*ret_io);
        assert_true(*ret_fd >= 0);
        assert_int_equal(state_file_new(&file, *ret_io, *ret_fd, "daily", 0), 0);
        return file;
}

static void expect_file(Io *io, int fd, uint64_t generation, const char *text) {
        size_t size;
        const char *bytes = sim_file_data(io, fd, &size);

        expect_decoded(bytes, size, generation, text);
}

/* Many puts, and two writes: of the first, and of the last. */
static void test_puts_coalesce(void **state) {
        char text[16];
        Io *io;
        int fd;
        StateFile *file = new_simulated(&(SimOptions){ .seed = 1 }, &io, &fd);

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(text, sizeof(text), "number %u", i);
                put_text(file, text);
                assert_int_equal(io_in_flight(io), 1);
        }
        wait_idle(io, file);
        assert_int_equal(io_counters(io)->completions, 2);
        expect_file(io, fd, 2, "number 999");
        state_file_put(file, NULL, 0);
        wait_idle(io, file);
        assert_int_equal(io_counters(io)->completions, 3);
        expect_file(io, fd, 3, "");
        close_and_free(io, file);
        io_free(io);
}

static const char *turn_captured(Io *io, StateFile *file, const char *text) {
        Capture capture = capture_begin(stderr);

        put_text(file, text);
        wait_idle(io, file);
        return capture_end(&capture);
}

/* What was written last stays, however often the next one fails; the log tells each change. */
static void test_error_then_success(void **state) {
        Io *io;
        int fd;
        StateFile *file = new_simulated(&(SimOptions){ .seed = 2 }, &io, &fd);

        put_text(file, "good");
        wait_idle(io, file);
        for (unsigned round = 0; round < 2; round++) {
                sim_set_fault(io, round == 0 ? SIM_WRITE_FULL : SIM_WRITE_ERROR, SIM_ALWAYS);
                for (unsigned i = 0; i < 5; i++) {
                        const char *log = turn_captured(io, file, "lost");
                        assert_int_equal(count_lines(log), i == 0);
                        assert_true(i > 0 || strstr(log, round == 0 ? "No space" : "Input/output"));
                        expect_file(io, fd, round + 1, "good");
                }
                sim_set_fault(io, round == 0 ? SIM_WRITE_FULL : SIM_WRITE_ERROR, 0);
                assert_string_equal(turn_captured(io, file, "good"), "");
                expect_file(io, fd, round + 2, "good");
        }
        close_and_free(io, file);
        io_free(io);
}

/* What failed is tried again at the close, once. */
static void test_close_makes_up(void **state) {
        Io *io;
        int fd;

        for (unsigned healed = 0; healed < 2; healed++) {
                StateFile *file = new_simulated(&(SimOptions){ .seed = 3 }, &io, &fd);
                unsigned closed = 0;

                put_text(file, "old");
                wait_idle(io, file);
                sim_set_fault(io, SIM_WRITE_FULL, SIM_ALWAYS);
                (void) turn_captured(io, file, "new");
                expect_file(io, fd, 1, "old");
                if (healed)
                        sim_set_fault(io, SIM_WRITE_FULL, 0);
                state_file_close(file, count_closed, &closed);
                assert_true(state_file_busy(file));
                while (!closed)
                        assert_int_equal(io_turn(io), 0);
                expect_file(io, fd, 1 + healed, healed ? "new" : "old");
                state_file_free(file);
                assert_int_equal(io_counters(io)->completions, 3);
                io_free(io);
        }
}

/* A disk that cannot even be asked. */
static void test_refused(void **state) {
        StateFile *file;
        Io *io;
        int fd;

        assert_int_equal(io_new_sim(&io, &(SimOptions){ .seed = 4 }), 0);
        assert_int_equal(state_file_new(&file, io, -1, "daily", 0), -EBADF);
        io_free(io);

        file = new_simulated(&(SimOptions){ .seed = 4 }, &io, &fd);
        sim_file_protect(io, fd);
        assert_int_equal(count_lines(turn_captured(io, file, "one")), 1);
        assert_int_equal(count_lines(turn_captured(io, file, "two")), 0);
        close_and_free(io, file);
        io_free(io);
}

typedef struct Owner {
        StateFile *file;
        Io *io;
} Owner;

static void free_and_stop(void *userdata) {
        Owner *owner = userdata;

        owner->file = state_file_free(owner->file);
        io_stop(owner->io);
}

static void test_free_when_closed(void **state) {
        for (unsigned puts = 0; puts < 3; puts++) {
                Owner owner;
                int fd;

                owner.file = new_simulated(&(SimOptions){ .seed = 5 }, &owner.io, &fd);
                for (unsigned i = 0; i < puts; i++)
                        put_text(owner.file, "text");
                state_file_close(owner.file, free_and_stop, &owner);
                assert_int_equal(io_run(owner.io), 0);
                assert_null(owner.file);
                assert_int_equal(sim_leaks(owner.io).descriptors, 0);
                io_free(owner.io);
        }
        assert_null(state_file_free(NULL));
}

/* What a file shows after each turn; contents are numbers that only go up. */
typedef struct Watch {
        uint64_t generation; /* the greatest seen */
        unsigned number;     /* seen last */
        unsigned kept;       /* by a write that has ended well: the next generation has been seen */
} Watch;

static void watch_look(Watch *watch, Io *io, int fd) {
        StateContent content;
        size_t size;
        const char *bytes = sim_file_data(io, fd, &size);

        if (state_decode(bytes, size, &content) <= 0) {
                assert_true(watch->generation <= 1);
                return;
        }
        if (content.generation > watch->generation)
                *watch = (Watch){ .generation = content.generation, .kept = watch->number };
        assert_int_equal(content.size, sizeof(watch->number));
        memcpy(&watch->number, content.data, sizeof(watch->number));
        assert_true(watch->number >= watch->kept);
}

/* Whenever the daemon might be killed, the file has what the last write that ended well has put
 * there, or something newer. */
static void test_any_moment(void **state) {
        for (uint64_t seed = 0; seed < 200; seed++) {
                const SimOptions options = {
                        .seed = seed,
                        .faults = { [SIM_WRITE_ERROR] = 200000, [SIM_WRITE_FULL] = 200000, [SIM_DELAY] = 500000 },
                };
                Watch watch = {};
                unsigned put = 0;
                Io *io;
                int fd;
                StateFile *file = new_simulated(&options, &io, &fd);

                log_open("test", LOG_TARGET_NULL, LOG_INFO);
                for (unsigned i = 0; i < 50; i++) {
                        if (io_random(io) % 2 == 0 || !state_file_busy(file)) {
                                put++;
                                state_file_put(file, &put, sizeof(put));
                        }
                        assert_int_equal(io_turn(io), 0);
                        watch_look(&watch, io, fd);
                        assert_true(watch.number <= put);
                }
                assert_true(watch.kept > 0);
                close_and_free(io, file);
                io_free(io);
        }
}

#define DISK_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_decode),
                cmocka_unit_test(test_decode_damaged),
                DISK_TEST(test_round_trip),
                DISK_TEST(test_torn),
                DISK_TEST(test_foreign_version),
                DISK_TEST(test_foreign_file),
                DISK_TEST(test_largest),
                cmocka_unit_test(test_puts_coalesce),
                cmocka_unit_test(test_error_then_success),
                cmocka_unit_test(test_close_makes_up),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_free_when_closed),
                cmocka_unit_test(test_any_moment),
        };
        return cmocka_run_group_tests_name("state-file", tests, NULL, NULL);
}
