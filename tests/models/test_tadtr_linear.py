"""The linear map, by oneDNN and not: what `F.linear` gives, forward and backward, and what is left to `F.linear`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tal_repro.models import linear as module
from tal_repro.models.linear import Linear, linear


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Take one way or the other, whichever this processor would take."""
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN: install the CPU or CUDA build of env/")
    monkeypatch.setattr(module, "USES_ONEDNN", request.param)
    return bool(request.param)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("shape", [(5,), (7, 5), (3, 4, 5), (2, 1, 3, 5), (0, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torch_forward_and_backward(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(s, dtype=dtype, requires_grad=True) for s in (shape, (6, 5), (6,))]
    grad = torch.randn(*shape[:-1], 6, dtype=dtype)
    ours, theirs = (form(*inputs) for form in (linear, F.linear))
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, inputs, grad), torch.autograd.grad(theirs, inputs, grad), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(linear(*inputs), F.linear(*inputs))


@pytest.mark.usefixtures("onednn")
def test_takes_strided_rows_and_gradients() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(5, 8).t(), torch.randn(4, 10)[:, ::2], torch.randn(4)
    x.requires_grad_()
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
    (ours,) = torch.autograd.grad(linear(x, weight, bias).sum(), x)  # the gradient comes expanded
    (theirs,) = torch.autograd.grad(F.linear(x, weight, bias).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_asks_onednn_only_where_it_may(onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = module._product
    monkeypatch.setattr(module, "_product", lambda *a: asked.append(1) or plain(*a))
    layer = Linear(3, 2)
    with torch.no_grad():
        layer(torch.rand(4, 3))
        assert len(asked) == int(onednn)
        asked.clear()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(torch.rand(4, 3)).dtype == torch.bfloat16
        layer.double()(torch.rand(4, 3, dtype=torch.float64))
    assert asked == []


@pytest.mark.parametrize(("capability", "expected"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_the_processor_decides(capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert module._prefers_onednn() is (expected and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
