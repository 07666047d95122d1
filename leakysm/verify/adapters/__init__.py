"""The one door for everything that is checked: an implementation offers operations, each as a value and a vjp.

`EngineImplementation` presents one of our engines, `ModuleImplementation` anybody's module or object, on NumPy arrays
or, through `torch_arrays` and `jax_arrays`, on those frameworks' arrays, with gradients by their autodiff.
An implementation is called with its own arrays; what is compared are host (NumPy) arrays.
"""

from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.adapters.implementation import Implementation, NotOffered
from leakysm.verify.adapters.libraries import arrays_named
from leakysm.verify.adapters.loading import load
from leakysm.verify.adapters.module import ModuleImplementation

__all__ = ["EngineImplementation", "Implementation", "ModuleImplementation", "NotOffered", "arrays_named", "load"]
