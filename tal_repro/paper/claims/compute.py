"""Section 4.3, 6 and Figures 4 to 6: what can be computed about time and MACs from published numbers."""

from __future__ import annotations

import numpy as np

from tal_repro.paper.claims.baselines import statement
from tal_repro.paper.claims.curves import titled
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.readings import half_digit, number, over_rounding, printed, unpublished, vary
from tal_repro.paper.statistics import line, r_squared
from tal_repro.published.table import Table

SECONDS_PER_DAY = 86400
LONG_LENGTH = 30000.0  # feature steps, the paper's longest input
PADDED_TO = {"actionformer": 576}  # feature steps: its local attention pads an input to a multiple of it
LOWEST_UNKNOWN = "no MACs of TadTR were published, only a picture; a `macs` run tells"


@derives("C7", tables=["gmacs"])
def macs_linear(gmacs: Table) -> Derivation:
    """The lowest R2, over the models, of MACs on feature length: as fed, then as the model pads it."""
    models = list(dict.fromkeys(gmacs["model"].tolist()))
    fits = {name: {m: _linearity(gmacs.where(model=m), m if padded else "") for m in models}
            for name, padded in (("length as fed", False), ("length as padded", True))}  # fmt: skip
    readings = vary(lambda length: number(min(length.values()), "lowest R2"), length=fits)
    reason = "R2 of MACs on length: " + ", ".join(f"{titled(m)} {r2:.3f}" for m, r2 in fits["length as fed"].items())
    reason += " (ActionFormer pads to multiples of 576, and is linear in those)" if "actionformer" in models else ""
    return Derivation(readings, (gmacs,), reason)


def _linearity(rows: Table, padded_as: str) -> float:
    step = PADDED_TO.get(padded_as, 1)
    return r_squared(np.ceil(rows["feature_length"] / step) * step, rows["gmacs"])


@derives("C8", tables=["gmacs"])
def tadtr_needs_fewest(gmacs: Table) -> Derivation:
    """TadTR's MACs over the fewest of the others, the largest ratio over the shared lengths."""
    tadtr = dict(zip(*(gmacs.where(model="tadtr")[c].tolist() for c in ("feature_length", "gmacs")), strict=True))
    others = gmacs.where(lambda r: r["model"] != "tadtr" and r["feature_length"] in tadtr)
    if not len(others):
        return Derivation((unpublished("TadTR's MACs", LOWEST_UNKNOWN),), (gmacs,), LOWEST_UNKNOWN)
    ratio = max(tadtr[r["feature_length"]] / r["gmacs"] for r in others.rows())
    reason = (
        f"at {len(set(others['feature_length'].tolist()))} shared lengths TadTR needs at most {ratio:.2f} times as many"
    )
    return Derivation(number(ratio, "largest ratio to another model"), (gmacs,), reason)


@derives("H3", tables=["paper_statements"])
def eight_busy_threads(statements: Table) -> Derivation:
    """Mean CPU use when 8 of the machine's threads are at 100 %."""
    busy, every = (statement(statements, name) for name in ("threads_at_full_load", "threads_of_the_machine"))
    share = 100 * float(busy["value"][0]) / float(every["value"][0])
    reason = f"{busy['value'][0]:g} of {every['value'][0]:g} threads at 100 % are {share:.1f} % on average"
    return Derivation((Reading("8 threads of 26", share),), (busy, every), reason)


@derives("H8", tables=["paper_statements", "table2"])
def epochs_in_figure_6(statements: Table, table2: Table) -> Derivation:
    """How many epochs the seconds of Figure 6 hold, by Table 2's time and Table 1's epochs."""
    span, epochs = (statement(statements, name) for name in ("figure_6_seconds", "tadtr_epochs"))
    row = table2.where(model="tadtr")
    training, whole = printed(row["train_seconds_mean"][0]), float(epochs["value"][0])
    seconds = training[0] / whole
    readings = over_rounding(
        lambda s, t: s / (t / whole), printed(span["value"][0]), training, label="epochs in Figure 6"
    )
    count = readings[0].value
    reason = (
        f"an epoch with its evaluation takes {seconds:.1f} s on average, so {span['value'][0]:g} s hold {count:.1f}"
    )
    return Derivation(readings, (span, epochs, row), reason)


@derives("G2", tables=["table2"])
def trainings_a_day(table2: Table) -> Derivation:
    """TadTR trainings that fit in a day; then those of the slowest model."""
    per_day = {m: SECONDS_PER_DAY / s for m, s in zip(table2["model"], table2["train_seconds_mean"], strict=True)}
    reason = "a day of 86400 s holds " + ", ".join(f"{n:.1f} of {titled(m)}" for m, n in per_day.items())
    times = dict(zip(table2["model"], table2["train_seconds_mean"], strict=True))
    choices = {"TadTR trainings a day": times["tadtr"], "of the slowest model": max(times.values())}
    half = half_digit(table2["train_seconds_mean"])
    readings = vary(lambda models: over_rounding(lambda s: SECONDS_PER_DAY / s, (models, half)), models=choices)
    return Derivation(readings, (table2,), reason)


@derives("C2", tables=["inference_runs"])
def tadtr_at_30000(inference_runs: Table) -> Derivation:
    """TadTR's inference time at length 30000: no time of it was published."""
    longest = inference_runs["feature_length"].max()
    reason = f"published times end at length {longest} and hold none of TadTR, only a picture"
    return Derivation((unpublished("TadTR's time", reason),), (inference_runs,), reason)


@derives("C3", tables=["inference_runs"])
def actionformer_at_30000(inference_runs: Table) -> Derivation:
    """ActionFormer's inference time at length 30000, on the line through its published medians, in seconds."""
    rows = inference_runs.where(model="actionformer")
    lengths = np.array(sorted(set(rows["feature_length"].tolist())), dtype=float)
    medians = np.array([np.median(rows.where(feature_length=int(n))["milliseconds"]) for n in lengths])
    slope, intercept = line(lengths, medians)
    seconds = (slope * LONG_LENGTH + intercept) / 1000
    reason = (
        f"the line through its published medians (lengths {lengths[0]:.0f} to {lengths[-1]:.0f}, a V100S) gives "
        f"{1000 * seconds:.0f} ms at {LONG_LENGTH:.0f}, ten times as long; TadTR's 35 ms are of an A10"
    )
    return Derivation(number(seconds, "line through the medians, extrapolated"), (rows,), reason)


@derives("C9", tables=["inference_runs"])
def lengths_timed(inference_runs: Table) -> Derivation:
    """The shortest and the longest input that was timed: unpublished for TadTR, then the other models'."""
    low, high = (float(f(inference_runs["feature_length"])) for f in (np.min, np.max))
    reason = f"TadTR's lengths are unpublished; the other models were timed from {low:.0f} to {high:.0f} steps"
    others = Reading("the other models' lengths", low, high, changed="models")
    return Derivation((unpublished("TadTR's lengths", reason), others), (inference_runs,), reason)


@derives("C10", tables=["paper_statements"])
def collection_share(statements: Table) -> Derivation:
    """Garbage collection's share of collection plus inference, from the paper's own two times, in percent."""
    rows = [statement(statements, name) for name in ("collection_ms", "tadtr_inference_ms")]
    collection, inference = (printed(row["value"][0]) for row in rows)
    readings = over_rounding(lambda c, i: 100 * c / (c + i), collection, inference, label="share of both times")
    reason = f"{collection[0]:g} of {collection[0]:g} + {inference[0]:g} ms are {readings[0].value:.0f} %"
    return Derivation(readings, tuple(rows), reason)
