"""Proves that a computed number is wrong, in rational arithmetic, by code that shares nothing with the verifier.

The formulas are those of the specification. One element of a result is worked out, on numbers that carry two more
things: the derivative by one input element (forward mode), and how far a right computation of the same formula may be
off. Every step adds its own roundings there, a sum of n terms n - 1 of its terms' absolute sum, whatever the order, and
whatever can underflow one smallest normal number. An accusation is confirmed if the computed number is farther off
than all of that.

    python docs/examples/proof.py           every stored counterexample of findings.json once more

Sums and products are exact fractions; roots, exponentials and logarithms have 60 digits.
"""

import itertools
import json
import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

RECORDS = Path(__file__).with_name("findings.json")
MOST_TERMS = 400_000
DIGITS = 60


class Unproven(Exception):  # noqa: N818 (an outcome, not an error)
    """Nothing can be said: a choice is open, the exact result is infinite, or the case is too large."""


@dataclass(frozen=True)
class Unit:
    """What a rounding costs: eps relatively, and tiny where something underflows."""

    eps: Decimal
    tiny: Decimal
    largest: Fraction


FLOAT32 = Unit(Decimal(2) ** -23, Decimal(2) ** -126, (2 - Fraction(1, 2**23)) * 2**127)
FLOAT64 = Unit(Decimal(2) ** -52, Decimal(2) ** -1022, (2 - Fraction(1, 2**52)) * 2**1023)
UNITS = {"float32": FLOAT32, "float64": FLOAT64}


def size(value):
    """|value| as a decimal."""
    return Decimal(abs(value.numerator)) / Decimal(value.denominator)


def digits(value):
    """A decimal as a fraction of 60 digits."""
    return Fraction(+value)


class Number:
    """value +- error, and its derivative, slope +- slope_error. All errors are absolute."""

    __slots__ = ("error", "slope", "slope_error", "unit", "value")

    def __init__(self, unit, value, error=Decimal(0), slope=Fraction(0), slope_error=Decimal(0)):
        self.unit, self.value, self.error = unit, value, error
        self.slope, self.slope_error = slope, slope_error

    def __neg__(self):
        return Number(self.unit, -self.value, self.error, -self.slope, self.slope_error)

    def __add__(self, other):
        return total([self, other])

    def __sub__(self, other):
        return total([self, -other])

    def __mul__(self, other):
        a, b, eps, tiny = self, other, self.unit.eps, self.unit.tiny
        if a.value == a.error == a.slope == 0 or b.value == b.error == b.slope == 0:
            return Number(a.unit, Fraction(0))
        if b.is_sign():
            a, b = b, a
        if a.is_sign():
            return Number(a.unit, a.value * b.value, b.error, a.value * b.slope, b.slope_error)
        left, right = size(a.value), size(b.value)
        error = a.error * right + b.error * left + eps * left * right + (tiny if left * right else 0)
        if not (a.slope or b.slope or a.slope_error or b.slope_error):
            return Number(a.unit, a.value * b.value, error)
        slopes = size(a.slope), size(b.slope)
        parts = slopes[0] * right, slopes[1] * left
        slope_error = a.slope_error * right + slopes[0] * b.error + b.slope_error * left + slopes[1] * a.error
        slope_error += eps * 2 * sum(parts) + tiny * sum(part > 0 for part in parts)
        return Number(a.unit, a.value * b.value, error, a.slope * b.value + a.value * b.slope, slope_error)

    def is_sign(self):
        """Exactly 1 or -1, so that a product with it does not round."""
        return abs(self.value) == 1 and self.error == self.slope == self.slope_error == 0

    def __truediv__(self, other):
        value = size(other.value)
        inverse = digits(1 / value) * (1 if other.value > 0 else -1)
        return self * other.through(inverse, -inverse * inverse, 2 * inverse**3, roundings=1)

    def through(self, value, first, second, roundings):
        """A smooth function of this number, by its value and its first two derivatives."""
        eps, tiny = self.unit.eps, self.unit.tiny
        error = size(first) * self.error + roundings * eps * size(value) + (tiny if value else 0)
        slope = first * self.slope
        slope_error = size(first) * self.slope_error + size(second) * self.error * size(self.slope)
        slope_error += (roundings + 2) * eps * size(slope) + (tiny if slope else 0)
        return Number(self.unit, value, error, slope, slope_error)

    def scaled(self):
        """The number in a computation that scales by a power of two, so that nothing underflows on the way."""
        unit = Unit(self.unit.eps, Decimal(0), self.unit.largest)
        return Number(unit, self.value, self.error, self.slope, self.slope_error)

    def unscaled(self, unit):
        """Back again: the result itself may underflow."""
        return Number(unit, self.value, self.error + unit.tiny, self.slope, self.slope_error + unit.tiny)


