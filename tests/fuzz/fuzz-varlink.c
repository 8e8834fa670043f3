/* SPDX-License-Identifier: Apache-2.0 */

/* The way of a client's bytes up to the query engine: the first byte says at which distances the
 * rest is cut into reads; then frames, calls, checks of parameters, and Query's parameters taken
 * out. */

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "arguments.h"
#include "interface.h"
#include "varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_call(const char *frame, size_t size) {
        VarlinkCall call;
        QueryArguments arguments;

        if (varlink_call_parse(&call, frame, size) < 0)
                return;
        if (!call.invalid) {
                for (size_t i = 0; i < n_interface_methods; i++)
                        (void) arguments_invalid(interface_methods[i].input, call.parameters);
                if (!arguments_invalid("Query", call.parameters) &&
                    query_arguments_init(&arguments, call.parameters, 1) >= 0) {
                        if (arguments.request.question_size == 0)
                                abort();
                        query_arguments_deinit(&arguments);
                }
        }
        varlink_call_deinit(&call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        VarlinkFrames frames = {};
        const char *frame;
        size_t frame_size, step = size > 0 ? (size_t) data[0] + 1 : 1;

        json_object_seed(1);
        for (size_t at = 1; at < size; at += step) {
                if (varlink_frames_push(&frames, data + at, step < size - at ? step : size - at) < 0)
                        break;
                while (varlink_frames_next(&frames, &frame, &frame_size))
                        take_call(frame, frame_size);
        }
        varlink_frames_deinit(&frames);
        return 0;
}
