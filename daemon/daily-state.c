/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daily-state.h"
#include "parse.h"

#define LINE_MAX_SIZE 512u

void daily_state_write(const SourceTable *table, Buffer *out) {
        for (size_t i = 0; i < table->count; i++) {
                const Source *source = table->sources[i];

                if (source->config->daily > 0 && source->daily.used > 0)
                        (void) buffer_printf(
                                        out, "%u %u %s\n", source->daily.day, source->daily.used,
                                        source->name);
        }
}

static void read_line(SourceTable *table, char *line) {
        const char *day_text = strsep(&line, " "), *used_text = strsep(&line, " ");
        uint64_t day, used;

        if (!line || parse_u64(day_text, &day) < 0 || parse_u64(used_text, &used) < 0 ||
            day > UINT32_MAX || used > UINT32_MAX)
                return;
        Source *source = source_table_find(table, line);
        if (source)
                source->daily = (DailyQuota){ (uint32_t) day, (uint32_t) used };
}

void daily_state_read(SourceTable *table, const char *text, size_t size) {
        char line[LINE_MAX_SIZE];

        for (const char *end = text + size, *next; text < end; text = next) {
                const char *stop = memchr(text, '\n', (size_t) (end - text));
                size_t length = (size_t) ((stop ? stop : end) - text);

                next = stop ? stop + 1 : end;
                if (length >= sizeof(line))
                        continue;
                memcpy(line, text, length);
                line[length] = '\0';
                read_line(table, line);
        }
}
