"""The native models against the checked-out upstreams, at full size (marker `upstream`; minutes per model)."""

from __future__ import annotations

import pytest

from benchmarks.reference import checks
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.models import model_entry
from tal_repro.models.registry import OF_STUDY


@pytest.mark.upstream
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", OF_STUDY)
def test_native_equals_upstream(name: str, check: checks.Check) -> None:
    folder = checkout_folder(model_entry(name))
    if not any(folder.glob("*.py")):
        pytest.skip(f"{folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    rows = check(name, folder, 20230621)
    assert rows
    assert [row for row in rows if not row.passed] == []
