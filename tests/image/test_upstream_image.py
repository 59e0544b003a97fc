"""The image with the authors' code: what is in it, and that all four train in it, shut in and as the caller.

make submodules && make image TARGET=upstream TORCH=cpu RUNTIME=podman && RUNTIME=podman pytest -m image tests/image
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tal_repro.engines.registry import patch_hash
from tal_repro.models.registry import MODELS, model_entry
from tal_repro.runs.store import RunStore
from tests.image.conftest import CALLER, ENGINE, ended, image_name, skip_without

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]
STUDY = Path(__file__).parent / "authors.toml"
LOOK = """
import json, os, pathlib
root = pathlib.Path("/opt/upstream")
files = [path for path in root.rglob("*") if path.is_file()]
print(json.dumps({
    "copies": sorted(path.name for path in root.iterdir()),
    "git": [str(path) for path in root.rglob(".git*") if path.name == ".git"],
    "compiled": [str(path) for path in files if path.suffix in (".so", ".o", ".pyc")],
    "writable": [str(path) for path in [root, *root.rglob("*")] if os.access(path, os.W_OK)],
    "checkouts": os.path.exists("/opt/kit/third_party"),
}))
"""


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    skip_without("upstream")


def test_it_holds_the_patched_copies_and_nothing_else_of_the_authors(kit):
    code, out, said = ended(kit("-c", LOOK, target="upstream", run_args="--entrypoint python3"))
    assert code == 0, said
    wanted = sorted(f"{name}-{model_entry(name).commit[:12]}-{patch_hash(name)}" for name in MODELS)
    assert json.loads(out) == {"copies": wanted, "git": [], "compiled": [], "writable": [], "checkouts": False}


def test_the_authors_code_trains_without_a_network_on_a_read_only_root_as_the_caller(kit, tmp_path):
    words = ("run", "--study", STUDY.name, "--results", "results/authors/runs")
    code, _, said = ended(kit(*words, target="upstream", before=("--study", str(STUDY))))
    assert code == 0, said
    records = list(RunStore(tmp_path / "results" / "authors" / "runs").records())
    assert sorted(record.spec.model for record in records) == sorted(MODELS)
    assert {record.spec.engine for record in records} == {"upstream"}
    asked = [*ENGINE, "image", "inspect", "--format", "{{.Id}}", image_name("upstream")]
    digest = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().removeprefix("sha256:")
    assert {record.system["container"] for record in records} == {f"sha256:{digest}"}
    assert {path.stat().st_uid for path in (tmp_path / "results").rglob("*")} == {CALLER[0]}
    again = ended(kit(*words, target="upstream", before=("--study", str(STUDY))))
    assert (again[0], "4 finished runs reused" in again[2]) == (0, True), again[2]
