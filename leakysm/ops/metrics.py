"""Distance metrics as small frozen values that know their parameters: metric(x, c) and metric.vjp(x, c, dy)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
from typing import Any, ClassVar, dataclass_transform

from leakysm.choices import LEAKY_PER, LEAKY_SLOPE, LEAKY_THRESHOLD, Per
from leakysm.errors import LeakysmError, UserError, described, require_kind, suggestion
from leakysm.ops.arrays import Array
from leakysm.ops.formula_file import FormulaFile, is_own, split
from leakysm.ops.own_code import Form, defined_elsewhere, guard
from leakysm.ops.registry import OPERATIONS
from leakysm.ops.restricted_squared_euclidean import require_per, require_restriction
from leakysm.ops.restriction import RESTRICTIONS, Leak, Restriction


def _distance_forms(x: Array, c: Array) -> tuple[Form, ...]:
    return (Form("distances", (*x.shape[:1], *c.shape[:1]), x),)


def _gradient_forms(x: Array, c: Array, dy: Array) -> tuple[Form, ...]:
    return Form("dx", tuple(x.shape), x), Form("dc", tuple(c.shape), c)


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Metric:
    """A distance metric. `name`: on the command line. `operation`: its operation's name. `parameters`: its keywords.

    A subclass becomes a frozen dataclass: its annotated fields are the parameters. To write your own, define
    `__call__(x, c)` and `vjp(x, c, dy)`; its name is the name of the class.

    Examples
    --------
    >>> metric = lk.LeakySquaredEuclidean(threshold=1, slope=0.5)
    >>> metric.parameters
    {'threshold': 1.0, 'slope': 0.5, 'per': 'pair'}
    >>> metric.vjp(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.ones((1, 1)))
    (array([[-3., -4.]]), array([[3., 4.]]))
    """

    name: ClassVar[str] = ""
    operation: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__
        guard(cls, {"__call__": _distance_forms, "vjp": _gradient_forms})

    @property
    def parameters(self) -> dict[str, Any]:
        """The keywords of the operation."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __call__(self, x: Array, c: Array) -> Array:
        """Distances. x (N, D), c (M, D) -> (N, M)."""
        self._require_operation("__call__(x, c)")
        return OPERATIONS[self.operation].value(x, c, **self.parameters)

    def vjp(self, x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
        """Gradients. dy (N, M) -> dx (N, D), dc (M, D)."""
        self._require_operation("vjp(x, c, dy)")
        dx, dc = OPERATIONS[self.operation].vjp(x, c, dy, **self.parameters)
        return dx, dc

    @property
    def is_operation(self) -> bool:
        """Whether it only calls its operation, of which engines have fast forms."""
        methods = type(self).__call__ is Metric.__call__, type(self).vjp is Metric.vjp
        return bool(self.operation) and all(methods)

    def _require_operation(self, method: str) -> None:
        if not self.operation:
            raise UserError(f"{type(self).__name__} has no {method}; define it")

    def __str__(self) -> str:
        settings = " ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name} {settings}".rstrip()


class SquaredEuclidean(Metric):
    """d = sum_k (x_k - c_k)^2 of each pair. x (N, D), c (M, D) of one float dtype -> (N, M). Source: Snell et al. 2017.

    Examples
    --------
    >>> lk.SquaredEuclidean()(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[25.]])
    """

    name = "squared-euclidean"
    operation = "squared_euclidean"


class LeakySquaredEuclidean(Metric):
    """d if d <= threshold, else threshold + slope (d - threshold): of a pair, or of each coordinate's square.

    Our definition; the paper's abstract prints none. UserError unless 0 <= threshold <= inf and 0 < slope <= 1,
    and per is "pair" or "coordinate". Idea: Shen & Liu, arXiv:1811.10779.
    The defaults are the best of what was measured, for embeddings of 64 values (docs/results).

    Examples
    --------
    >>> metric = lk.LeakySquaredEuclidean(threshold=1, slope=0.5)
    >>> metric(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[13.]])
    """

    name = "leaky"
    operation = "leaky_squared_euclidean"
    threshold: float = LEAKY_THRESHOLD
    slope: float = LEAKY_SLOPE
    per: Per = LEAKY_PER

    def __post_init__(self) -> None:
        leak = Leak(self.threshold, self.slope)
        object.__setattr__(self, "threshold", leak.threshold)
        object.__setattr__(self, "slope", leak.slope)
        require_per(self.per)


class RestrictedSquaredEuclidean(Metric):
    """r(d) of a pair's squared Euclidean distance d, or of each coordinate's square: r is any `Restriction`.

    UserError unless restriction is an instance of a subclass of `Restriction`, and per is "pair" or "coordinate".

    Examples
    --------
    >>> metric = lk.RestrictedSquaredEuclidean(lk.Root(threshold=4))
    >>> metric(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[16.]])
    """

    name = "restricted"
    operation = "restricted_squared_euclidean"
    restriction: Restriction
    per: Per = "pair"

    def __post_init__(self) -> None:
        require_restriction(self.restriction)
        require_per(self.per)

    @property
    def parameters(self) -> dict[str, Any]:
        """The keywords of the operation."""
        return {"restriction": self.restriction, "per": self.per}

    def __str__(self) -> str:
        return f"{self.restriction} per={self.per}"


class Euclidean(Metric):
    """d = sqrt(sum_k (x_k - c_k)^2) of each pair, a control. x (N, D), c (M, D) of one float dtype -> (N, M).

    Examples
    --------
    >>> lk.Euclidean()(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[5.]])
    """

    name = "euclidean"
    operation = "euclidean"


class Cosine(Metric):
    """d = 1 - x.c / (|x| |c|) of each pair, a control; 1 for a zero vector. x (N, D), c (M, D) floats -> (N, M).

    Examples
    --------
    >>> lk.Cosine()(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]))
    array([[1.]])
    """

    name = "cosine"
    operation = "cosine_distance"


METRICS: dict[str, type[Metric]] = {m.name: m for m in (SquaredEuclidean, LeakySquaredEuclidean, Euclidean, Cosine)}
Distance = type[Metric] | type[Restriction]
# A leak is among the metrics: the leaky distance.
DISTANCES: dict[str, Distance] = {**METRICS, **{name: kind for name, kind in RESTRICTIONS.items() if kind is not Leak}}


def is_users(metric: Metric) -> bool:
    """Whether the metric, or its restriction, is of a class that this package does not define."""
    return defined_elsewhere(type(metric.restriction if isinstance(metric, RestrictedSquaredEuclidean) else metric))


def require_metric(distance: Any) -> None:
    """UserError unless `distance` is a metric."""
    if isinstance(distance, Restriction):
        wrapped = f"leakysm.{RestrictedSquaredEuclidean.__name__}({distance!r})"
        raise UserError(f"distance is the restriction {distance!r}; a metric is expected: write {wrapped}")
    if isinstance(distance, type):
        name = distance.__name__
        raise UserError(f"distance is the class {name}; an object of it is expected: write {name}(...)")
    if not isinstance(distance, Metric):
        raise UserError(f"distance is {distance!r}; a metric is expected, e.g. leakysm.SquaredEuclidean()")


def kinks_of(metric: Metric, x: Array, c: Array) -> dict[str, Array]:
    """The discrete choices that a metric makes, as its operation tells them; none for a user's own metric."""
    choices = OPERATIONS[metric.operation].kinks if metric.is_operation else None
    return {} if choices is None else choices(x, c, **metric.parameters)


def distance_named(name: str, file: FormulaFile | None = None) -> Distance:
    """The class of a distance: in DISTANCES, or in FILE.py:CLASS. file: the file's text, if read already.

    UserError for an unknown name, and for a file that cannot be used.
    """
    require_kind("the distance's name", name, str, f"a text is expected: give one of {', '.join(DISTANCES)}")
    if name in DISTANCES:
        return DISTANCES[name]
    if is_own(name):
        path, class_name = split(name)
        return (file or FormulaFile.read(path)).named(class_name, (Restriction, Metric))
    if name.endswith(".py"):
        raise UserError(f"distance {name!r} names no class; write {name}:CLASS")
    raise UserError(f"unknown distance {name!r}; {suggestion(name, (*DISTANCES, 'FILE.py:CLASS'))}")


def completed(name: str, parameters: Mapping[str, Any], file: FormulaFile | None = None) -> dict[str, Any]:
    """All parameters of the distance of that name: those given, in the type of their fields, and the defaults.

    UserError for one that the distance does not have, for a value of another type, and for one that is missing.
    """
    kind = distance_named(name, file)
    known = {field.name: field for field in fields(kind)}
    names = [*known, *(["per"] if issubclass(kind, Restriction) else [])]
    if names.count("per") > 1:
        raise UserError(f"distance {name} has a parameter named per, which every restriction has; rename it")
    for key in parameters:
        if key not in names:
            has = suggestion(key, names) if names else f"it has no parameter: leave {key} out"
            if isinstance(value := getattr(kind, key, None), int | float):
                has = f"to make {key} of its class one, annotate it there: {key}: {type(value).__name__} = {value!r}"
            raise UserError(f"distance {name} has no {key}; {has}")
    missing = [key for key, field in known.items() if key not in parameters and _default(field) is MISSING]
    if missing:
        raise UserError(
            f"distance {name} needs {missing[0]}; give it a value, --set {missing[0]}=VALUE on the command line"
        )
    whole = {
        key: _as_field(name, known[key], parameters[key]) if key in parameters else _default(known[key])
        for key in known
    }
    return whole | ({"per": parameters.get("per", "pair")} if issubclass(kind, Restriction) else {})


def metric_named(name: str, file: FormulaFile | None = None, /, **parameters: Any) -> Metric:
    """The metric with this name on the command line, or FILE.py:CLASS. UserError
    for an unknown name, an unusable file, or a parameter that is unknown, missing or out of range.

    file: the text of the file, if it was read already.

    Examples
    --------
    >>> lk.metric_named("leaky", threshold=1, slope=0.5, per="pair")
    LeakySquaredEuclidean(threshold=1.0, slope=0.5, per='pair')
    """
    parameters = completed(name, parameters, file)
    kind = distance_named(name, file)
    try:
        if issubclass(kind, Metric):
            return kind(**parameters)
        per = parameters.pop("per")
        return RestrictedSquaredEuclidean(kind(**parameters), per)
    except (LeakysmError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # somebody's own class
        mend = "correct its class"
        if isinstance(problem, FrozenInstanceError):
            mend = "declare parameters in the class, such as scale: float = 1.0, in place of an __init__"
        raise UserError(f"distance {name}: {described(problem)}; {mend}") from problem


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _as_field(distance: str, field: Field[Any], value: Any) -> Any:
    """The value in the type that the distance's field is annotated with. UserError if it is of another."""
    kinds: dict[str, tuple[str, Any]] = {
        "float": ("a number", (int, float)),
        "int": ("a whole number", int),
        "bool": ("true or false", bool),
    }
    annotation = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    kind = annotation.removesuffix(" | None")
    if value is None and kind != annotation:
        return None
    words, types = kinds.get(kind, ("", object))
    wrong = not isinstance(value, types) or (isinstance(value, bool) and kind in ("float", "int"))
    if wrong or (isinstance(value, float) and math.isnan(value)):
        raise UserError(
            f"{field.name} of distance {distance} is {value!r}; {words or 'a number'} is expected: give one"
        )
    try:
        return float(value) if kind == "float" else value
    except OverflowError:
        raise UserError(f"{field.name} of distance {distance} is too large for a number: give a smaller one") from None
