"""Released checkpoints: a file, a file in an archive, one of a shared folder; under its name whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data.fetch import hosts
from tal_repro.data.fetch.checkpoints import CHECKPOINTS, fetch_checkpoint
from tal_repro.data.fetch.sources import Archive, Mirror
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.run.released_files import FILES

from .misbehaving import content, page, serving, tar_of, way_to


def zip_of(name):
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, b"content")
        return buffer.getvalue()


TORCH = zip_of("archive/data.pkl")
ENTRY = (
    '<div class="flip-entry" id="entry-{id}"><a href="https://drive.google.com/file/d/{id}/view?usp=drive_web">'
    '<div class="flip-entry-info"><div class="flip-entry-title">{name}</div></div></a></div>'
)


@pytest.fixture
def server():
    with serving() as running:
        yield running


def test_a_bare_file(server, tmp_path):
    server.answers["/file"] = content(TORCH)
    told = []
    archive = Archive("thumos14_i3d2s_tadtr_reference.pth", (Mirror("plain", f"{server.url}/file"),))
    file = fetch_checkpoint("tadtr", way_to(tmp_path, lines=told), archive)
    assert file == tmp_path / "thumos14_i3d2s_tadtr_reference.pth" and file.read_bytes() == TORCH
    assert any("no checksum was ever published" in line for line in told)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fetch.lock", "archives.json", file.name]
    assert fetch_checkpoint("tadtr", way_to(tmp_path), archive) == file and server.count("/file") == 1
    file.unlink()
    server.answers["/file"] = content(TORCH + b"?")
    with pytest.raises(InputError, match="the first fetch"):
        fetch_checkpoint("tadtr", way_to(tmp_path), archive)
    assert not file.exists()


@pytest.mark.parametrize("names", [["epoch_034.pth.tar"], [], ["a/epoch_034.pth.tar", "b/epoch_034.pth.tar"]])
def test_in_an_archive(server, tmp_path, names):
    folder = tmp_path / "thumos_i3d_reproduce"
    for name in [*names, "config.txt"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(TORCH)
    server.answers["/file"] = content(tar_of(folder, folder.name))
    archive = Archive("actionformer-released", (Mirror("plain", f"{server.url}/file"),))
    if len(names) == 1:
        file = fetch_checkpoint("actionformer", way_to(tmp_path / "out"), archive)
        assert file.name == "epoch_034.pth.tar" and file.read_bytes() == TORCH
        assert file.stat().st_mode & 0o111 == 0
    else:
        with pytest.raises(InputError, match="choose by hand"):
            fetch_checkpoint("actionformer", way_to(tmp_path / "out"), archive)
        assert {path.name for path in (tmp_path / "out").iterdir()} == {".fetch.lock", "downloads"}


@pytest.fixture
def drive_folder(server, monkeypatch):
    monkeypatch.setattr(hosts, "DRIVE_DOWNLOAD", f"{server.url}/download")
    server.answers["/download"] = content(TORCH)
    mirror = Mirror("google-drive-folder", f"{server.url}/drive/folders/1eVROG6z-vHtm4AnXsh4N8ruUKkAidLqZ")
    return Archive("tridet-released", (mirror,))


def test_one_of_a_shared_drive_folder(server, drive_folder, tmp_path):
    names = {"1aaaaaaaaaaaaaaa": "hacs_i3d.pth.tar", "1bbbbbbbbbbbbbbb": "THUMOS &amp; i3d.pth.tar"}
    listing = "".join(ENTRY.format(id=file_id, name=name) for file_id, name in names.items())
    server.answers["/embeddedfolderview"] = page(f"<html>{listing}</html>")
    file = fetch_checkpoint("tridet", way_to(tmp_path), drive_folder)
    assert file.name == "tridet.pth.tar" and file.read_bytes() == TORCH
    assert server.asked[-1].path == "/download?id=1bbbbbbbbbbbbbbb&export=download&confirm=t"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a.pth", "b.pth"], "do not say which is for THUMOS14: a.pth, b.pth"),
        (["thumos1.pth", "thumos2.pth"], "do not say which"),
        ([], "web page instead of the file"),
    ],
)
def test_a_folder_that_does_not_tell(server, drive_folder, tmp_path, names, reason):
    listing = "".join(ENTRY.format(id=f"1{'x' * 14}{index}", name=name) for index, name in enumerate(names))
    server.answers["/embeddedfolderview"] = page(f"<html>{listing}</html>")
    with pytest.raises(InputError, match=reason) as told:
        fetch_checkpoint("tridet", way_to(tmp_path), drive_folder)
    assert "by hand" in str(told.value) and "/drive/folders/" in str(told.value)


def test_the_command_takes_a_file_fetched_by_hand(tmp_path):
    (tmp_path / "anything").write_bytes(TORCH)
    command = [
        "data",
        "fetch-checkpoint",
        "tridet",
        "--out",
        str(tmp_path / "out"),
        "--from",
        str(tmp_path / "anything"),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "tal-repro released --model tridet --checkpoint" in result.output
    assert json.loads((tmp_path / "out" / "archives.json").read_text())["archives"]["tridet-released"]["sha256"]


@pytest.mark.parametrize(
    "data", [zip_of("thumos/readme.txt"), b"PK\x03\x04 cut", b"<a page>", b""], ids=["zip", "cut", "page", "nothing"]
)
def test_what_is_no_checkpoint(tmp_path, data):
    file = tmp_path / "file"
    file.write_bytes(data)
    archive = Archive("tridet-released", (Mirror("by-hand", "https://x.example"),))
    with pytest.raises(InputError):
        fetch_checkpoint("tridet", way_to(tmp_path / "out", (str(file),)), archive)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".fetch.lock"}


def test_an_old_checkpoint_is_a_pickle(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"\x80\x02...")
    assert fetch_checkpoint("tridet", way_to(tmp_path / "out", (str(file),))).read_bytes() == file.read_bytes()


def test_the_places_are_those_that_released_names():
    """One table says what to do by hand, the other fetches: they must not part."""
    assert set(CHECKPOINTS) == set(FILES) <= set(MODELS)
    for model, (archive, inside) in CHECKPOINTS.items():
        assert any(mirror.link.startswith(FILES[model].address) for mirror in archive.mirrors)
        assert inside in FILES[model].name
