"""Section 4.3, 6 and Figure 5: what can be computed about time and MACs from published numbers."""

from __future__ import annotations

from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.statistics import r_squared
from tal_repro.published.table import Table

SECONDS_PER_DAY = 86400


@derives("C7", tables=["gmacs"])
def macs_linear(gmacs: Table) -> Derivation:
    """The lowest R2, over the models, of MACs on feature length; and whether TadTR needs the fewest."""
    models = list(dict.fromkeys(gmacs["model"].tolist()))
    fits = {m: r_squared(*(gmacs.where(model=m)[c] for c in ("feature_length", "gmacs"))) for m in models}
    told = "R2 of MACs on length: " + ", ".join(f"{m} {r2:.3f}" for m, r2 in fits.items())
    told += " (ActionFormer rises in steps of 576)" if "actionformer" in fits else ""
    if "tadtr" not in models:
        told += "; no MACs of TadTR are published: its being the lowest needs a `macs` run"
        return Derivation((Reading("lowest R2", min(fits.values())),), (gmacs,), told)
    lowest = tadtr_lowest(gmacs)
    told += f"; TadTR needs the fewest MACs at {'every' if lowest else 'not every'} shared length"
    return Derivation((Reading("lowest R2", min(fits.values()) if lowest else 0.0),), (gmacs,), told)


def tadtr_lowest(gmacs: Table) -> bool:
    """Say whether TadTR has the fewest MACs at every length that another model has too."""
    tadtr = dict(zip(*(gmacs.where(model="tadtr")[c].tolist() for c in ("feature_length", "gmacs")), strict=True))
    others = gmacs.where(lambda r: r["model"] != "tadtr" and r["feature_length"] in tadtr)
    return len(others) > 0 and all(tadtr[r["feature_length"]] < r["gmacs"] for r in others.rows())


@derives("H3", tables=["paper_statements"])
def eight_busy_threads(statements: Table) -> Derivation:
    """Mean CPU use when 8 of the machine's threads are at 100 %."""
    busy = statements.where(quantity="threads_at_full_load")
    every = statements.where(quantity="threads_of_the_machine")
    share = 100 * float(busy["value"][0]) / float(every["value"][0])
    told = f"{busy['value'][0]:g} of {every['value'][0]:g} threads at 100 % are {share:.1f} % on average"
    return Derivation((Reading("8 threads of 26", share),), (busy, every), told)


@derives("G2", tables=["table2"])
def trainings_a_day(table2: Table) -> Derivation:
    """TadTR trainings that fit in a day."""
    per_day = {m: SECONDS_PER_DAY / s for m, s in zip(table2["model"], table2["train_seconds_mean"], strict=True)}
    told = "a day of 86400 s holds " + ", ".join(f"{n:.0f} {m}" for m, n in per_day.items())
    return Derivation((Reading("TadTR trainings a day", per_day["tadtr"]),), (table2,), told)


@derives("C2", "C3", tables=["inference_runs"])
def time_at_30000(inference_runs: Table) -> Derivation:
    """Inference time at length 30000, where a length that long was timed."""
    longest = int(inference_runs["feature_length"].max())
    told = (
        f"published times end at length {longest} and hold none of TadTR; ActionFormer's siblings' script times a full "
        "pipeline on a V100S, TadTR's ran on an A10"
    )
    rows = inference_runs.where(model="actionformer", feature_length=longest)
    return Derivation((), (rows,), told)
