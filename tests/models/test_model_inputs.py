"""What all four models refuse, and in the same words: features, lengths, targets, lengths of a decode, checkpoints."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.reference import golden
from tal_repro.errors import InputError
from tal_repro.models import build, load_upstream_state
from tests.models.test_pyramid import upstream_state as pyramid_state

TADTR = {"feature_dim": 24, "hidden_dim": 32, "ffn_dim": 32, "queries": 4, "num_classes": 5, "encoder_layers": 1}


def small(name: str, **overrides: Any) -> Any:
    torch.manual_seed(0)
    base = TADTR if name == "tadtr" else dataclasses.asdict(golden.recipe(name))
    return build(name, **{**base, **overrides})


@pytest.fixture(params=("tadtr", "actionformer", "tridet", "temporalmaxer"))
def model(request: pytest.FixtureRequest) -> Any:
    return small(request.param).eval()


FEATURES = torch.rand(2, 24, 64, generator=torch.Generator().manual_seed(1))
LENGTHS = torch.tensor([64, 40])


@pytest.mark.parametrize(
    ("features", "lengths", "words"),
    [
        (FEATURES.double(), LENGTHS, r"features are torch\.float64, the model's weights torch\.float32"),
        (FEATURES.half(), LENGTHS, r"features are torch\.float16"),
        (FEATURES.numpy(), LENGTHS, "features must be a tensor, got ndarray"),
        (FEATURES, [64, 40], "lengths must be a tensor of integers, got list"),
        (FEATURES, np.array([64, 40]), "lengths must be a tensor of integers, got ndarray"),
        (FEATURES, torch.tensor([True, True]), r"2 integers, got torch\.bool"),
        (FEATURES, torch.tensor([1, 1], dtype=torch.uint8), r"2 integers, got torch\.uint8"),
    ],
)
def test_features_and_lengths_of_another_kind(model: Any, features: Any, lengths: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model(features, lengths)


def test_float64_models_and_autocast_take_their_features(model: Any) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert model(FEATURES.bfloat16(), LENGTHS) is not None
    with torch.no_grad():
        assert model.double()(FEATURES.double(), LENGTHS) is not None


@pytest.mark.parametrize(
    ("segments", "labels", "words"),
    [
        ([[1.0, math.inf]], torch.tensor([0]), "segments must be finite"),
        ([[-math.inf, 4.0]], torch.tensor([0]), "segments must be finite"),
        ([[1.0, 4.0]], torch.tensor([True]), r"integers in 0 \.\.\. 4, got torch\.bool"),
        ([[1.0, 4.0]], torch.tensor([1], dtype=torch.uint8), r"integers in 0 \.\.\. 4, got torch\.uint8"),
        ([[1.0, 4.0]], [1], "labels must be a tensor of real numbers, got list"),
        ([[1.0, 4.0]], None, "no 'labels'"),
    ],
)
def test_targets_of_another_kind(model: Any, segments: Any, labels: Any, words: str) -> None:
    target = {"segments": torch.tensor(segments), "labels": labels}
    if labels is None:
        del target["labels"]
    with pytest.raises(InputError, match=words):
        model.loss(model(FEATURES[:1], LENGTHS[:1]), [target])


def test_labels_of_32_bits_give_the_same_loss(model: Any) -> None:
    def loss(kind: torch.dtype) -> torch.Tensor:
        target = {"segments": torch.tensor([[3.0, 9.0]]), "labels": torch.tensor([4], dtype=kind)}
        return model.loss(model(FEATURES[:1], LENGTHS[:1]), [target])["total"]  # type: ignore[no-any-return]

    assert loss(torch.int32) == loss(torch.int64)


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        (torch.tensor([64]), "2 integers"),
        (torch.tensor([64, 40, 7]), "2 integers"),
        (torch.tensor([64, -1]), "length -1 of sample 1"),
        (torch.tensor([65, 40]), r"length 65 of sample 0 is not in 1 \.\.\. 64"),
        (torch.tensor([64.0, 40.0]), r"got torch\.float32"),
        ([64, 40], "got list"),
    ],
)
def test_decode_refuses_lengths_that_are_not_the_outputs(model: Any, lengths: Any, words: str) -> None:
    with torch.no_grad():
        outputs = model(FEATURES, LENGTHS)
    with pytest.raises(InputError, match=words):
        model.decode(outputs, lengths)


def test_decode_wants_lengths_of_every_model(model: Any) -> None:
    with torch.no_grad():
        outputs = model(FEATURES, LENGTHS)
    with pytest.raises(TypeError, match="lengths"):
        model.decode(outputs)
    assert len(model.decode(outputs, LENGTHS)) == 2


def upstream_state(model: Any) -> dict[str, Any]:
    # TadTR's loader takes native names as they are, where an upstream name has none
    return dict(model.state_dict()) if model.name == "tadtr" else pyramid_state(model)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda value: value.fill_(math.nan), "holds NaN or infinity"),
        (lambda value: value.double() * 0 + 1e300, "holds NaN or infinity"),
        (lambda value: value.to(torch.complex64), r"is torch\.complex64"),
        (lambda value: value.to(torch.int8), r"is torch\.int8"),
        (lambda value: value.to("meta"), "without content"),
        (lambda value: value.to_sparse(), "sparse_coo"),
    ],
)
def test_a_checkpoint_is_loaded_whole_or_not_at_all(model: Any, spoil: Any, words: str) -> None:
    state = {key: value.clone() + 1 for key, value in upstream_state(model).items()}
    last = list(state)[-1]
    state[last] = spoil(state[last])
    before = [value.clone() for value in model.state_dict().values()]
    with pytest.raises(InputError, match=f"'{last}'.*{words}"):
        load_upstream_state(model, state)
    assert all(a.equal(b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_keys_of_a_checkpoint_are_names_and_each_weight_has_one(model: Any) -> None:
    state = upstream_state(model)
    with pytest.raises(InputError, match="key 7 is int, not a name"):
        load_upstream_state(model, {**state, 7: torch.zeros(1)})
    twice = {"tadtr": ("query_embed.weight", "queries")}.get(
        model.name, ("cls_head.offset_head.conv.weight", "cls_head.cls_head.conv.weight")
    )
    with pytest.raises(InputError, match=r"are one weight|are both"):
        load_upstream_state(model, {**state, twice[0]: state[twice[1]]})
