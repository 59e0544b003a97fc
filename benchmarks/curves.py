"""Time the curve fits and compare them, side by side in one run, with a plain multi-start `curve_fit`.

    python benchmarks/curves.py [--rounds 3] [--out results.json]

Success of a fit: its residual sum of squares lies within 0.1 % of the lowest that either method found
on that curve. Rounds alternate (ours, plain, ours, plain, ...); the ratio comes with its range.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

from tal_repro.curves import FAMILIES, fit, forecast

ROOT = Path(__file__).resolve().parents[1]
PLAIN_STARTS = 10
WITHIN = 1.001
COLD = (
    "import matplotlib; matplotlib.use('Agg'); import matplotlib.pyplot as plt, numpy as np;"
    "from tal_repro.curves import fit, forecast; x=[10,20,40,60,80,100];"
    "y=[3.54,24.69,46.86,59.32,62.67,66.25]; g=np.geomspace(10,300,200); f,a=plt.subplots();"
    "[a.plot(g,fit(n,x,y).predict(g)) for n in ('exponential','5pl','5pl-bounded')];"
    "p=forecast(x,y); a.fill_between(g,*p.interval(g)); a.plot(x,y,'o'); f.savefig('/dev/null',format='png',dpi=300)"
)
Curve = tuple[np.ndarray, np.ndarray]

PLAIN: dict[str, tuple[Callable[..., np.ndarray], tuple[float, ...]]] = {
    # the printed formulas, with a natural first guess: what one writes without this package
    "exponential-linear": (lambda x, a, b, c: 2 ** (a - b * x ** (-1 / c)), (6, 10, 1)),
    "5pl": (lambda x, a, low, c, b, g: a + (low - a) / (1 + (x / c) ** b) ** g, (70, 1, 20, 1.5, 1)),
    "4pl": (lambda x, a, low, c, b: a + (low - a) / (1 + (x / c) ** b), (70, 1, 20, 1.5)),
    "pow4": (lambda x, a, b, c, d: c - a * (x + d) ** -b, (100, 0.5, 80, 1)),
    "exp3": (lambda x, a, b, c: c - a * np.exp(-b * x), (70, 0.03, 70)),
    "exp4": (lambda x, a, b, c, d: c - np.exp(b - a * x**d), (0.1, 4, 70, 0.8)),
    "vap3": (lambda x, a, b, c: np.exp(a + b / x + c * np.log(x)), (4, -10, 0.1)),
    "logpower3": (lambda x, a, b, c: a / (1 + (x / np.exp(b)) ** c), (70, 3, -1.5)),
}


def published_curves() -> dict[str, Curve]:
    """Read the four published curves; TriDet's 100 % point is the one of Table 2."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (ROOT / "results/published/learning_curves.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups[row["model"]].append((float(row["train_percent"]), float(row["map_mean"])))
    with (ROOT / "results/published/table2.csv").open(encoding="utf-8") as file:
        table = {row["model"]: float(row["map_mean"]) for row in csv.DictReader(file)}
    if max(groups["tridet"])[0] < 100:
        groups["tridet"].append((100.0, table["tridet"]))
    return {name: (np.array(p)[:, 0], np.array(p)[:, 1]) for name, p in groups.items()}


def plain_fit(name: str, x: np.ndarray, y: np.ndarray) -> float:
    """Return the lowest residual sum of squares of a multi-start curve_fit, infinite if all starts fail."""
    function, guess = PLAIN[name]
    random = np.random.default_rng(0)
    best = np.inf
    for start in range(PLAIN_STARTS):
        p0 = np.array(guess) * (1.0 if start == 0 else random.lognormal(0.0, 0.7, len(guess)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found, _ = curve_fit(function, x, y, p0, maxfev=5000)
                rss = float(((function(x, *found) - y) ** 2).sum())
        except (RuntimeError, ValueError, TypeError):
            continue
        best = min(best, rss) if np.isfinite(rss) else best
    return best


def compare(curves: dict[str, Curve], rounds: int) -> dict[str, object]:
    """Fit every comparable family on every curve with both methods, alternating."""
    cases = [(name, curve) for name in PLAIN for curve in curves if len(curves[curve][0]) > FAMILIES[name].k]
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    rss: dict[str, dict[tuple[str, str], float]] = {"ours": {}, "plain": {}}
    for _ in range(rounds):
        for method in ("ours", "plain"):
            started = time.perf_counter()
            for case in cases:
                x, y = curves[case[1]]
                rss[method][case] = fit(case[0], x, y).rss if method == "ours" else plain_fit(case[0], x, y)
            seconds[method].append(time.perf_counter() - started)
    lowest = {case: min(rss["ours"][case], rss["plain"][case]) for case in cases}
    won = {m: [c for c in cases if rss[m][c] <= WITHIN * lowest[c] + 1e-9] for m in rss}
    ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["ours"], strict=True)]
    return {
        "fits": len(cases),
        "plain_starts": PLAIN_STARTS,
        "ours_seconds": seconds["ours"],
        "plain_seconds": seconds["plain"],
        "speed_ratio_median": statistics.median(ratios),
        "speed_ratio_range": [min(ratios), max(ratios)],
        "success_ours": len(won["ours"]) / len(cases),
        "success_plain": len(won["plain"]) / len(cases),
        "ours_missed": [" on ".join(c) for c in cases if c not in won["ours"]],
        "plain_missed": [" on ".join(c) for c in cases if c not in won["plain"]],
    }


def targets(curves: dict[str, Curve]) -> dict[str, float]:
    """Time the jobs that users wait for, in seconds."""
    result = {}
    started = time.perf_counter()
    for x, y in curves.values():
        for name in FAMILIES:
            fit(name, x, y)
    result["all_families_all_curves_s"] = time.perf_counter() - started
    started = time.perf_counter()
    for x, y in curves.values():
        for name in FAMILIES:
            fit(name, x, y).to_dict()
    result["same_with_identification_and_held_out_s"] = time.perf_counter() - started
    started = time.perf_counter()
    forecast(*curves["tadtr"]).interval([100.0, 300.0])
    result["forecast_24_points_s"] = time.perf_counter() - started
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", COLD], check=True, cwd=ROOT)
    result["figure_with_fits_cold_start_s"] = time.perf_counter() - started
    return result


def main() -> None:
    """Run both parts, print the table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    curves = published_curves()
    result = {"schema": "tal-repro/bench-curves/1", "targets": targets(curves), **compare(curves, options.rounds)}
    for name, value in result["targets"].items():  # type: ignore[attr-defined]
        print(f"{name:<44}{value:8.2f}")
    print(f"\n{'':<22}{'ours':>12}{'curve_fit x ' + str(PLAIN_STARTS):>16}")
    print(f"{'seconds (median)':<22}{statistics.median(result['ours_seconds']):>12.2f}", end="")  # type: ignore[call-overload]
    print(f"{statistics.median(result['plain_seconds']):>16.2f}")  # type: ignore[call-overload]
    print(f"{'success':<22}{result['success_ours']:>12.0%}{result['success_plain']:>16.0%}")
    low, high = result["speed_ratio_range"]  # type: ignore[misc]
    print(f"{'speed ratio':<22}{result['speed_ratio_median']:>12.1f}  ({low:.1f} to {high:.1f})")
    print("missed by ours: ", ", ".join(result["ours_missed"]) or "none")  # type: ignore[arg-type]
    print("missed by plain:", ", ".join(result["plain_missed"]) or "none")  # type: ignore[arg-type]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