class Terms:
    """How many terms have been added: a proof ends at MOST_TERMS."""

    count = 0


def total(numbers):
    """The sum in any order."""
    numbers = list(numbers)
    Terms.count += len(numbers)
    if Terms.count > MOST_TERMS:
        raise Unproven("too large")
    if not numbers:
        raise Unproven("an empty sum")
    unit = numbers[0].unit
    value, error = _sum(unit, [a.value for a in numbers], [a.error for a in numbers])
    slope, slope_error = _sum(unit, [a.slope for a in numbers], [a.slope_error for a in numbers])
    return Number(unit, value, error, slope, slope_error)


def _sum(unit, values, errors):
    """n - 1 roundings of the absolute sum; of two terms, which round once, the rounding of the result."""
    values = [v for v in values if v]
    value, additions = sum(values, Fraction(0)), max(len(values) - 1, 0)
    rounded = size(value) if additions <= 1 else sum(map(size, values), Decimal(0))
    return value, sum(errors, Decimal(0)) + additions * (unit.eps * rounded + (unit.tiny if value else 0))


def root(a):
    """Square root; 0 with derivative 0 at 0."""
    if a.value == 0:
        return Number(a.unit, Fraction(0), a.error.sqrt())
    r = size(a.value).sqrt()
    return a.through(digits(r), digits(1 / (2 * r)), digits(-1 / (4 * r**3)), roundings=1)


def exponential(a):
    if a.value < -20_000:  # far below every dtype, and too many digits for a fraction
        return a.through(Fraction(0), Fraction(0), Fraction(0), roundings=3)
    value = digits(_decimal(a.value).exp())
    return a.through(value, value, value, roundings=3)


def log1p(a):
    inverse = digits(1 / size(1 + a.value))
    return a.through(digits(_log1p(size(a.value))), inverse, -inverse * inverse, roundings=3)


def _log1p(value):
    """log(1 + value) for value >= 0 without cancellation: its series where value is small."""
    if value > Decimal("1e-20"):
        with localcontext() as context:
            context.prec = DIGITS + 30
            return (1 + value).ln()
    return value - value**2 / 2 + value**3 / 3 - value**4 / 4


def _decimal(value):
    return size(value) if value >= 0 else -size(value)


def norm(numbers):
    return root(total(a * a for a in numbers))


# ---- the operations: each gives its outputs as functions of an index


class Leaves:
    """An argument's elements as numbers; `seed` is the index whose derivative is 1."""

    def __init__(self, array, unit, seed=None):
        self.array, self.unit, self.seed, self.known = array, unit, seed, {}
        self.shape = array.shape

    def __call__(self, *index):
        if index not in self.known:
            given = float(self.array[index])
            if not math.isfinite(given):
                raise Unproven("an argument is infinite")
            error = self.unit.tiny if 0 < abs(given) < self.unit.tiny else Decimal(0)
            self.known[index] = Number(self.unit, Fraction(given), error, Fraction(int(index == self.seed)))
        return self.known[index]

    def row(self, i):
        return [self(i, k) for k in range(self.shape[1])]


def once(function):
    known = {}

    def remembered(*index):
        if index not in known:
            known[index] = function(*index)
        return known[index]

    return remembered


def squared_distance(x, c):
    differences = [a - b for a, b in zip(x, c, strict=True)]
    return total(d * d for d in differences)


def euclidean_distance(x, c):
    r = norm([(a - b).scaled() for a, b in zip(x, c, strict=True)])
    return r.unscaled(x[0].unit) if r.value else r


def cosine(x, c):
    unit, x, c = x[0].unit, [a.scaled() for a in x], [a.scaled() for a in c]
    one = Number(unit, Fraction(1))
    if not any(a.value for a in x) or not any(a.value for a in c):
        return one
    products = total(a * b for a, b in zip(x, c, strict=True))
    return one - (products / norm(x) / norm(c)).unscaled(unit)


