"""A second implementation of the operations, in 50-digit arithmetic on exactly the given floats.

It shares no code with `leakysm.ops`. Every function takes an operation's arguments and parameters and returns, for each
output (each gradient, for a `_vjp`), an `Exact`: value, scale of the rounding error, number of terms.
"""
