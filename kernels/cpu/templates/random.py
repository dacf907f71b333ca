"""Random numbers: the same for any number of threads."""

from ..frontend import subroutine
from ..memory import put_word, word
from ..simd import Simd


@subroutine
def _shifted(z, by):
    """A 64-bit number without a sign, shifted right."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def permutation(s: Simd):
    """The numbers below n in random order, as `reference.permutation` has them; n < 2**31."""
    low = 0xFFFFFFFF
    step_of_state = 0x9E3779B97F4A7C15 - 2**64
    first, second = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64

    def kernel(step, worker, workers, n, seed, out):
        state = seed
        for i in range(n if worker == 0 else 0):
            count, product, least = i + 1, 0, 1
            while product & low < least:
                state += step_of_state
                z = (state ^ _shifted(state, 30)) * first
                z = (z ^ _shifted(z, 27)) * second
                product = _shifted(z ^ _shifted(z, 31), 32) * count
                # A division is only needed where the rest is below the number of places.
                least = (low + 1) % count if product & low < count else 0
            place = product >> 32
            put_word(out + 8 * i, word(out + 8 * place) if place < i else i)
            put_word(out + 8 * place, i)

    return kernel


def dropout_mask(s: Simd):
    """1 / (1 - rate) where an element is kept, else 0.

    Philox4x32-10 (Salmon et al. 2011): key (seed, layer), counter (element // 4, step); an element
    is kept when the upper 24 bits of its word are at least `threshold`.
    """
    size, copy = s.size, s.copy
    low = 0xFFFFFFFF

    def kernel(step, worker, workers, m, n, out, pitch, seed, layer, first_step, threshold, choice):
        blocks = (m * n + 3) // 4
        for block in range(blocks * worker // workers, blocks * (worker + 1) // workers):
            c0, c1, c2, c3 = block & low, (first_step + step) & low, 0, 0
            k0, k1 = seed & low, layer & low
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
                c0, c1, c2, c3 = (
                    ((p1 >> 32) & low) ^ c1 ^ k0, p1 & low,
                    ((p0 >> 32) & low) ^ c3 ^ k1, p0 & low,
                )  # fmt: skip
                k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
            i = 4 * block // n
            j = 4 * block - i * n
            for bits in (c0, c1, c2, c3):
                if i < m:
                    # choice: the two values that a mask has
                    kept = 1 if (bits >> 8) >= threshold else 0
                    copy(choice + kept * size, out + i * pitch + j * size)
                    j += 1
                    if j == n:
                        i, j = i + 1, 0

    return kernel