def leaky_distance(x, c, threshold=1.0, slope=0.1, per="pair"):
    def restricted(d):
        if math.isinf(threshold):
            return d
        t, s = (Number(d.unit, Fraction(p), d.unit.eps * Decimal(p)) for p in (threshold, slope))
        if d.slope and slope != 1 and size(d.value - t.value) <= d.error + t.error:
            raise Unproven("a distance lies at the threshold")
        return d if d.value <= t.value else t + s * (d - t)

    if per == "pair":
        return restricted(squared_distance(x, c))
    differences = [a - b for a, b in zip(x, c, strict=True)]
    return total(restricted(d * d) for d in differences)


def restricted_distance(x, c, restriction, per="pair"):
    """restriction: its name and its parameters."""
    name, given = restriction["restriction"], restriction["parameters"]
    if name == "leak":
        return leaky_distance(x, c, **given, per=per)
    p = given["scale" if name == "log" else "threshold"]

    def restricted(d):
        if math.isinf(p):
            return d
        width = Number(d.unit, Fraction(p), d.unit.eps * Decimal(p))
        if name == "log":
            return width * log1p(d / width)
        if size(d.value - width.value) <= d.error + width.error:
            raise Unproven("a distance lies at the threshold")
        return d if d.value <= width.value else Number(d.unit, Fraction(2)) * root(width) * root(d) - width

    if per == "pair":
        return restricted(squared_distance(x, c))
    differences = [a - b for a, b in zip(x, c, strict=True)]
    return total(restricted(d * d) for d in differences)


DISTANCES = {
    "squared_euclidean": squared_distance,
    "leaky_squared_euclidean": leaky_distance,
    "restricted_squared_euclidean": restricted_distance,
    "euclidean": euclidean_distance,
    "cosine_distance": cosine,
}


def distances(operation):
    def outputs(x, c, **parameters):
        return {"y": lambda i, j: DISTANCES[operation](x.row(i), c.row(j), **parameters)}

    return outputs


def shifted(logits):
    """a = z - max z, and log1p of the sum of the other exponentials. Logits of -inf are None."""
    top = max((j for j, z in enumerate(logits) if z is not None), key=lambda j: (logits[j].value, -j))
    zero = Number(logits[top].unit, Fraction(0))
    a = [None if z is None else zero if j == top else z - logits[top] for j, z in enumerate(logits)]
    others = [exponential(b) for j, b in enumerate(a) if j != top and b is not None]
    return a, log1p(total(others)) if others else zero


def logits_row(logits, i):
    return [None if logits.array[i, j] == -math.inf else logits(i, j) for j in range(logits.shape[1])]


def log_softmax(logits):
    row = once(lambda i: shifted(logits_row(logits, i)))

    def y(i, j):
        a, rest = row(i)
        if a[j] is None:
            raise Unproven("the exact result is infinite")
        return a[j] - rest

    return {"y": y}


def mean_loss(rows, labels):
    """The mean over rows of log1p(S) - a_label."""
    losses, n = [], Number(rows[0][0].unit if rows[0][0] else rows[0][1].unit, Fraction(len(rows)))
    for row, label in zip(rows, labels, strict=True):
        a, rest = shifted(row)
        if a[label] is None:
            raise Unproven("the exact result is infinite")
        losses.append((rest - a[label]) / n)
    return total(losses)


def cross_entropy(logits, labels):
    return {"y": once(lambda: mean_loss([logits_row(logits, i) for i in range(len(labels))], [int(k) for k in labels]))}


def class_means(z, labels):
    def mean(j, k):
        members = [z(i, k) for i, label in enumerate(labels) if label == j]
        return total(members) / Number(z.unit, Fraction(len(members)))

    return once(mean)


def prototypes(z, labels, n_classes):
    return {"y": class_means(z, labels)}


def distance_cross_entropy(x, c, labels, distance=None):
    metric, parameters = (distance["operation"], distance["parameters"]) if distance else ("squared_euclidean", {})

    def loss():
        rows = [
            [-DISTANCES[metric](x.row(i), c.row(j), **parameters) for j in range(c.shape[0])]
            for i in range(len(labels))
        ]
        return mean_loss(rows, [int(k) for k in labels])

    return {"y": once(loss)}


def prototypical_loss(support, support_labels, query, query_labels, distance=None):
    metric, parameters = (distance["operation"], distance["parameters"]) if distance else ("squared_euclidean", {})
    mean, width = class_means(support, support_labels), query.shape[1]

    def loss():
        centres = [[mean(j, k) for k in range(width)] for j in range(int(max(support_labels)) + 1)]
        rows = [
            [-DISTANCES[metric](query.row(i), centre, **parameters) for centre in centres]
            for i in range(len(query_labels))
        ]
        return mean_loss(rows, [int(k) for k in query_labels])

    return {"y": once(loss)}


