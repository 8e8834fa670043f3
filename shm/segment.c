/* SPDX-License-Identifier: Apache-2.0 */

/* The objects behind shared memory, and the mapping of lane segments.
 *
 * An object has a random name for the few microseconds between its creation and its unlinking;
 * after that only inherited descriptors lead to it, so it cannot be left behind. Its pages are
 * reserved before anybody maps it: running out of /dev/shm is an error here and never a SIGBUS
 * later.
 *
 * Everything in a mapped segment, the header included, can be overwritten by its worker at any
 * time. So the size of a mapping is kept outside of it, in a private page that stands directly
 * before:
 *
 *     | private page: size | segment: header, lanes, result area |
 *                          ^ Segment * */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "segment.h"

#define PAGE_SIZE     4096u
#define NAME_ATTEMPTS 8
#define MAPPING_MAX   (UINT64_C(1) << 40) /* no size computed from it can overflow */

typedef struct Guard {
        size_t mapped; /* this page and the segment */
} Guard;

/* ---- objects ---- */

static int shm_create_named(char *name, size_t name_size) {
        for (unsigned i = 0; i < NAME_ATTEMPTS; i++) {
                uint64_t random[2];
                if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                        return -EIO;
                (void) snprintf(name, name_size, "/muster-%016" PRIx64 "%016" PRIx64, random[0],
                                random[1]);

                int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fd >= 0)
                        return fd;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static int shm_reserve(int fd, size_t size) {
        int r;

        if (ftruncate(fd, (off_t) size) < 0)
                return -errno;
        do
                r = posix_fallocate(fd, 0, (off_t) size);
        while (r == EINTR);
        return -r;
}

int shm_create(size_t size, int *ret_read_fd) {
        CLEANUP_CLOSE int fd = -1;
        CLEANUP_CLOSE int read_fd = -1;
        char name[64];

        if (size == 0 || size > MAPPING_MAX)
                return -EINVAL;
        fd = shm_create_named(name, sizeof(name));
        if (fd < 0)
                return fd;

        int r = 0;
        if (ret_read_fd) {
                read_fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
                if (read_fd < 0)
                        r = -errno;
        }
        if (shm_unlink(name) < 0)
                return -errno;
        if (r < 0)
                return r;
        r = shm_reserve(fd, size);
        if (r < 0)
                return r;

        if (ret_read_fd)
                *ret_read_fd = TAKE_FD(read_fd);
        return TAKE_FD(fd);
}

/* ---- mappings ---- */

static int segment_mmap(Segment **ret, int fd, size_t size) {
        size_t mapped = PAGE_SIZE + size;
        char *base = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED)
                return -errno;

        void *segment = base + PAGE_SIZE;
        if (mprotect(base, PAGE_SIZE, PROT_READ | PROT_WRITE) < 0 ||
            mmap(segment, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
            madvise(base, mapped, MADV_DONTDUMP) < 0) {
                int r = -errno;
                (void) munmap(base, mapped);
                return r;
        }

        Guard *guard = (Guard *) (void *) base;
        guard->mapped = mapped;
        *ret = segment;
        return 0;
}

Segment *segment_unmap(Segment *segment) {
        if (!segment)
                return NULL;

        char *base = (char *) segment - PAGE_SIZE;
        const Guard *guard = (const Guard *) (const void *) base;
        (void) munmap(base, guard->mapped);
        return NULL;
}

int segment_new(Segment **ret, int *ret_fd, uint64_t result_area_size, uint64_t arena_size) {
        CLEANUP_CLOSE int fd = -1;
        Segment *segment = NULL;

        if (result_area_size > MAPPING_MAX - 2 * sizeof(Segment) - PAGE_SIZE)
                return -EINVAL;
        size_t size = ALIGN_UP(sizeof(Segment) + (size_t) result_area_size, (size_t) PAGE_SIZE);

        fd = shm_create(size, NULL);
        if (fd < 0)
                return fd;
        int r = segment_mmap(&segment, fd, size);
        if (r < 0)
                return r;
        assert(segment);
        /* A child that is about to exec() has no business with the lanes of others. */
        if (madvise(segment, size, MADV_DONTFORK) < 0) {
                r = -errno;
                segment_unmap(segment);
                return r;
        }

        segment->header = (SegmentHeader){
                .magic = SEGMENT_MAGIC,
                .version = SEGMENT_VERSION,
                .lane_depth = LANE_DEPTH,
                .segment_size = size,
                .arena_size = arena_size,
                .result_offset = sizeof(Segment),
                .result_size = size - sizeof(Segment),
        };
        *ret_fd = TAKE_FD(fd);
        *ret = segment;
        return 0;
}

static bool header_valid(const SegmentHeader *header, uint64_t size) {
        return header->magic == SEGMENT_MAGIC && header->version == SEGMENT_VERSION &&
                        header->lane_depth == LANE_DEPTH && header->segment_size == size &&
                        header->result_offset == sizeof(Segment) &&
                        header->result_size == size - sizeof(Segment);
}

int segment_map(Segment **ret, int fd) {
        struct stat st;
        Segment *segment = NULL;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t) sizeof(Segment) || (uint64_t) st.st_size > MAPPING_MAX)
                return -EBADMSG;

        int r = segment_mmap(&segment, fd, (size_t) st.st_size);
        if (r < 0)
                return r;
        assert(segment);
        if (!header_valid(&segment->header, (uint64_t) st.st_size)) {
                segment_unmap(segment);
                return -EBADMSG;
        }
        *ret = segment;
        return 0;
}
