/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/control/: what the methods do. */

#include "client.h"
#include "varlink.h"

/* Checks the call and does it: replies at once, or sets c->query and replies when that ends, or
 * makes the client a subscriber. */
void methods_call(ControlClient *c, const VarlinkCall *call);
