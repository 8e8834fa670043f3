/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Named instants at which a test may kill the process. Nothing at all in normal builds. */

#ifdef MUSTER_FAILPOINTS
/* Defined by the test that links it. */
void failpoint(const char *name);
#        define FAILPOINT(name) failpoint(name)
#else
#        define FAILPOINT(name) ((void) 0)
#endif
