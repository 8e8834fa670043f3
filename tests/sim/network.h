/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The scripted HTTP servers. Each can be reached by IPv4, IPv6 and a Unix socket, and serves
 * every source: the first part of the request's path is the source's name, and that decides what
 * happens. */

#include "resolver.h"
#include "world.h"

typedef struct Network Network;

Network *network_new(World *world);
Network *network_free(Network *network);

Address network_address(unsigned server, uint16_t port, bool v6);
