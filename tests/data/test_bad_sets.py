"""Defined sets that would make a training wrong: named where one looks, and before a study is written. SYNTHETIC."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tests.data.made_up_set import define

Content = dict[str, Any]


def edit(root: Path, change: Callable[[Content], None]) -> None:
    path = root / "annotations.json"
    content = json.loads(path.read_text())
    change(content["database"])
    path.write_text(json.dumps(content))


def reword(root: Path, before: str, after: str) -> None:
    path = root / "my-data.toml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def one_subset_on_both_sides(root: Path) -> None:
    reword(root, 'test = ["validation"]', 'test = ["training"]')


def one_video_under_two_ids(root: Path) -> None:
    np.save(root / "features" / "video 005.npy", np.load(root / "features" / "video 001.npy"))


def one_id_twice(root: Path) -> None:
    path = root / "annotations.json"
    again = json.dumps({**json.loads(path.read_text())["database"]["video 000"], "subset": "validation"})
    path.write_text(path.read_text().replace('{"database": {', f'{{"database": {{"video 000": {again}, '))


def a_class_that_never_trains(root: Path) -> None:
    def change(videos: Content) -> None:
        for entry in videos.values():
            if entry["subset"] == "training":
                entry["annotations"] = [a for a in entry["annotations"] if a["label"] != "class01"]

    edit(root, change)


def one_training_video(root: Path) -> None:
    def change(videos: Content) -> None:
        for key in [key for key, entry in videos.items() if entry["subset"] == "training"][1:]:
            del videos[key]

    edit(root, change)


def another_extractor(root: Path) -> None:
    np.save(root / "features" / "video 004.npy", np.ones((60, 7), np.float32))


def a_rate_that_fits_no_file(root: Path) -> None:
    reword(root, "steps_per_second = 5", "steps_per_second = 8")


def a_stride_that_fits_no_file(root: Path) -> None:
    reword(root, "steps_per_second = 5", "stride_frames = 7")
    reword(root, "[time]", "[time]\nfps = 25")


def an_unknown_key(root: Path) -> None:
    reword(root, "[features]", "[features]\nstride = 4")


# what is wrong: (verify says, study new says; "": only the values tell, which a training reads, study new does not)
BAD: list[tuple[Callable[[Path], None], str, str]] = [
    (one_subset_on_both_sides, "a subset is trained on or tested on, not both", "not both"),
    (one_video_under_two_ids, "one video under two ids; it is trained and tested on", ""),
    (one_id_twice, "key 'video 000' appears twice", "key 'video 000' appears twice"),
    (a_class_that_never_trains, "'class01' is tested and never trained", "'class01' is tested and never trained"),
    (one_training_video, "one training video", "one training video"),
    (another_extractor, "video 004: 7 channels, most files have 8", "7 channels, most videos have 8"),
    (a_rate_that_fits_no_file, "5 steps a second would fit", "5 steps a second would fit"),
    (a_stride_that_fits_no_file, "a stride of 5 frames would fit", "a stride of 5 frames would fit"),
    (an_unknown_key, "did you mean stride_frames", "did you mean stride_frames"),
]


@pytest.mark.parametrize(("spoil", "verified", "refused"), BAD, ids=[spoil.__name__ for spoil, *_ in BAD])
def test_it_is_named_by_verify_and_before_a_study_is_written(
    tmp_path: Path, spoil: Callable[[Path], None], verified: str, refused: str
) -> None:
    data, out = define(tmp_path, "npy", channels=8), tmp_path / "s.toml"
    spoil(tmp_path)
    result = CliRunner().invoke(main, ["data", "verify", str(data)])
    assert result.exit_code != 0 and verified in " ".join(result.output.split())
    words = ["study", "new", "--data", str(data), "--models", "tridet", "--device", "cpu", "--out", str(out)]
    result = CliRunner().invoke(main, words)
    if refused:
        assert result.exit_code == 2 and refused in result.stderr and "remedy: " in result.stderr
    assert out.exists() is (not refused), result.output


def test_a_training_reads_the_values_that_tell_twins(tmp_path: Path) -> None:
    data = define(tmp_path, "npy", channels=8)
    one_video_under_two_ids(tmp_path)
    words = ["train", "--data", str(data), "--model", "tridet", "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "one video under two ids; it is trained and tested on" in result.output
