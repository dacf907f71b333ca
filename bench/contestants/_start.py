"""Programs whose whole process is timed."""

from textwrap import dedent


def script(imports: str, body: str) -> str:
    """A program with a batch (x, y) of 3072 numbers and labels, and a regression (u, v)."""
    data = """
        import numpy as np
        rng = np.random.default_rng(0)
        x, y = rng.random((64, 3072), dtype=np.float32), np.arange(64) % 10
        u = rng.random((16_000, 8), dtype=np.float32)
        v = u.sum(1, keepdims=True)
        """
    return f"{imports}\n{dedent(data)}{dedent(body)}"
