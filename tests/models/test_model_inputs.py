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


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (FEATURES.to_sparse(), "another kind \\(sparse_coo\\)"),
        (FEATURES.to("meta"), "another kind \\(without content\\)"),
    ],
)
def test_features_without_plain_numbers(model: Any, features: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model(features, LENGTHS)


def raw_types(outputs: Any) -> set[torch.dtype]:
    fields = [field if isinstance(field, tuple) else (field,) for field in outputs]
    return {x.dtype for field in fields for x in field if isinstance(x, torch.Tensor) and x.is_floating_point()}


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_autocast_takes_features_of_any_kind_and_gives_float32(model: Any, kind: torch.dtype) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = model(FEATURES.to(kind), LENGTHS)
    assert raw_types(outputs) == {torch.float32}


def test_autocast_trains_to_about_the_same_gradients(model: Any) -> None:
    target = [{"segments": torch.tensor([[3.0, 9.5]]), "labels": torch.tensor([4])}] * 2
    norms = []
    for narrow in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            outputs = model(FEATURES, LENGTHS)
        model.loss(outputs, target)["total"].backward()
        grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert {grad.dtype for grad in grads} == {torch.float32}
        norms.append(torch.nn.utils.get_total_norm(grads))
    assert abs(norms[1] / norms[0] - 1) < 0.05


@pytest.mark.parametrize(("kind", "wide"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_weights_of_another_kind_take_their_features(model: Any, kind: torch.dtype, wide: torch.dtype) -> None:
    with torch.no_grad():
        assert raw_types(model.to(kind)(FEATURES.to(kind), LENGTHS)) == {wide}


def test_half_precision_keeps_the_step_of_a_point() -> None:
    model = small("temporalmaxer", max_seq_len=2304, pre_nms_score=0.0, pre_nms_topk=500).eval()
    torch.nn.init.ones_(model.regressor.output.bias)
    features, length = torch.rand(1, 24, 2304, generator=torch.Generator().manual_seed(2)), torch.tensor([2304])
    with torch.no_grad():
        outputs = model.bfloat16()(features.bfloat16(), length)
        (found,) = model.decode(outputs, length)
    assert len(found.scores) == 5 * 500 + 5 * 72  # every candidate: none was too short
    points = found.segments[:500, :1] + outputs.offsets[0][0, 0]  # of the finest level, whose stride is 1
    assert found.segments[:500].max() > 1024
    assert (points - torch.arange(2304)).abs().amin(1).max() < 1e-3  # bfloat16 counts steps beyond 1024 by 8


def test_losses_and_decoding_are_no_narrower_inside_autocast(model: Any) -> None:
    target = [{"segments": torch.tensor([[3.0, 9.5]]), "labels": torch.tensor([4])}] * 2
    with torch.no_grad():
        outputs = model(FEATURES, LENGTHS)
        exact, found = model.loss(outputs, target), model.decode(outputs, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            inside, again = model.loss(outputs, target), model.decode(outputs, LENGTHS)
    assert all(inside[name].equal(value) for name, value in exact.items())
    assert all(a.equal(b) for one, two in zip(found, again, strict=True) for a, b in zip(one, two, strict=True))


def test_features_may_want_a_gradient(model: Any) -> None:
    target = [{"segments": torch.tensor([[3.0, 9.0]]), "labels": torch.tensor([4])}] * 2
    noisy = {} if model.name == "tadtr" else {"input_noise_std": 0.01}
    features = FEATURES.clone().requires_grad_()
    model = small(model.name, **noisy).train()
    model.loss(model(features, LENGTHS), target)["total"].backward()
    assert features.grad is not None and features.grad.isfinite().all() and features.grad.any()


def test_layout_in_memory_does_not_matter(model: Any) -> None:
    turned = FEATURES.transpose(1, 2).contiguous().transpose(1, 2)
    with torch.no_grad():
        one, two = (model.decode(model(x, LENGTHS), LENGTHS) for x in (FEATURES, turned))
    assert all(torch.allclose(a.scores, b.scores, rtol=0, atol=1e-6) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("call", ["loss", "decode"])
def test_outputs_of_something_else(model: Any, call: str) -> None:
    other = small("tridet" if model.name == "tadtr" else "tadtr").eval()
    with torch.no_grad():
        outputs = other(FEATURES, LENGTHS)
    with pytest.raises(InputError, match=f"{model.name} {call}: outputs must be .*Outputs, got .*Outputs"):
        model.loss(outputs, []) if call == "loss" else model.decode(outputs, LENGTHS)


def test_outputs_that_overflowed_are_not_decoded_to_nothing(model: Any) -> None:
    with torch.no_grad():
        outputs = model(FEATURES * torch.tensor([1.0, 3e38])[:, None, None], LENGTHS)
    with pytest.raises(InputError, match="outputs of sample 1 are not finite"):
        model.decode(outputs, LENGTHS)


@pytest.mark.parametrize("targets", [None, {"segments": torch.zeros(0, 2), "labels": torch.zeros(0)}])
def test_targets_are_a_list(model: Any, targets: Any) -> None:
    with pytest.raises(InputError, match=r"targets must be a list of one per sample, got"):
        model.loss(model(FEATURES, LENGTHS), targets)


@pytest.mark.parametrize("state", [None, [], "weights"])
def test_a_checkpoint_is_a_mapping(model: Any, state: Any) -> None:
    with pytest.raises(InputError, match=f"holds {type(state).__name__}, not a mapping"):
        load_upstream_state(model, state)


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
        (lambda value: value.flatten()[:1].expand(10**14), r"shape \(100000000000000,\), more than the whole model"),
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
