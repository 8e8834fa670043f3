/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `name` is what it was started as: "dies" ends at once, "mute" never becomes ready, "stays" does
 * not leave when it is retired, all others work. */
int test_worker_main(const char *name);
