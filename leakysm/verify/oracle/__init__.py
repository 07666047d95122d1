"""A second implementation of the operations, in 50-digit arithmetic on exactly the given floats.

It shares no code with `leakysm.ops`. Every function takes an operation's arguments and parameters and returns, for each
output (each gradient, for a `_vjp`), an `Exact`: value, scale of the rounding error, what underflow may cost. The last
two bound an error, and need no more than float64: they are magnitudes.

`distances` and `restricted`; `loss` (log-softmax, cross-entropy) and `episode` (prototypes, losses of distances);
`convolution` (also ReLU and pooling), `normalization` and `block`; `net` is all of Conv4. `choices` has what may fall
either way: the side of a threshold, equal maxima.
"""
