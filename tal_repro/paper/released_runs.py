"""What runs of the experiment `released` say: the authors' checkpoints scored here, beside the mAPs they print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from tal_repro.detection.protocols import PROTOCOLS
from tal_repro.models.registry import MODELS
from tal_repro.published.load import load_published

if TYPE_CHECKING:
    from tal_repro.runs.load import Runs
    from tal_repro.runs.run import Run


def published_maps(model: str) -> dict[str, tuple[float, str]]:
    """Return protocol -> (published average mAP in percent, its source); a protocol is told by its test videos."""
    protocols = {int(name.rpartition("-")[2]): name for name in PROTOCOLS}
    rows = load_published()["upstream_map"].where(model=model).rows()
    own = MODELS[model].reported.published if model in MODELS else ()
    return {protocol: (value, source) for protocol, value, source in own} | {
        protocols[row["protocol_videos"]]: (float(row["map_mean"]), str(row["source"]))
        for row in rows
        if row["protocol_videos"] in protocols
    }


ROUNDING = 0.1  # mAP points: one README prints a single digit


class Comparison(NamedTuple):
    """One checkpoint under one protocol; average mAPs in percent."""

    run_id: str
    model: str
    engine: str
    protocol: str
    measured: float
    published: float
    source: str
    verdict: str


def comparisons(runs: Runs) -> Iterator[Comparison]:
    """Yield a comparison for each released checkpoint, engine and protocol of which a mAP is published."""
    for run in runs.of("released"):
        published = published_maps(run.model) if run.model in MODELS else {}
        for (selection, weights, protocol), measured in sorted(run.scores.items()):
            if protocol in published and run.reported and (selection, weights) == run.reported[:2]:
                value, source = published[protocol]
                verdict = _verdict(run, measured - value)
                yield Comparison(run.run_id, run.model, run.engine, protocol, measured, value, source, verdict)


def lines(runs: Runs) -> Iterator[str]:
    """Yield a line for each comparison."""
    for row in comparisons(runs):
        text = f"{MODELS[row.model].title}, released checkpoint, {row.engine} engine, {row.protocol}: average mAP "
        yield text + f"{row.measured:.2f} %, published {row.published:.2f} % ({row.source}): {row.verdict}."


def _verdict(run: Run, difference: float) -> str:
    if run.flags:
        return f"does not count, {run.flags[0].partition(':')[0]}"
    if run.synthetic:
        return "SYNTHETIC data, not comparable"
    return f"{difference:+.2f}, " + ("the same to rounding" if abs(difference) <= ROUNDING else "not the same")
