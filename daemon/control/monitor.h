/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/control/: clients that have called Monitor. */

#include "client.h"

void monitor_init(ControlServer *server);

/* From now on the client gets what control_publish() is given. */
void monitor_begin(ControlClient *c);
bool monitor_begun(const ControlClient *c);
/* Nothing is said any more; harmless when it has not begun. */
void monitor_forget(ControlClient *c);

/* Brings out what has been published, and once the server is draining ends all subscriptions, from
 * the loop. */
void monitor_settle(ControlServer *server);
