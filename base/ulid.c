/* SPDX-License-Identifier: Apache-2.0 */
#include "ulid.h"

/* Writes the low 5 * count bits of `value`, most significant first. */
static void encode(char *out, unsigned count, uint64_t value) {
        static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

        while (count-- > 0) {
                out[count] = digits[value & 31];
                value >>= 5;
        }
}

Ulid ulid_make(uint64_t unix_ms, uint64_t random_high, uint64_t random_low) {
        Ulid ulid;

        /* 10 digits of time; then 80 random bits as twice 8 digits of 40 bits each. */
        encode(ulid.text, 10, unix_ms & ((UINT64_C(1) << 48) - 1));
        encode(ulid.text + 10, 8, (random_high & 0xffff) << 24 | random_low >> 40);
        encode(ulid.text + 18, 8, random_low & ((UINT64_C(1) << 40) - 1));
        ulid.text[ULID_LENGTH] = '\0';
        return ulid;
}
