"""The fast engine on the CPU: chunks that stay in cache, on threads; the same bits for any number of threads.

`engine` has the fast pairs: `block` (convolution, batch norm, ReLU, pooling), `distances`, `distance_cross_entropy` and
`prototypes`. They share `arrays` (names of types), `products`, `sums`, `runs` (how lengths are cut), `scratch` and
`memory` (buffers), `threads`, and `blas` (NumPy's matrix products: kernels, threads).
"""
