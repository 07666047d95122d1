"""What is looked at of a case that is too large for exact arithmetic everywhere: some pairs, or some channels.

The elements that are looked at depend only on a part of the arguments. The exact results are those of the case that is
cut down to this part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.case import Case, Oracle


@dataclass(frozen=True, eq=False)
class PairSample:
    """Some rows of the two arguments of a distance, and the pairs of these rows in its result."""

    first: Any
    second: Any

    def cut(self, case: Case) -> Case:
        """The case with these rows alone."""
        x, c = case.arguments
        dy = case.dy[np.ix_(self.first, self.second)]
        return replace(case, arguments=(x[self.first], c[self.second]), dy=dy, sample=None)

    def value(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The distance of the pairs."""
        x, c = case.arguments
        (y,) = oracle(*self.cut(case).arguments, **case.parameters)
        return (replace(y, index=np.ix_(self.first, self.second), whole=(len(x), len(c))),)

    def vjp(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The gradients of the rows. Each needs all rows of the other argument."""
        (x, c), dy, parameters = case.arguments, case.dy, case.parameters
        (dx,) = oracle(x[self.first], c, dy[self.first], only=0, **parameters)
        (dc,) = oracle(x, c[self.second], dy[:, self.second], only=1, **parameters)
        return (
            replace(dx, index=(self.first,), whole=x.shape),
            replace(dc, index=(self.second,), whole=c.shape),
        )


@dataclass(frozen=True, eq=False)
class ChannelSample:
    """Some indices of the last axis of the result of an operation that treats each of them apart.

    x has that axis too, unless the operation convolves. Then dy must be 0 at all others, since dx adds them up.
    """

    channels: Any

    def cut(self, case: Case) -> Case:
        """The case with these channels alone."""
        arguments = tuple(a[..., self.channels] if self._has(case, at) else a for at, a in enumerate(case.arguments))
        return replace(case, arguments=arguments, dy=case.dy[..., self.channels], sample=None)

    def value(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The results at the channels."""
        channels = case.dy.shape[-1]
        return tuple(self._placed(y, channels) for y in oracle(*self.cut(case).arguments, **case.parameters))

    def vjp(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The gradients at the channels; all of dx of a convolution."""
        cut = self.cut(case)
        gradients = oracle(*cut.arguments, cut.dy, **case.parameters)
        return tuple(self._placed(g, case.dy.shape[-1]) if self._has(case, at) else g for at, g in enumerate(gradients))

    def _has(self, case: Case, at: int) -> bool:
        return at > 0 or "conv" not in case.operation

    def _placed(self, truth: Exact, channels: int) -> Exact:
        front = truth.high.shape[:-1]
        return replace(truth, index=np.ix_(*map(np.arange, front), self.channels), whole=(*front, channels))
