"""The engine on a CUDA device: fast operations as kernels in CUDA C++, the others by the reference on CuPy arrays.

`engine` finds the device; `kernel_engine` has the fast pairs: `blocks` and `convolution`, `distances`, `loss`, by the
`.cu` files. `kernels` lists the kernels, `compiler` compiles them, `device` runs them, `program` records launches to
repeat them, and `failures` words their errors. docs/gpu.md explains how a step works.
"""