def convolution(x, w):
    height, width = x.shape[1:3]

    def y(n, i, j, f):
        window = [(a, b) for a in range(3) for b in range(3) if 0 <= i + a - 1 < height and 0 <= j + b - 1 < width]
        return total(x(n, i + a - 1, j + b - 1, c) * w(a, b, c, f) for a, b in window for c in range(x.shape[3]))

    return once(y)


def conv2d(x, w):
    return {"y": convolution(x, w)}


class Statistics:
    """Batch norm of z, a function of an index whose last part is the channel."""

    def __init__(self, z, places, scale, shift, eps):
        self.z, self.places, self.scale, self.shift, self.eps = z, places, scale, shift, eps
        self.mean, self.variance, self.sigma = once(self._mean), once(self._variance), once(self._sigma)

    def _mean(self, c):
        unit = self.scale(c).unit
        return total(self.z(*p, c) for p in self.places) / Number(unit, Fraction(len(self.places)))

    def _variance(self, c):
        deviations = [(self.z(*p, c) - self.mean(c)).scaled() for p in self.places]
        return total(d * d for d in deviations) / Number(deviations[0].unit, Fraction(len(self.places)))

    def _sigma(self, c):
        return root(self.variance(c) + number(self.eps, self.variance(c).unit))

    def y(self, *index):
        c = index[-1]
        normalised = (self.z(*index) - self.mean(c)).scaled() / self.sigma(c)
        return normalised.unscaled(self.scale(c).unit) * self.scale(c) + self.shift(c)


def number(parameter, unit):
    """A parameter, which is rounded to the dtype."""
    return Number(unit, Fraction(parameter), unit.eps * Decimal(parameter))


def batch_norm(x, scale, shift, eps=1e-5):
    s = Statistics(x, list(itertools.product(*map(range, x.shape[:-1]))), scale, shift, eps)
    return {"y": once(s.y), "mean": s.mean, "variance": s.variance}


def inference(z, scale, shift, mean, variance, eps):
    def y(*index):
        c = index[-1]
        return (z(*index) - mean(c)) / root(variance(c) + number(eps, scale(c).unit)) * scale(c) + shift(c)

    return once(y)


def batch_norm_inference(x, scale, shift, mean, variance, eps=1e-5):
    return {"y": inference(x, scale, shift, mean, variance, eps)}


def rectified(a):
    if (a.slope or a.slope_error) and 0 < size(a.value) <= a.error:
        raise Unproven("a value lies at 0")
    return a if a.value > 0 else Number(a.unit, Fraction(0), a.error)


def relu(x):
    return {"y": lambda *index: rectified(x(*index))}


def pooled(z):
    """The first of the largest of four, in row-major order."""

    def y(n, i, j, c):
        window = [z(n, 2 * i + a, 2 * j + b, c) for a in range(2) for b in range(2)]
        best = max(window, key=lambda a: a.value)
        rivals = [a for a in window if a is not best and size(best.value - a.value) <= best.error + a.error]
        if any(a.error or best.error for a in rivals) and any(a.slope != best.slope for a in rivals):
            raise Unproven("two values of a window are equal")
        return Number(best.unit, best.value, max(a.error for a in window), best.slope, best.slope_error)

    return y


def max_pool2d(x):
    return {"y": pooled(x)}


def conv_block(x, w, scale, shift, eps=1e-5):
    s = Statistics(convolution(x, w), list(itertools.product(*map(range, x.shape[:-1]))), scale, shift, eps)
    normalised = once(s.y)
    return {"y": pooled(lambda *i: rectified(normalised(*i))), "mean": s.mean, "variance": s.variance}


def conv_block_inference(x, w, scale, shift, mean, variance, eps=1e-5):
    normalised = inference(convolution(x, w), scale, shift, mean, variance, eps)
    return {"y": pooled(lambda *i: rectified(normalised(*i)))}


OPERATIONS = {
    **{name: distances(name) for name in DISTANCES},
    "prototypes": prototypes,
    "log_softmax": log_softmax,
    "cross_entropy": cross_entropy,
    "distance_cross_entropy": distance_cross_entropy,
    "prototypical_loss": prototypical_loss,
    "conv2d": conv2d,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "relu": relu,
    "max_pool2d": max_pool2d,
    "conv_block": conv_block,
    "conv_block_inference": conv_block_inference,
}

