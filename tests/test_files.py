"""A file is there, missing, or cannot be looked at; what is written is whole, or the old file stays."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.files import is_own_there, is_there, write_json


def test_a_file_is_there_a_folder_is_none_and_a_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    names = ("file", "link", "missing", "file/below", ".")
    assert [is_there(tmp_path / name) for name in names] == [True, True, False, False, False]
    with pytest.raises(OSError, match="symbolic links"):
        is_there(tmp_path / "loop")


def test_a_loop_in_the_place_of_the_kits_own_file_is_to_be_removed(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    assert not is_own_there(loop, "start again")
    loop.symlink_to("loop")
    with pytest.raises(InputError, match="symbolic links") as refused:
        is_own_there(loop, "start again")
    assert refused.value.remedy == "remove this link, which leads nowhere; start again"
    (tmp_path / "file").touch()
    assert is_own_there(tmp_path / "file", "start again")


def test_json_without_a_number_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1.5} and list(tmp_path.iterdir()) == [path]
