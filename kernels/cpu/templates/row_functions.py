"""What built-in functions of rows do between Python's call and their op."""

from inspect import signature

from .. import door
from ..memory import ask, ask_with_real, byte_at, call, half_word, put_real, put_word, real_at, word
from ..rows import ENTROPY_FIELDS, ROW_BLOCK, ROW_FIELDS
from .arguments import elements, is_like, may_write, pair, parse
from .cross_entropy import cross_entropy

TYPE, DATA, NDIM, SHAPE, DESCR, FLAGS = (
    door.TYPE, door.DATA, door.NDIM, door.SHAPE, door.DESCR, door.FLAGS,
)  # fmt: skip
INPUT, OUTPUT = door.ALIGNED | door.C_ORDER, door.ALIGNED | door.C_ORDER | door.WRITEABLE
FLOAT_VALUE = door.FLOAT_VALUE
ARRAY_TYPE, NONE, BLOCKS, NEW = door.ARRAY_TYPE, door.NONE, door.BLOCKS, door.NEW
VECTORCALL, INCREF, DECREF, PYTHON = door.VECTORCALL, door.INCREF, door.DECREF, door.PYTHON


def _places(names):
    return {name: 8 * i for i, name in enumerate(names)}


def rows(s):
    """``f(*arrays, axis=-1, out=None)``; see `cpu.rows.row_door`."""
    at = _places(ROW_FIELDS)
    at_inputs, at_whole, at_most = at["inputs"], at["whole"], at["most"]
    at_most_rows = at["most_rows"]
    at_int, as_long, at_failed = at["int_type"], at["as_long"], at["failed"]
    at_names, at_slots = at["names"], at["slots"]
    first_block, block_bytes = 8 * len(ROW_FIELDS), 8 * len(ROW_BLOCK)
    at = _places(ROW_BLOCK)
    at_descr, at_number, at_size = at["descr"], at["number"], at["size"]
    at_address, at_record = at["address"], at["record"]

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        fields = context + BLOCKS
        inputs, whole = word(fields + at_inputs), word(fields + at_whole)
        array_type, none = word(context + ARRAY_TYPE), word(context + NONE)
        slots = word(fields + at_slots)
        fits = parse(
            args, nargs, kwnames, word(fields + at_names), slots, inputs + 2, inputs
        )  # fmt: skip
        x, axis, out, ndim = 0, 0, 0, 0
        block = fields + first_block
        if fits:
            x, axis = word(slots), word(slots + 8 * inputs)
            out = word(slots + 8 * (inputs + 1))
            if out == none:
                out = 0
            fits = word(x + TYPE) == array_type and half_word(x + FLAGS) & INPUT == INPUT
        if fits:
            if word(x + DESCR) != word(block + at_descr):
                block += block_bytes
            ndim = half_word(x + NDIM)
            fits = word(x + DESCR) == word(block + at_descr) and ndim + whole > 1
        if fits and axis:
            fits = word(axis + TYPE) == word(fields + at_int)
            number = ask(word(fields + as_long), axis) if fits else 0
            if number == -1 and fits and ask(word(fields + at_failed)):
                return 0
            fits = fits and (number == -1 or number == ndim - 1)
        for a in range(1, inputs if fits else 1):
            other = word(slots + 8 * a)
            fits = fits and is_like(other, x, array_type)
            fits = fits and half_word(other + FLAGS) & INPUT == INPUT
        size = elements(x) if fits else 0
        fits = fits and 0 < size < word(fields + at_most)
        columns = word(word(x + SHAPE) + 8 * (ndim - 1)) if fits else 1
        fits = fits and size // columns <= word(fields + at_most_rows)
        if fits and out:
            fits = whole and is_like(out, x, array_type)
            fits = fits and half_word(out + FLAGS) & OUTPUT == OUTPUT
            for a in range(inputs if fits else 0):
                fits = fits and may_write(word(slots + 8 * a), out, size, word(block + at_size))
        if not fits:
            return ask(word(context + VECTORCALL), word(context + PYTHON), args, nargs, kwnames)
        if out:
            ask(word(context + INCREF), out)
        else:
            out = ask(
                word(context + NEW), array_type, ndim if whole else ndim - 1, word(x + SHAPE),
                word(block + at_number), 0, 0, 0, 0, 0, 0,
            )  # fmt: skip
            if out == 0:
                return 0
        pitch = columns * word(block + at_size)
        record = word(block + at_record)
        put_word(word(record) + 8, size // columns)
        put_word(record + 8, columns)
        for a in range(inputs):
            put_word(record + 16 + 16 * a, word(word(slots + 8 * a) + DATA))
            put_word(record + 24 + 16 * a, pitch)
        put_word(record + 16 + 16 * inputs, word(out + DATA))
        put_word(record + 24 + 16 * inputs, pitch if whole else word(block + at_size))
        call(word(block + at_address), record, 0, 0, 1)
        return out

    return kernel


def entropy(s):
    """``f(pred, target, share)``; see `cpu.rows.entropy_door`."""
    at = _places(ENTROPY_FIELDS)
    at_value, at_gradient, at_most = at["value"], at["gradient"], at["most"]
    at_most_rows, at_float, at_make_float = at["most_rows"], at["float_type"], at["make_float"]
    at_make_tuple, at_labels = at["make_tuple"], at["labels"]
    at_types = at["label_types"]
    at_names, at_slots = at["names"], at["slots"]
    first_block, block_bytes = 8 * len(ENTROPY_FIELDS), 8 * len(ROW_BLOCK)
    at = _places(ROW_BLOCK)
    at_descr, at_number, at_size = at["descr"], at["number"], at["size"]
    at_address, at_record = at["address"], at["record"]
    at = _places(list(signature(cross_entropy(s, True, True)).parameters)[3:])
    to_rows, to_z, to_z_pitch, to_n = at["rows"], at["z"], at["z_pitch"], at["n"]
    to_dz, to_dz_pitch = at["dz"], at["dz_pitch"]
    to_scales, to_values = at["scales"], at["values"]
    put_single, put_double = put_real["float32"], put_real["float64"]
    single_at, double_at = real_at["float32"], real_at["float64"]

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        fields = context + BLOCKS
        value, gradient = word(fields + at_value), word(fields + at_gradient)
        array_type, slots = word(context + ARRAY_TYPE), word(fields + at_slots)
        fits = parse(args, nargs, kwnames, word(fields + at_names), slots, 3, 3)
        pred, labels, share = 0, 0, 0
        block = fields + first_block
        if fits:
            pred, labels, share = word(slots), word(slots + 8), word(slots + 16)
            fits = (
                word(pred + TYPE) == array_type and word(labels + TYPE) == array_type
                and word(share + TYPE) == word(fields + at_float)
                and half_word(pred + FLAGS) & half_word(labels + FLAGS) & INPUT == INPUT
                and half_word(pred + NDIM) == 2 and half_word(labels + NDIM) == 1
            )  # fmt: skip
        count, columns = 0, 0
        if fits:
            if word(pred + DESCR) != word(block + at_descr):
                block += block_bytes
            count, columns = word(word(pred + SHAPE)), word(word(pred + SHAPE) + 8)
            fits = (
                word(pred + DESCR) == word(block + at_descr)
                and count == word(word(labels + SHAPE)) and 0 < count <= word(fields + at_most_rows)
                and 0 < columns and count * columns < word(fields + at_most)
            )  # fmt: skip
        kind = word(fields + at_types)
        while fits and word(kind) != 0 and word(kind) != word(labels + DESCR):
            kind += 24
        fits = fits and word(kind) != 0
        size = word(kind + 8)
        for i in range(count if fits else 0):
            at_label, label = word(labels + DATA) + size * i, 0
            for k in range(size):
                label |= byte_at(at_label + k) << 8 * k
            if word(kind + 16) and size < 8:
                label -= (label >> (8 * size - 1)) << 8 * size
            put_word(word(fields + at_labels) + 8 * i, label)
            fits = fits and 0 <= label < columns
        if not fits:
            return ask(word(context + VECTORCALL), word(context + PYTHON), args, nargs, kwnames)
        out = 0
        if gradient:
            out = ask(
                word(context + NEW), array_type, 2, word(pred + SHAPE), word(block + at_number),
                0, 0, 0, 0, 0, 0,
            )  # fmt: skip
            if out == 0:
                return 0
        item, record = word(block + at_size), word(block + at_record)
        if item == 8:
            put_double(word(record + to_scales), double_at(share + FLOAT_VALUE))
        else:
            put_single(word(record + to_scales), double_at(share + FLOAT_VALUE))
        put_word(word(record + to_rows) + 8, count)
        put_word(record + to_z, word(pred + DATA))
        put_word(record + to_z_pitch, columns * item)
        put_word(record + to_n, columns)
        if gradient:
            put_word(record + to_dz, word(out + DATA))
            put_word(record + to_dz_pitch, columns * item)
        call(word(block + at_address), record, 0, 0, 1)
        if not value:
            return out
        values, added = word(record + to_values), 0.0
        for i in range(count):
            added += double_at(values + 8 * i) if item == 8 else single_at(values + 4 * i)
        number = ask_with_real(word(fields + at_make_float), added)
        if not gradient:
            return number
        return pair(word(fields + at_make_tuple), word(context + DECREF), number, out)

    return kernel
