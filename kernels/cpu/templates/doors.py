"""What built-in functions do between Python's call and the kernel; see `cpu.door`.

Arguments are looked at where CPython and NumPy keep them. Nothing here changes before all of it
fits; what does not fit is handed to the function in Python. Python's lock is held throughout.
"""

from inspect import signature

from .. import door, predictor, team
from ..blocking import blocking
from ..frontend import subroutine
from ..layout import together
from ..matmul import DIRECT_TILES, FIELDS, MOST_WORK, ONE_THREAD, WORTH_WAKING, by_panels
from ..memory import ask, call, half_word, put_word, word
from .arguments import launch, share, team_for
from .matmul import matmul as _matmul
from .row import row

TYPE, DATA, NDIM, SHAPE, STRIDES = door.TYPE, door.DATA, door.NDIM, door.SHAPE, door.STRIDES
DESCR, FLAGS, ALIGNED = door.DESCR, door.FLAGS, door.ALIGNED
OUTPUT = door.ALIGNED | door.WRITEABLE | door.C_ORDER
TUPLE_SIZE, TUPLE_ITEMS = door.TUPLE_SIZE, door.TUPLE_ITEMS
ARRAY_TYPE, OUT, NONE, BLOCKS = door.ARRAY_TYPE, door.OUT, door.NONE, door.BLOCKS
NEW, VECTORCALL, INCREF, PYTHON = door.NEW, door.VECTORCALL, door.INCREF, door.PYTHON
TEAM, DECREF, OTHER = door.TEAM, door.DECREF, door.OTHER

BLOCK = 8 * len(FIELDS)
side_by_side, shares_panels = subroutine(together), subroutine(by_panels)

PREDICTOR_FIELDS, ENTRY_FIELDS = predictor.FIELDS, predictor.ENTRY


def _places(names):
    return {name: 8 * i for i, name in enumerate(names)}


