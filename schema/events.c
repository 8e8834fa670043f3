/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

static const struct {
        const char *message_id;
        int priority;
        const char *subject;
        const char *text;
} events[] = {
#define EVENT(name, id, priority, subject, text) [EVENT_##name] = { id, priority, subject, text },
#include "events.def"
#undef EVENT
};

const char *event_message_id(Event event) {
        return events[event].message_id;
}

int event_priority(Event event) {
        return events[event].priority;
}

const char *event_subject(Event event) {
        return events[event].subject;
}

const char *event_text(Event event) {
        return events[event].text;
}
