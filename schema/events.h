/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The events of events.def. */

#include "log.h"

typedef enum Event {
#define EVENT(name, ...) EVENT_##name,
#include "events.def"
#undef EVENT
        EVENT_COUNT,
} Event;

const char *event_message_id(Event event);
int event_priority(Event event);
const char *event_subject(Event event);
const char *event_text(Event event);
