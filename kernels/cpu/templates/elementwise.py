"""What a built-in function of plain arrays does between Python's call and its formula's kernel."""

from .. import door
from ..direct import CHUNK, PARALLEL_ELEMENTS
from ..elementwise import ALONE, BLOCK, FIELDS, MOST_ELEMENTS, WORTH_WAKING
from ..memory import (
    ask,
    ask_real,
    ask_with_real,
    call,
    half_word,
    put_real,
    put_word,
    real_at,
    word,
)
from .arguments import elements, is_like, may_write, pair, parse, share, team_for

TYPE, DATA, NDIM, SHAPE, DESCR, FLAGS = (
    door.TYPE, door.DATA, door.NDIM, door.SHAPE, door.DESCR, door.FLAGS,
)  # fmt: skip
ALIGNED, WRITEABLE, C_ORDER, F_ORDER = door.ALIGNED, door.WRITEABLE, door.C_ORDER, door.F_ORDER
FLOAT_VALUE = door.FLOAT_VALUE
ARRAY_TYPE, NONE, BLOCKS, NEW = door.ARRAY_TYPE, door.NONE, door.BLOCKS, door.NEW
VECTORCALL, INCREF, DECREF = door.VECTORCALL, door.INCREF, door.DECREF
PYTHON, OTHER, TEAM = door.PYTHON, door.OTHER, door.TEAM

MOST = {"float32": 3e38, "float64": 1.7e308}
"""Larger numbers may round to infinity, which NumPy warns of."""

WHOLE = 2.0**24
"""Integers up to this one are float32 numbers."""


