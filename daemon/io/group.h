/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Structured concurrency: work that belongs together. A group ends once, when it has been closed to
 * new members and every member has left; cancelling it asks each member to end and then waits for
 * them.
 *
 *   gather     a member's failure stays with that member
 *   fail-fast  the first failure of a required member cancels the rest
 *
 * `ended` is called from the loop, never from within a call to the group. */

#include <stdbool.h>

#include "io.h"

typedef enum GroupPolicy {
        GROUP_GATHER,
        GROUP_FAIL_FAST,
} GroupPolicy;

typedef struct Group Group;
typedef struct GroupMember GroupMember;

struct GroupMember {
        List node;    /* private */
        Group *group; /* NULL while it is in none */
        bool required;
        bool cancelled;                      /* cancel() has been called */
        void (*cancel)(GroupMember *member); /* asks it to end soon; it may leave from within */
};

struct Group {
        Io *io;
        GroupPolicy policy;
        List members;
        unsigned count;
        bool closed;
        bool cancelled;
        int error; /* of the member that made a fail-fast group fail, else 0 */
        IoTask end;
        void (*ended)(Group *group);
};

void group_init(Group *group, Io *io, GroupPolicy policy, void (*ended)(Group *group));
/* Only before anything was added or after `ended`. */
void group_deinit(Group *group);

/* -ECANCELED when the group has been cancelled: then do not start. */
int group_add(Group *group, GroupMember *member);
/* The member has ended; error 0 or a negative errno. Once per group_add(). */
void group_leave(GroupMember *member, int error);
/* No further members; the group ends when the last has left. */
void group_close(Group *group);
/* Closes it, too. Calling it again is harmless. */
void group_cancel(Group *group);
