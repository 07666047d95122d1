"""The flags of cases: the bug that each finds, what to do about its failures, and how much such a failure says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# The ranks of failures. The lower the rank, the more a failure says: ordinary numbers come first, conventions and the
# ends of a dtype's range last. If plain data fail, a report about the zero vector does not help.
MOST, ORDINARY, SPECIAL, CONVENTION, RANGE = range(5)


class Flag(NamedTuple):
    """One flag. finds: what its cases are there to find. mend: what to do about its failures. rank: how much they say."""

    finds: str
    mend: str
    rank: int = ORDINARY


FLAGS: dict[str, Flag] = {
    "plain": Flag(
        "Ordinary numbers. A failure here is a wrong formula.",
        "Compare the formula with the operation's docstring, and start from the counterexample.",
        MOST,
    ),
    "random": Flag(
        "Drawn by the operation's Hypothesis strategy.",
        "Compare the formula with the operation's docstring: the numbers are random, and of any size.",
    ),
    "coincident": Flag(
        "Two points are the same. Distance and gradient are exactly 0; sqrt gives NaN gradients if unguarded, and |x|^2 - 2 x.c + |c|^2 is not 0.",
        "Subtract before you square. Guard the square root where its argument is 0, and before the division, not after it.",
        CONVENTION,
    ),
    "ulp-apart": Flag(
        "Two points differ in the last bit. A formula that does not subtract them first loses all digits.",
        "Subtract before you square; do not use |x|^2 - 2 x.c + |c|^2. In pooling, compare the values as they are.",
        SPECIAL,
    ),
    "far": Flag(
        "Points far from the origin with small differences. The matrix-product expansion of the distance cancels.",
        "Subtract before you square (torch.cdist: compute_mode='donot_use_mm_for_euclid_dist'), or centre the points first.",
        SPECIAL,
    ),
    "many-rows": Flag(
        "More than 25 rows, where torch.cdist changes to the matrix-product expansion by default.",
        "Look at what changes beyond 25 rows. If it is torch.cdist, use compute_mode='donot_use_mm_for_euclid_dist'.",
    ),
    "threshold": Flag(
        "Distances just below, at and just above the leaky threshold.",
        "Compare the distance itself with the threshold, in the dtype of the arguments, and write t + s (d - t) so that it is continuous.",
        CONVENTION,
    ),
    "kink": Flag(
        "A distance exactly at the threshold. leakysm's derivative is the left one (factor 1). Other implementations may use either factor.",
        "At d = t use one of the two factors, by a mask d <= t or d < t, not their average.",
        CONVENTION,
    ),
    "limit": Flag(
        "A parameter at the end of its range: threshold 0 or inf, slope 1.",
        "Treat threshold inf and slope 1 as no restriction: avoid inf - inf.",
        CONVENTION,
    ),
    "overflow": Flag(
        "Distances beyond float32 (float64): they are +inf, and gradients are not promised.",
        "A distance beyond the dtype is +inf, not NaN: avoid inf - inf and 0 * inf.",
        RANGE,
    ),
    "large": Flag(
        "Numbers whose squares overflow, while the result is finite.",
        "Scale by the largest magnitude before you square, and back afterwards.",
        RANGE,
    ),
    "subnormal": Flag(
        "Numbers or results below the smallest normal number, where the allowed error is a multiple of that number.",
        "Scale by the largest magnitude before you square; or, where small numbers do not matter to you, list it as an expected failure.",
        RANGE,
    ),
    "half-overflow": Flag(
        "Distances that overflow float16, but not float32. The result must be rounded once, after the restriction.",
        "Compute in float32, restrict, and round to float16 last.",
        RANGE,
    ),
    "equal-distances": Flag(
        "All distances are equal: the softmax is uniform.",
        "Check the gradient of the maximum: equal logits have equal probabilities, and subtracting the maximum adds no gradient.",
        CONVENTION,
    ),
    "mixed": Flag(
        "Magnitudes that differ by many powers of ten within one vector.",
        "Subtract before you square, and add small terms first or in blocks.",
        SPECIAL,
    ),
    "zero-vector": Flag(
        "A vector of zeros has cosine distance 1 and gradient 0.",
        "Decide what the cosine of a zero vector is: here its distance is 1 and its gradient 0. Guard the division.",
        CONVENTION,
    ),
    "parallel": Flag(
        "Parallel, opposite or orthogonal vectors: the cosine is 1, -1 or 0 and its gradient cancels.",
        "Compute the gradient from the normalised difference, not as a difference of two large terms.",
        CONVENTION,
    ),
    "one": Flag(
        "One class, one query, one shot or one pixel.",
        "Keep the axis: no squeeze, no division by n - 1.",
        CONVENTION,
    ),
    "empty": Flag(
        "An axis of length 0.",
        "Return arrays of the right shape for an axis of length 0: no maximum over it.",
        CONVENTION,
    ),
    "wide": Flag(
        "Long sums: 1,600 coordinates, 1,000 classes.",
        "Sum in blocks or pairwise, or in a wider dtype. If the result is wrong by far, look for a part that is left out.",
    ),
    "size": Flag(
        "An axis as long as a block, tile, warp or group of channels, or one longer or shorter. Work beyond the first one may be wrong or missing.",
        "Look at what happens beyond the first block or tile, and at the remainder where a size is not a multiple of it.",
    ),
    "magnitude": Flag(
        "Plain numbers times a power of two. Finds constants that stand for 0 or infinity, and guards and series right only near 1.",
        "Look for constants that are wrong for numbers of this size: an added eps, a maximum's start value, the range of a series.",
        SPECIAL,
    ),
    "contrast": Flag(
        "Rows, channels or classes of very different size in one call, some of nothing but 0; whole numbers.",
        "Look for code that scales or skips a whole array although its rows differ, and for a separate path for whole numbers.",
        SPECIAL,
    ),
    "pattern": Flag(
        "Arguments that repeat or mirror themselves, are sorted, or are all 0. A shortcut takes them for something simpler.",
        "Look for code that treats such arguments apart: its gradient must still be that of each number.",
        SPECIAL,
    ),
    "corner": Flag(
        "A parameter, variance or cotangent at the end of its range, or far from where it usually is.",
        "Put the counterexample's values into the formula: threshold 0 or inf, slope 1, eps 0 or large, a variance below 0, a tiny or huge cotangent.",
        CONVENTION,
    ),
    "one-number": Flag(
        "A call that differs from the call before it in one number. A result that is kept by a part of the numbers is wrong.",
        "Keep no results between calls, or know them by all numbers, not by some of them or by a short hash.",
        SPECIAL,
    ),
    "own-class": Flag(
        "A restriction or a metric of a user's own class, not one of leakysm's. A function may refuse it.",
        "Call restriction.value(xp, d), restriction.derivative(xp, d), distance(x, c) or distance.vjp(x, c, dy); do not tell them by their names or fields.",
        CONVENTION,
    ),
    "saturated": Flag(
        "A softmax that is 0 and 1 to working precision. log(p + eps) caps the loss; p - 1 loses the gradient's digits.",
        "Use log1p of the others' sum for the loss, expm1 or the sum of the others for p - 1; no eps inside the logarithm.",
        SPECIAL,
    ),
    "infinite-logit": Flag(
        "Logits of -inf have probability 0.",
        "A logit of -inf has probability 0: avoid -inf - (-inf). If it is the label's, the loss is inf and its gradient -1 / N.",
        CONVENTION,
    ),
    "undefined": Flag(
        "A row of only -inf, or with +inf or NaN, gives NaN.",
        "Return NaN: do not replace it by a number.",
        CONVENTION,
    ),
    "offset": Flag(
        "Logits far from 0 with small differences: exp overflows unless the maximum is subtracted.",
        "Subtract the row's maximum before exp.",
        SPECIAL,
    ),
    "unbalanced": Flag(
        "Shots that differ between classes, labels in any order.",
        "Divide by each class's own number of shots; do not assume sorted labels.",
        SPECIAL,
    ),
    "ties": Flag(
        "Equal values in a pooling window, or zeros at a ReLU: only one place gets the gradient.",
        "Give the gradient to the first maximum in row-major order, and 0 to a ReLU at 0. A window of -inf has the maximum -inf.",
        CONVENTION,
    ),
    "odd": Flag(
        "Odd height or width: the last row or column is cut by pooling.",
        "Cut the last row or column off (floor), and give it gradient 0.",
        CONVENTION,
    ),
    "border": Flag(
        "Images of one or two pixels, where zero padding is most of the window.",
        "Pad with zeros on all four sides, whatever the image's size.",
        CONVENTION,
    ),
    "constant": Flag(
        "A channel without variance: eps alone keeps it finite.",
        "Add eps to the variance before the root.",
        CONVENTION,
    ),
    "large-mean": Flag(
        "Mean much larger than the deviation: E[x^2] - E[x]^2 cancels.",
        "Compute the mean as one sum, and the variance from the centred values, in two passes; not E[x^2] - E[x]^2.",
        SPECIAL,
    ),
    "few": Flag(
        "Two values a channel: biased and unbiased variance differ by a factor of two.",
        "Normalise by the biased variance (divide by n).",
        SPECIAL,
    ),
    "zero-scale": Flag(
        "Batch norm's scale is 0 or negative: pooling before it must not take the maximum.",
        "Do not divide by the scale. If you pool before it, take the minimum where it is negative.",
        CONVENTION,
    ),
    "cut-off": Flag(
        "ReLU cuts everything off: all gradients are 0.",
        "If ReLU cuts everything off, all gradients are 0, not NaN.",
        CONVENTION,
    ),
    "layout": Flag(
        "The same numbers pass when they are contiguous in memory: the function ignores strides.",
        "Use the array's strides, or copy it first (`contiguous()`, `np.ascontiguousarray`).",
        SPECIAL,
    ),
    "alone": Flag(
        "Right if all gradients are asked for, wrong if only one argument requires its gradient.",
        "Look at what the backward pass does if another argument needs no gradient (`needs_input_grad`, skipped work).",
        SPECIAL,
    ),
    "some": Flag(
        "Right if all gradients are asked for, wrong if some arguments require none.",
        "Look at what the backward pass does if another argument needs no gradient (`needs_input_grad`, skipped work).",
        SPECIAL,
    ),
    "overwritten": Flag(
        "Right if the result is left alone, wrong if it is changed in place before the gradient is taken. A function may raise instead.",
        "Save a result that the backward pass needs by `save_for_backward`, which sees that it was changed.",
        SPECIAL,
    ),
    "argument-overwritten": Flag(
        "Right if the arguments are left alone, wrong if they are changed in place before the gradient is taken. A function may raise instead.",
        "Save arguments by `save_for_backward`, which sees that they were changed; not as attributes of `ctx`, nor detached.",
        SPECIAL,
    ),
    "later": Flag(
        "Right if the gradient is taken at once, wrong for parameters, after another call, a second time with another dy (`retain_graph`, `create_graph`).",
        "Save for each call what its backward pass needs (`save_for_backward`), and do not change it there.",
        SPECIAL,
    ),
    "no-grad": Flag(
        "Right while gradients are recorded, wrong under `torch.no_grad()`.",
        "Use one formula, whether gradients are recorded or not.",
        SPECIAL,
    ),
    "inference": Flag(
        "Right while gradients are recorded, wrong under `torch.inference_mode()`.",
        "Use one formula, whether gradients are recorded or not.",
        SPECIAL,
    ),
    "leaf": Flag(
        "Right for plain tensors, wrong for tensors with `requires_grad`.",
        "Use one formula for the value, whether a gradient is wanted or not.",
        SPECIAL,
    ),
    "intermediate": Flag(
        "Right for plain tensors, wrong for results of other operations that need a gradient.",
        "Use one formula for the value, whether a gradient is wanted or not, and do not work in place.",
        SPECIAL,
    ),
    "default-dtype": Flag(
        "Right if torch's default dtype is float32, wrong if it is float64.",
        "Give every new tensor the dtype of the arguments.",
        SPECIAL,
    ),
    "shared": Flag(
        "Right for two arrays with the same numbers, wrong if one array, or a view of it, is given for both arguments.",
        "Treat the arguments as separate, even if they are one array.",
        SPECIAL,
    ),
    "unfilled": Flag(
        "Wrong where memory that nobody filled holds NaN: np.empty, torch.empty, or a function with `where` and no `out`.",
        "Fill the array, or give `out`: np.empty holds what was in memory before.",
    ),
    "together": Flag(
        "Right for two arrays, wrong if both are parts of one array, as the embeddings of a batch are.",
        "Do not look at an array's base or storage; use the arguments' own numbers.",
        SPECIAL,
    ),
    "int32": Flag(
        "Right for labels of int64, wrong for labels of int32. A function may refuse them, by an exception.",
        "Convert the labels before you compute with them, or refuse them.",
        SPECIAL,
    ),
    "int16": Flag(
        "Right for labels of int64, wrong for labels of int16. A function may refuse them, by an exception.",
        "Convert the labels before you compute with them: products of indices do not fit int16.",
        SPECIAL,
    ),
    "uint8": Flag(
        "Right for labels of int64, wrong for labels of uint8. A function may refuse them, by an exception.",
        "Convert the labels before you compute with them: products of indices do not fit uint8.",
        SPECIAL,
    ),
    "purity": Flag(
        "The call changed an argument or a setting of the program, returned a view of an argument or a buffer that the next call uses, or returned other bits the second time.",
        "Work on a copy, return new memory, keep no buffer between calls, and restore global settings.",
        SPECIAL,
    ),
    "raised": Flag(
        "The function raises an exception in a valid call. It counts with the flags of its case.",
        "Run the code to see where the exception comes from. If a library raises it, give that what it needs, such as contiguous arrays.",
    ),
}


SIZES = ("size", "wide", "many-rows")  # that say how large a case is
FEW_NUMBERS = 30  # of a case that is not large


def flag_to_advise(flag: str, failures: Mapping[str, int], numbers: int) -> str:
    """The flag whose mend suits a failure that is shown.

    It is the failure's own flag. But if that flag says that the case is large, and the case holds few numbers, then it
    is the flag that says most about the numbers.
    """
    if flag not in SIZES or numbers > FEW_NUMBERS:
        return flag
    flags = list(FLAGS)
    of_numbers = {*flags[: flags.index("layout")]} - {*SIZES, "random"}  # from layout on, they say how it is called
    return next((other for other in by_what_they_say(failures) if other in of_numbers), flag)


def rank(flags: Iterable[str]) -> int:
    """The rank of a failure with these flags: that of its oddest flag. An unknown flag counts as ordinary."""
    return max((FLAGS[flag].rank if flag in FLAGS else ORDINARY for flag in flags), default=ORDINARY)


def by_what_they_say(failures: Mapping[str, int]) -> list[str]:
    """The flags of these failures, given with their number: the one that says most first.

    `size` stands after the flags that say what the numbers are; `random`, which says nothing, is the last.
    """
    places = {"size": SPECIAL + 0.5, "random": RANGE + 0.5}
    return sorted(failures, key=lambda flag: (places.get(flag, rank([flag])), -failures[flag], flag))


def explained(flag: str) -> list[str]:
    """A flag in words: what it is there to find, and what to do about its failures."""
    return [f"{flag}: {FLAGS[flag].finds}", f"What to do: {FLAGS[flag].mend}"]
