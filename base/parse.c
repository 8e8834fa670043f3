/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "macro.h"
#include "parse.h"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

/* The digits at `*text`, at least one; `*text` is moved behind them, even if they are too many. */
static int parse_digits(const char **text, uint64_t *ret) {
        const char *at = *text;
        uint64_t value = 0;
        bool overflow = false;

        if (!is_digit(*at))
                return -EINVAL;
        for (; is_digit(*at); at++)
                overflow |= __builtin_mul_overflow(value, UINT64_C(10), &value) ||
                                __builtin_add_overflow(value, (uint64_t) (*at - '0'), &value);
        *text = at;
        if (overflow)
                return -ERANGE;
        *ret = value;
        return 0;
}

int parse_u64(const char *text, uint64_t *ret) {
        uint64_t value = 0;

        int r = parse_digits(&text, &value);
        if (*text != '\0')
                return -EINVAL;
        if (r == 0)
                *ret = value;
        return r;
}

int parse_size(const char *text, uint64_t *ret) {
        static const char units[] = "KMG";
        uint64_t value = 0;
        unsigned shift = 0;

        int r = parse_digits(&text, &value);
        if (*text != '\0') {
                const char *unit = strchr(units, *text);
                if (!unit || text[1] != '\0')
                        return -EINVAL;
                shift = 10 * (unsigned) (unit - units + 1);
        }
        if (r < 0)
                return r;
        if (value > UINT64_MAX >> shift)
                return -ERANGE;
        *ret = value << shift;
        return 0;
}

int parse_bool(const char *text, bool *ret) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true }, { "true", true },   { "on", true },   { "1", true },
                { "no", false }, { "false", false }, { "off", false }, { "0", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(text, words[i].word) == 0) {
                        *ret = words[i].value;
                        return 0;
                }
        return -EINVAL;
}

int parse_hex(const char *text, size_t size, uint64_t *ret) {
        uint64_t value = 0;

        if (size == 0 || size > 20)
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                char c = text[i];
                uint64_t digit;

                if (is_digit(c))
                        digit = (uint64_t) (c - '0');
                else if (c >= 'a' && c <= 'f')
                        digit = (uint64_t) (c - 'a') + 10;
                else if (c >= 'A' && c <= 'F')
                        digit = (uint64_t) (c - 'A') + 10;
                else
                        return -EINVAL;
                if (value > UINT64_MAX >> 4)
                        return -ERANGE;
                value = value << 4 | digit;
        }
        *ret = value;
        return 0;
}

/* The units of systemd.time(7), greatest first; the first name of a size is the one that is
 * written. */
static const struct {
        const char *name;
        uint64_t ns;
} units[] = {
        { "y", 31557600 * NSEC_PER_SEC },
        { "year", 31557600 * NSEC_PER_SEC },
        { "years", 31557600 * NSEC_PER_SEC },
        { "month", 2629800 * NSEC_PER_SEC },
        { "months", 2629800 * NSEC_PER_SEC },
        { "M", 2629800 * NSEC_PER_SEC },
        { "w", 604800 * NSEC_PER_SEC },
        { "week", 604800 * NSEC_PER_SEC },
        { "weeks", 604800 * NSEC_PER_SEC },
        { "d", 86400 * NSEC_PER_SEC },
        { "day", 86400 * NSEC_PER_SEC },
        { "days", 86400 * NSEC_PER_SEC },
        { "h", 3600 * NSEC_PER_SEC },
        { "hr", 3600 * NSEC_PER_SEC },
        { "hour", 3600 * NSEC_PER_SEC },
        { "hours", 3600 * NSEC_PER_SEC },
        { "min", 60 * NSEC_PER_SEC },
        { "minute", 60 * NSEC_PER_SEC },
        { "minutes", 60 * NSEC_PER_SEC },
        { "m", 60 * NSEC_PER_SEC },
        { "s", NSEC_PER_SEC },
        { "sec", NSEC_PER_SEC },
        { "second", NSEC_PER_SEC },
        { "seconds", NSEC_PER_SEC },
        { "ms", NSEC_PER_MSEC },
        { "msec", NSEC_PER_MSEC },
        { "us", NSEC_PER_USEC },
        { "usec", NSEC_PER_USEC },
        { "µs", NSEC_PER_USEC },
        { "ns", 1 },
        { "nsec", 1 },
};

