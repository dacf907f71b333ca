"""Dropout masks from a counter-based generator: the same for any number of threads."""

from ..simd import Simd


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
            for word in (c0, c1, c2, c3):
                if i < m:
                    # choice: the two values that a mask has
                    kept = 1 if (word >> 8) >= threshold else 0
                    copy(choice + kept * size, out + i * pitch + j * size)
                    j += 1
                    if j == n:
                        i, j = i + 1, 0

    return kernel
