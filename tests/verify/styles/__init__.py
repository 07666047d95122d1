"""Right implementations of all operations, written in the ways in which people write them: none may be refused.

NumPy with gradients by hand, one set of formulas and four ways of adding; PyTorch and JAX by autodiff, two ways each.
"""
