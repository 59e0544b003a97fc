"""`tal-repro gpu-check` on made-up machines: exit statuses, the report and where it is kept, what is untried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.gpu_check import evidence as module
from tal_repro.gpu_check.report import kept_of, system_name
from tal_repro.gpu_check.untried import PARTS, never_run
from tal_repro.kit import IMPORT_ROOT
from tal_repro.machine.gpus import Gpus
from tal_repro.models.registry import OF_AUTHORS
from tests.doctor.machines import gpu, gpus, machine
from tests.gpu_check.cards import evidence

SCHEMAS = IMPORT_ROOT / "tal_repro" / "schemas"
Check = Callable[..., Result]


def validate(report: Any) -> None:
    """Hold a report to its schema, which shares the form of a check with the doctor's."""
    parts = {name: json.loads((SCHEMAS / f"{name}.json").read_text()) for name in ("gpu-check", "doctor")}
    doctor = referencing.Resource.from_contents(parts["doctor"])
    registry: Any = referencing.Registry().with_resource("doctor.json", doctor)
    jsonschema.Draft202012Validator(parts["gpu-check"], registry=registry).validate(report)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Check:
    """Return the command on a made-up machine with a made-up card."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tal_repro.kit.reference_folder", lambda: Path("shipped"))

    def invoke(*words: str, seen: Any = None, **probes: Any) -> Result:
        told = evidence() if seen is None else seen
        monkeypatch.setattr("tal_repro.doctor.this_machine.this_machine", lambda: machine(**probes))
        monkeypatch.setattr(module, "collect", lambda *args, **options: told)
        monkeypatch.setattr(module, "models_of_authors", lambda: list(OF_AUTHORS))
        return CliRunner().invoke(main, ["gpu-check", *words])

    return invoke


def test_a_fit_card_ends_with_its_verdict_and_keeps_a_report(check: Check, tmp_path: Path) -> None:
    answer = check("--out", "results/reference")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[-1] == "this card: fit"
    kept = tmp_path / "results" / "reference" / "gpu-a10" / "gpu-check.json"
    report = json.loads(kept.read_text())
    validate(report)
    assert report["card"]["product"] == "NVIDIA A10" and not report["rehearsal"]
    assert report["step_mib"]["upstream"]["tridet"] == 6000.0
    assert "gpu-check itself" not in report["never_on_a_gpu"], "this very report is a GPU's"


def test_json_alone_on_stdout(check: Check) -> None:
    answer = check("--json")
    report = json.loads(answer.stdout)
    validate(report)
    assert report["fit"] and answer.exit_code == 0


def test_a_card_that_fails_exits_1_and_says_what(check: Check) -> None:
    answer = check(seen=evidence(native_tridet={"problem": "CUDA error: illegal memory access"}))
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-1] == "this card: NOT fit, native tridet"


def test_a_card_without_kernels_is_told_by_the_doctors_check(check: Check) -> None:
    answer = check(gpus=lambda: gpus("580.95.05", gpu(capability=(7, 0), name="Tesla V100S")))
    assert answer.exit_code == 1
    assert "torch" in answer.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "state", "said"),
    [
        ((), Gpus(problem="NVML does not answer", source="NVML"), "no GPU: NVML does not answer"),
        ((), Gpus(source="nvidia-smi"), "no GPU: no NVIDIA driver answers"),
        (("--device", "cuda:3"), gpus(), "no GPU: 1 GPUs here, no cuda:3"),
    ],
)
def test_without_a_gpu_it_does_nothing_and_has_an_exit_status_of_its_own(
    check: Check, tmp_path: Path, words: tuple[str, ...], state: Gpus, said: str
) -> None:
    answer = check("--out", "kept", *words, gpus=lambda: state)
    assert answer.exit_code == 3
    assert answer.stdout.startswith(said)
    assert list(tmp_path.iterdir()) == []
    answer = check("--json", *words, gpus=lambda: state)
    assert answer.exit_code == 3
    validate(json.loads(answer.stdout))


def test_on_this_very_machine_it_ends_well_or_says_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "collect", lambda *args, **options: pytest.fail("work was started without a GPU"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    answer = CliRunner().invoke(main, ["gpu-check"])
    assert answer.exit_code == 3, answer.output


def test_a_wrong_device_is_a_wrong_call(check: Check) -> None:
    assert check("--device", "tpu").exit_code == 2


def test_a_rehearsal_is_kept_as_one_and_counts_for_no_card(check: Check, tmp_path: Path) -> None:
    answer = check("--device", "cpu", "--out", "results/reference")
    assert answer.exit_code == 0, answer.output
    report = json.loads((tmp_path / "results/reference/rehearsal/gpu-check.json").read_text())
    validate(report)
    assert report["rehearsal"] and "gpu-check itself" in report["never_on_a_gpu"]
    assert answer.stdout.splitlines()[-1].startswith("a rehearsal on the CPU")


def test_once_does_nothing_where_this_card_driver_and_kit_were_found_fit(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check("--out", "results/reference").exit_code == 0
    assert kept_of(gpu(), "580.95.05", "2.13.0") is not None
    assert kept_of(gpu(total_mib=46000.0), "580.95.05", "2.13.0") is None
    assert "checked" in check("--once").stderr
    assert "this card: fit" in check("--once", gpus=lambda: gpus("590.00")).stdout, "another driver: checked again"


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA A10", "gpu-a10"),
        ("Tesla V100S-PCIE-32GB", "gpu-v100s-pcie-32gb"),
        ("NVIDIA GeForce RTX 4090", "gpu-rtx-4090"),
    ],
)
def test_a_system_is_named_by_its_card(product: str, name: str) -> None:
    assert system_name(gpu(name=product)) == name


def test_the_list_of_what_no_gpu_has_run_shrinks_by_reports_alone() -> None:
    everything = never_run([])
    assert {part.name for part in PARTS if not part.seen} == set(everything)
    good = [{"check": part.checks[0], "status": "ok"} for part in PARTS if part.checks]
    left = never_run([{"checks": good}])
    assert left == [part.name for part in PARTS if not part.seen and len(part.checks) != 1]
    assert never_run([{"checks": good, "rehearsal": True}]) == everything
    assert never_run([{"checks": [{**row, "status": "warn"} for row in good]}]) == everything
    assert never_run([{"checks": "damaged"}]) == everything


def test_what_is_said_to_have_been_seen_is_kept() -> None:
    assert [part.seen for part in PARTS if part.seen and not (IMPORT_ROOT / part.seen).exists()] == []


def test_a_kept_report_is_of_a_card_and_whole() -> None:
    for path in (IMPORT_ROOT / "results" / "reference").glob("*/gpu-check.json"):
        report = json.loads(path.read_text())
        validate(report)
        assert not report["rehearsal"] and path.parent.name.startswith("gpu-")
