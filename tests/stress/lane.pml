/* SPDX-License-Identifier: Apache-2.0 */

/* The protocol of the lanes as a Promela model: one supervisor, one worker that may be killed before any of its
 * steps and is then replaced, with a new segment. Every store to shared memory is a step of its own.
 *
 * Checked: every task is accepted exactly once; a result that is accepted was computed for the task's present
 * generation; a task that was taken back is not reported; nobody sleeps for ever (all sleeps are modelled without their
 * time limit, so that a lost wake-up is a deadlock).
 *
 * Not modelled: memory weaker than sequential consistency (the ThreadSanitizer run and the release/acquire pairs in
 * lane.c speak for that), a worker that writes what it likes (records are validated; tests/fuzz), retirement.
 *
 * Mutants, each of which must be found wrong:
 *     -DMUTANT_PUBLISH_FIRST    the worker publishes a completion before it has written it
 *     -DMUTANT_HEAD_FIRST       the worker gives a place back before it has copied the task
 *     -DMUTANT_REQUEUE_FIRST    the supervisor re-queues a dead worker's tasks before it has taken its completions
 *     -DMUTANT_NO_SECOND_LOOK   the worker sleeps without looking at its lane again
 *     -DMUTANT_CLAIM_NO_INDEX   the claim word does not say which entry it speaks of */

#ifndef TASKS
#define TASKS 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef REVOKES
#define REVOKES 2
#endif
#define DEPTH 2
#define NOBODY 255

/* ---- the segment: shared ---- */

#define CLAIM_FREE    0
#define CLAIM_QUEUED  1
#define CLAIM_RUNNING 2
#define CLAIM_REVOKED 3
#ifdef MUTANT_CLAIM_NO_INDEX
#define CLAIM(index, state) (state)
#else
#define CLAIM(index, state) ((index) * 4 + (state))
#endif

byte sub_tail, sub_head, com_tail, com_head;
byte sub_claim[DEPTH], sub_task[DEPTH], sub_generation[DEPTH];
byte com_task[DEPTH], com_generation[DEPTH];
bool worker_sleeps, supervisor_sleeps;

/* ---- the kernel ---- */

bool bell;     /* the eventfd has been rung */
bool running;  /* false once the worker has been reaped */
bool killed;   /* SIGKILL has arrived: no step follows */
byte kills_left = KILLS;

/* ---- the supervisor's table: private, and the truth ---- */

#define QUEUED 0
#define HELD   1
#define DONE   2
byte state[TASKS], generation[TASKS], at[TASKS];
byte held, done, revokes_left = REVOKES;
byte own_sub_tail, own_com_head;

/* What was really computed, for the assertions only. */
byte computed[TASKS];

/* ---- the worker ---- */

proctype Worker() {
        byte own_sub_head, own_com_tail;
        byte task, gen, place;
        bool claimed, wanted;

end_dead:
        running;
        own_sub_head = 0;
        own_com_tail = 0;
        {
                do
                :: sub_tail != own_sub_head ->
                        place = own_sub_head % DEPTH;
                        atomic {
                                claimed = (sub_claim[place] == CLAIM(own_sub_head, CLAIM_QUEUED));
                                if
                                :: claimed -> sub_claim[place] = CLAIM(own_sub_head, CLAIM_RUNNING)
                                :: else
                                fi
                        }
#ifdef MUTANT_HEAD_FIRST
                        own_sub_head++;
                        sub_head = own_sub_head;
                        task = sub_task[place];
                        gen = sub_generation[place];
#else
                        task = sub_task[place];
                        gen = sub_generation[place];
                        own_sub_head++;
                        sub_head = own_sub_head;
#endif
                        if
                        :: !claimed -> skip
                        :: else ->
                                d_step { computed[task] = gen; place = own_com_tail % DEPTH }
#ifdef MUTANT_PUBLISH_FIRST
                                own_com_tail++;
                                com_tail = own_com_tail;
                                com_task[place] = task;
                                com_generation[place] = gen;
#else
                                com_task[place] = task;
                                com_generation[place] = gen;
                                own_com_tail++;
                                com_tail = own_com_tail;
#endif
                                atomic { wanted = supervisor_sleeps; supervisor_sleeps = false }
                                if
                                :: wanted -> bell = true
                                :: else
                                fi
                        fi
                :: else ->
                        worker_sleeps = true;
#ifndef MUTANT_NO_SECOND_LOOK
                        if
                        :: sub_tail != own_sub_head -> worker_sleeps = false
                        :: else ->
#endif
end_idle:                       !worker_sleeps
#ifndef MUTANT_NO_SECOND_LOOK
                        fi
#endif
                od
        } unless { killed };
        atomic { killed = false; running = false }
        goto end_dead
}

