/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The few language helpers that every layer uses. */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

#define CONTAINER_OF(pointer, type, member) \
        ((type *) ((uintptr_t) (1 ? (pointer) : &((type *) 0)->member) - offsetof(type, member)))

#define MIN(a, b)                       \
        __extension__({                 \
                __typeof__(a) _a = (a); \
                __typeof__(b) _b = (b); \
                _a < _b ? _a : _b;      \
        })
#define MAX(a, b)                       \
        __extension__({                 \
                __typeof__(a) _a = (a); \
                __typeof__(b) _b = (b); \
                _a > _b ? _a : _b;      \
        })

/* Rounds up to a power of two `to`. */
#define ALIGN_UP(value, to) (((value) + (to) -1) & ~((__typeof__(value)) (to) -1))

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
