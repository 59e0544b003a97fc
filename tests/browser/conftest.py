"""Chromium for the tests of the report page, and pages to open in it: a made-up study, and ten thousand runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "paper"))
from made_up_runs import curved, demo, training

from tal_repro.paper.report.content import Content, gather
from tal_repro.paper.report.page import page
from tal_repro.paper.report.run_rows import RunRow, run_rows
from tal_repro.published.load import load_published
from tal_repro.runs.load import load_runs
from tal_repro.runs.store import RunStore

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
MANY = 10_000
HOSTILE = "<script>alert(1)<"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium of the system's."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install --require-hashes -r env/browser.lock"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """A study of every experiment, a failed run, and a model with a hostile name."""
    root = demo(tmp_path_factory.mktemp("report") / "runs")
    training(root, HOSTILE, 40.0, machine="</script><img src=x onerror=alert(1)>")
    writer = RunStore(root).writer(replace(training(root, "tadtr", 1.0, seed=7).spec, seed=8))
    writer.paths.log.write_text("\x1b[31mred\x1b[0m\n" * 1000 + "the last line\n")
    writer.fail("out of memory")
    return gather(load_published(), load_runs(root))


@pytest.fixture(scope="session")
def report(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page(content), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def crowded(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same page with ten thousand runs."""
    row = RunRow("", "data_sweep", "tadtr", "native", "d", 10, 0, 1, 1, None, "A10", "done", "", "", Path("none"), "")
    rows = [replace(row, run_id=f"{n:016x}", seed=n, average_map=n / 100, seconds=n / 10) for n in range(MANY)]
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page(replace(content, rows=rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same page with one run that kept its epochs and classes."""
    folder = tmp_path_factory.mktemp("trained")
    curved(folder / "runs")
    path = folder / "index.html"
    path.write_text(page(replace(content, rows=run_rows(load_runs(folder / "runs")))), encoding="utf-8")
    return path


@dataclass
class Opened:
    """A page in the browser, with everything it logged and asked for."""

    page: Any
    logged: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Any) -> Callable[..., Any]:
    """Return a context manager that opens a file and checks afterwards that it kept quiet and to itself."""

    @contextmanager
    def opening(path: Path, width: int = 1280, scheme: str = "light", **options: Any) -> Iterator[Opened]:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.logged.append(message.text))
        opened.page.on("pageerror", lambda error: opened.logged.append(str(error)))
        opened.page.on("dialog", lambda dialog: opened.logged.append(f"dialog {dialog.message}"))
        opened.page.on("request", lambda request: opened.requested.append(request.url))
        opened.page.goto(path.as_uri())
        yield opened
        assert opened.logged == []
        assert [url for url in opened.requested if not url.startswith("data:")] == [path.as_uri()]
        context.close()

    return opening
