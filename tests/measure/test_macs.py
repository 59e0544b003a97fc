"""MACs: tiny networks counted by hand, published counts, and that the count is of the module that trains."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from tal_repro.errors import InputError
from tal_repro.measure.macs import count_macs, count_module, padded_steps, uncounted
from tal_repro.models import build

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "gmacs.csv"


def published(model: str) -> dict[int, float]:
    with PUBLISHED.open() as file:
        return {int(r["feature_length"]): float(r["gmacs"]) for r in csv.DictReader(file) if r["model"] == model}


def test_counts_tiny_networks_as_by_hand() -> None:
    linear = nn.Linear(3, 5)
    assert count_module(linear, torch.zeros(2, 7, 3))[0] == 2 * 7 * 3 * 5
    conv = nn.Conv1d(4, 6, 3, padding=1)  # 10 outputs of 6 channels, each over 4 channels and 3 taps
    total, by_operator, _ = count_module(nn.Sequential(conv, nn.ReLU()), torch.zeros(1, 4, 10))
    assert (total, by_operator) == (10 * 6 * 4 * 3, {"conv": 720})
    depthwise = nn.Conv1d(4, 4, 3, stride=2, padding=1, groups=4)
    assert count_module(depthwise, torch.zeros(1, 4, 10))[0] == 5 * 4 * 3


def test_lists_what_it_does_not_count() -> None:
    _, _, unsupported = count_module(nn.Sequential(nn.Linear(2, 2), nn.Softmax(-1), nn.GELU()), torch.zeros(1, 2))
    assert unsupported == {"aten::softmax": 1, "aten::gelu": 1}


class Attention(nn.Module):
    """TE-TAD's scores: one operator that adds and multiplies, for which fvcore has no count; pads to 256 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv1d(4, 4, 1)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        x = self.embed(nn.functional.pad(features, (0, -features.shape[-1] % 256)))
        return torch.baddbmm(torch.zeros(1, 4, 4), x, x.transpose(1, 2))


def test_an_operator_that_multiplies_uncounted_is_told_and_the_padded_length_seen() -> None:
    inputs = (torch.zeros(1, 4, 100), torch.tensor([100]))
    macs, _, unsupported = count_module(Attention(), *inputs)
    assert macs == 256 * 4 * 4
    assert uncounted(unsupported) == "the count is too low: aten::baddbmm (1 calls) multiplies and is not counted"
    assert uncounted({"aten::softmax": 3}) == ""
    assert padded_steps(Attention(), *inputs) == 256
    flat = nn.Sequential(nn.Flatten(), nn.Linear(400, 2))  # no part takes the channels as they are
    assert padded_steps(flat, inputs[0]) == 100


@pytest.mark.parametrize("actionness", [True, False])
def test_tadtr_is_affine_in_the_length(actionness: bool) -> None:
    # UPSTREAM's measured law: per step the input projection and four encoder layers, and a constant for the decoder
    constant = 230_993_920 if actionness else 186_419_200
    for length in (100, 128, 1000):
        count = count_macs("tadtr", length, actionness=actionness)
        assert count.macs == 3_501_312 * length + constant
        assert (count.padded_length, count.max_seq_len) == (length, None)


def test_tadtr_split_by_operator() -> None:
    count = count_macs("tadtr", 1000, actionness=False)
    assert count.by_operator["conv"] == 1000 * 2048 * 256
    assert count.by_operator["bmm"] == 4 * 2 * 40 * 40 * 256
    # fvcore counts 4 per sampled value, as for an image: 8 heads of 32 channels, 4 points, 4 layers of each kind
    assert count.by_operator["grid_sampler"] == 4 * 256 * 4 * (4 * 1000 + 4 * 40)
    native = count_macs("tadtr", 1000, upstream_form=False, actionness=False)
    assert native.by_operator["embedding_bag"] == 2 * 256 * 4 * (4 * 1000 + 4 * 40)
    assert native.macs < count.macs


@pytest.mark.parametrize(("model", "tolerance"), [("actionformer", 1e-4), ("tridet", 5e-10), ("temporalmaxer", 5e-10)])
@pytest.mark.parametrize("length", [200, 1000])
def test_published_counts_come_back(model: str, tolerance: float, length: int) -> None:
    # all 45: tests/measure/test_macs_published.py
    assert count_macs(model, length, 576).macs / 1e9 == pytest.approx(published(model)[length], rel=tolerance)


def test_upstreams_own_rule_pads_to_2304() -> None:
    short, long = count_macs("temporalmaxer", 100), count_macs("temporalmaxer", 2304)
    assert short.macs == long.macs == 23_491_289_088
    assert (short.padded_length, short.max_seq_len) == (2304, 2304)
    assert count_macs("temporalmaxer", 2305).padded_length == 2336


@pytest.mark.parametrize("upstream_form", [True, False])
def test_counts_the_module_that_trains(upstream_form: bool) -> None:
    narrow = count_macs("tadtr", 50, upstream_form=upstream_form, ffn_dim=256)
    wide = count_macs("tadtr", 50, upstream_form=upstream_form, ffn_dim=257)
    rows = 4 * 50 + 4 * 40  # encoder steps and decoder queries through their feed-forward layers
    assert wide.macs - narrow.macs == rows * 2 * 256
    assert wide.by_operator["linear"] - narrow.by_operator["linear"] == rows * 2 * 256


def test_upstream_form_computes_the_same() -> None:
    torch.manual_seed(0)
    model = build("tadtr", feature_dim=32, ffn_dim=32, hidden_dim=64).eval()
    features, lengths = torch.rand(2, 32, 30), torch.tensor([30, 30])
    with torch.no_grad():
        own = model(features, lengths)
        theirs = model.upstream_form()(features, lengths)
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_counting_draws_nothing_from_the_caller() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    count_macs("tadtr", 10, ffn_dim=16)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tadtr", 0), "length 0"),
        (("tadtr", True), "length True"),
        (("tadtr", 10**9), "length 1000000000"),
        (("nosuch", 10), "unknown model 'nosuch'"),
        (("tadtr", 10, 576), "does not pad"),
        (("tridet", 10, -1), "max_seq_len -1"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        count_macs(*arguments)  # type: ignore[arg-type]


def test_a_length_beyond_the_memory_is_refused_and_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tal_repro.measure.memory.available_mib", lambda: 200.0)
    with pytest.raises(InputError, match="temporalmaxer at 200000 feature steps takes more memory than there is"):
        count_macs("temporalmaxer", 200_000)  # features alone: 1.6 GB


@pytest.mark.parametrize(
    ("model", "per_step", "constant"),
    [("temporalmaxer", 10_195_872, 0), ("tridet", 18_967_658.75, 3_584), ("actionformer", 19_544_400, 0)],
)
def test_padding_rule_reaches_every_published_count(model: str, per_step: float, constant: int) -> None:
    """The law measured on upstream, at the length this kit pads to, gives all 45; two of each are counted above."""
    detector = build(model, max_seq_len=576).eval()  # type: ignore[attr-defined]
    for length, gmacs in published(model).items():
        macs = per_step * detector.padded_length(length) + constant
        if model == "actionformer":  # fvcore reads the attention's share from a printed number of 4 digits
            assert 0 < gmacs * 1e9 - macs < 0.006 * macs
        else:
            assert macs / 1e9 == pytest.approx(gmacs, rel=5e-10)
