"""Present a module or object that offers some operations under their public names, on its own kind of array."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from types import ModuleType
from typing import Any

from leakysm.errors import UserError, described
from leakysm.ops.metrics import Metric
from leakysm.ops.registry import OPERATIONS
from leakysm.ops.restriction import Restriction
from leakysm.verify.adapters import signatures
from leakysm.verify.adapters.arrays import Arrays, of_places
from leakysm.verify.adapters.engine import written
from leakysm.verify.adapters.implementation import Implementation, NotOffered, Snippet
from leakysm.verify.adapters.libraries import FRAMEWORKS
from leakysm.verify.adapters.loading import as_code
from leakysm.verify.adapters.signatures import Names

# Ways to call a function that differ in how it is differentiated.
OF_GRADIENTS = ("alone", "some", "later", "intermediate", "overwritten", "argument-overwritten")


def array_kind(module: ModuleType, name: str | None = None) -> str:
    """torch, jax or numpy, inferred from the module's imports; UserError if it imports several frameworks."""
    roots = _roots(module)
    frameworks = sorted(roots & set(FRAMEWORKS))
    if len(frameworks) > 1:
        raise UserError(
            f"{name or module.__name__} imports {' and '.join(frameworks)}; one array library is expected: choose it "
            "with --array"
        )
    return frameworks[0] if frameworks else "numpy"


def _versions(offered: Any) -> dict[str, str]:
    """The versions of the packages that the module, or the object's module, imports."""
    module = offered if isinstance(offered, ModuleType) else sys.modules.get(getattr(offered, "__module__", ""))
    roots = sorted(_roots(module)) if module else []
    versions = {root: getattr(sys.modules.get(root), "__version__", None) for root in roots}
    return {root: str(version) for root, version in versions.items() if version is not None}


def _roots(module: ModuleType) -> set[str]:
    """The packages from which the contents of the module come."""
    return {_root(value) for name, value in vars(module).items() if not name.startswith("__")}


