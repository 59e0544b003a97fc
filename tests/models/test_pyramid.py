"""Properties of the pyramid detectors: padding, masks, bad input, checkpoints, stochastic parts, deterministic bits."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.reference import golden
from benchmarks.reference.cases import targets, videos
from benchmarks.reference.native import NativePyramid
from benchmarks.reference.weights import draw
from tal_repro.errors import InputError
from tal_repro.models import build, load_upstream_state
from tal_repro.models.actionformer import banded_attention, chunked_attention
from tal_repro.models.checkpoint_io import read_checkpoint
from tal_repro.models.heads import expected_offset
from tal_repro.models.interface import Localizer
from tal_repro.models.layers import MaskedNorm, group_norm
from tal_repro.models.levels import Level, grow, lay_points, plan_levels
from tal_repro.models.pyramid_loss import assign, focal, offset_iou
from tal_repro.models.upstream_weights import native_name

NAMES = ("actionformer", "tridet", "temporalmaxer")


def small(name: str, **overrides: Any) -> Any:
    recipe = dataclasses.asdict(dataclasses.replace(golden.recipe(name), **overrides))
    return build(name, **recipe)


@pytest.fixture(params=NAMES)
def side(request: pytest.FixtureRequest) -> NativePyramid:
    found = NativePyramid(request.param, golden.recipe(request.param))
    found.use_named_weights(1)
    return found


def test_implements_the_contract(side: NativePyramid) -> None:
    assert isinstance(side.model, Localizer)


@pytest.mark.parametrize("length", [1, 2, 31, 100, 255, 256])
def test_result_does_not_depend_on_the_padding(side: NativePyramid, length: int) -> None:
    batch = videos("padding", 2, 24, [length, 77], torch.float64)
    side.model.double()
    with torch.no_grad():
        found = {}
        for padding in ("sample", "batch", "upstream"):
            side.model.padding = padding
            found[padding] = side.outputs(batch, True)
    for key, reference in found["upstream"].items():
        for padding in ("sample", "batch"):
            ours = found[padding][key]
            width = ours.shape[-1]
            assert torch.allclose(ours, reference[..., :width], rtol=0, atol=1e-11), (padding, key)
            assert not reference[..., width:].any()


def test_a_video_alone_gives_what_it_gives_in_a_batch(side: NativePyramid) -> None:
    batch = videos("batch", 3, 24, [90, 41], torch.float64)
    side.model.double().padding = "batch"
    with torch.no_grad():
        both, alone = side.outputs(batch, False), side.outputs(batch[1:], False)
    for key, reference in alone.items():
        ours = both[key][1:, :, : reference.shape[-1]]
        assert torch.allclose(ours, reference, rtol=0, atol=1e-11)


def test_values_behind_the_video_are_never_read(side: NativePyramid) -> None:
    clean = torch.stack([draw("clean", 1, 24, 60)])
    dirty = clean.clone()
    dirty[..., 40:] = 1e6
    side.model.eval()
    with torch.no_grad():
        for padding in ("sample", "batch", "upstream"):
            side.model.padding = padding
            a, b = (side.model(x, torch.tensor([40])) for x in (clean, dirty))
            assert all(p.equal(q) for p, q in zip(a.logits + a.offsets, b.logits + b.offsets, strict=True))


@pytest.mark.parametrize("steps", [7, 31, 32, 33, 100])
def test_banded_attention_is_attention_under_a_band(steps: int) -> None:
    query, key, value = (draw(f"qkv{i}", steps, 2, 12, steps).double() for i in range(3))
    mask = torch.ones(2, 1, steps)
    mask[1, :, steps // 2 :] = 0
    ours = banded_attention(query, key, value, 3, 4, mask)
    q, k, v = (x.view(2, 3, 4, steps).transpose(2, 3) for x in (query, key, value))
    place = torch.arange(steps)
    allowed = ((place[:, None] - place).abs() <= 4) & (mask[:, None] > 0)
    scores = (q @ k.transpose(2, 3)).masked_fill(~allowed, -1e30)
    reference = (scores.softmax(-1) @ v).transpose(2, 3).reshape(2, 12, steps)
    valid = mask.bool().expand_as(ours)
    assert torch.allclose(ours[valid], reference[valid], atol=1e-12)


def test_chunked_attention_is_the_same() -> None:
    query, key, value = (draw(f"chunk{i}", 1, 2, 12, 48).double() for i in range(3))
    mask = (torch.arange(48) < torch.tensor([[[48]], [[29]]])).double()
    ours, reference = (attend(query, key, value, 3, 4, mask) for attend in (chunked_attention, banded_attention))
    assert torch.allclose(ours * mask, reference * mask, atol=1e-12)


@pytest.mark.parametrize("relu", [True, False])
def test_masked_norm_gradients(relu: bool) -> None:
    norm = MaskedNorm(5, relu).double()
    with torch.no_grad():
        norm.weight.copy_(draw("w", 1, 5))
        norm.bias.copy_(draw("b", 1, 5))
    mask = torch.tensor([1.0, 1, 1, 0, 1, 1]).double().expand(2, 1, 6)
    x = draw("x", 1, 2, 5, 6).double().requires_grad_()

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x, mask, torch.tensor([2])))

    assert torch.autograd.gradcheck(run, (x, norm.weight, norm.bias))
    plain = torch.layer_norm((x * mask).transpose(1, 2), (5,), norm.weight, norm.bias).transpose(1, 2)
    plain = plain.relu() if relu else plain
    keep = torch.tensor([1.0, 1, 0, 1, 1, 1]).double()
    assert torch.allclose(norm(x, mask, torch.tensor([2])), plain * keep, atol=1e-12)


def test_group_norm_counts_hidden_columns() -> None:
    x = draw("group", 1, 2, 8, 9).double()
    level = Level(stride=1, columns=9, total=30, run=6, valid=5, mask=torch.ones(2, 1, 9))
    weight, bias = draw("gw", 1, 8).double(), draw("gb", 1, 8).double()
    ours = group_norm(x, 4, level, weight, bias)
    full = torch.group_norm(grow(x, level, 30), 4, weight, bias)
    assert torch.allclose(grow(ours, level, 30), full, atol=1e-12)


def test_levels_cost_what_the_video_costs() -> None:
    short = plan_levels([100], 2304, 6, 0, torch.device("cpu"), torch.float32)
    assert [level.columns for level in short] == [101, 51, 26, 14, 8, 5]
    full = plan_levels([2304], 2304, 6, 0, torch.device("cpu"), torch.float32)
    assert [level.columns for level in full] == [2304, 1152, 576, 288, 144, 72]
    assert all(level.hidden == 0 for level in full)


def test_assignment_by_hand() -> None:
    points = lay_points([16, 8], [(0, 4), (4, 100)])
    segments = torch.tensor([[2.0, 6.0], [2.0005, 6.0], [0.0, 16.0]])
    found = assign(points, segments, torch.tensor([0, 1, 2]), 3, 1.5)
    # level 0: |t - 4| < 1.5 and at most 4 away from an end; both short actions share the points
    assert found.classes[:16].nonzero().tolist() == [[t, c] for t in (3, 4, 5) for c in (0, 1)]
    assert torch.allclose(found.offsets[3], torch.tensor([0.9995, 3.0]))
    # level 1 (points 0, 2, 4, ...; stride 2): only the long action is far enough, |t - 8| < 3
    assert found.classes[16:].nonzero().tolist() == [[3, 2], [4, 2], [5, 2]]
    assert found.offsets[16 + 3].tolist() == [3.0, 5.0]


def test_a_range_holds_its_ends_and_only_actions_of_one_length_share_a_point() -> None:
    points = lay_points([16, 8], [(0, 4), (4, 100)])
    found = assign(points, torch.tensor([[0.0, 7.0]]), torch.tensor([0]), 2, 1.5)
    # |t - 3.5| < 1.5 strides; the farther end is 4 away from point 4, which is the end of both levels' ranges
    assert found.classes[:16, 0].nonzero().flatten().tolist() == [3, 4]
    assert found.classes[16:, 0].nonzero().flatten().tolist() == [1, 2, 3]
    found = assign(points, torch.tensor([[2.0, 6.0], [2.05, 6.0]]), torch.tensor([0, 1]), 2, 1.5)
    assert found.classes[4].tolist() == [0.0, 1.0], "the shorter one alone"


def test_losses_by_hand() -> None:
    loss = focal(torch.zeros(2), torch.tensor([1.0, 0.0]), 0.25, 2.0)
    assert torch.allclose(loss, torch.tensor([0.25, 0.75]) * 0.25 * torch.tensor(2.0).log())
    iou, distance = offset_iou(torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
    assert torch.allclose(iou, torch.tensor([1.0, 0.0]))
    assert torch.allclose(distance, torch.tensor([0.0, 1.25]))  # centres 2 apart, hull 4


def test_trident_offset_of_a_sharp_response() -> None:
    start, end = torch.full((17,), -50.0), torch.full((17,), -50.0)
    start[4] = end[9] = 50.0  # 12 bins before, 9 bins after
    assert torch.allclose(expected_offset(start, end, torch.zeros(2, 17)), torch.tensor([12.0, 9.0]))


def test_bad_features(side: NativePyramid) -> None:
    model, good, length = side.model, torch.rand(2, 24, 30), torch.tensor([30, 20])
    hole = good.clone()
    hole[1, 3, 7] = float("nan")
    cases: list[tuple[Tensor, Tensor, str]] = [
        (good.transpose(1, 2), length, "channels"),
        (good[0], length, r"\[B, C, T\]"),
        (good[:0], length[:0], "empty batch"),
        (good, torch.tensor([31, 20]), "length 31 of sample 0"),
        (good, torch.tensor([30, 0]), "length 0 of sample 1"),
        (good, torch.tensor([30]), "2 integers"),
        (hole, length, "sample 1 are not finite, first at step 7"),
    ]
    for features, lengths, message in cases:
        with pytest.raises(ValueError, match=message):
            model(features, lengths)
    hole[1, 3, 7] = 0
    hole[1, :, 20:] = float("nan")  # behind the video
    for padding in ("sample", "batch", "upstream"):
        model.padding = padding
        assert torch.isfinite(model.eval()(hole, length).logits[0]).all(), padding


def test_bad_targets(side: NativePyramid) -> None:
    outputs = side.run([torch.rand(24, 30)], True)
    for segments, labels, message in (
        ([[1.0, 5.0]], [5], "labels must be integers in 0 ... 4"),
        ([[1.0, 5.0]], [-1], "labels must be"),
        ([[5.0, 1.0]], [1], "start before they end"),
        ([[float("nan"), 1.0]], [1], "start before they end"),
        ([[1.0, 5.0]], [1, 2], "do not match"),
    ):
        with pytest.raises(ValueError, match=message):
            side.model.loss(outputs, [{"segments": torch.tensor(segments), "labels": torch.tensor(labels)}])
    with pytest.raises(ValueError, match="0 targets for a batch of 1"):
        side.model.loss(outputs, [])


def test_a_training_sample_may_not_exceed_the_maximum(side: NativePyramid) -> None:
    longest = side.recipe.max_seq_len
    with pytest.raises(InputError, match="more than max_seq_len"):
        side.run([torch.rand(24, longest + 1)], True)
    assert len(side.run([torch.rand(24, longest + 1)], False).logits) == 6


def test_impossible_recipes_are_refused() -> None:
    for name, overrides, message in (
        ("actionformer", {"max_seq_len": 100}, "multiple of the coarsest stride"),
        ("actionformer", {"embed_dim": 33}, "attention_heads"),
        ("actionformer", {"attention_window": 1}, "reaches no neighbour"),
        ("tridet", {"embed_dim": 24}, "16 groups"),
        ("temporalmaxer", {"embed_dim": 30}, "4 groups"),
        ("temporalmaxer", {"levels": 5}, "regression_ranges for 5 levels"),
    ):
        with pytest.raises(InputError, match=message):
            small(name, **overrides)


def test_upstreams_form_wants_a_length_that_its_attention_can_cut() -> None:
    model = small("actionformer", max_seq_len=96).eval()  # legal in our form: a window of 5 is cut into 4 * 32 steps
    features = torch.rand(1, 24, 90)
    assert len(model(features, torch.tensor([90])).logits) == 6
    with pytest.raises(InputError, match="max_seq_len 96 is not a multiple of"):
        model.upstream_form()
    assert model.padding == "sample"


def test_normalizer_runs_in_training_only_and_is_saved(side: NativePyramid) -> None:
    batch, truth = videos("normalizer", 1, 24, [90]), targets("many", [90], 5, 1)
    side.losses(batch, truth)
    moved = side.model.loss_normalizer.clone()
    assert moved != 100
    side.model.eval()
    side.model.loss(side.model(batch[0][None], torch.tensor([90])), truth)
    assert side.model.loss_normalizer == moved
    other = small(side.name)
    other.load_state_dict(side.model.state_dict())
    assert other.loss_normalizer == moved


def test_chance_is_drawn_from_the_generator() -> None:
    for name in ("actionformer", "tridet"):
        model = small(name, drop_path=0.5, input_noise_std=0.01).train()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key.endswith("scale"):
                    parameter.fill_(1)
        batch = torch.stack(videos("chance", 1, 24, [64, 64]))
        found = []
        for padding, seed in (("sample", 1), ("batch", 1), ("sample", 2)):
            model.padding, model.generator = padding, torch.Generator().manual_seed(seed)
            found.append(model(batch, torch.tensor([64, 40])).logits[2].detach())
        assert torch.allclose(found[0], found[1], atol=1e-5)  # draws do not depend on the padding
        assert not torch.allclose(found[0], found[2], atol=1e-3)


def test_deterministic_bits(side: NativePyramid) -> None:
    batch, truth = videos("bits", 1, 24, [90, 60]), targets("overlapping", [90, 60], 5, 1)
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            side.model.zero_grad()
            side.reset()
            side.losses(batch, truth)["total"].backward()
            runs.append([p.grad.clone() for p in side.model.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(a.equal(b) for a, b in zip(*runs, strict=True))


def test_bfloat16_autocast_trains(side: NativePyramid) -> None:
    batch, truth = videos("bf16", 1, 24, [90, 60]), targets("many", [90, 60], 5, 1)
    side.reset()
    exact = side.losses(batch, truth)["total"]
    side.reset()
    with torch.autocast("cpu", torch.bfloat16):
        losses = side.losses(batch, truth)
    losses["total"].backward()
    assert abs(losses["total"] / exact - 1) < 0.05
    assert all(torch.isfinite(p.grad).all() for p in side.model.parameters())


def upstream_state(model: Any) -> dict[str, Tensor]:
    """Return the model's weights under upstream names, norms as [1, C, 1] as upstream keeps them."""
    own = dict(model.named_parameters())
    names = (Path(__file__).parents[1] / "golden" / "models" / f"{model.name}_keys.txt").read_text().split()
    vectors = ("norm", "ln", "scale")
    state = {}
    for name in names:
        value = own[native_name(model.name, name)].detach().clone()
        wide = value.ndim == 1 and any(part in name for part in vectors)
        state[name] = value[None, :, None] if wide else value
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("wrap", [None, "state_dict", "state_dict_ema"])
def test_upstream_checkpoints_load(side: NativePyramid, prefix: str, wrap: str | None) -> None:
    state: Any = {prefix + key: value for key, value in upstream_state(side.model).items()}
    fresh = small(side.name)
    load_upstream_state(fresh, state if wrap is None else {wrap: state, "epoch": 3})
    for (key, a), b in zip(fresh.named_parameters(), side.model.parameters(), strict=True):
        assert a.equal(b), key


