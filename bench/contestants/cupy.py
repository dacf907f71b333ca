"""NumPy's expressions on CuPy's arrays: computed on a GPU, timed by its events."""

from functools import wraps

from bench.contestants import numpy

PACKAGE = "cupy"


def unavailable():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy

        return "" if cupy.is_available() else "no GPU that CuPy can use"


def clock(call, count, *, warm):
    """Seconds on the GPU, by events, after a warm-up."""
    from cupyx.profiler import benchmark

    found = benchmark(call, n_repeat=20 * count, n_warmup=20)
    return list(found.gpu_times[0].reshape(count, -1).mean(1))


def answer(result):
    import cupy

    if isinstance(result, tuple):
        return tuple(cupy.asnumpy(part) for part in result)
    return cupy.asnumpy(result)


def on_gpu(operation):
    """An operation of a contestant on the processor, on arrays that have been moved to the GPU."""

    @wraps(operation)
    def moved(*arrays, **options):
        import cupy

        return operation(*map(cupy.asarray, arrays), **options)

    return moved


matmul = on_gpu(numpy.matmul)
softmax = on_gpu(numpy.softmax)
linear = on_gpu(numpy.linear)
linear_gradients = on_gpu(numpy.linear_gradients)
