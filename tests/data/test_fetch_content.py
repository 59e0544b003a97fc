"""What somebody has already, in any packing, is told by its content: a folder of features, an archive of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import load_dataset, manifest, quirks
from tal_repro.data.fetch import content
from tal_repro.data.fetch.checksums import FILE_NAME
from tal_repro.data.fetch.sources import ARCHIVES, Archive, Mirror
from tal_repro.data.fetch.thumos14 import fetch_layout
from tal_repro.data.manifest import read_manifest
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.errors import InputError

from .misbehaving import archive_at, md5, serving, status, tar_of, way_to
from .misbehaving import content as sending

DIM = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small synthetic set in both layouts, which stands in for THUMOS14 here."""
    pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")
    config = SyntheticConfig(4, 4, feature_dim=DIM, seconds=(12, 20))
    return write_synthetic(tmp_path_factory.mktemp("made") / "d", config) / "data"


@pytest.fixture
def taken_for_real(made, monkeypatch):
    """Let the facts of THUMOS14 be those of the stand-in."""
    dataset = load_dataset(made.parent, "actionformer")
    steps = {video.id: video.feature_length for video in dataset.videos.values()}
    for module in (content, quirks):
        monkeypatch.setattr(module, "real_steps", lambda: steps)
    monkeypatch.setattr(content, "ANNOTATION_HASH", dataset.annotation_hash)
    monkeypatch.setattr(content, "FEATURE_DIM", DIM)
    monkeypatch.setattr(content, "ONLY_AMBIGUOUS", "video_test_0001292")
    return dataset


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def loose(made, tmp_path):
    """Feature files as somebody keeps them: in folders of his own, with other things beside."""
    folder = tmp_path / "mine"
    shutil.copytree(made / "thumos" / "i3d_features", folder / "features" / "npy")
    shutil.copyfile(made / "thumos" / "annotations" / "thumos14.json", folder / "thumos14.json")
    (folder / "features" / "npy" / "notes.txt").write_text("mine")
    return folder


def same(folder, made):
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    return files and all((folder / path).read_bytes() == (made / path).read_bytes() for path in files)


NOBODY = Archive("thumos.tar.gz", (Mirror("by-hand", "https://x.example", "0" * 32),))


def test_a_folder_of_features_is_laid_out_and_held_to_its_content(made, loose, taken_for_real, tmp_path):
    told: list[str] = []
    root = tmp_path / "out"
    folder = fetch_layout("actionformer", way_to(root, (str(loose),), lines=told), archives=[NOBODY])
    assert folder == root / "thumos" and same(folder, made / "thumos")
    assert any("1 others left" in line for line in told) and any("held to its content" in line for line in told)
    assert (loose / "thumos14.json").exists() and not list(root.glob(".unpack*"))


def test_annotations_may_come_from_elsewhere(made, loose, taken_for_real, tmp_path):
    (loose / "thumos14.json").rename(tmp_path / "thumos14.json")
    with pytest.raises(InputError, match=r"holds no annotations/thumos14.json") as told:
        fetch_layout("actionformer", way_to(tmp_path / "out", (str(loose),)), archives=[NOBODY])
    assert "--from thumos14.json" in (told.value.remedy or "")
    given = (str(loose), str(tmp_path / "thumos14.json"))
    assert same(fetch_layout("actionformer", way_to(tmp_path / "out", given), archives=[NOBODY]), made / "thumos")


def test_a_repacked_archive_is_told_by_its_content(made, loose, taken_for_real, tmp_path):
    file = tmp_path / "repacked.tar"
    file.write_bytes(tar_of(loose, "anything", packed=False))
    told: list[str] = []
    way = way_to(tmp_path / "out", (str(file),), lines=told)
    assert same(fetch_layout("actionformer", way, archives=[NOBODY]), made / "thumos")
    entry = json.loads((tmp_path / "out" / FILE_NAME).read_text())["archives"]["thumos.tar.gz"]
    assert entry["checked_against"].startswith("content: annotations and the lengths of")
    assert any("its content will tell" in line for line in told) and file.exists()


def test_tadtrs_files_as_a_folder(made, taken_for_real, tmp_path):
    folder = Path(shutil.copytree(made / "thumos14", tmp_path / "mine"))
    (folder / "I3D_2stream_Pth").rename(folder / "renamed")
    found = fetch_layout("tadtr", way_to(tmp_path / "out", (str(folder),)))
    assert same(found, made / "thumos14")


def change_annotations(folder):
    path = folder / "thumos14.json"
    raw = json.loads(path.read_text())
    video = next(entry for entry in raw["database"].values() if entry["annotations"])
    video["annotations"][0]["segment"][0] += 0.01
    path.write_text(json.dumps(raw))


def shorten(folder):
    path = sorted((folder / "features" / "npy").glob("*.npy"))[0]
    np.save(path, np.load(path)[:-5])


def narrow(folder):
    for path in (folder / "features" / "npy").glob("*.npy"):
        np.save(path, np.load(path)[:, :4])


def lose_one(folder):
    next(path for path in sorted((folder / "features" / "npy").glob("*.npy")) if "1292" not in path.name).unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_annotations, "annotations are not THUMOS14's"),
        (shorten, "1 videos .*another length"),
        (narrow, "4 channels, THUMOS14's 8"),
        (lose_one, "1 videos .*without features"),
    ],
)
def test_what_is_not_thumos14_is_refused_and_leaves_nothing(loose, taken_for_real, tmp_path, damage, words):
    damage(loose)
    for given in (loose, tmp_path / "packed.tar.gz"):
        if given != loose:
            given.write_bytes(tar_of(loose, "x"))
        with pytest.raises(InputError, match=words) as told:
            fetch_layout("actionformer", way_to(tmp_path / "out", (str(given),)), archives=[NOBODY])
        assert told.value.where == str(given) if given != loose else told.value.where and told.value.remedy
        assert not (tmp_path / "out" / "thumos").exists() and not (tmp_path / "out" / FILE_NAME).exists()


