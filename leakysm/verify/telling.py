"""Which of several failures says most, and what to do about each kind.

Ordinary numbers come first, conventions and the ends of a dtype's range last. If plain data fail, a report about the
zero vector does not help.
"""

from __future__ import annotations

from collections.abc import Iterable

from leakysm.verify.flags import FLAGS

_SAYS_MOST = ("plain",)
_SAYS_MORE = ("layout", "purity", "far", "ulp-apart", "mixed", "offset", "large-mean", "saturated", "few", "unbalanced")
_CONVENTIONS = (
    *(
        "coincident",
        "parallel",
        "equal-distances",
        "one",
        "empty",
        "limit",
        "corner",
        "constant",
        "border",
        "odd",
        "cut-off",
    ),
    *("kink", "threshold", "ties", "zero-vector", "zero-scale", "infinite-logit", "undefined"),
)
_RANGE = ("large", "overflow", "half-overflow", "subnormal")

_RANKS = {
    flag: rank for rank, flags in ((0, _SAYS_MOST), (2, _SAYS_MORE), (3, _CONVENTIONS), (4, _RANGE)) for flag in flags
}


def rank(flags: Iterable[str]) -> int:
    """0 for the failure that says most. Its oddest flag decides; an unknown flag counts as nearly plain."""
    return max((_RANKS.get(flag, 1) for flag in flags), default=1)


MENDS: dict[str, str] = {
    "plain": "Compare the formula with the operation's docstring, and start from the counterexample.",
    "random": "As for plain: the numbers are ordinary, only drawn.",
    "layout": "The same numbers pass when they are contiguous. Take strides into account, or copy first (`contiguous()`, `np.ascontiguousarray`).",
    "purity": "Work on a copy, give memory of your own, keep no buffer between calls, set global settings back.",
    "coincident": "Subtract before you square. Guard the square root where its argument is 0, and before the division, not after it.",
    "ulp-apart": "Subtract before you square; do not use |x|^2 - 2 x.c + |c|^2.",
    "far": "Subtract before you square (torch.cdist: compute_mode='donot_use_mm_for_euclid_dist'), or centre the points first.",
    "many-rows": "torch.cdist: compute_mode='donot_use_mm_for_euclid_dist'.",
    "threshold": "Compare the distance itself with the threshold, in the dtype of the arguments, and write t + s (d - t) so that it is continuous.",
    "kink": "Take either factor at d = t, none between: a mask of d <= t or of d < t, not an average.",
    "limit": "Treat threshold inf and slope 1 as no restriction: avoid inf - inf.",
    "overflow": "A distance beyond the dtype is +inf, not NaN: avoid inf - inf and 0 * inf.",
    "large": "Scale by the largest magnitude before you square, and back afterwards.",
    "subnormal": "Scale by the largest magnitude before you square; or, where small numbers do not matter to you, list it as an expected failure.",
    "half-overflow": "Compute in float32, restrict, and round to float16 last.",
    "equal-distances": "Check the maximum's gradient: equal logits share the probability, the maximum gets no gradient of its own.",
    "mixed": "Subtract before you square, and add small terms first or in blocks.",
    "zero-vector": "Decide what the cosine of a zero vector is: here its distance is 1 and its gradient 0. Guard the division.",
    "parallel": "Compute the gradient from the normalised difference, not as a difference of two large terms.",
    "one": "Keep the axis: no squeeze, no division by n - 1.",
    "empty": "Return arrays of the right shape for an axis of length 0: no maximum over it.",
    "size": "Look at what happens beyond the first block or tile, and at the rest where a size is no multiple of it.",
    "corner": "Try the parameter at this value in the formula: threshold 0 or inf, slope 1, eps 0 or large.",
    "wide": "Sum in blocks or pairwise, or in a wider dtype.",
    "saturated": "Use log1p of the others' sum for the loss, expm1 or the sum of the others for p - 1; no eps inside the logarithm.",
    "infinite-logit": "A logit of -inf has probability 0 and gradient 0: avoid -inf - (-inf).",
    "undefined": "Let NaN through: do not replace it by a number.",
    "offset": "Subtract the row's maximum before exp.",
    "unbalanced": "Divide by each class's own number of shots; do not assume sorted labels.",
    "ties": "Give the gradient to the first maximum in row-major order, and 0 to a ReLU at 0.",
    "odd": "Cut the last row or column off (floor), and give it gradient 0.",
    "border": "Pad with zeros on all four sides, whatever the image's size.",
    "constant": "Add eps to the variance before the root.",
    "large-mean": "Compute the variance from the centred values, in two passes; not E[x^2] - E[x]^2.",
    "few": "Normalise by the biased variance (divide by n).",
    "zero-scale": "Do not divide by the scale, and do not pool before a negative one without taking the minimum.",
    "cut-off": "Where ReLU cuts everything off all gradients are 0, not NaN.",
}


def mend(flag: str) -> str:
    """What to do about a flag's failures."""
    return MENDS.get(flag, "Start from the counterexample.")


def explained(flag: str) -> list[str]:
    """A flag in words: what it is there to find, what to do about it."""
    return [f"{flag}: {FLAGS[flag]}", f"What to do: {mend(flag)}"]
