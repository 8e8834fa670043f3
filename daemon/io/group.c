/* SPDX-License-Identifier: Apache-2.0 */

/* Groups: see the header for what they promise.
 *
 * Cancelling runs callbacks that may leave, and make other members leave. So the members yet to be
 * asked stand on a list of their own, from which the first is taken each time: whoever leaves
 * meanwhile is on neither list and is not met again. */

#include <assert.h>
#include <errno.h>

#include "group.h"
#include "macro.h"

static void group_end(IoTask *task) {
        Group *group = CONTAINER_OF(task, Group, end);

        assert(group->closed && group->count == 0);
        group->ended(group);
}

void group_init(Group *group, Io *io, GroupPolicy policy, void (*ended)(Group *group)) {
        *group = (Group){ .io = io, .policy = policy, .end.run = group_end, .ended = ended };
        list_init(&group->members);
        list_init(&group->end.node);
}

void group_deinit(Group *group) {
        assert(group->count == 0);
        io_unpost(&group->end);
}

int group_add(Group *group, GroupMember *member) {
        if (group->cancelled)
                return -ECANCELED;

        assert(!group->closed && !member->group);
        list_append(&group->members, &member->node);
        group->count++;
        member->group = group;
        member->cancelled = false;
        return 0;
}

void group_leave(GroupMember *member, int error) {
        Group *group = member->group;

        assert(group && group->count > 0 && error <= 0);
        list_remove(&member->node);
        group->count--;
        member->group = NULL;

        if (error < 0 && member->required && group->policy == GROUP_FAIL_FAST && !group->cancelled) {
                group->error = error;
                group_cancel(group);
        }
        if (group->closed && group->count == 0)
                io_post(group->io, &group->end);
}

void group_close(Group *group) {
        if (group->closed)
                return;
        group->closed = true;
        if (group->count == 0)
                io_post(group->io, &group->end);
}

void group_cancel(Group *group) {
        List asked;

        if (group->cancelled)
                return;
        group->cancelled = true;

        list_move(&asked, &group->members);
        while (!list_empty(&asked)) {
                GroupMember *member = LIST_FIRST(&asked, GroupMember, node);

                list_remove(&member->node);
                list_append(&group->members, &member->node);
                member->cancelled = true;
                member->cancel(member);
        }
        group_close(group);
}
