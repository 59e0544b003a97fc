"""Workflows call parts of .ci/run that exist and, together, all of them; version, citation and changelog agree.

Their schemas are checked by `make lint-github`, which downloads them; here is what no schema knows.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tal_repro import __version__
from tal_repro.paper.report import study

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
PARTS = re.search(r'^PARTS="(.*?)"', SCRIPT, re.M)[1].split()


def jobs() -> list[dict]:
    return [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()]


def called(job: dict) -> list[str]:
    """Return the parts that a job calls, one list over its matrix."""
    parts: list[str] = []
    for step in job["steps"]:
        if "run" in step:
            program, script, *words = shlex.split(re.sub(r"\$\{\{\s*matrix\.(\w+)\s*\}\}", r"@\1", step["run"]))
            assert (program, script) == ("bash", ".ci/run"), "a job calls parts of .ci/run and nothing else"
            parts += [one for word in words for one in _of_matrix(job, word)]
    return parts


def _of_matrix(job: dict, word: str) -> list[str]:
    return job["strategy"]["matrix"][word[1:]] if word.startswith("@") else [word]


def test_every_part_is_called_and_exists() -> None:
    assert {part for job in jobs() for part in called(job)} == set(PARTS)
    assert set(re.findall(r"^part_(\w+)\(\)", SCRIPT, re.M)) == set(PARTS)


@pytest.mark.parametrize("job", jobs(), ids=lambda job: job["name"])
def test_a_job_is_bounded_and_checks_out_first(job: dict) -> None:
    assert job["timeout-minutes"] <= 180
    assert job["steps"][0]["uses"].startswith("actions/checkout@v")
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert called(job)[0] == "environment"


def test_a_workflow_may_read_only() -> None:
    assert all(yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"} for path in WORKFLOWS)


def test_an_unknown_part_is_refused_before_anything_runs() -> None:
    answer = subprocess.run(["bash", ".ci/run", "lint", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 2 and "no part 'nothing'" in answer.stderr and not answer.stdout


def test_pythons_of_the_workflow_are_those_of_the_package() -> None:
    tried = {version for job in jobs() for version in job.get("strategy", {}).get("matrix", {}).get("python", [])}
    assert tried == {"3.11", "3.12", "3.13"}
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_citation_tells_the_kit_from_the_study() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (reference,) = citation["references"]
    assert reference["title"].lower() == f"{study.TITLE}: {study.SUBTITLE}".lower()
    assert (reference["year"], reference["url"]) == (study.YEAR, study.LINK)
    assert not {one["name"] for one in citation["authors"]} & {one["name"] for one in reference["authors"]}


def test_the_version_has_a_section_in_the_changelog() -> None:
    changelog, citation = (ROOT / "CHANGELOG.md").read_text(), yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f"\n## [{__version__}] - {citation['date-released']}\n" in changelog
    assert str(citation["version"]) == __version__