/* The unit at `*text`; seconds when there is none. */
static int parse_unit(const char **text, uint64_t *ret_ns) {
        size_t length = strcspn(*text, " \t0123456789.");

        if (length == 0) {
                *ret_ns = NSEC_PER_SEC;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == length && memcmp(units[i].name, *text, length) == 0) {
                        *text += length;
                        *ret_ns = units[i].ns;
                        return 0;
                }
        return -EINVAL;
}

/* One number and its unit, as in "1.5s". */
static int parse_span(const char **text, uint64_t *ret_ns) {
        const char *fraction = "";
        uint64_t value, unit;

        int r = parse_digits(text, &value);
        if (r < 0)
                return r;
        if (**text == '.') {
                fraction = ++*text;
                if (!is_digit(*fraction))
                        return -EINVAL;
                *text += strspn(*text, "0123456789");
        }
        *text += strspn(*text, " \t");
        r = parse_unit(text, &unit);
        if (r < 0)
                return r;

        if (__builtin_mul_overflow(value, unit, &value))
                return -ERANGE;
        for (uint64_t weight = unit / 10; is_digit(*fraction) && weight > 0; weight /= 10)
                if (__builtin_add_overflow(value, weight * (uint64_t) (*fraction++ - '0'), &value))
                        return -ERANGE;
        *ret_ns = value;
        return 0;
}

int parse_duration(const char *text, uint64_t *ret_ns) {
        uint64_t sum = 0;

        text += strspn(text, " \t");
        if (strcmp(text, "infinity") == 0) {
                *ret_ns = TIME_INFINITY;
                return 0;
        }
        do {
                uint64_t span;
                int r = parse_span(&text, &span);
                if (r < 0)
                        return r;
                sum = time_add(sum, span);
                if (sum == TIME_INFINITY)
                        return -ERANGE;
                while (is_blank(*text))
                        text++;
        } while (*text != '\0');
        *ret_ns = sum;
        return 0;
}

/* "1.5s": `value` units and the fraction `rest` of one, without trailing zeros. */
static int format_fraction(char *out, size_t size, uint64_t value, uint64_t rest, size_t unit) {
        int digits = 0;

        for (uint64_t ns = units[unit].ns; ns > 1; ns /= 10)
                digits++;
        for (; rest % 10 == 0; rest /= 10)
                digits--;
        return snprintf(out, size, "%llu.%0*llu%s", (unsigned long long) value, digits,
                        (unsigned long long) rest, units[unit].name);
}

char *format_duration(char buffer[static DURATION_TEXT_MAX], uint64_t ns) {
        size_t at = 0;

        if (ns == TIME_INFINITY || ns == 0) {
                (void) snprintf(buffer, DURATION_TEXT_MAX, ns == 0 ? "0" : "infinity");
                return buffer;
        }
        for (size_t i = 0; i < ELEMENTSOF(units) && ns > 0; i++) {
                uint64_t value = ns / units[i].ns, rest = ns % units[i].ns;

                if (value == 0)
                        continue;
                if (at > 0)
                        buffer[at++] = ' ';
                /* Below a minute units are decimal, and one with a point reads better than
                 * three. */
                if (ns < 60 * NSEC_PER_SEC && rest > 0) {
                        (void) format_fraction(buffer + at, DURATION_TEXT_MAX - at, value, rest, i);
                        return buffer;
                }
                at += (size_t) snprintf(
                                buffer + at, DURATION_TEXT_MAX - at, "%llu%s",
                                (unsigned long long) value, units[i].name);
                ns = rest;
        }
        assert(at < DURATION_TEXT_MAX);
        return buffer;
}

char *format_about(char buffer[static DURATION_TEXT_MAX], uint64_t ns) {
        uint64_t step = 1;

        while (ns / step >= 1000)
                step *= 10;
        return format_duration(buffer, ns / step * step + (ns % step * 2 >= step ? step : 0));
}
