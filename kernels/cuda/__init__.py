"""The CUDA backend: importing it needs neither CuPy nor a GPU nor a compiler."""
