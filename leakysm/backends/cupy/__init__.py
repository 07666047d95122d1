"""The engine on a CUDA device: fast operations as kernels in CUDA C++, the others by the reference on CuPy arrays."""
