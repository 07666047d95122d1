"""The common interface of everything that is checked: an implementation offers operations, each as a value and a vjp.

`implementation` is the interface. `engine` presents one of our engines, `module` anybody's module or object, which
`loading` loads and whose functions `signatures` learns to call. `arrays` is what verification needs of an array
library: `numpy_arrays`, `torch_arrays` and `jax_arrays`, by their names in `libraries`. They also list what a call may
not change. `unfilled` makes NumPy's unfilled memory visible.
An implementation is called with its own arrays. Its results are compared as NumPy arrays.
"""

from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.adapters.implementation import Implementation, NotOffered
from leakysm.verify.adapters.libraries import arrays_named
from leakysm.verify.adapters.loading import load
from leakysm.verify.adapters.module import ModuleImplementation

__all__ = ["EngineImplementation", "Implementation", "ModuleImplementation", "NotOffered", "arrays_named", "load"]
