"""Features in files of torch: a tensor, a dictionary that holds one under a name, or one of video -> tensor.

Loaded by `weights_only`: nothing in a file is executed. Archives are mapped, not read.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tal_repro.data.definition import FLOATS
from tal_repro.data.feature_files import OtherType, check_array, first_line
from tal_repro.data.layouts import check_inside
from tal_repro.errors import InputError
from tal_repro.untrusted import short

_RESTORE = "restore the file from the archive"
_USUAL = ("feats", "features")
_FORM = "write it as torch.save({video: tensor [T, C], ...}, path)"


def map_tensor(path: Path, root: Path, key: str = "", dtype: str = "") -> npt.NDArray[Any]:
    """Return a torch-saved tensor [T, C] of `dtype` ("": of any float), or that under `key` of a saved dictionary.

    Mapped where the file is an archive.
    """
    check_inside(path, root)
    content = _load(path)
    chosen = content.get(key) if isinstance(content, dict) and key else content
    array = _array(chosen, path, (dtype,) if dtype else FLOATS)
    check_array(array.shape, array.dtype, path, dtype)
    return array


def read_tensor_of(path: Path, video_id: str, key: str = "") -> npt.NDArray[Any]:
    """Return a video's tensor of a file of all videos; `key`: its name, where each video is a dictionary itself."""
    stat = path.stat()
    content = _all_videos(path, stat.st_mtime_ns, stat.st_size).get(video_id)
    if content is None:
        raise InputError(f"no tensor {short(video_id)}", path, "correct the id, or features.path")
    if isinstance(content, dict):
        names = [name for name in ((key,) if key else _USUAL) if name in content] or list(content)[:2]
        if len(names) > 1 or (key and names != [key]):
            listed = ", ".join(short(name) for name in list(content)[:5])
            raise InputError(f"{short(video_id)} holds {listed}", path, 'say which one: [features] key = "NAME"')
        content = content[names[0]] if names else None
    return _array(content, path, FLOATS)


def video_ids_of(path: Path) -> list[str]:
    """Return the videos of a file of all."""
    stat = path.stat()
    return list(_all_videos(path, stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=2)
def _all_videos(path: Path, modified_ns: int, size: int) -> Mapping[str, Any]:
    """Load a file of all videos once: its index alone takes seconds where they are many."""
    content = _load(path)
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        kind = "an empty dictionary" if content == {} else f"a {type(content).__name__}"
        raise InputError(f"holds {kind}, expected video -> tensor", path, f"{_FORM}; or give the folder of files")
    return content


def _load(path: Path) -> Any:
    import torch

    try:
        # Files older than torch 1.6 are no zip archives and cannot be mapped. An archive is only ever mapped: that
        # refuses compressed ones, which could unpack to more than the memory.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise InputError(f"not a torch tensor file ({first_line(error)})", path, _RESTORE) from None


def _array(tensor: Any, path: Path, floats: tuple[str, ...]) -> npt.NDArray[Any]:
    import torch

    dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
    name = str(tensor.dtype).removeprefix("torch.") if dense else ""
    if name in FLOATS and name not in floats:
        remedy = f"convert it: tensor.to(torch.{floats[0]})"
        raise OtherType(f"holds a {tensor.dtype} tensor, expected {floats[0]}", path, remedy)
    if name not in floats:
        kind = f"{tensor.dtype} tensor" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise InputError(f"holds a {kind}, expected a dense {' or '.join(floats)} tensor [T, C]", path, _RESTORE)
    if not tensor.is_contiguous():
        raise InputError("its tensor is not contiguous", path, _RESTORE)
    array: npt.NDArray[np.floating[Any]] = tensor.detach().numpy()
    return array
