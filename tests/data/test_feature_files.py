"""Feature files at the door: whole float32 [T, C] arrays come in, everything else is refused by name."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tal_repro.data import feature_files, torch_features
from tal_repro.errors import InputError

torch = pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")

ROWS = np.arange(40, dtype=np.float32).reshape(10, 4)


map_npy = partial(feature_files.map_npy, dtype="float32")  # as THUMOS14's definition says of its files
map_tensor = partial(torch_features.map_tensor, dtype="float32")


def npy_bytes(array, **kwargs):
    buffer = io.BytesIO()
    np.save(buffer, array, **kwargs)
    return buffer.getvalue()


def tensor_bytes(value, **kwargs):
    buffer = io.BytesIO()
    torch.save(value, buffer, **kwargs)
    return buffer.getvalue()


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "features"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("array", [ROWS, np.asfortranarray(ROWS)])
def test_a_whole_npy_is_mapped(tmp_path, array):
    rows = map_npy(write(tmp_path, npy_bytes(array)), tmp_path)
    assert np.array_equal(rows, ROWS) and not rows.flags.writeable


@pytest.mark.parametrize("failures", [1, feature_files.ATTEMPTS])
def test_a_header_is_parsed_again_where_the_interpreter_failed(tmp_path, monkeypatch, failures):
    path, parse, calls = (
        write(tmp_path, npy_bytes(np.ones((3, 2), np.float32))),
        np.lib.format.read_array_header_1_0,
        [],
    )

    def fails_first(stream):
        calls.append(stream.tell())
        if len(calls) <= failures:
            stream.read(3)
            raise SystemError("AST constructor recursion depth mismatch (before=54, after=50)")
        return parse(stream)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", fails_first)
    if failures < feature_files.ATTEMPTS:
        assert feature_files.map_npy(path, tmp_path).shape == (3, 2)
    else:
        with pytest.raises(InputError, match="recursion depth"):
            feature_files.map_npy(path, tmp_path)
    assert len(set(calls)) == 1 and len(calls) == min(failures + 1, feature_files.ATTEMPTS)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_tensor_is_mapped(tmp_path, zipped):
    content = tensor_bytes(torch.from_numpy(ROWS), _use_new_zipfile_serialization=zipped)
    assert np.array_equal(map_tensor(write(tmp_path, content), tmp_path), ROWS)


BAD_NPY = {
    "empty": (b"", "corrupt"),
    "no npy": (b"hello world, this is no array", "corrupt"),
    "half": (npy_bytes(ROWS)[:-60], "truncated"),
    "half a header": (npy_bytes(ROWS)[:40], "corrupt"),
    "longer": (npy_bytes(ROWS) + b"x", "too long"),
    "float64": (npy_bytes(ROWS.astype(np.float64)), "dtype float64"),
    "big-endian": (npy_bytes(ROWS.astype(">f4")), "dtype >f4"),
    "one dimension": (npy_bytes(ROWS.ravel()), "shape"),
    "no rows": (npy_bytes(ROWS[:0]), "shape"),
    "pickled objects": (npy_bytes(np.array([{}], dtype=object), allow_pickle=True), "dtype object"),
    "boundless": (npy_bytes(ROWS).replace(b"(10, 4)", b"(9e99,)"), "corrupt|shape"),
}


@pytest.mark.parametrize("case", BAD_NPY)
def test_a_bad_npy_is_named(tmp_path, case):
    content, message = BAD_NPY[case]
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        map_npy(path, tmp_path)
    assert caught.value.where == str(path) and caught.value.remedy


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


BAD_TENSOR = {
    "empty": (b"", "not a torch tensor"),
    "text": (b"hello", "not a torch tensor"),
    "half": (tensor_bytes(torch.from_numpy(ROWS))[:-200], "not a torch tensor"),
    "pickle that runs code": (pickle.dumps(Exploit()), "not a torch tensor"),
    "archive that runs code": (tensor_bytes(Exploit()), "not a torch tensor"),
    "float64": (tensor_bytes(torch.zeros(3, 4, dtype=torch.float64)), "float64"),
    "a dictionary": (tensor_bytes({"features": torch.zeros(3, 4)}), "dict"),
    "one dimension": (tensor_bytes(torch.zeros(3)), "shape"),
    "transposed": (tensor_bytes(torch.zeros(3, 4).T), "contiguous"),
    "stretched": (tensor_bytes(torch.zeros(1, 1).expand(1000, 1000)), "contiguous"),
    "sparse": (tensor_bytes(torch.eye(3).to_sparse()), "dense|not a torch tensor"),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("case", BAD_TENSOR)
def test_a_bad_tensor_is_named_and_nothing_in_it_runs(tmp_path, case, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, message = BAD_TENSOR[case]
    with pytest.raises(InputError, match=message):
        map_tensor(write(tmp_path, content), tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_links_out_folders_pipes_and_absent_files_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_bytes(npy_bytes(ROWS))
    (root / "inside").write_bytes(npy_bytes(ROWS))
    for name in ("link", "folder", "pipe", "absent", "loop", "good"):
        path = root / name
        if name == "link":
            path.symlink_to(tmp_path / "outside")
        elif name == "folder":
            path.mkdir()
        elif name == "pipe":
            os.mkfifo(path)
        elif name == "loop":
            path.symlink_to(path)
        elif name == "good":
            path.symlink_to(root / "inside")
    for name, message in (
        ("link", "out of the data folder"),
        ("folder", "regular"),
        ("pipe", "regular"),
        ("absent", "cannot be read"),
        ("loop", "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            map_npy(root / name, root)
    assert map_npy(root / "good", root).shape == (10, 4)


def mutations(content: bytes):
    position = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    return st.tuples(st.lists(position, max_size=6), st.integers(0, len(content)))


def mutated(content: bytes, changes, end: int) -> bytes:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place] = value
    return bytes(damaged[:end])


@settings(max_examples=300, deadline=None)
@given(change=mutations(npy_bytes(ROWS)))
@example(change=([], len(npy_bytes(ROWS))))
def test_mutated_npy_bytes_are_mapped_or_refused(change):
    with tempfile.TemporaryDirectory() as folder:
        content = mutated(npy_bytes(ROWS), *change)
        try:
            rows = map_npy(write(Path(folder), content), Path(folder))
        except InputError:
            assert content != npy_bytes(ROWS)
            return
        as_numpy = np.load(io.BytesIO(content), allow_pickle=False)
        assert (rows.dtype, rows.shape, rows.tobytes()) == (np.float32, as_numpy.shape, as_numpy.tobytes())
        assert rows.ndim == 2 and 0 < rows.nbytes <= len(content)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=300, deadline=None)
@given(change=mutations(tensor_bytes(torch.from_numpy(ROWS))))
@example(change=([], len(tensor_bytes(torch.from_numpy(ROWS)))))
def test_mutated_tensor_bytes_are_mapped_or_refused(change):
    with tempfile.TemporaryDirectory() as folder:
        content = mutated(tensor_bytes(torch.from_numpy(ROWS)), *change)
        try:
            rows = map_tensor(write(Path(folder), content), Path(folder))
        except InputError:
            assert content != tensor_bytes(torch.from_numpy(ROWS))
            return
        assert rows.ndim == 2 and rows.dtype == np.float32 and 0 < rows.nbytes <= len(content)
        assert rows.tobytes() in content, "rows should be read from the file, and from nowhere else"
