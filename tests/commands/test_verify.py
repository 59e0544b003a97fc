"""`tal-repro verify` as its users meet it: exit status, JSON, stories, bad input, and a machine without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

import tal_repro
from tal_repro.cli import main
from tal_repro.published.load import FOLDER

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "verify.json").read_text(encoding="utf-8"))


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)  # no results/runs of the working tree may slip in
    return lambda *arguments: CliRunner().invoke(main, ["verify", *arguments], catch_exceptions=False)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A copy of the published numbers that a test may break."""
    return Path(shutil.copytree(FOLDER, tmp_path / "published"))


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_table_fits_100_columns_without_colour(verify) -> None:  # type: ignore[no-untyped-def]
    result: Result = verify()
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith("not run") for line in lines) == 90
    assert "Every verdict on the published data is as expected." in result.stdout


def test_json_obeys_its_schema(verify) -> None:  # type: ignore[no-untyped-def]
    result: Result = verify("--json")
    value = json.loads(result.stdout)
    jsonschema.validate(value, SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert value["schema"] == "tal-repro/verify/2"
    by_id = {claim["id"]: claim for claim in value["claims"]}
    assert by_id["T2.4"]["reference"] == [2956, 1660]
    assert by_id["T2.4"]["verdict_published"] == "consistent with correction"
    assert by_id["E1"]["recomputed"] == pytest.approx(5.67086, abs=1e-5)


def test_a_flipped_verdict_exits_1_and_is_named(verify, numbers: Path) -> None:  # type: ignore[no-untyped-def]
    _edit(numbers / "learning_curves.csv", "tadtr,75,55.970", "tadtr,75,54.970")
    result: Result = verify("--published", str(numbers))
    assert result.exit_code == 1
    assert "D5" in result.stdout.splitlines()[-1]
    assert "<< expected consistent" in result.stdout
    assert json.loads(verify("--json", "--published", str(numbers)).stdout)["as_expected"] is False


def test_the_story_of_a_claim_shows_its_rows(verify) -> None:  # type: ignore[no-untyped-def]
    result: Result = verify("--claim", "d5")
    assert result.exit_code == 0
    assert "learning_curves.csv line 20" in result.stdout
    assert "tadtr, 75, 55.97, 0.556, oprescu2023" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--claim", "Z9"], "no claim 'Z9'"),
        (["--results", "nowhere"], "not a folder of results"),
        (["--published", "nowhere"], "not a folder"),
    ],
)
def test_bad_input_exits_2_with_a_remedy(verify, arguments: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    result: Result = verify(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr and "remedy" in result.stderr
    assert result.stdout == ""


def test_a_broken_published_row_exits_2_with_file_and_line(verify, numbers: Path) -> None:  # type: ignore[no-untyped-def]
    _edit(numbers / "gmacs.csv", "tridet,800,15.174130584", "tridet,800,many")
    result: Result = verify("--published", str(numbers))
    assert result.exit_code == 2
    assert f"{numbers / 'gmacs.csv'}:20: gmacs: 'many' is not a number" in result.stderr


def test_it_works_where_torch_matplotlib_and_pandas_are_missing(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'matplotlib', 'pandas'): sys.modules[name] = None\n"
        "sys.argv = ['tal-repro', 'verify']\n"
        "from tal_repro.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_summary_leads_with_the_headline_claims_and_names_what_was_changed(verify) -> None:  # type: ignore[no-untyped-def]
    value = json.loads(verify("--json").stdout)
    headline = [claim for claim in value["claims"] if claim["importance"] == "headline"]
    assert value["headline"]["claims"] == len(headline) == value["headline"]["undecided"]
    assert value["headline"]["inconsistent"] == sum(c["verdict_published"] == "inconsistent" for c in headline)
    text = " ".join(verify().stdout.split())
    assert f"0 of {len(headline)} headline claims reproduced here, 0 not, {len(headline)} undecided." in text
    assert f"{len(value['changes'])} things were changed" in text and "compiled_roi_align" in text


def test_a_story_lists_every_reading_and_claims_no_more(verify) -> None:  # type: ignore[no-untyped-def]
    readings = {claim["id"]: claim["readings"] for claim in json.loads(verify("--json").stdout)["claims"]}
    story = " ".join(verify("--claim", "T2.3").stdout.split())
    assert len(readings["T2.3"]) == 10 and all(reading["label"] in story for reading in readings["T2.3"])
    assert "under none of the 10 readings tried; nearest: without runs beyond 2 std" in story
    assert "under no reading" not in verify().stdout
