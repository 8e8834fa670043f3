/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka.h"
#include "segment.h"

#define AREA  100000
#define ARENA (UINT64_C(1) << 20)

static void test_object(void **state) {
        struct stat st;
        int read_fd = -1;
        int fd = shm_create(10000, &read_fd);

        assert_true(fd >= 0 && read_fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 10000);
        assert_int_equal(st.st_nlink, 0); /* no name leads to it any more */
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(st.st_blocks * 512 >= 10000);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(read_fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(read_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(ftruncate(read_fd, 0), -1);
        assert_int_equal(fallocate(read_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(read_fd), 0);
}

static void test_object_sizes(void **state) {
        int read_fd = -1;
        assert_int_equal(shm_create(0, NULL), -EINVAL);
        assert_int_equal(shm_create(SIZE_MAX, &read_fd), -EINVAL);
        assert_int_equal(read_fd, -1);
}

/* With a limit in the way, each step fails cleanly. */
static void test_object_limits(void **state) {
        struct rlimit files, size, tight;
        int read_fd = -1;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &size), 0);
        tight = (struct rlimit){ .rlim_cur = 4096, .rlim_max = size.rlim_max };
        assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        assert_int_equal(shm_create(10000, &read_fd), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &size), 0);
        assert_ptr_not_equal(signal(SIGXFSZ, SIG_DFL), SIG_ERR);

        int next = dup(0); /* the lowest descriptor that is free */
        assert_true(next >= 0);
        assert_int_equal(close(next), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
        for (int more = 0; more < 2; more++) {
                tight = (struct rlimit){
                        .rlim_cur = (rlim_t) (next + more),
                        .rlim_max = files.rlim_max,
                };
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
                int r = shm_create(10000, &read_fd);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
                assert_int_equal(r, -EMFILE);
        }
        assert_int_equal(read_fd, -1);
}

static void test_new_and_map(void **state) {
        Segment *a = NULL, *b = NULL;
        int fd = -1;

        assert_int_equal(segment_new(&a, &fd, AREA, ARENA), 0);
        assert_int_equal((uintptr_t) a % CACHE_LINE, 0);
        assert_int_equal(a->header.magic, SEGMENT_MAGIC);
        assert_int_equal(a->header.arena_size, ARENA);
        assert_true(a->header.result_size >= AREA);
        assert_true(a->header.result_offset >= sizeof(Segment));
        assert_int_equal(a->header.result_offset + a->header.result_size, a->header.segment_size);

        assert_int_equal(segment_map(&b, fd), 0);
        assert_memory_equal(&a->header, &b->header, sizeof(a->header));
        char *area = segment_result_area(b, b->header.result_offset);
        memset(area, 'x', b->header.result_size);
        assert_int_equal(
                        ((const char *) segment_result_area(a, a->header.result_offset))[AREA - 1],
                        'x');

        /* Unmapping does not depend on what a worker leaves in the header. */
        memset(&a->header, 0xff, sizeof(a->header));
        assert_null(segment_unmap(b));
        assert_null(segment_unmap(a));
        assert_null(segment_unmap(NULL));
        assert_int_equal(close(fd), 0);
}

static void test_new_refusals(void **state) {
        Segment *segment = NULL;
        int fd = -1;
        assert_int_equal(segment_new(&segment, &fd, UINT64_MAX, ARENA), -EINVAL);
        assert_int_equal(segment_new(&segment, &fd, UINT64_C(1) << 40, ARENA), -EINVAL);
        assert_null(segment);
        assert_int_equal(fd, -1);
}

/* Each field of the header, broken in turn. */
static void test_header_conditions(void **state) {
        static const struct {
                size_t offset;
                size_t size;
        } fields[] = {
#define FIELD(name) { offsetof(SegmentHeader, name), sizeof(((SegmentHeader *) 0)->name) }
                FIELD(magic),        FIELD(version),       FIELD(lane_depth),
                FIELD(segment_size), FIELD(result_offset), FIELD(result_size),
#undef FIELD
        };
        Segment *segment, *again = NULL;
        int fd = -1;

        assert_int_equal(segment_new(&segment, &fd, AREA, ARENA), 0);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                SegmentHeader good = segment->header;
                ((uint8_t *) &segment->header)[fields[i].offset] ^= 1;
                assert_int_equal(segment_map(&again, fd), -EBADMSG);
                ((uint8_t *) &segment->header)[fields[i].offset + fields[i].size - 1] ^= 0x80;
                assert_int_equal(segment_map(&again, fd), -EBADMSG);
                segment->header = good;
        }
        assert_null(again);
        assert_int_equal(segment_map(&again, fd), 0);
        segment_unmap(again);
        segment_unmap(segment);
        assert_int_equal(close(fd), 0);
}

static void test_map_refusals(void **state) {
        Segment *segment = NULL;
        int fd = shm_create(sizeof(Segment) - 1, NULL);

        assert_int_equal(segment_map(&segment, fd), -EBADMSG);
        assert_int_equal(close(fd), 0);
        assert_int_equal(segment_map(&segment, -1), -EBADF);

        int read_fd = -1;
        fd = shm_create(2 * sizeof(Segment), &read_fd);
        assert_int_equal(segment_map(&segment, read_fd), -EACCES);
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(read_fd), 0);
        assert_null(segment);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_object),        cmocka_unit_test(test_object_sizes),
                cmocka_unit_test(test_object_limits), cmocka_unit_test(test_new_and_map),
                cmocka_unit_test(test_new_refusals),  cmocka_unit_test(test_header_conditions),
                cmocka_unit_test(test_map_refusals),
        };
        return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
