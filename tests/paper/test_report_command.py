"""`tal-repro report`: where it writes, what it prints, how it follows a study, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from made_up_runs import training

from tal_repro.cli import main
from tal_repro.commands import report as command
from tal_repro.paper.report import content


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, every_run_counts: None) -> None:
    """Leave out what takes seconds: figures and forecasts are tested with the page."""
    monkeypatch.setattr(content, "FIGURES", {})
    monkeypatch.setattr(content, "forecasts", lambda published, runs: [])


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["report", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_writes_one_page_and_prints_its_path(weird_path: Path) -> None:
    training(weird_path / "runs", "tadtr", 50.0)
    code, out, _ = call("--results", str(weird_path / "runs"), "--out", str(weird_path / "page"))
    assert code == 0
    assert out == f"{weird_path / 'page' / 'index.html'}\n"
    assert [path.name for path in (weird_path / "page").iterdir()] == ["index.html"]
    assert "1 of 1 runs used SYNTHETIC data." in (weird_path / "page" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--results", "no-such-folder"), "not a folder of results"),
        (("--out", "/dev/null/x"), "/dev/null"),
        (("--compare", "nobody"), "no finished runs of system 'nobody'"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    code, _, err = call("--out", str(tmp_path), *arguments)
    assert code == 2
    assert said in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_compares_with_another_folder(tmp_path: Path) -> None:
    for name, value in (("a", 50.0), ("b", 60.0)):
        training(tmp_path / name, "tadtr", value)
    code, _, _ = call("--results", str(tmp_path / "a"), "--compare", str(tmp_path / "b"), "--out", str(tmp_path / "o"))
    text = (tmp_path / "o" / "index.html").read_text()
    assert code == 0 and "-10.00" in text and 'id="comparison"' in text


def test_watch_follows_the_runs_and_ends_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, page = tmp_path / "runs", tmp_path / "page" / "index.html"
    training(root, "tadtr", 50.0)
    seen = []

    def sleep(_: float) -> None:
        seen.append(
            (
                page.read_text().count("settings, log</summary>"),
                "data-live" in page.read_text().partition("<head>")[0],
            )
        )
        if len(seen) > 2:
            raise KeyboardInterrupt
        if len(seen) == 1:
            training(root, "tadtr", 51.0, seed=1)

    monkeypatch.setattr(command.time, "sleep", sleep)
    code, _, err = call("--results", str(root), "--out", str(page.parent), "--watch")
    assert code == 0 and err.count("written again") == 1
    assert seen[1][0] == seen[0][0] + 1 or seen[2][0] == seen[0][0] + 1
    assert all(live for _, live in seen)
    assert "data-live" not in page.read_text().partition("<head>")[0]


def test_open_shows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    call("--out", str(tmp_path), "--open")
    assert opened == [(tmp_path / "index.html").as_uri()]
