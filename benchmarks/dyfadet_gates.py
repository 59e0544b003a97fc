"""How open DyFADet's gates are when a training begins: python -m benchmarks.dyfadet_gates [--width N] [--seeds N].

Each of its two heads passes features on through two gates, max(0, something) of a convolution with random weights. For
seeds 0, 1, ... the share of feature steps at which each is above 0 is measured in the authors' unpatched network, on
two synthetic test videos. A gate that is closed nearly everywhere lets no gradient through: see docs/upstream.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines.upstream import shims
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.models.registry import model_entry

LENGTH, VIDEOS = 320, 2
NEARLY_CLOSED = 0.05  # of the steps
GATE = "depth_module.kernel_conv.gate"


def main() -> int:
    """Print and write a row for each seed."""
    parser = skeleton.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--width", type=int, default=512, help="channels of embedding and heads; the authors have 512")
    options = parser.parse_args()
    shims.install("dyfadet")
    sys.path.insert(0, str(tree := checkout_folder(model_entry("dyfadet"))))
    sys.dont_write_bytecode = True
    config = settings(tree, options.width)
    features = synthetic_features()
    rows = []
    for seed in range(options.seeds):
        rows.append({"seed": seed, **openness(config, seed, features)})
        print(
            ", ".join(f"{name} {value:.0%}" if name != "seed" else f"seed {value}" for name, value in rows[-1].items())
        )
    closed = {kind: sum(any(v <= NEARLY_CLOSED for k, v in row.items() if k.startswith(kind)) for row in rows)
              for kind in ("cls", "reg")}  # fmt: skip
    print(f"of {len(rows)} seeds begin with a gate open at {NEARLY_CLOSED:.0%} of the steps or fewer: {closed}")
    entry = model_entry("dyfadet")
    report = {"schema": "tal-repro/dyfadet-gates/1", "synthetic": True, "commit": entry.commit, "width": options.width}
    skeleton.write(options.out, {**report, "nearly_closed": closed, "rows": rows})
    return 0


def settings(tree: Path, width: int) -> dict[str, Any]:
    """Return the authors' configuration for THUMOS14 with other widths."""
    from libs.core import load_config  # type: ignore[import-not-found]

    config: dict[str, Any] = load_config(str(tree / "configs" / "thumos_i3d.yaml"))["model"]
    config |= {"embd_dim": width, "fpn_dim": width, "head_dim": width, "max_seq_len": LENGTH}
    return config | {"mlp_dim": min(config["mlp_dim"], width) if width < 512 else config["mlp_dim"]}


def synthetic_features() -> list[Any]:
    """Return features [C, T] of a few synthetic test videos: those of `models check`."""
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        made = SyntheticConfig(20, 20, 2048, 20, (20.0, 40.0), difficulty=0.0, seed=5)
        files = sorted(write_synthetic(Path(scratch), made).rglob("i3d_features/video_test_*.npy"))
        return [torch.from_numpy(np.load(path).astype(np.float32).T.copy()) for path in files[:VIDEOS]]


def openness(config: dict[str, Any], seed: int, features: list[Any]) -> dict[str, float]:
    """Return, for each gate, the share of the valid feature steps of all levels at which it is open."""
    import torch
    from libs.modeling import make_meta_arch  # type: ignore[import-not-found]

    torch.manual_seed(seed)
    model = make_meta_arch("DyFADet", **config).eval()
    seen: dict[str, list[Any]] = {}
    for name, module in model.named_modules():
        if name.endswith(GATE):
            head = name.removesuffix(f".{GATE}").replace("_head.head.", " ")
            module.gate_activate = _kept(module.gate_activate, seen.setdefault(head, []))
    vars(model)["inference"] = lambda *outputs: ()
    action = {"segments": torch.zeros(1, 2), "labels": torch.zeros(1)}
    with torch.no_grad():
        for video in features:
            model([{"video_id": "video", "feats": video, **action}])
    levels = len(model.fpn_strides)
    lengths = [-(-video.shape[1] // 2**level) for video in features for level in range(levels)]
    return {
        name: sum(int((gate[0, 0, :steps] > 0).sum()) for gate, steps in zip(gates, lengths, strict=True))
        / sum(lengths)
        for name, gates in seen.items()
    }


def _kept(function: Any, outputs: list[Any]) -> Any:
    def call(values: Any) -> Any:
        outputs.append(function(values))
        return outputs[-1]

    return call


if __name__ == "__main__":
    raise SystemExit(main())
