"""One feature file of numpy: checked header, then rows. ActionFormer's are .npy or .npz; TadTR's: `torch_features`."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tal_repro.data.layouts import check_inside
from tal_repro.errors import InputError
from tal_repro.untrusted import short

_RESTORE = "restore the file from the archive"


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file, or the one in a .npz, says of itself, checked against its size. `offset`: of the values."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int
    fortran_order: bool


def read_npy_header(path: Path, root: Path) -> NpyHeader:
    """Read a .npy header without numpy's pickle path; raise InputError unless it is a whole float32 [T, C] file."""
    check_inside(path, root)
    header = read_array_header(path)
    _check_float32(header.dtype, path)
    return header


def read_array_header(path: Path) -> NpyHeader:
    """Read the header of a .npy, or of a .npz that can be mapped; raise InputError unless the file is whole."""
    try:
        start, size = _npz_member(path) if path.suffix == ".npz" else (0, path.stat().st_size)
        with path.open("rb") as stream:
            stream.seek(start)
            return parse_header(stream, size, path, start)
    except InputError:
        raise
    except Exception as error:  # damaged archives raise nearly anything
        raise InputError(f"corrupt {path.suffix} header ({first_line(error)})", path, _RESTORE) from None


def parse_header(stream: IO[bytes], size: int, path: Path, start: int = 0) -> NpyHeader:
    """Parse the header of an array of `size` bytes that begins here; InputError unless its values fill it."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
        offset = stream.tell()
    except Exception as error:  # numpy's header parser lets many kinds through on damaged bytes
        raise InputError(f"corrupt {path.suffix} header ({first_line(error)})", path, _RESTORE) from None
    check_array(shape, dtype, path)
    expected = offset - start + int(shape[0]) * int(shape[1]) * dtype.itemsize
    if size != expected:
        kind = "truncated" if size < expected else "too long"
        raise InputError(f"{kind}: {size} bytes, the header needs {expected}", path, _RESTORE)
    return NpyHeader((int(shape[0]), int(shape[1])), dtype, offset, bool(fortran_order))


def _npz_member(path: Path) -> tuple[int, int]:
    """Return where the array of a .npz lies, and its bytes: key `feats` or the only one. It is mapped as it lies."""
    with zipfile.ZipFile(path) as archive:
        keys = archive.namelist()
        if "feats.npy" not in keys and len(keys) != 1:
            listed = ", ".join(short(key.removesuffix(".npy")) for key in keys[:5])
            raise InputError(f"{len(keys)} arrays ({listed}), none of them feats", path, "name the features feats")
        member = archive.getinfo("feats.npy" if "feats.npy" in keys else keys[0])
    if member.compress_type != zipfile.ZIP_STORED:
        raise InputError(
            "a compressed archive, which cannot be mapped", path, "write it with numpy.savez(path, feats=x)"
        )
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", stream.read(30))
    return member.header_offset + 30 + name_bytes + extra_bytes, member.file_size


def map_npy(path: Path, root: Path) -> npt.NDArray[np.float32]:
    """Memory-map a checked .npy file, [T, C] float32, read-only."""
    header = read_npy_header(path, root)
    order: Any = "F" if header.fortran_order else "C"
    return np.memmap(path, dtype=np.float32, mode="r", offset=header.offset, shape=header.shape, order=order)


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> None:
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise InputError(f"dtype {dtype}, expected float32", path, "convert it: array.astype('float32')")
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape {tuple(shape)}, expected [T, C]", path, _RESTORE)


def _check_float32(dtype: np.dtype[Any], path: Path) -> None:
    if dtype != np.dtype("<f4"):
        raise InputError(f"dtype {dtype}, expected float32", path, "convert it: array.astype('float32')")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
