/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A gate lets so many through at a time, and so many in a time; whoever comes meanwhile stands in
 * line: interactive before batch, then the higher priority, then first come, first served. The line
 * is bounded. One gate a source (Concurrency=, Rate=, MinIntervalSec=) and one for all
 * (MaxConcurrent=). */

#include <stdbool.h>
#include <stdint.h>

#include "heap.h"
#include "io.h"
#include "rate.h"

#define GATE_LINE_MAX 16384u

typedef struct GatePass GatePass;

typedef struct Gate {
        Io *io;
        uint64_t places; /* 0: any number at a time */
        RatePolicy policy;
        uint64_t inside;
        Rate rate;

        /* private */
        Heap line;
        size_t interactive;  /* in line */
        GatePass *threshold; /* inside and about to begin; only while there is a rate */
        uint64_t order;
        IoTimer timer; /* when the rate lets the first in line through */
        IoTask task;   /* opens the gate, outside of whoever has left it */
} Gate;

struct GatePass {
        /* Set by the caller. */
        bool batch;
        int priority;
        void (*granted)(GatePass *pass); /* it has come to its turn and is inside */

        /* private; all-zero: outside */
        HeapNode node;
        uint64_t order;
        bool inside;
};

void gate_init(Gate *gate, Io *io, uint64_t places, const RatePolicy *policy);
/* Nobody may be inside or in line. */
void gate_deinit(Gate *gate);

/* 0: inside. -EINPROGRESS: in line, `granted` is called from the loop. -EBUSY: the line is full;
 * -ENOMEM. */
int gate_enter(Gate *gate, GatePass *pass);
/* The same without standing in line: -EAGAIN. */
int gate_try(Gate *gate, GatePass *pass);
/* What it came for begins now, maybe long after it went in: the rate counts from here, and until
 * then lets nobody follow. Only where there is a rate. */
void gate_begin(Gate *gate, GatePass *pass);
/* Leaves the line, or the place inside; harmless outside. `unused`: nothing has begun inside, so
 * it does not count for the rate. */
void gate_leave(Gate *gate, GatePass *pass, bool unused);

/* Before that time the rate will let no newcomer through, ns; all of one priority. */
uint64_t gate_earliest(const Gate *gate, bool batch);
