"""Numba functions whose instructions are appended by a function in Python."""

from __future__ import annotations

from numba.extending import intrinsic


def emitted(result, arguments, generate):
    """A Numba function ``(*arguments) -> result`` whose instructions `generate` appends."""
    signature = result(*arguments)

    def lower(context, builder, sig, args):
        value = generate(builder, *args)
        return context.get_dummy_value() if value is None else value

    names = "".join(f", a{i}" for i in range(len(arguments)))
    scope: dict = {"signature": signature, "lower": lower}
    exec(f"def function(typingctx{names}): return signature, lower", scope)
    return intrinsic(scope["function"])


def pointer_to(builder, address, element):
    """The address as a pointer to elements of that LLVM type."""
    return builder.inttoptr(address, element.as_pointer())
