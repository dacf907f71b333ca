"""What runs op tables: the loop over steps, and the team of threads that shares each op.

An op table has, for each op, the address of its record and whether the workers meet after it; a
record holds the address of the op's kernel and then its fields. A job says which table to run, and
for which steps. All are 64-bit integers.
"""

from ..memory import call, put_word, word
from ..system import (
    atomic_add,
    atomic_load,
    atomic_store,
    flush_subnormals,
    pause,
    restore_mode,
    sched_yield,
    wait_while,
    wake_all,
)
from ..team import (
    BARRIER,
    BUSY,
    CURRENT,
    FIRST,
    FLUSH,
    IDLE_SPINS,
    JOB,
    LAST,
    OPS,
    OWNERS,
    PARKED,
    RAN,
    SCALAR_BYTES,
    SCALARS,
    SEEN,
    SPINS,
    TABLE,
    WORKER,
    WORKER_BYTES,
    WORKERS,
)


def run():
    """All steps of a job, by one worker; workers meet at a barrier where the op table says so.

    With `FLUSH`, subnormal numbers count as zero: late in a training Adam's averages become
    subnormal, and arithmetic on them is up to a hundred times slower.
    """

    def kernel(mailbox, job, worker):
        table, ops, workers = word(job + TABLE), word(job + OPS), word(job + WORKERS)
        first, last, flush = word(job + FIRST), word(job + LAST), word(job + FLUSH)
        scalars, scalar_bytes = word(job + SCALARS), word(job + SCALAR_BYTES)
        current = word(job + CURRENT)
        mode = flush_subnormals() if flush else 0
        for step in range(first, last):
            if worker == 0:
                for i in range(0, scalar_bytes, 8):
                    put_word(current + i, word(scalars + (step - first) * scalar_bytes + i))
            for o in range(ops):
                record = word(table + 16 * o)
                call(word(record), record + 8, step, worker, workers)
                if workers > 1 and word(table + 16 * o + 8):
                    generation = atomic_load(mailbox + BARRIER + 64)
                    if atomic_add(mailbox + BARRIER, 1) == workers - 1:
                        atomic_store(mailbox + BARRIER, 0)
                        atomic_store(mailbox + BARRIER + 64, generation + 1)
                    else:
                        spins = 0
                        while atomic_load(mailbox + BARRIER + 64) == generation:
                            pause()
                            spins += 1
                            if spins > SPINS:
                                sched_yield()
        if flush:
            restore_mode(mode)

    return kernel


def serve():
    """A worker's life: wait for jobs and run them.

    The generation is odd while a job is being posted. Only a job that was read whole in one even
    generation is run: a worker that a job does not want may be late by any number of jobs.
    """

    def kernel(mailbox, run, worker):
        own = mailbox + WORKER + worker * WORKER_BYTES
        atomic_store(own + PARKED, 0)
        seen = word(own + SEEN)
        spins = 0
        while spins >= 0:  # as long as the process lives
            generation = atomic_load(mailbox)
            if generation != seen and generation % 2 == 0:
                job, workers = word(mailbox + JOB), word(mailbox + JOB + 8)
                if atomic_load(mailbox) == generation:
                    seen = generation
                    if worker < workers:
                        call(run, mailbox, job, worker)
                spins = 0
            elif spins < IDLE_SPINS:
                pause()
                spins += 1
            else:
                # Parked first, then a last look: whoever posts a job looks the other way round.
                atomic_add(own + PARKED, 1)
                if atomic_load(mailbox) == seen:
                    wait_while(mailbox, seen)
                atomic_add(own + PARKED, -1)
                spins = 0

    return kernel


def launch():
    """Claim the team, post a job, wake who sleeps, and run the caller's part.

    Returns `RAN`, or `BUSY` if somebody else has the team.
    """

    def kernel(mailbox, run, job) -> int:
        if atomic_add(mailbox + OWNERS, 1) != 0:
            atomic_add(mailbox + OWNERS, -1)
            return BUSY
        workers = word(job + WORKERS)
        atomic_add(mailbox, 1)
        put_word(mailbox + JOB, job)
        put_word(mailbox + JOB + 8, workers)
        atomic_add(mailbox, 1)
        parked = 0
        for w in range(1, workers):
            parked += atomic_load(mailbox + WORKER + w * WORKER_BYTES + PARKED)
        if parked:
            wake_all(mailbox)
        call(run, mailbox, job, 0)
        atomic_add(mailbox + OWNERS, -1)
        return RAN

    return kernel
