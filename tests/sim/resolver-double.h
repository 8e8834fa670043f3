/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names: "hN.test" is server N, after a while and perhaps with a dead address first; "none.test"
 * does not exist; "never.test" is never answered. */

#include "resolver.h"
#include "world.h"

Resolver *resolver_double_new(World *world);