def test_incomplete_and_foreign_checkpoints_are_named(side: NativePyramid) -> None:
    state = upstream_state(side.model)
    key = "cls_head.cls_head.conv.weight"
    for damaged, message in (
        ({k: v for k, v in state.items() if k != key}, "no weights for 'classifier.output.weight'"),
        ({**state, "backbone.extra.weight": torch.zeros(1)}, "surplus key 'backbone.extra.weight'"),
        ({**state, key: torch.zeros(7, 32, 3)}, r"shape \(7, 32, 3\), the model wants \(5, 32, 3\)"),
        ({**state, key: "text"}, "holds str, not a tensor"),
    ):
        before = [p.clone() for p in side.model.parameters()]
        with pytest.raises(ValueError, match=message):
            load_upstream_state(side.model, damaged)
        assert all(a.equal(b) for a, b in zip(before, side.model.parameters(), strict=True))
    other = small(NAMES[(NAMES.index(side.name) + 1) % 3])
    with pytest.raises(ValueError, match=f"checkpoint for {other.name}"):
        load_upstream_state(other, state)


class Payload:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def test_checkpoint_files_are_read_without_running_them(
    side: NativePyramid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, text = (tmp_path / name for name in ("good name.pth.tar", "bad.pth", "text.pth"))
    torch.save({"state_dict": upstream_state(side.model), "epoch": 1}, good)
    load_upstream_state(small(side.name), read_checkpoint(good))
    torch.save({"state_dict": {}, "extra": Payload()}, bad)
    text.write_bytes(pickle.dumps(Payload(), protocol=2))
    for path in (bad, text):
        with pytest.raises(InputError, match="refused"):
            read_checkpoint(path)
    good.write_bytes(good.read_bytes()[:1000])
    for path in (good, tmp_path / "absent.pth"):
        with pytest.raises(InputError, match=str(path)):
            read_checkpoint(path)
    assert "code ran" not in capsys.readouterr().out
