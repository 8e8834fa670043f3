/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "macro.h"
#include "parse.h"
#include "simulate.h"

static int parse_probability(const char *text, double *ret) {
        char *end = NULL;
        double value = strtod(text, &end);

        if (end == text || *end || !(value >= 0 && value <= 1))
                return -EINVAL;
        *ret = value;
        return 0;
}

static int
simulation_set(Simulation *simulation, const char *name, const char *value, const char **ret_reason) {
        uint64_t number = 0;

        if (strcmp(name, "delay") == 0) {
                *ret_reason = "delay= takes a time span such as 2s or 500ms";
                return parse_duration(value, &simulation->delay_ns);
        }
        if (strcmp(name, "fail") == 0) {
                *ret_reason = "fail= takes a probability between 0 and 1";
                return parse_probability(value, &simulation->fail);
        }
        if (strcmp(name, "bytes") == 0) {
                *ret_reason = "bytes= takes a size such as 1024 or 4K";
                return parse_size(value, &simulation->bytes);
        }
        if (strcmp(name, "status") == 0) {
                *ret_reason = "status= takes a number between 200 and 599";
                int r = parse_u64(value, &number);
                if (r < 0 || number < 200 || number > 599)
                        return -EINVAL;
                simulation->status = (int) number;
                return 0;
        }
        *ret_reason = "simulate: knows delay=, fail=, bytes= and status=";
        return -EINVAL;
}

int simulation_parse(const char *query, Simulation *ret, const char **ret_reason) {
        Simulation simulation = { .bytes = 1024, .status = 200 };
        CLEANUP_FREE char *copy = strdup(query);
        char *rest = copy;

        if (!copy)
                return -ENOMEM;
        for (char *word; (word = strsep(&rest, "&"));) {
                char *value = strchr(word, '=');

                if (*word == '\0')
                        continue;
                if (value)
                        *value++ = '\0';
                if (simulation_set(&simulation, word, value ? value : "", ret_reason) < 0)
                        return -EINVAL;
        }
        *ret = simulation;
        return 0;
}

void simulation_write(
                char *out, size_t size, const char *source, const char *question,
                size_t question_size) {
        char line[512];
        int n =
                        snprintf(line, sizeof(line), "The simulated source %s was asked: %.*s\n",
                                 source, (int) MIN(question_size, (size_t) 256), question);
        size_t length = MIN((size_t) n, sizeof(line) - 1);

        for (size_t done = 0; done < size;) {
                size_t piece = MIN(size - done, length);

                /* A line that is cut short holds ASCII only, so no character is cut in two. */
                if (piece < length)
                        memset(out + done, '.', piece);
                else
                        memcpy(out + done, line, piece);
                done += piece;
        }
}