LABELS = ("labels", "support_labels", "query_labels", "n_classes")


def touches(operation, argument, at, y):
    """Whether an element of an argument can change an element of the first output: False only where that is plain."""
    if operation in DISTANCES:
        return y[0 if argument == "x" else 1] == at[0]
    if operation == "log_softmax":
        return y[0] == at[0]
    if operation == "relu" or (operation == "batch_norm_inference" and argument == "x"):
        return y == at
    if operation == "max_pool2d":
        return y == (at[0], at[1] // 2, at[2] // 2, at[3])
    if operation == "conv2d" and argument == "x":
        return y[0] == at[0] and abs(y[1] - at[1]) <= 1 and abs(y[2] - at[2]) <= 1
    if operation in ("conv2d", "batch_norm", "batch_norm_inference") or argument != "x":
        return operation.startswith("proto") or operation.endswith("cross_entropy") or y[-1] == at[-1]
    return True


def exact(operation, arguments, parameters, dy, dtype, output, at):
    """One element of an output, or of a gradient ("d" + argument), as a Number; arguments: name -> NumPy array."""
    unit, index = UNITS[dtype], tuple(at)
    Terms.count = 0
    seeded = output[1:] if output[1:] in arguments and output not in ("y", "mean", "variance") else None
    given = {
        name: array if name in LABELS else Leaves(array, unit, index if name == seeded else None)
        for name, array in arguments.items()
    }
    outputs = OPERATIONS[operation](**given, **parameters)
    if seeded is None:
        return outputs[output](*index)
    terms = []
    for place in itertools.product(*map(range, dy.shape)):
        if dy[place] and touches(operation, seeded, index, place):
            y = outputs["y"](*place)
            if abs(y.value) > unit.largest:
                raise Unproven("a result overflows, so its gradient is not promised")
            terms.append(Number(unit, y.slope, y.slope_error) * Number(unit, Fraction(float(dy[place]))))
    return total(terms) if terms else Number(unit, Fraction(0))


def prove(operation, arguments, parameters, dy, dtype, output, at, computed):
    """What is exact, what was computed, and whether that is wrong; as plain numbers and words.

    computed: a float. `times` is the error over what any right computation may be off, `eps` the error in eps of the
    exact value.
    """
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = DIGITS, 10**9, -(10**9)
        try:
            truth = exact(operation, arguments, parameters, dy, dtype, output, at)
        except Unproven as reason:
            return {"confirmed": False, "reason": str(reason)}
        unit, bound, value = UNITS[dtype], truth.error, size(truth.value)
        if bound and value < bound * Decimal("1e-40"):
            truth, value = Number(unit, Fraction(0)), Decimal(0)  # what is left of 60 digits where all cancels
        found = {"exact": _text(truth.value), "computed": repr(float(computed)), "allowed": f"{bound:.3g}"}
        if not math.isfinite(computed):
            beyond = value + bound > size(unit.largest)
            same = computed == (math.inf if truth.value > 0 else -math.inf)
            return {**found, "eps": "inf", "times": "inf", "confirmed": not (beyond and same)}
        off = size(Fraction(float(computed)) - truth.value)
        found["eps"] = f"{off / (unit.eps * value):.3g}" if value else ("inf" if off else "0")
        found["times"] = f"{off / bound:.3g}" if bound else ("inf" if off else "0")
        return {**found, "confirmed": off > bound}


def _text(value):
    number = _decimal(value)
    return f"{number:.20g}" if number else "0"


def stored(example_rows):
    """Every stored counterexample: operation, accusation, and the arguments as NumPy arrays."""
    import numpy as np

    for row in example_rows:
        for found in row["accusations"]:
            if "call" in found and "computed" in found["proof"]:
                call = found["call"]
                arrays = {name: np.array(values) for name, values in call["arguments"].items()}
                parameters = {n: math.inf if value == "inf" else value for n, value in call["parameters"].items()}
                yield row["operation"], found, (arrays, parameters, np.array(call["dy"]))


def main():
    for example, record in json.loads(RECORDS.read_text()).items():
        for operation, found, call in stored(record["rows"]):
            place = found["dtype"], found["output"], found["at"]
            again = prove(operation, *call, *place, float(found["proof"]["computed"]))
            print(example, operation, *place, *(f"{name} {value}" for name, value in again.items()))


if __name__ == "__main__":
    main()