def test_a_link_in_a_folder_counts_for_nothing(loose, taken_for_real, tmp_path):
    features = loose / "features" / "npy"
    elsewhere = tmp_path / "elsewhere"
    features.rename(elsewhere)
    features.mkdir()
    for path in elsewhere.glob("*.npy"):
        (features / path.name).symlink_to(path)
    told: list[str] = []
    with pytest.raises(InputError, match="could not be fetched"):
        fetch_layout("actionformer", way_to(tmp_path / "out", (str(loose),), lines=told), archives=[NOBODY])


def opentad(server, packed):
    """ActionFormer's own places are gone; a copy of another packing is there."""
    server.answers |= {"/gone": status(404), "/copy": sending(packed)}
    mirrors = (
        Mirror("plain", f"{server.url}/gone", "0" * 32),
        Mirror("plain", f"{server.url}/copy", by_content=True),
    )
    return Archive("thumos.tar.gz", mirrors)


def test_a_copy_of_unknown_packing_serves_where_the_authors_places_are_gone(
    made, loose, taken_for_real, server, tmp_path
):
    archive = opentad(server, tar_of(loose, "I3D two stream"))
    assert same(fetch_layout("actionformer", way_to(tmp_path), archives=[archive]), made / "thumos")
    assert not (tmp_path / "downloads").exists()


def test_a_copy_without_annotations_is_kept_until_they_are_given(made, loose, taken_for_real, server, tmp_path):
    (loose / "thumos14.json").rename(tmp_path / "thumos14.json")
    archive, root = opentad(server, tar_of(loose, "I3D")), tmp_path / "out"
    with pytest.raises(InputError, match="holds no annotations"):
        fetch_layout("actionformer", way_to(root), archives=[archive])
    way = way_to(root, (str(tmp_path / "thumos14.json"),))
    assert same(fetch_layout("actionformer", way, archives=[archive]), made / "thumos")
    assert server.count("/copy") == 1, "the archive was there already"


def test_a_published_place_is_held_to_its_md5_all_the_same(loose, taken_for_real, server, tmp_path):
    packed = tar_of(loose, "x")
    archive = archive_at(server, packed)
    wrong = Archive(archive.name, tuple(Mirror("plain", m.link, md5(b"another")) for m in archive.mirrors))
    with pytest.raises(InputError, match="its md5 is"):
        fetch_layout("actionformer", way_to(tmp_path), archives=[wrong])


def test_a_copy_that_is_not_thumos14_is_not_kept(loose, taken_for_real, server, tmp_path):
    shorten(loose)
    with pytest.raises(InputError, match="another length"):
        fetch_layout("actionformer", way_to(tmp_path / "out"), archives=[opentad(server, tar_of(loose, "x"))])
    assert [path.name for path in (tmp_path / "out" / "downloads").iterdir()] == []


def test_opentads_copy_is_asked_after_the_authors_and_before_onedrive():
    (archive,) = ARCHIVES["actionformer"]
    links = [mirror.link for mirror in archive.mirrors]
    place = next(number for number, link in enumerate(links) if "1iemRUtCVshYD3o9WahUrTTOW08GyCjfi" in link)
    assert archive.mirrors[place].by_content and archive.mirrors[place].md5 is None
    hosts = [mirror.host for mirror in archive.mirrors]
    assert hosts.index("box") < place < hosts.index("onedrive")


def test_a_manifest_is_one_checksum_a_file_and_a_kept_one_is_held_against_what_is_given(
    made, loose, taken_for_real, tmp_path, monkeypatch
):
    root = Path(shutil.copytree(made.parent, tmp_path / "d"))
    out = tmp_path / "thumos14-actionformer.sha256"
    answer = CliRunner().invoke(main, ["data", "verify", str(root), "--layout", "actionformer", "--manifest", str(out)])
    assert answer.exit_code == 0 and "manifest written" in answer.output, answer.output
    files = read_manifest(out)
    assert len([name for name in files if name.startswith("i3d_features/")]) == 9
    assert "annotations/thumos14.json" in files
    monkeypatch.setattr(manifest, "KEPT", tmp_path)
    told: list[str] = []
    fetch_layout("actionformer", way_to(tmp_path / "a", (str(loose),), lines=told), archives=[NOBODY])
    assert any("and the kept checksums" in line for line in told)
    path = sorted((loose / "features" / "npy").glob("*.npy"))[1]
    np.save(path, np.load(path) + 1)
    with pytest.raises(InputError, match=f"1 videos .*{path.name}.* differ from the checksums"):
        fetch_layout("actionformer", way_to(tmp_path / "b", (str(loose),)), archives=[NOBODY])


def test_a_data_set_that_fails_gives_no_manifest(made, tmp_path):
    root = Path(shutil.copytree(made.parent, tmp_path / "d"))
    sorted((root / "data" / "thumos" / "i3d_features").iterdir())[0].unlink()
    out = tmp_path / "out.sha256"
    answer = CliRunner().invoke(main, ["data", "verify", str(root), "--layout", "actionformer", "--manifest", str(out)])
    assert answer.exit_code == 1 and not out.exists()


def test_a_manifest_that_is_none_is_named_by_its_line(tmp_path):
    path = tmp_path / "x"
    path.write_text(f"{'0' * 64}  a\nnonsense\n")
    with pytest.raises(InputError, match="line 2"):
        read_manifest(path)