proctype Killer() {
        do
        :: atomic { kills_left > 0 && running && !killed && done < TASKS ->
                kills_left--; killed = true }
        :: kills_left == 0 || done == TASKS -> break
        od
}

/* ---- the supervisor ---- */

inline accept(slot) {
        d_step {
                assert(com_task[slot] < TASKS);
                assert(state[com_task[slot]] == HELD);
                assert(generation[com_task[slot]] == com_generation[slot]);
                assert(computed[com_task[slot]] == com_generation[slot]);
                state[com_task[slot]] = DONE;
                held--;
                done++
        }
}

inline collect() {
        do
        :: com_tail != own_com_head ->
                assert(com_tail - own_com_head <= DEPTH);
                accept(own_com_head % DEPTH);
                own_com_head++;
                com_head = own_com_head
        :: else -> break
        od
}

inline push(t) {
        d_step { place = own_sub_tail % DEPTH; sub_task[place] = t }
        sub_generation[place] = generation[t];
        sub_claim[place] = CLAIM(own_sub_tail, CLAIM_QUEUED);
        d_step { state[t] = HELD; at[t] = own_sub_tail; held++; own_sub_tail++ }
        sub_tail = own_sub_tail;
        worker_sleeps = false /* an exchange: takes the flag and wakes */
}

inline dispatch() {
        t = 0;
        do
        :: t < TASKS ->
                if
                :: state[t] == QUEUED && held < DEPTH && own_sub_tail - sub_head < DEPTH -> push(t)
                :: else
                fi;
                t++
        :: else -> break
        od
}

inline revoke() {
        t = 0;
        do
        :: t < TASKS ->
                if
                :: state[t] == HELD && revokes_left > 0 ->
                        revokes_left--;
                        d_step {
                                place = at[t] % DEPTH;
                                if
                                :: sub_claim[place] == CLAIM(at[t], CLAIM_QUEUED) ->
                                        sub_claim[place] = CLAIM(at[t], CLAIM_REVOKED);
                                        state[t] = QUEUED;
                                        generation[t]++;
                                        held--
                                :: else
                                fi
                        }
                :: true
                fi;
                t++
        :: else -> break
        od
}

inline requeue() {
        d_step {
                t = 0;
                do
                :: t < TASKS ->
                        if
                        :: state[t] == HELD -> state[t] = QUEUED; generation[t]++
                        :: else
                        fi;
                        t++
                :: else -> break
                od;
                t = 0;
                held = 0
        }
}

inline new_segment() {
        d_step {
                sub_tail = 0; sub_head = 0; com_tail = 0; com_head = 0;
                own_sub_tail = 0; own_com_head = 0;
                t = 0;
                do
                :: t < DEPTH ->
                        sub_claim[t] = CLAIM_FREE; sub_task[t] = NOBODY; sub_generation[t] = NOBODY;
                        com_task[t] = NOBODY; com_generation[t] = NOBODY;
                        t++
                :: else -> break
                od;
                t = 0;
                worker_sleeps = false; supervisor_sleeps = false; bell = false
        }
        running = true
}

inline bury() {
        if
        :: !running ->
#ifdef MUTANT_REQUEUE_FIRST
                requeue();
                collect();
#else
                collect();
                requeue();
#endif
                new_segment()
        :: else
        fi
}

inline sleep_until_rung() {
        supervisor_sleeps = true;
        if
        :: com_tail == own_com_head ->
                if
                :: bell -> bell = false
                :: !running -> skip
                fi
        :: com_tail != own_com_head
        fi;
        supervisor_sleeps = false
}

init {
        byte t, place;

        new_segment();
        run Worker();
        run Killer();
        do
        :: done < TASKS ->
                collect();
                bury();
                dispatch();
                revoke();
                if
                :: held > 0 -> sleep_until_rung()
                :: else
                fi
        :: else -> break
        od;
        assert(held == 0);
        assert(com_tail == own_com_head || !running)
}
