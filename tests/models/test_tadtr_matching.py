"""Matching and losses against brute force and closed forms; the row gather against its definition."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tal_repro.models import build
from tal_repro.models.interface import Target
from tal_repro.models.outputs import TadtrOutputs
from tal_repro.models.recipes import TADTR
from tal_repro.models.tadtr_loss import Truth, ends, match, matching_cost, tadtr_losses, temporal_iou
from tal_repro.models.weighted_rows import DENSE_GRADIENT_STEPS, dense_by_comparison, weighted_rows


def truth_of(counts: list[int], seed: int = 0) -> Truth:
    generator = torch.Generator().manual_seed(seed)
    most = max(*counts, 1)
    segments = 0.1 + 0.8 * torch.rand(len(counts), most, 2, generator=generator, dtype=torch.float64)
    return Truth(segments, torch.randint(5, (len(counts), most), generator=generator), counts)


def predictions(layers: int, batch: int, queries: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(layers, batch, queries, 5, generator=generator, dtype=torch.float64)
    return logits, torch.rand(layers, batch, queries, 2, generator=generator, dtype=torch.float64)


def test_matching_is_the_cheapest_of_all_assignments() -> None:
    logits, segments = predictions(2, 3, 5)
    truth = truth_of([3, 0, 2])
    found = match(logits, segments, truth, TADTR)
    cost = matching_cost(logits, segments, truth, TADTR)
    for layer in range(2):
        for sample, count in enumerate(truth.counts):
            mine = found.sample[layer] == sample
            query, action = found.query[layer][mine], found.action[layer][mine]
            assert sorted(action.tolist()) == list(range(count))
            assert query.tolist() == sorted(set(query.tolist()))
            best = min(
                sum(float(cost[layer, sample, q, a]) for a, q in enumerate(chosen))
                for chosen in itertools.permutations(range(5), count)
            )
            assert float(cost[layer, sample, query, action].sum()) == pytest.approx(best)


def test_more_actions_than_queries_match_each_query_once() -> None:
    found = match(*predictions(1, 1, 3), truth_of([8]), TADTR)
    assert found.query.tolist() == [[0, 1, 2]]
    assert len(set(found.action[0].tolist())) == 3


def test_cost_of_one_pair_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3)], dtype=torch.float64).view(1, 1, 1, 2)  # probabilities 0.5 and 0.75
    segments = torch.tensor([0.5, 0.2], dtype=torch.float64).view(1, 1, 1, 2)
    truth = Truth(torch.tensor([[[0.6, 0.2]]], dtype=torch.float64), torch.tensor([[1]]), [1])
    focal = 0.25 * 0.25**2 * -math.log(0.75) - 0.75 * 0.75**2 * -math.log(0.25)
    # half of each segment is shared: IoU = 0.1 / 0.3
    expected = 6 * focal + 5 * 0.1 - 2 / 3
    assert matching_cost(logits, segments, truth, TADTR).item() == pytest.approx(expected, abs=1e-7)


def test_iou_closed_forms() -> None:
    one = torch.tensor([0.0, 4.0])
    others = torch.tensor([[0.0, 4.0], [2.0, 6.0], [4.0, 8.0], [9.0, 10.0], [1.0, 3.0]])
    assert temporal_iou(one, others).tolist() == pytest.approx([1, 1 / 3, 0, 0, 0.5])
    assert ends(torch.tensor([[5.0, 4.0]])).tolist() == [[3.0, 7.0]]


def outputs_of(logits: torch.Tensor, segments: torch.Tensor, actionness: float = 0.25) -> TadtrOutputs:
    batch, queries = logits.shape[1:3]
    score = torch.full((batch, queries, 1), actionness, dtype=logits.dtype)
    return TadtrOutputs(logits, segments, score, torch.full((batch,), 100))


def target(*segments: tuple[float, float], labels: list[int] | None = None) -> Target:
    chosen = labels if labels is not None else [0] * len(segments)
    return {"segments": torch.tensor(segments).view(-1, 2), "labels": torch.tensor(chosen, dtype=torch.long)}


def test_losses_of_one_query_by_hand() -> None:
    logits = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    segments = torch.tensor([0.5, 0.2], dtype=torch.float64).view(1, 1, 1, 2)  # 40 to 60 of 100 steps
    losses = tadtr_losses(outputs_of(logits, segments), [target((50, 70), labels=[1])], TADTR)
    cross_entropy = math.log(2) * 0.25  # at probability 0.5: error squared times log 2
    assert losses["class"].item() == pytest.approx((0.25 + 0.75) * cross_entropy)
    assert losses["segment"].item() == pytest.approx(0.1)
    assert losses["iou"].item() == pytest.approx(1 - 1 / 3)
    assert losses["actionness"].item() == pytest.approx(1 / 3 - 0.25)
    expected = 2 * cross_entropy + 5 * 0.1 + 2 * 2 / 3 + 4 * (1 / 3 - 0.25)
    assert losses["total"].item() == pytest.approx(expected)


def test_actionness_looks_at_actions_of_the_whole_batch() -> None:
    logits = torch.zeros(1, 2, 1, 2, dtype=torch.float64)
    segments = torch.tensor([[0.5, 0.2], [0.1, 0.2]], dtype=torch.float64).view(1, 2, 1, 2)
    # the second sample's query overlaps nothing of its own, but all of the first sample's action
    truth = [target((0, 20)), target((80, 90))]
    losses = tadtr_losses(outputs_of(logits, segments), truth, TADTR)
    assert losses["actionness"].item() == pytest.approx((0.25 + 0.75) / 2)


def test_a_batch_without_actions_teaches_background() -> None:
    logits, segments = predictions(3, 2, 4)
    logits.requires_grad_()
    losses = tadtr_losses(outputs_of(logits, segments), [target(), target()], TADTR)
    assert losses["segment"].item() == losses["iou"].item() == losses["segment_0"].item() == 0
    assert losses["actionness"].item() == pytest.approx(0.25)
    losses["total"].backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()  # every score is pushed down


def test_names_of_the_losses() -> None:
    logits, segments = predictions(3, 1, 4)
    losses = tadtr_losses(outputs_of(logits, segments), [target((10, 20))], TADTR)
    layered = {f"{name}{end}" for name in ("class", "segment", "iou") for end in ("", "_0", "_1")}
    assert set(losses) == layered | {"actionness", "total"}


@pytest.mark.parametrize("steps", [6, DENSE_GRADIENT_STEPS + 1])
def test_weighted_rows_is_a_sum_of_rows(steps: int) -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(2, steps, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    index = torch.randint(steps, (2, 5, 3, 6), generator=generator)
    weight = torch.randn(2, 5, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    found = weighted_rows(rows, index, weight)
    batch, head = torch.arange(2).view(2, 1, 1, 1), torch.arange(3).view(1, 1, 3, 1)
    expected = (rows[batch, index, head] * weight[..., None]).sum(-2)
    torch.testing.assert_close(found, expected)
    grad = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    own, plain = (torch.autograd.grad(x, (rows, weight), grad) for x in (found, expected))
    for a, b in zip(own, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_dense_rows_are_the_same_by_comparison_as_by_scattering() -> None:
    generator = torch.Generator().manual_seed(4)
    index = torch.randint(9, (4, 5, 6), generator=generator)
    weight = torch.randn(4, 5, 6, generator=generator, dtype=torch.float64)
    scattered = torch.zeros(4, 5, 9, dtype=torch.float64).scatter_add_(2, index, weight)
    torch.testing.assert_close(dense_by_comparison(index, weight, 9), scattered)


def test_no_step_of_training_looks_at_values_but_the_matcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each look waits for the device: count copies to the CPU and scalar reads on a stand-in for one."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
                seen.append(str(func))
            return func(*args, **(kwargs or {}))

    torch.manual_seed(0)
    model = build("tadtr", feature_dim=8, hidden_dim=64, ffn_dim=16, queries=6, num_classes=5)
    monkeypatch.setattr("tal_repro.models.tadtr.check_features", lambda *a: [30, 30])
    monkeypatch.setattr("tal_repro.models.tadtr_loss.check_targets", lambda *a: None)
    with Watch():
        outputs = model(torch.rand(2, 8, 30), torch.tensor([30, 30]))
        model.loss(outputs, [target((1, 5)), target((3, 9), (5, 6))])["total"].backward()
    assert seen == []
