"""The mAPs printed for released checkpoints, by authors and OpenTAD: `results/published/upstream_map.csv`."""

from __future__ import annotations

from tal_repro.detection.protocols import PROTOCOLS
from tal_repro.published.load import load_published


def published_maps(model: str) -> dict[str, tuple[float, str]]:
    """Return protocol -> (published average mAP in percent, its source); a protocol is told by its test videos."""
    protocols = {int(name.rpartition("-")[2]): name for name in PROTOCOLS}
    rows = load_published()["upstream_map"].where(model=model).rows()
    return {
        protocols[row["protocol_videos"]]: (float(row["map_mean"]), str(row["source"]))
        for row in rows
        if row["protocol_videos"] in protocols
    }
