"""`tal-repro demo` ends with the path of the page that it made; its runs themselves are tested with the runner."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.commands import demo as command


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run nothing and draw nothing but the page."""

    def draw(context: object, folder: Path, results: str) -> None:
        (folder / "report").mkdir(parents=True)
        (folder / "report" / "index.html").write_text("<p>made</p>")

    monkeypatch.setattr(command, "check_torch", lambda: None)
    monkeypatch.setattr(command, "tell", lambda *_: None)
    monkeypatch.setattr(command, "_draw", draw)
    monkeypatch.setattr(
        "tal_repro.run.start.run_plan", lambda *_, **__: SimpleNamespace(interrupted=False, exit_status=0)
    )


def test_the_last_line_is_the_pages_path(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "made")])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{(tmp_path / 'made' / 'report' / 'index.html').resolve()}\n"
    assert result.output.splitlines()[-1].endswith("index.html")


def test_no_page_is_named_where_none_was_drawn(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", "--no-draw", "--out", str(tmp_path / "made")])
    assert result.exit_code == 0 and "index.html" not in result.output