def elementwise(s):
    """``f(*arrays, *numbers, out=None)``; see `cpu.elementwise.elementwise_door`."""
    at = {name: 8 * i for i, name in enumerate(FIELDS)}
    at_inputs, at_outputs, at_scalars = at["inputs"], at["outputs"], at["scalars"]
    at_sums, at_in_place, at_row = at["sums"], at["in_place"], at["row"]
    at_float, at_int, at_job = at["float_type"], at["int_type"], at["job"]
    at_job_table, at_rows, at_room = at["job_table"], at["rows"], at["room"]
    as_double, at_failed, at_make_float = at["as_double"], at["failed"], at["make_float"]
    at_make_tuple, at_names, at_slots = at["make_tuple"], at["names"], at["slots"]
    at_defaults, at_values, at_table = at["defaults"], at["values"], at["table"]
    at_required, at_checked = at["required"], at["checked"]
    at_ignored = at["ignored"]
    at_no_array, at_least, at_greatest = at["no_array"], at["least"], at["greatest"]
    first_block, block_bytes = 8 * len(FIELDS), 8 * len(BLOCK)
    at = {name: 8 * i for i, name in enumerate(BLOCK)}
    at_descr, at_number, at_size = at["descr"], at["number"], at["size"]
    at_formula, at_record = at["formula"], at["record"]
    put_single, put_double = put_real["float32"], put_real["float64"]
    single_at, double_at = real_at["float32"], real_at["float64"]
    most_single, most_double = MOST["float32"], MOST["float64"]

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        fields = context + BLOCKS
        inputs, outputs = word(fields + at_inputs), word(fields + at_outputs)
        scalars, sums = word(fields + at_scalars), word(fields + at_sums)
        in_place, row = word(fields + at_in_place), word(fields + at_row)
        checked = word(fields + at_checked)
        array_type, none = word(context + ARRAY_TYPE), word(context + NONE)
        slots, total = word(fields + at_slots), inputs + scalars + 1
        ignored = word(fields + at_ignored)
        given = total + (1 if ignored < total else 0)
        fits = parse(args, nargs, kwnames, word(fields + at_names), slots, given, 1)
        for i in range(ignored, total if fits else 0):
            put_word(slots + 8 * i, word(slots + 8 * i + 8))
        for i in range(inputs + word(fields + at_required) if fits else 0):
            fits = fits and word(slots + 8 * i) != 0
        x, out = 0, 0
        block = fields + first_block
        if fits:
            x, out = word(slots), word(slots + 8 * (total - 1))
            if out == none:
                out = 0
            fits = word(x + TYPE) == array_type and (out == 0 or outputs == 1 and not in_place)
        if fits:
            if word(x + DESCR) != word(block + at_descr):
                block += block_bytes
            fits = word(x + DESCR) == word(block + at_descr) and half_word(x + NDIM) > 0
        item, size, columns, order = word(block + at_size), 0, 0, 0
        if fits:
            size = elements(x)
            columns = size
            flags = half_word(x + FLAGS)
            if row:
                columns = word(word(x + SHAPE) + 8 * (half_word(x + NDIM) - 1))
            for a in range(1, inputs):
                other = word(slots + 8 * a)
                if row and a == inputs - 1:
                    same = word(other + TYPE) == array_type
                    same = same and word(other + DESCR) == word(x + DESCR)
                    same = same and half_word(other + NDIM) == 1
                    same = same and word(word(other + SHAPE)) == columns
                else:
                    same = is_like(other, x, array_type)
                flags &= half_word(other + FLAGS) if same else 0
                # of what is updated in place, the first input is only read
                if in_place and same:
                    same = half_word(other + FLAGS) & WRITEABLE != 0
                    same = same and may_write(x, other, size, item)
                fits = fits and same
            order = flags & (C_ORDER if row else C_ORDER | F_ORDER)
            fits = fits and order != 0 and flags & ALIGNED != 0 and size > 0
        if fits and out:
            wanted = ALIGNED | WRITEABLE
            fits = is_like(out, x, array_type) and half_word(out + FLAGS) & wanted == wanted
            order &= half_word(out + FLAGS) if fits else 0
            fits = order != 0
            for a in range(inputs if fits else 0):
                other = word(slots + 8 * a)
                fits = fits and may_write(other, out, size, item)
                if checked or row and a == inputs - 1:
                    fits = fits and word(other + DATA) != word(out + DATA)
        defaults, values = word(fields + at_defaults), word(fields + at_values)
        largest = most_double if item == 8 else most_single
        for i in range(scalars if fits else 0):
            number = word(slots + 8 * (inputs + i))
            kind = word(number + TYPE) if number else 0
            value = 0.0
            if kind == 0:
                value = double_at(defaults + 8 * i)
            elif kind == word(fields + at_float):
                value = double_at(number + FLOAT_VALUE)
            elif kind == word(fields + at_int):
                value = ask_real(word(fields + as_double), number)
                if value == -1.0 and ask(word(fields + at_failed)):
                    return 0
                fits = fits and -WHOLE <= value <= WHOLE
            else:
                fits = False
            fits = fits and (-largest <= value <= largest or abs(value) == float("inf"))
            fits = fits and double_at(word(fields + at_least) + 8 * i) <= value
            fits = fits and value <= double_at(word(fields + at_greatest) + 8 * i)
            put_double(values + 8 * i, value)
        workers = 1
        if size >= ALONE:
            workers = team_for(
                word(context + TEAM), word(fields + at_room), size < WORTH_WAKING,
                size < PARALLEL_ELEMENTS,
            )  # fmt: skip
            if workers == 0 and size < PARALLEL_ELEMENTS:
                workers = 1
        large = size >= MOST_ELEMENTS or workers == 0
        if not fits or large:
            otherwise = word(context + (PYTHON if fits else OTHER))
            if nargs > 0 and word(word(args) + TYPE) != array_type:
                otherwise = word(fields + at_no_array)
            return ask(word(context + VECTORCALL), otherwise, args, nargs, kwnames)

        # NEW runs no Python: an array is not what starts a garbage collection.
        if out:
            ask(word(context + INCREF), out)
        elif outputs == 1 and not in_place:
            out = ask(
                word(context + NEW), array_type, half_word(x + NDIM), word(x + SHAPE),
                word(block + at_number), 0, 0, 0, 0 if order & C_ORDER else 1, 0,
            )  # fmt: skip
            if out == 0:
                return 0
        table = word(fields + at_table)
        numbers = word(table)
        for i in range(scalars):
            if item == 8:
                put_double(numbers + 8 * i, double_at(values + 8 * i))
            else:
                put_single(numbers + 4 * i, double_at(values + 8 * i))
        sum_at = numbers + 8 * scalars
        formula = word(block + at_formula)
        # rows of CHUNK elements, so that sums do not depend on the number of workers
        width = columns if row else CHUNK
        rows, pitch, place = size // width, width * item, table + 8
        for a in range(1, inputs):
            put_word(place, word(word(slots + 8 * a) + DATA))
            put_word(place + 8, 0 if row and a == inputs - 1 else pitch)
            place += 16
        for i in range(outputs):
            put_word(place, word((word(slots + 8 * (1 + i)) if in_place else out) + DATA))
            put_word(place + 8, pitch)
            place += 16
        if sums:
            put_word(place, sum_at)
            put_word(place + 8, item)
        source = word(x + DATA)
        if workers > 1:
            record = word(block + at_record)
            for w in range(workers):
                put_word(word(fields + at_rows) + 16 * w, rows * w // workers)
                put_word(word(fields + at_rows) + 16 * w + 8, rows * (w + 1) // workers)
            put_word(record + 16, width)
            put_word(record + 24, source)
            put_word(record + 32, pitch)
            share(
                context, word(fields + at_job), word(fields + at_job_table), record, workers
            )  # fmt: skip
        elif rows and (row or sums):
            call(formula, table, 0, rows, 0, width, source, pitch)
        else:
            rows = 0
        if size > rows * width:
            call(
                formula, table, rows, 1, 0, size - rows * width, source + rows * pitch, pitch
            )  # fmt: skip
            rows += 1
        added = 0.0
        for i in range(rows if sums else 0):
            at_sum = sum_at + i * item
            added += double_at(at_sum) if item == 8 else single_at(at_sum)
        if in_place:
            ask(word(context + INCREF), none)
            return none
        if checked and added != 0.0:
            ask(word(context + DECREF), out)
            return ask(
                word(context + VECTORCALL), word(context + OTHER), args, nargs, kwnames
            )  # fmt: skip
        if sums == 0 or checked:
            return out
        value = ask_with_real(word(fields + at_make_float), added)
        if outputs == 0:
            return value
        return pair(word(fields + at_make_tuple), word(context + DECREF), value, out)

    return kernel
