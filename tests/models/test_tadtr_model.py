"""TadTR as a module: sizes, start weights, what it shares with upstream's habits, bad input, checkpoints."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.reference import golden, tadtr_golden
from tal_repro.errors import InputError
from tal_repro.models import build, load_upstream_state
from tal_repro.models.interface import Localizer
from tal_repro.models.tadtr import TadTR
from tal_repro.models.tadtr_layers import Dropout

SMALL = {"feature_dim": 12, "hidden_dim": 64, "ffn_dim": 32, "queries": 7, "num_classes": 3, "encoder_layers": 2}


def small(**overrides: object) -> TadTR:
    torch.manual_seed(0)
    model = build("tadtr", **{**SMALL, **overrides})
    assert isinstance(model, TadTR)
    return model


def batch(samples: int = 3, steps: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(samples, 12, steps, generator=generator), torch.full((samples,), steps)


@pytest.mark.parametrize(("actionness", "count"), [(True, 8_661_594), (False, 7_546_713)])
def test_parameter_counts_are_upstreams(actionness: bool, count: int) -> None:
    model = build("tadtr", actionness=actionness)
    assert isinstance(model, Localizer)
    assert sum(p.numel() for p in model.parameters()) == count  # type: ignore[attr-defined]


def test_start_weights_follow_upstreams_distributions() -> None:
    torch.manual_seed(0)
    model = TadTR(build("tadtr").recipe)  # type: ignore[arg-type]
    attention = model.encoder[0].attention  # type: ignore[union-attr]
    assert not attention.offsets.weight.any()
    assert not attention.scores.weight.any()
    # heads point at multiples of cos(0), cos(pi/2), cos(pi), ...
    expected = torch.tensor([math.cos(h * math.pi / 2) * (p + 1) for h in range(8) for p in range(4)])
    torch.testing.assert_close(attention.offsets.bias.data, expected, atol=1e-5, rtol=0)
    xavier = math.sqrt(6 / (256 + 1024))
    first, second = (layer.ffn.expand for layer in model.encoder[:2])  # type: ignore[union-attr]
    for weight in (first.weight, second.weight):
        assert 0.99 * xavier < weight.abs().max() <= xavier
        assert weight.std().item() == pytest.approx(xavier / math.sqrt(3), rel=0.01)
    assert not torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)  # upstream draws kernels anew in each layer, biases once
    qkv = model.decoder[0].self_attention.query_key_value  # type: ignore[union-attr]
    assert qkv.weight.abs().max() <= math.sqrt(6 / (256 + 768))
    assert model.class_heads[0].bias.sigmoid().allclose(torch.tensor(0.01))  # type: ignore[union-attr, operator]
    assert torch.equal(model.class_heads[0].weight, model.class_heads[3].weight)  # type: ignore[union-attr]
    assert [h[-1].bias.tolist() for h in model.segment_heads] == [[0, -2], [0, 0], [0, 0], [0, 0]]  # type: ignore[index]
    assert model.queries.std().item() == pytest.approx(1, rel=0.02)


def test_the_padded_tail_counts_as_video() -> None:
    model = small().eval()
    features, lengths = batch()
    with torch.no_grad():
        whole, short = model(features, lengths), model(features, lengths - 5)
        model.mask_padding = True
        masked = model(features, lengths - 5)
    assert torch.equal(whole.logits, short.logits)
    assert short.steps.tolist() == [20, 20, 20]
    assert masked.steps.tolist() == [15, 15, 15]
    assert not torch.allclose(masked.logits, whole.logits)


def test_mask_hides_what_lies_behind_the_video() -> None:
    model = small(actionness=False).eval()
    model.mask_padding = True
    features, lengths = batch()
    changed = features.clone()
    # the input norm is over all steps, as upstream's: change what it does not see
    changed[:, :, 15:] = features[:, :, 15:].flip(2)
    with torch.no_grad():
        torch.testing.assert_close(model(features, lengths - 5).logits, model(changed, lengths - 5).logits)


@pytest.mark.parametrize("steps", [1, 2, 400])
def test_any_length_runs_and_trains(steps: int) -> None:
    model = small()
    features, lengths = batch(2, steps)
    target = {"segments": torch.tensor([[0.0, 0.6 * steps]]), "labels": torch.tensor([1])}
    model.loss(model(features, lengths), [target, target])["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_training_is_bit_stable() -> None:
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            model = small()
            features, lengths = batch()
            target = {"segments": torch.tensor([[2.0, 9.0]]), "labels": torch.tensor([1])}
            model.loss(model(features, lengths), [target] * 3)["total"].backward()
            found.append([p.grad for p in model.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))  # type: ignore[arg-type]


def test_slow_parameters_are_offsets_and_reference() -> None:
    names = small().slow_parameter_names()
    assert {"reference.weight", "reference.bias", "encoder.0.attention.offsets.weight"} <= names
    assert len(names) == 2 + 2 * (2 + 4)  # weight and bias of each layer's offsets


def test_decode_ranks_pairs_of_query_and_class() -> None:
    model = small(detections_per_slice=5).eval()
    features, lengths = batch(1, 20)
    with torch.no_grad():
        outputs = model(features, lengths)
    logits = torch.full_like(outputs.logits, -9.0)
    logits[-1, 0, 2, 1], logits[-1, 0, 2, 0], logits[-1, 0, 4, 2] = 3.0, 2.0, 2.5
    segments = outputs.segments.clone()
    segments[-1, 0, 2] = torch.tensor([0.5, 0.25])
    assert outputs.actionness is not None
    (found,) = model.decode(
        outputs._replace(logits=logits, segments=segments, actionness=torch.full((1, 7, 1), 0.5)), lengths
    )
    assert found.labels[:3].tolist() == [1, 2, 0]
    assert found.segments[0].tolist() == found.segments[2].tolist() == [7.5, 12.5]
    assert found.scores[0] == pytest.approx(0.5 * torch.tensor(3.0).sigmoid().item())
    assert found.segments.shape == (5, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, n: (f[:, :5], n), "5 channels"),
        (lambda f, n: (f[0], n), r"\(12, 20\)"),
        (lambda f, n: (f[:0], n[:0]), "empty batch"),
        (lambda f, n: (f.long(), n), "float"),
        (lambda f, n: (f, n[:1]), "3 integers"),
        (lambda f, n: (f, n.float()), "integers"),
        (lambda f, n: (f, n + 1), "length 21"),
        (lambda f, n: (f, n * 0), "length 0"),
        (lambda f, n: (f.index_fill(2, torch.tensor([18]), math.nan), n), "not finite, first at step 18"),
        (lambda f, n: (f.index_fill(2, torch.tensor([18]), math.inf), n - 9), "not finite, first at step 18"),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_bad_features_are_named(change: object, words: str, masked: bool) -> None:
    model = small()
    model.mask_padding = masked
    with pytest.raises(ValueError, match=words):
        model(*change(*batch()))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("segments", "labels", "words"),
    [
        ([[0.0, 5.0]], [3], "0 ... 2"),
        ([[0.0, 5.0]], [-1], "0 ... 2"),
        ([[5.0, 5.0]], [0], "start before they end"),
        ([[math.nan, 5.0]], [0], "start before they end"),
        ([[0.0, 5.0]], [0, 1], "do not match"),
    ],
)
def test_bad_targets_are_named(segments: list[list[float]], labels: list[int], words: str) -> None:
    model = small()
    outputs = model(*batch(1))
    target = {"segments": torch.tensor(segments), "labels": torch.tensor(labels)}
    with pytest.raises(InputError, match=words.replace("...", r"\.\.\.")):
        model.loss(outputs, [target])  # type: ignore[list-item]
    with pytest.raises(InputError, match="2 targets for a batch of 1"):
        model.loss(outputs, [target, target])  # type: ignore[list-item]


def test_outputs_that_are_not_finite_are_named() -> None:
    model = small()
    outputs = model(*batch(2))
    target = {"segments": torch.tensor([[1.0, 5.0]]), "labels": torch.tensor([0])}
    outputs.logits.data[:, 1] = math.nan
    with pytest.raises(ValueError, match="cannot match sample 1"):
        model.loss(outputs, [target, target])  # type: ignore[list-item]


def upstream_state() -> dict[str, torch.Tensor]:
    """Return a state as upstream names it, by undoing the renaming."""
    from tal_repro.models.tadtr_weights import native_name

    heads = [
        f"segment_embed.{layer}.layers.{n}.{kind}"
        for layer in range(3)
        for n in range(3)
        for kind in ("weight", "bias")
    ]
    model = TadTR(tadtr_golden.recipe(False))
    own = model.state_dict()
    assert {native_name(h) for h in heads} <= set(own)
    state = {head: own[native_name(head)] for head in heads}
    state |= {f"transformer.decoder.{head}": value for head, value in state.items()}
    return state


def test_a_renamed_head_under_two_names_has_to_be_one_tensor() -> None:
    state = upstream_state()
    state["transformer.decoder.segment_embed.1.layers.0.bias"] = state["segment_embed.1.layers.0.bias"] + 1
    with pytest.raises(InputError, match="are one tensor"):
        load_upstream_state(build("tadtr"), state)


def test_missing_and_surplus_keys_are_named() -> None:
    model = TadTR(tadtr_golden.recipe(False))
    with pytest.raises(InputError, match="no weights for"):
        load_upstream_state(model, upstream_state())
    with pytest.raises(InputError, match="surplus key 'backbone"):
        load_upstream_state(model, upstream_state() | {"backbone.weight": torch.zeros(1)})


def test_dropout_drops_the_share_it_says_and_keeps_the_mean() -> None:
    torch.manual_seed(golden.SEED)
    dropout = Dropout(0.1)
    x = torch.ones(1001, 999)
    dropped = dropout(x)
    share = (dropped == 0).double().mean()
    assert share == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / x.numel()))
    assert dropped.double().mean() == pytest.approx(1, abs=5 * math.sqrt(0.1 / 0.9 / x.numel()))
    assert dropped.unique().numel() == 2
    # neighbours fall independently
    both = ((dropped[:, 1:] == 0) & (dropped[:, :-1] == 0)).double().mean()
    assert both == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / x.numel()))
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_fused_dropout_is_dropout_and_its_neighbour(probability: float) -> None:
    dropout, x = Dropout(probability), torch.randn(50, 40, dtype=torch.float64, requires_grad=True)
    residual, grad = torch.randn(50, 40, dtype=torch.float64), torch.randn(50, 40, dtype=torch.float64)
    for fused, plain in (
        (lambda: dropout.add(residual, x), lambda: residual + dropout(x)),
        (lambda: dropout.relu(x), lambda: dropout(x.relu())),
    ):
        found = []
        for form in (fused, plain):
            torch.manual_seed(0)
            y = form()
            found.append((y, *torch.autograd.grad(y, x, grad)))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b)


def test_dropout_that_drops_all_is_refused() -> None:
    with pytest.raises(ValueError, match="dropout 1"):
        Dropout(1.0)
