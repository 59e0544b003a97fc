"""The checkpoint that a run goes on from: only a whole one of this run, and nothing in it is executed."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tal_repro.engines.native.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from tal_repro.errors import InputError

RUN = "0123456789abcdef"


class Payload:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def test_a_checkpoint_comes_back(weird_path: Path) -> None:
    path = weird_path / "checkpoint.pt"
    assert load_checkpoint(path, RUN) is None
    kept = {"run_id": RUN, "weights": torch.arange(3), "nested": {0: [torch.tensor(2.5), "text", None, 1e300]}}
    save_checkpoint(path, kept)
    state = load_checkpoint(path, RUN)
    assert state is not None and str(state) == str(kept)
    assert [file.name for file in weird_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"run_id": RUN, "data_digest": "11112222"})
    assert load_checkpoint(path, RUN, "11112222") is not None
    with pytest.raises(InputError, match=r"was trained on other data \(11112222, not 33334444\)"):
        load_checkpoint(path, RUN, "33334444")


@pytest.mark.parametrize("place", ["model", "optimizer", "rows"])
def test_a_checkpoint_that_was_changed_is_refused(tmp_path: Path, place: str) -> None:
    path = tmp_path / "checkpoint.pt"
    content = {"model": {"w": torch.ones(3)}, "optimizer": {0: torch.tensor(1.0)}, "rows": [{"loss": 0.5}]}
    save_checkpoint(path, {"run_id": RUN, **content})
    state = torch.load(path, weights_only=True)
    changes = {"model": {"w": torch.zeros(3)}, "optimizer": {0: torch.tensor(2.0)}, "rows": [{"loss": 0.25}]}
    torch.save({**state, place: changes[place]}, path)
    with pytest.raises(InputError, match="was changed after it was written"):
        load_checkpoint(path, RUN)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_hostile_damaged_or_strange_checkpoint_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"run_id": RUN, "weights": torch.zeros(1000)})
    whole = path.read_bytes()
    torch.save({"format": FORMAT, "run_id": RUN, "extra": Payload()}, path)
    contents = [path.read_bytes(), pickle.dumps(Payload()), whole[:700], b"", b"text"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a checkpoint") as caught:
            load_checkpoint(path, RUN)
        assert caught.value.remedy and str(path) in str(caught.value)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=f"belongs to run {RUN}, not fedc"):
        load_checkpoint(path, "fedcba9876543210")
    assert "code ran" not in capsys.readouterr().out


def test_a_disk_that_fills_up_is_named_as_such_and_not_as_a_broken_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch complains of the archive in place of the full disk."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"run_id": "a"})
    before = path.read_bytes()

    def save(*_: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(path, {"run_id": "b"})
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
