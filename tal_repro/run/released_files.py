"""Where the authors' checkpoints are to be had: what a user is told who asks for `released` without one."""

from __future__ import annotations

from dataclasses import dataclass

from tal_repro.models.registry import model_entry

PLACE = "results/released"  # where the messages suggest to keep them; any path will do


@dataclass(frozen=True)
class ReleasedFile:
    """One released checkpoint: the file to look for and the address that its README names."""

    name: str
    address: str
    inside: str = ""  # of an archive


FILES: dict[str, ReleasedFile] = {
    "tadtr": ReleasedFile(
        "thumos14_i3d2s_tadtr_reference.pth",
        "https://husteducn-my.sharepoint.com/:f:/g/personal/liuxl_hust_edu_cn/"
        "EsMyXDlkrTdBsikoRQSIeUsBkxJJRsplbMyIQVYotiZRIQ?e=QYgiCH",
    ),
    "actionformer": ReleasedFile(
        "epoch_034.pth.tar",
        "https://drive.google.com/file/d/1isG3bc1dG5-llBRFCivJwz_7c_b0XDcY",
        "thumos_i3d_reproduce/ of the archive",
    ),
    "tridet": ReleasedFile(
        "the THUMOS14 checkpoint (*.pth.tar)",
        "https://drive.google.com/drive/folders/1eVROG6z-vHtm4AnXsh4N8ruUKkAidLqZ",
    ),
}


def how_to_get(model: str) -> str:
    """Return what to download, from where, and what to do with it; the README's own address, opened in a browser."""
    listed = FILES.get(model)
    if (entry := model_entry(model)).adapter:
        return f"its authors may name one in the README of {entry.repository}; put it anywhere and give its path"
    if listed is None:
        return (
            "its README names no checkpoint: ask its authors, or train one: "
            f"tal-repro train --engine upstream --model {model} --data DIR"
        )
    file = f"{listed.name}, in {listed.inside}" if listed.inside else listed.name
    name = listed.name if " " not in listed.name else f"{model}.pth.tar"
    return (
        f"tal-repro data fetch-checkpoint {model}; or download {file}, in a browser from {listed.address} ; put it at "
        f"{PLACE}/{name} and give --checkpoint {PLACE}/{name}"
    )
