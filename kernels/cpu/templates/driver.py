"""What runs op tables: the loop over steps, and the team of threads that shares each op.

An op table is an array of records; a record holds the op's address and then its fields. Words are
64-bit integers.
"""

from ..simd import (
    atomic_add,
    atomic_load,
    atomic_store,
    call,
    flush_subnormals,
    pause,
    put_word,
    restore_mode,
    sched_yield,
    word,
)
from ..team import BARRIER, JOB, PARKED, RAN, SEEN, SPINS, WORKER, WORKER_BYTES


def run():
    """All steps of a job, by one worker; every op ends with a barrier of the workers.

    With `flush`, subnormal numbers count as zero: late in a training Adam's averages become
    subnormal, and arithmetic on them is up to a hundred times slower.
    """

    def kernel(
        mailbox, table, ops, first, last, worker, workers, scalars, scalar_bytes, current, flush
    ):  # fmt: skip
        mode = flush_subnormals() if flush else 0
        for step in range(first, last):
            if worker == 0:
                for i in range(0, scalar_bytes, 8):
                    put_word(current + i, word(scalars + (step - first) * scalar_bytes + i))
            for o in range(ops):
                record = word(table + 8 * o)
                call(word(record), record + 8, step, worker, workers)
                if workers > 1:
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
    """A worker's life between two sleeps: wait for jobs and run them; return when none comes."""

    def kernel(mailbox, run, worker):
        own = mailbox + WORKER + worker * WORKER_BYTES
        job = mailbox + JOB
        atomic_store(own + PARKED, 0)
        seen = word(own + SEEN)
        spins = 0
        waiting = True
        while waiting:
            generation = atomic_load(mailbox)
            if generation != seen:
                seen = generation
                put_word(own + SEEN, seen)
                if worker < word(job + 32):
                    call(
                        run, mailbox, word(job), word(job + 8), word(job + 16), word(job + 24),
                        worker, word(job + 32), word(job + 40), word(job + 48), word(job + 56),
                        word(job + 64),
                    )  # fmt: skip
                spins = 0
            elif spins < SPINS:
                pause()
                spins += 1
            else:
                # Parked first, then a last look: whoever posts a job looks the other way round.
                atomic_add(own + PARKED, 1)
                if atomic_load(mailbox) == seen:
                    waiting = False
                else:
                    atomic_add(own + PARKED, -1)
                    spins = 0

    return kernel


def launch():
    """Post a job to the team and, unless somebody must be woken first, run the caller's part."""

    def kernel(
        mailbox, run, table, ops, first, last, workers, scalars, scalar_bytes, current, flush
    ):  # fmt: skip
        parked = 0
        if workers > 1:
            job = mailbox + JOB
            put_word(job, table)
            put_word(job + 8, ops)
            put_word(job + 16, first)
            put_word(job + 24, last)
            put_word(job + 32, workers)
            put_word(job + 40, scalars)
            put_word(job + 48, scalar_bytes)
            put_word(job + 56, current)
            put_word(job + 64, flush)
            atomic_add(mailbox, 1)
            for w in range(1, workers):
                parked += atomic_load(mailbox + WORKER + w * WORKER_BYTES + PARKED)
        if parked == 0:
            call(
                run, mailbox, table, ops, first, last, 0, workers, scalars, scalar_bytes, current,
                flush,
            )  # fmt: skip
        put_word(mailbox + RAN, 1 if parked == 0 else 0)

    return kernel