def matmul(s):
    """``matmul(a, b, *, out=None)`` for plain matrices of at most `MOST_WORK` multiply-adds."""
    at = _places(list(signature(_matmul(s)).parameters)[3:])
    at_a, at_a_stride, at_by_rows, at_b = at["a"], at["a_stride"], at["by_rows"], at["b"]
    at_b_stride, at_copy_b, at_direct_b = at["b_stride"], at["copy_b"], at["direct_b"]
    at_c, at_c_pitch, at_n, at_k, at_kc = at["c"], at["c_pitch"], at["n"], at["k"], at["kc"]
    at_group, at_run = at["group"], at["run"]
    at_tiles, at_narrow_tiles = at["tiles"], at["narrow_tiles"]
    at_most, at_narrow_most = at["most"], at["narrow_most"]
    at = _places(list(signature(row(s)).parameters)[3:])
    row_a, row_b, row_b_stride, row_turned = at["a"], at["b"], at["b_stride"], at["turned"]
    row_c, row_k = at["c"], at["k"]
    at = _places(FIELDS)
    descr, number, size_at, lanes_at = at["descr"], at["number"], at["size"], at["lanes"]
    record_at, row_at, shape_at = at["record"], at["row"], at["shape"]
    rows_wide, most_at, narrow_most_at = at["rows_wide"], at["most"], at["narrow_most"]
    rows_of_at, panels_of_at, scratch_at = at["rows_of"], at["panels_of"], at["scratch_size"]
    job_at, table_at, room_at = at["job"], at["table"], at["room"]
    direct_bytes = blocking(s.isa).direct_bytes

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        array_type = word(context + ARRAY_TYPE)
        fits = nargs == 2
        out, plain = 0, False
        if fits and kwnames:
            fits = (
                word(kwnames + TUPLE_SIZE) == 1
                and word(kwnames + TUPLE_ITEMS) == word(context + OUT)
            )
            if fits:
                out = word(args + 16)
                if out == word(context + NONE):
                    out = 0
        if fits:
            a, b = word(args), word(args + 8)
            fits = word(a + TYPE) == array_type and word(b + TYPE) == array_type
        if fits:
            dtype = word(a + DESCR)
            block = context + BLOCKS
            if dtype != word(block + descr):
                block += BLOCK
            fits = (
                dtype == word(block + descr) and dtype == word(b + DESCR)
                and half_word(a + NDIM) == 2 and half_word(b + NDIM) == 2
                and half_word(a + FLAGS) & half_word(b + FLAGS) & ALIGNED != 0
            )  # fmt: skip
        if fits:
            size, lanes = word(block + size_at), word(block + lanes_at)
            nr = 2 * lanes
            a_shape, b_shape = word(a + SHAPE), word(b + SHAPE)
            m, k, n = word(a_shape), word(a_shape + 8), word(b_shape + 8)
            out_rows, out_columns = m, n
            plain = k == word(b_shape) and m > 0 and n > 0 and k > 0
            fits = plain and m <= MOST_WORK and n <= MOST_WORK and k <= MOST_WORK
            fits = fits and m * n * k <= MOST_WORK
        if plain:
            a_first, b_first = word(a + DATA), word(b + DATA)
            a_strides, b_strides = word(a + STRIDES), word(b + STRIDES)
            a_down, a_across = word(a_strides), word(a_strides + 8)
            b_down, b_across = word(b_strides), word(b_strides + 8)
            a_stop = a_first + (m - 1) * a_down + (k - 1) * a_across + size
            b_stop = b_first + (k - 1) * b_down + (n - 1) * b_across + size
            if n == 1 and m > 1:
                # A column is the transpose of a row, which keeps more of a tile busy.
                m, n, a_first, b_first = 1, m, b_first, a_first
                a_down, a_across, b_down, b_across = b_across, b_down, a_across, a_down
            by_rows = (a_across == size or k == 1) and (a_down >= k * size or m == 1)
            by_columns = (a_down == size or m == 1) and (a_across >= m * size or k == 1)
            copy_b = (b_across == size or n == 1) and (b_down >= n * size or k == 1)
            turn_b = (b_down == size or k == 1) and (b_across >= k * size or n == 1)
            panels = (n + nr - 1) // nr
            most, narrow_most = word(block + most_at), word(block + narrow_most_at)
            direct_b = copy_b and m <= DIRECT_TILES * most and k * b_down <= direct_bytes
            if by_rows:
                most, narrow_most = side_by_side(most, a_down), side_by_side(narrow_most, a_down)
            as_row = m == 1 and by_rows
            group = 1 if direct_b or as_row else panels
            plain = (by_rows or by_columns and m > 1) and (copy_b or turn_b)
            fits = fits and plain and group * k * nr * size <= word(block + scratch_at)
        if fits:
            workers = 1
            gate = word(context + TEAM)
            if m * n * k > ONE_THREAD:
                workers = team_for(gate, word(block + room_at), m * n * k < WORTH_WAKING, False)
                fits = workers > 0
        if fits:
            panels_shared = as_row or workers == 1 or shares_panels(m, k, n, panels, workers)
            rows_of, panels_of = word(block + rows_of_at), word(block + panels_of_at)
            # The tiles that this product is cut into have to be there already.
            tables = block + rows_wide + (0 if by_rows else 16)
            wide, narrow = word(tables), word(tables + 8)
            rest = n - (panels - 1) * nr
            for w in range(0 if as_row else workers):
                rows = m if panels_shared else m * (w + 1) // workers - m * w // workers
                if rows > 0:
                    if panels > 1 or rest > lanes:
                        count = (rows + most - 1) // most
                        each = rows // count
                        longer = each + (1 if rows > each * count else 0)
                        fits = fits and word(wide + 8 * each) != 0
                        fits = fits and word(wide + 8 * longer) != 0
                    if rest <= lanes:
                        count = (rows + narrow_most - 1) // narrow_most
                        each = rows // count
                        longer = each + (1 if rows > each * count else 0)
                        fits = fits and word(narrow + 8 * each) != 0
                        fits = fits and word(narrow + 8 * longer) != 0
        if fits and out:
            fits = (
                word(out + TYPE) == array_type and word(out + DESCR) == dtype
                and half_word(out + NDIM) == 2 and half_word(out + FLAGS) & OUTPUT == OUTPUT
            )  # fmt: skip
            if fits:
                out_shape, first = word(out + SHAPE), word(out + DATA)
                stop = first + m * n * size
                low, high = word(a + DATA), word(b + DATA)
                fits = (
                    word(out_shape) == out_rows and word(out_shape + 8) == out_columns
                    and (stop <= low or a_stop <= first) and (stop <= high or b_stop <= first)
                )  # fmt: skip
        if not fits:
            otherwise = word(context + (PYTHON if plain else OTHER))
            return ask(word(context + VECTORCALL), otherwise, args, nargs, kwnames)
        if out:
            ask(word(context + INCREF), out)
        else:
            shape = word(block + shape_at)
            put_word(shape, out_rows)
            put_word(shape + 8, out_columns)
            out = ask(
                word(context + NEW), array_type, 2, shape, word(block + number), 0, 0, 0, 0, 0
            )
            if out == 0:
                return 0
        for w in range(workers):
            i_first, i_last, p_first, p_last = 0, m, 0, panels
            if panels_shared:
                p_first, p_last = panels * w // workers, panels * (w + 1) // workers
            else:
                i_first, i_last = m * w // workers, m * (w + 1) // workers
            if as_row:
                p_first, p_last = min(n, p_first * nr), min(n, p_last * nr)
            put_word(rows_of + 16 * w, i_first)
            put_word(rows_of + 16 * w + 8, i_last)
            put_word(panels_of + 16 * w, p_first)
            put_word(panels_of + 16 * w + 8, p_last)
        if as_row:
            record = word(block + row_at)
            put_word(record + 8 + row_turned, 0 if copy_b else 1)
            put_word(record + 8 + row_a, a_first)
            put_word(record + 8 + row_b, b_first)
            put_word(record + 8 + row_b_stride, b_down if copy_b else b_across)
            put_word(record + 8 + row_c, word(out + DATA))
            put_word(record + 8 + row_k, k)
        else:
            record = word(block + record_at)
            put_word(record + 8 + at_a, a_first)
            put_word(record + 8 + at_a_stride, a_down if by_rows else a_across)
            put_word(record + 8 + at_by_rows, 1 if by_rows else 0)
            put_word(record + 8 + at_b, b_first)
            put_word(record + 8 + at_b_stride, b_down if copy_b else b_across)
            put_word(record + 8 + at_copy_b, 1 if copy_b else 0)
            put_word(record + 8 + at_direct_b, 1 if direct_b else 0)
            put_word(record + 8 + at_c, word(out + DATA))
            put_word(record + 8 + at_c_pitch, n * size)
            put_word(record + 8 + at_n, n)
            put_word(record + 8 + at_k, k)
            put_word(record + 8 + at_kc, k)
            put_word(record + 8 + at_group, group)
            put_word(record + 8 + at_run, 1 if direct_b else group)
            put_word(record + 8 + at_tiles, wide)
            put_word(record + 8 + at_narrow_tiles, narrow)
            put_word(record + 8 + at_most, most)
            put_word(record + 8 + at_narrow_most, narrow_most)
        if workers == 1:
            call(word(record), record + 8, 0, 0, 1)
        else:
            share(context, word(block + job_at), word(block + table_at), record, workers)
        return out

    return kernel


