"""The operations' mathematics once more, in 50-digit arithmetic on exactly the given floats.

Shares no code with `leakysm.ops`. Every function takes an operation's arguments and parameters and returns, for each
output (each gradient, for a `_vjp`), an `Exact`: value, scale of the rounding error, number of terms.
"""
