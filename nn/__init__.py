"""Models in Keras' words on the kernels of `fusednn`."""

if not __name__.startswith("fusednn."):
    raise ImportError(
        "this folder is the source of fusednn.nn: install the checkout "
        "(`pip install -e .`) and import fusednn.nn instead of nn."
    )
