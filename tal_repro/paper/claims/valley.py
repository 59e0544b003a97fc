"""How far a parameter of a fitted curve can be moved while the curve, refitted, stays as near to its points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Of a parameter's logarithm. Beyond a ten-thousandth or ten thousand times the optimum a valley counts as endless.
FIRST_STEP, GROWTH, LONGEST_STEP, FARTHEST, BISECTIONS = 2e-3, 2.5, 0.7, np.log(1e4), 14
ALONG_THE_FLOOR = (-2.0, 2.0)  # where else a refit begins
HOPELESS = 1e3  # the miss where a curve overflows
TOLERANCE, DIFFERENCE, EVALUATIONS = 1e-10, 1e-5, 300  # of a refit: its end, the step of its slopes, its length


@dataclass(frozen=True)
class Valley:
    """The curves around an optimum whose sum of squared misses is at most `tie`; parameters are positive.

    `misses`: from all parameters to the miss at each point. `start`: the optimum. `place`: of the parameter that moves.
    """

    misses: Callable[[Array], Array]
    start: Array
    place: int
    tie: float

    def farthest(self, sign: float) -> float:
        """Return how far down (-1) or up (1) the parameter can go: 0 or infinity where it never ends.

        It walks in growing steps, the others refitted, while the fit ties; then the last step is bisected.
        """
        way, size, held = 0.0, FIRST_STEP, self.start
        while way < FARTHEST:
            moved = self._refit(held, self.start[self.place] * float(np.exp(sign * (way + size))))
            if not self._ties(moved):
                return self._bisect(held, held[self.place] * float(np.exp(sign * size)))
            held, way, size = moved, way + size, min(size * GROWTH, LONGEST_STEP)
        return np.inf if sign > 0 else 0.0

    def _bisect(self, held: Array, outside: float) -> float:
        for _ in range(BISECTIONS):
            middle = (held[self.place] + outside) / 2
            moved = self._refit(held, middle)
            if self._ties(moved):
                held = moved
            else:
                outside = middle
        return float(held[self.place])

    def _ties(self, theta: Array) -> bool:
        return float((self.misses(theta) ** 2).sum()) <= self.tie

    def _refit(self, held: Array, value: float) -> Array:
        """Fit all parameters but one, from where they are; where that ties no more, from along the optimum's floor too.

        A refit may stray into a branch of the valley that ends sooner (b to infinity, g to 0): which one it takes would
        hang on the last digits of the processor's arithmetic.
        """
        free = [index for index in range(len(held)) if index != self.place]

        def theta(logs: Array) -> Array:
            whole = held.copy()
            whole[self.place], whole[free] = value, np.exp(logs)
            return whole

        def misses(logs: Array) -> Array:
            return np.nan_to_num(self.misses(theta(logs)), nan=HOPELESS)

        with np.errstate(all="ignore"):
            logs = _least(misses, np.log(held[free]))
            if not self._ties(theta(logs)):
                optimum = np.log(self.start[free])
                floor = np.linalg.svd(_slopes(misses, optimum))[2][-1]
                begins = [optimum + length * floor / np.abs(floor).max() for length in ALONG_THE_FLOOR]
                ends = [logs, *(_least(misses, begin) for begin in begins)]
                logs = min(ends, key=lambda end: float((misses(end) ** 2).sum()))
        return theta(logs)


def _least(misses: Callable[[Array], Array], logs: Array) -> Array:
    from scipy.optimize import least_squares

    def slopes(at: Array) -> Array:
        return _slopes(misses, at)

    solution = least_squares(
        misses, logs, slopes, method="lm", xtol=TOLERANCE, ftol=TOLERANCE, gtol=TOLERANCE, max_nfev=EVALUATIONS
    )
    return np.asarray(solution.x)


def _slopes(misses: Callable[[Array], Array], logs: Array) -> Array:
    """Return the derivatives [points, parameters], by central differences: forward ones end a refit too early."""
    steps = DIFFERENCE * np.eye(len(logs))
    return np.column_stack([(misses(logs + step) - misses(logs - step)) / (2 * DIFFERENCE) for step in steps])