def predict(s):
    """``predict(x)`` for plain rows in a number that the predictor knows."""
    at = _places(PREDICTOR_FIELDS)
    descr, number, inputs_at = at["descr"], at["number"], at["inputs"]
    shape_at, count_at, entries_at = at["shape"], at["count"], at["entries"]
    at = _places(ENTRY_FIELDS)
    rows_at, job_at, workers_at, x_at, out_at = (at[name] for name in ENTRY_FIELDS)
    entry_bytes = 8 * len(ENTRY_FIELDS)
    mailbox_at, run_at = team.GATE_MAILBOX, team.GATE_RUN
    threads_at, started_at = team.GATE_THREADS, team.GATE_STARTED
    input_flags = ALIGNED | door.C_ORDER

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        fields = context + BLOCKS
        gate = word(context + TEAM)
        mailbox = word(gate + mailbox_at)
        out, entry, workers = 0, 0, 1
        fits = nargs == 1 and kwnames == 0
        if fits:
            x = word(args)
            fits = (
                word(x + TYPE) == word(context + ARRAY_TYPE)
                and word(x + DESCR) == word(fields + descr) and half_word(x + NDIM) == 2
                and half_word(x + FLAGS) & input_flags == input_flags
            )  # fmt: skip
        if fits:
            rows = word(word(x + SHAPE))
            fits = word(word(x + SHAPE) + 8) == word(fields + inputs_at) and rows > 0
        if fits:
            for e in range(word(fields + count_at)):
                if word(word(fields + entries_at) + e * entry_bytes + rows_at) == rows:
                    entry = word(fields + entries_at) + e * entry_bytes
            fits = entry != 0
        if fits:
            workers = word(entry + workers_at)
            fits = workers <= word(gate + threads_at) and workers <= word(gate + started_at)
        if fits:
            shape = word(fields + shape_at)
            put_word(shape, rows)
            out = ask(
                word(context + NEW), word(context + ARRAY_TYPE), 2, shape,
                word(fields + number), 0, 0, 0, 0, 0,
            )  # fmt: skip
            if out == 0:
                return 0
            put_word(word(entry + x_at), word(x + DATA))
            put_word(word(entry + out_at), word(out + DATA))
            job = word(entry + job_at)
            if workers == 1:
                call(word(gate + run_at), mailbox, job, 0)
                return out
            if launch(context, job):
                return out
            ask(word(context + DECREF), out)
        return ask(word(context + VECTORCALL), word(context + PYTHON), args, nargs, kwnames)

    return kernel