def _root(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or ""
    return str(name).partition(".")[0]


class ModuleImplementation(Implementation):
    """The operations of a module or object: the value `name`, and as gradient `name_vjp` or the library's autodiff.

    `name`: the MODULE[:NAME] from which it was loaded. `names`: its own names of the operations' parameters.
    """

    def __init__(self, offered: Any, arrays: Arrays, name: str, names: Names | None = None):
        self.offered, self.arrays, self.name, self.names = offered, arrays, name, names or Names()
        self._functions: dict[Any, Callable[..., Any]] = {}
        self.versions: Mapping[str, str] = {**arrays.versions, **_versions(offered)}

    def _function(self, operation: str, part: str = "value") -> Callable[..., Any] | None:
        name = operation + ("_vjp" if part == "vjp" else "")
        try:
            function = getattr(self.offered, name, None)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # of a module that finds its names when they are asked for
            raise UserError(f"{self.name}: asking for {name} raises {described(problem)}; define it there") from problem
        return function if callable(function) else None

    def offers(self, operation: str, part: str) -> bool:
        return self._function(operation, part) is not None or (part == "vjp" and self.differentiates(operation))

    def differentiates(self, operation: str) -> bool:
        own = self._function(operation, "vjp") is not None
        has_autodiff = self.arrays.gradient("", "", "", 1) is not None
        return not own and has_autodiff and self._function(operation) is not None

    def misfit(self, operation: str) -> str | None:
        functions = {part: self._function(operation, part) for part in ("value", "vjp")}
        misfits = [signatures.misfit(f, operation, part, self.names) for part, f in functions.items() if f is not None]
        return next(filter(None, misfits), None)

    def notes(self, operation: str) -> list[str]:
        function = self._function(operation) or self._function(operation, "vjp")
        return (
            []
            if function is None
            else [*self._misnamed(operation), *signatures.unchecked(function, operation, self.names)]
        )

    def _misnamed(self, operation: str) -> list[str]:
        """A line that names a function which is likely the gradient, but has another name; none if there is none."""
        wanted = f"{operation}_vjp"
        if self._function(operation, "vjp") is not None:
            return []
        known = {name + end for name in OPERATIONS for end in ("", "_vjp")}
        near = difflib.get_close_matches(wanted, {*dir(self.offered)} - known, 1, cutoff=0.8)
        return [f"{near[0]} is not used: did you mean {wanted}?"] if near else []

    def _called(self, operation: str, part: str, parameters: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The function to call for this part (autodiff calls the value's function), and its keywords."""
        function = self._function(operation, "value" if self.differentiates(operation) else part)
        if function is None:
            raise NotOffered(operation)
        return function, signatures.keywords(function, operation, parameters, self.names)

    def function(
        self, operation: str, part: str, parameters: Mapping[str, Any], *, way: str = ""
    ) -> Callable[..., Any]:
        known = way if part == "vjp" and way in OF_GRADIENTS else part
        return self._remembered(known, operation, parameters)

    def both(self, operation: str, parameters: Mapping[str, Any]) -> Callable[..., Any] | None:
        if not self.arrays.compiles or not self.differentiates(operation):
            return None
        return self._remembered("both", operation, parameters)

    def _remembered(self, part: str, operation: str, parameters: Mapping[str, Any]) -> Callable[..., Any]:
        """The function of a call. It is kept, so that what was compiled for it is used again."""
        key = part, operation, repr(sorted(parameters.items()))
        if key not in self._functions:
            self._functions[key] = self._made(operation, part, parameters)
        return self._functions[key]

    def _made(self, operation: str, part: str, parameters: Mapping[str, Any]) -> Callable[..., Any]:
        function, keywords = self._called(operation, "value" if part == "value" else "vjp", parameters)
        if part == "value" or not self.differentiates(operation):
            return lambda *given: function(*given, **_copied(keywords))
        places = OPERATIONS[operation].array_places
        ways = {
            "both": self.arrays.both,
            "some": self.arrays.differentiated_in_part,
            "later": self.arrays.differentiated_later,
            "overwritten": self.arrays.differentiated_after_change,
            "argument-overwritten": self.arrays.differentiated_after_arguments_change,
            "intermediate": self.arrays.differentiated_as_given,
        }
        differentiate: Callable[..., Any] = ways.get(part, self.arrays.differentiated)

        def gradient(given: Any, places: Sequence[int]) -> Any:
            of_arrays = of_places(partial(function, **_copied(keywords)), given[:-1], places)
            return differentiate(of_arrays, [given[i] for i in places], given[-1])

        if part == "alone":
            return lambda *given: tuple(gradient(given, [place])[0] for place in places)
        return lambda *given: gradient(given, places)

    def snippet(
        self, operation: str, part: str, parameters: Mapping[str, Any], dtype: str, *, way: str = ""
    ) -> Snippet:
        _, keywords = self._called(operation, part, parameters)
        load, owner = as_code(self.name)
        imports, text = self.arrays.imports_for(dtype), written(keywords)
        if part == "value" or not self.differentiates(operation):
            name = f"{owner}.{operation}" + ("_vjp" if part == "vjp" else "")
            return Snippet(imports, load, owner, self.offered, [], name, text)
        definition = OPERATIONS[operation]
        names = ", ".join(a.name for a in definition.arguments)
        arrays = [a.name for a in definition.arguments if a.kind == "array"]
        arguments = f"{names}, {text}" if text else names

        def lines(gradient: str, *by: str) -> list[str]:
            called, outputs = f"{owner}.{operation}", len(definition.outputs)
            body = self.arrays.gradient(called, ", ".join(by), arguments, outputs, way=way)
            return [f"def {gradient}({names}, dy):", *(body or [])]

        if way != "alone":
            return Snippet(imports, load, owner, self.offered, lines("gradient", *arrays), "gradient")
        each = [line for name in arrays for line in lines(f"d{name}", name)]
        calls = ", ".join(f"*d{name}({names}, dy)" for name in arrays)
        each += [f"def gradient({names}, dy):", f"    return {calls}"]
        return Snippet(imports, load, owner, self.offered, each, "gradient")


def _copied(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with new metrics and restrictions: what is kept by the address of one is wrong for another."""
    return {name: copy(value) if isinstance(value, Metric | Restriction) else value for name, value in keywords.items()}
