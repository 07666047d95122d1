"""Names for the arrays that this engine works on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 or float64, as the caller gave them
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]
