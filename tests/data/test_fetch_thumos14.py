"""The whole way, from a server or a file to a data folder that verifies: complete under its name, or not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import load_dataset
from tal_repro.data.fetch import obtain, sources, thumos14
from tal_repro.data.fetch.checksums import FILE_NAME
from tal_repro.data.fetch.sources import ARCHIVES, Archive, Mirror
from tal_repro.data.fetch.thumos14 import fetch_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.workplace import workplace
from tal_repro.errors import InputError

from .misbehaving import archive_at, content, in_turn, md5, page, redirect, serving, status, tar_of, way_to

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small synthetic set in ActionFormer's layout, and its archive as the authors pack it."""
    root = write_synthetic(
        tmp_path_factory.mktemp("made") / "d", SyntheticConfig(4, 4, feature_dim=8, seconds=(12, 20)), "actionformer"
    )
    return root, tar_of(root / "data" / "thumos", "thumos")


@pytest.fixture
def server():
    with serving() as running:
        yield running


def names(root):
    return sorted(path.name for path in root.iterdir() if path.name != ".fetch.lock")


def test_fetch_check_unpack_and_tidy_up(server, made, tmp_path):
    told = []
    folder = fetch_layout("actionformer", way_to(tmp_path, lines=told), archives=[archive_at(server, made[1])])
    assert folder == tmp_path / "thumos" and names(tmp_path) == ["archives.json", "thumos"]
    assert load_dataset(tmp_path).annotation_hash == load_dataset(made[0], "actionformer").annotation_hash
    entry = json.loads((tmp_path / FILE_NAME).read_text())["archives"]["thumos.tar.gz"]
    assert entry["md5"] == md5(made[1]) and entry["from"] == f"{server.url}/thumos.tar.gz"
    assert folder.stat().st_mode & 0o777 == 0o777 & ~_umask()
    assert fetch_layout("actionformer", way_to(tmp_path), archives=[archive_at(server, made[1])]) is None
    assert server.count("/thumos.tar.gz") == 1


def _umask():
    old = os.umask(0)
    os.umask(old)
    return old


def test_keep_archive(server, made, tmp_path):
    fetch_layout("actionformer", way_to(tmp_path), True, [archive_at(server, made[1])])
    assert (tmp_path / "downloads" / "thumos.tar.gz").read_bytes() == made[1]
    shutil.rmtree(tmp_path / "thumos")
    fetch_layout("actionformer", way_to(tmp_path), False, [archive_at(server, made[1])])
    assert server.count("/thumos.tar.gz") == 1 and names(tmp_path) == ["archives.json", "thumos"]


def test_a_wrong_checksum_is_never_unpacked(server, made, tmp_path, monkeypatch):
    monkeypatch.setattr(thumos14, "unpack", lambda *_: pytest.fail("unpacked before its checksum was right"))
    server.answers["/x"] = content(made[1][:-1] + b"?")
    archive = Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}/x", md5(made[1])),))
    with pytest.raises(InputError, match="its md5 is .*, published is " + md5(made[1])):
        fetch_layout("actionformer", way_to(tmp_path), archives=[archive])
    assert names(tmp_path) == ["downloads"] and names(tmp_path / "downloads") == []


def test_a_download_put_together_wrongly_is_fetched_whole(server, made, tmp_path):
    """No sign that the file changed in between: only the checksum finds out."""
    data = made[1]
    server.answers["/x"] = in_turn(
        content(data[::-1], etag=None, cut_after=len(data) // 2), content(data, etag=None), content(data, etag=None)
    )
    archive = Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}/x", md5(data)),))
    told = []
    fetch_layout("actionformer", way_to(tmp_path, lines=told), archives=[archive])
    assert (tmp_path / "thumos").is_dir() and any("once more from the start" in line for line in told)


def test_mirrors_are_tried_in_order_and_the_rest_told(server, made, tmp_path):
    server.answers |= {"/gone": status(404), "/page": page("<title>Hi</title>"), "/loop": redirect("/loop")}
    server.answers["/good"] = content(made[1])
    places = ["/gone", "/page", "/loop", "/good", "/never"]
    archive = Archive("thumos.tar.gz", tuple(Mirror("plain", server.url + path, md5(made[1])) for path in places))
    told = []
    fetch_layout("actionformer", way_to(tmp_path, lines=told), archives=[archive])
    assert (tmp_path / "thumos").is_dir() and server.count("/never") == 0
    text = "\n".join(told)
    assert "404 not there any more" in text and "web page instead" in text and "more than 10 times" in text


def test_no_mirror_left_says_what_to_do_by_hand(server, made, tmp_path):
    by_hand = Mirror("by-hand", "https://pan.example/s/1", md5(made[1]), "code 1234")
    server.answers["/gone"] = status(404)
    server.answers["/quota"] = page("<title>Google Drive - Quota exceeded</title>")
    mirrors = tuple(Mirror("plain", server.url + path, md5(made[1])) for path in ("/gone", "/quota"))
    archive = Archive("thumos.tar.gz", (*mirrors, by_hand))
    with pytest.raises(InputError) as told:
        fetch_layout("actionformer", way_to(tmp_path), archives=[archive])
    place = tmp_path / "downloads" / "thumos.tar.gz"
    for needed in (
        f"{server.url}/gone: 404",
        "quota is used up",
        f"\n      {server.url}/gone\n",
        "https://pan.example/s/1 (code 1234)",
        f"put it at {place}",
        f"md5 {md5(made[1])}",
    ):
        assert needed in str(told.value)
    place.write_bytes(made[1])  # done as told: the same command finds it, and leaves it
    asked = len(server.asked)
    fetch_layout("actionformer", way_to(tmp_path), archives=[archive])
    assert len(server.asked) == asked and place.exists() and (tmp_path / "thumos").is_dir()


def test_a_wrong_file_put_there_by_hand_is_told_and_kept(server, made, tmp_path):
    place = tmp_path / "downloads" / "thumos.tar.gz"
    place.parent.mkdir()
    place.write_bytes(b"<html>quota</html>")
    with pytest.raises(InputError, match="its md5 is"):
        fetch_layout("actionformer", way_to(tmp_path), archives=[archive_at(server, made[1])])
    assert place.exists() and server.asked == []


@pytest.mark.parametrize("as_folder", [True, False])
def test_from_a_file_or_its_folder(server, made, tmp_path, weird_path, as_folder):
    file = weird_path / ("thumos.tar.gz" if as_folder else "my download (1).tgz")
    file.write_bytes(made[1])
    archive = Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}/x", md5(made[1])),))
    root = tmp_path / "out"
    fetch_layout("actionformer", way_to(root, (str(weird_path if as_folder else file),)), archives=[archive])
    assert server.asked == [] and file.exists() and (root / "thumos").is_dir()


def test_from_a_url_is_the_only_mirror(server, made, tmp_path):
    server.answers["/mine"] = content(made[1])
    archive = Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}/theirs", md5(made[1])),))
    fetch_layout("actionformer", way_to(tmp_path, (f"{server.url}/mine?token=secret",)), archives=[archive])
    assert server.count("/theirs") == 0 and "secret" not in (tmp_path / FILE_NAME).read_text()


@pytest.mark.parametrize(
    "given", ["file:///etc/passwd", "ftp://h/x", "https://user:pw@host/x", "http://a b/", "nothing"]
)
def test_a_from_that_cannot_be_meant(tmp_path, given):
    with pytest.raises(InputError) as told:
        fetch_layout("actionformer", way_to(tmp_path, (given,)))
    assert "pw" not in str(told.value)


def test_a_folder_without_the_archive_is_told(server, made, tmp_path):
    told = []
    (tmp_path / "empty").mkdir()
    way = way_to(tmp_path / "out", (str(tmp_path / "empty"),), lines=told)
    fetch_layout("actionformer", way, archives=[archive_at(server, made[1])])
    assert told[0] == f"{tmp_path / 'empty'} holds no thumos.tar.gz"


def test_a_zip_is_told_what_to_do(made, tmp_path):
    file = tmp_path / "thumos.zip"
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    archive = Archive("thumos.tar.gz", (Mirror("by-hand", "https://x.example", md5(file.read_bytes())),))
    with pytest.raises(InputError, match=r"(?s)a zip, .*unzip it, .*--from FOLDER"):
        fetch_layout("actionformer", way_to(tmp_path / "out", (str(file),)), archives=[archive])


def test_an_unexpected_failure_of_the_disk_is_no_traceback(server, made, tmp_path, monkeypatch):
    def gone(*_):
        raise OSError(5, "Input/output error", "/disk")

    monkeypatch.setattr(obtain.checksums, "sums_of", gone)
    with pytest.raises(InputError, match=r"/disk: cannot be used .Input/output error"):
        fetch_layout("actionformer", way_to(tmp_path), archives=[archive_at(server, made[1])])


def test_progress_piped_and_on_a_terminal(capsys, monkeypatch):
    from tal_repro.commands.data_fetch import _bytes_progress

    piped = _bytes_progress("fetched")
    for done in range(0, 2**30 + 1, 2**22):
        piped(done, 2**30)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[-1].startswith("  fetched 1.00 of 1.00 GiB") and "\r" not in "".join(lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = _bytes_progress("fetched")
    now = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    for done in range(0, 5 * 2**20, 2**20):
        shown(done, 4 * 2**20)
    text = capsys.readouterr().err
    assert text.count("\r") == 5 and text.endswith("4.00 of 4.00 MiB, 1.0 MiB/s\n") and "2 s left" in text
    unknown = _bytes_progress("fetched")
    unknown(2**20, None)
    assert "fetched 1.00 MiB" in capsys.readouterr().err


def test_nothing_is_overwritten(server, made, tmp_path):
    (tmp_path / "thumos").mkdir()
    (tmp_path / "thumos" / "mine").write_text("x")
    with pytest.raises(InputError, match=r"holds no annotations/thumos14.json"):
        fetch_layout("actionformer", way_to(tmp_path), archives=[archive_at(server, made[1])])
    assert names(tmp_path / "thumos") == ["mine"]


def test_an_archive_of_something_else_leaves_nothing(server, tmp_path):
    (tmp_path / "x" / "annotations").mkdir(parents=True)
    (tmp_path / "x" / "annotations" / "epic.json").write_text("{}")
    root = tmp_path / "out"
    with pytest.raises(InputError, match=r"holds no annotations/thumos14.json"):
        fetch_layout("actionformer", way_to(root), archives=[archive_at(server, tar_of(tmp_path / "x", "x"))])
    assert names(root) == ["downloads"]


def test_a_second_fetch_at_the_same_time_is_kept_out(made, tmp_path):
    with workplace(tmp_path), pytest.raises(InputError, match="another fetch"):
        fetch_layout("actionformer", way_to(tmp_path))


def test_remains_of_a_killed_unpacking_are_cleared(server, made, tmp_path):
    stale = tmp_path / ".unpack-dead" / "content"
    stale.mkdir(parents=True)
    fetch_layout("actionformer", way_to(tmp_path), archives=[archive_at(server, made[1])])
    assert names(tmp_path) == ["archives.json", "thumos"]


KILLED = """
    import sys
    from tal_repro.cli import main
    from tal_repro.data.fetch import sources
    url, md5, root = sys.argv[1:]
    mirror = sources.Mirror("plain", url, md5)
    sources.ARCHIVES["actionformer"] = (sources.Archive("thumos.tar.gz", (mirror,)),)
    main(["data", "fetch", "thumos14", "--layout", "actionformer", "--out", root])
"""


def test_kill_9_leaves_nothing_under_the_name_and_a_second_run_goes_on(server, made, tmp_path):
    archive_at(server, made[1], pause_s=0.02)  # 2000 bytes each 20 ms
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED),
        f"{server.url}/thumos.tar.gz",
        md5(made[1]),
        str(tmp_path),
    ]
    part = tmp_path / "downloads" / "thumos.tar.gz.part"
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while (not part.exists() or part.stat().st_size < 6000) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    here = part.stat().st_size
    assert 6000 <= here < len(made[1]) and names(tmp_path) == ["downloads"]
    archive_at(server, made[1])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert server.ranges() == [f"bytes={here}-"] and server.asked[-1].headers["If-Range"] == '"one"'
    assert "actionformer layout (synthetic" in done.stdout and "fingerprint" in done.stdout  # data verify ran
    assert "\r" not in done.stderr and "fetched" in done.stderr  # piped: plain lines
    assert names(tmp_path) == ["archives.json", "fingerprint.json", "thumos"]


def test_the_command_ends_with_exit_code_2_and_no_traceback(server, tmp_path, monkeypatch):
    server.answers["/gone"] = status(403)
    gone = Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}/gone", "0" * 32),))
    monkeypatch.setitem(sources.ARCHIVES, "actionformer", (gone,))
    result = CliRunner().invoke(main, ["data", "fetch", "thumos14", "--layout", "actionformer", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "by hand" in result.output and "permission denied" in result.output
    assert "Traceback" not in result.output


def test_damaged_data_ends_with_exit_code_1_and_the_findings(server, made, tmp_path, monkeypatch):
    broken = Path(shutil.copytree(made[0] / "data" / "thumos", tmp_path / "thumos"))
    first = sorted((broken / "i3d_features").iterdir())[0]
    os.truncate(first, 200)
    data = tar_of(broken, "thumos")
    monkeypatch.setitem(sources.ARCHIVES, "actionformer", (archive_at(server, data),))
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["data", "fetch", "thumos14", "--layout", "actionformer", "--out", str(out)])
    assert result.exit_code == 1 and f"{first.stem}" in result.output and "truncated" in result.output


class TestTadtr:
    """Three files, no published checksum."""

    @pytest.fixture
    def parts(self, made, tmp_path):
        pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")
        from tal_repro.data.derive_tadtr import derive

        root = Path(shutil.copytree(made[0] / "data", tmp_path / "parts"))
        folder = derive(root)
        for name in ("th14_annotations_with_fps_duration.json",):
            raw = json.loads((folder / name).read_text())
            del raw["derived_from"]
            (folder / name).write_text(json.dumps(raw))
        names = [archive.name for archive in ARCHIVES["tadtr"]]
        files = {name: (folder / name).read_bytes() for name in names if name.endswith(".json")}
        return files | {"I3D_2stream_Pth.tar": tar_of(folder / "I3D_2stream_Pth", "I3D_2stream_Pth", packed=False)}

    def archives(self, server, parts):
        server.answers |= {f"/{name}": content(data) for name, data in parts.items()}
        return [Archive(name, (Mirror("plain", f"{server.url}/{name}"),)) for name in parts]

    def test_the_first_fetch_records_and_says_so_the_next_checks(self, server, parts, tmp_path):
        told, root = [], tmp_path / "out"
        archives = self.archives(server, parts)
        fetch_layout("tadtr", way_to(root, lines=told), archives=archives)
        assert sum("no checksum was ever published" in line for line in told) == 3
        assert len(load_dataset(root, "tadtr").videos) == 8 and not load_dataset(root, "tadtr").derived
        entries = json.loads((root / FILE_NAME).read_text())["archives"]
        assert set(entries) == set(parts) and all("first fetch" in one["checked_against"] for one in entries.values())
        shutil.rmtree(root / "thumos14")
        server.answers["/I3D_2stream_Pth.tar"] = content(parts["I3D_2stream_Pth.tar"] + bytes(10240))
        with pytest.raises(InputError, match=r"the first fetch .* recorded"):
            fetch_layout("tadtr", way_to(root), archives=archives)
        assert not (root / "thumos14").exists()
        server.answers["/I3D_2stream_Pth.tar"] = content(parts["I3D_2stream_Pth.tar"])
        told.clear()
        fetch_layout("tadtr", way_to(root, lines=told), archives=archives)
        assert not any("no checksum" in line for line in told) and (root / "thumos14").is_dir()

    def test_from_a_folder_with_all_three_or_a_base_url(self, server, parts, tmp_path):
        here = tmp_path / "here"
        here.mkdir()
        for name, data in parts.items():
            (here / name).write_bytes(data)
        archives = [Archive(name, (Mirror("by-hand", "https://x.example"),)) for name in parts]
        assert fetch_layout("tadtr", way_to(tmp_path / "a", (str(here),)), archives=archives)
        self.archives(server, parts)
        assert fetch_layout("tadtr", way_to(tmp_path / "b", (f"{server.url}/",)), archives=archives)
        (tmp_path / "a.zip").write_bytes(b"PK")
        with pytest.raises(InputError, match="is none of"):
            fetch_layout("tadtr", way_to(tmp_path / "c", (str(tmp_path / "a.zip"),)), archives=archives)

    @pytest.mark.parametrize("root_name", ["features", "."])
    def test_features_under_another_folder_name(self, server, parts, made, tmp_path, root_name):
        features = tmp_path / "parts" / "thumos14" / "I3D_2stream_Pth"
        other = parts | {"I3D_2stream_Pth.tar": tar_of(features, root_name, packed=False)}
        fetch_layout("tadtr", way_to(tmp_path / "out"), archives=self.archives(server, other))
        assert len(load_dataset(tmp_path / "out", "tadtr").videos) == 8
        assert (tmp_path / "out" / "thumos14").stat().st_mode & 0o777 == 0o777 & ~_umask()

    def test_what_is_missing_is_asked_for_at_once(self, server, parts, tmp_path):
        archives = self.archives(server, parts)
        for archive in archives[1:]:
            server.answers[f"/{archive.name}"] = status(404)
        with pytest.raises(InputError) as told:
            fetch_layout("tadtr", way_to(tmp_path / "out"), archives=archives)
        text = str(told.value)
        assert all(f"put it at {tmp_path / 'out' / 'downloads' / archive.name}" in text for archive in archives[1:])
        assert f"put it at {tmp_path / 'out' / 'downloads' / archives[0].name}" not in text
        assert f"tal-repro data derive-tadtr {tmp_path / 'out'}" in text
        assert "add --from FILE" in text

    def test_in_a_container_nobody_is_asked_for_a_file_that_it_cannot_see(self, server, parts, tmp_path, monkeypatch):
        monkeypatch.setenv("TAL_REPRO_CONTAINER", "kit")
        with pytest.raises(InputError) as told:
            fetch_layout(
                "tadtr",
                way_to(tmp_path / "out"),
                archives=[Archive("a.tar", (Mirror("by-hand", "https://x.example"),))],
            )
        assert "put it at" in str(told.value) and "--from" not in str(told.value)

    def test_a_page_in_place_of_a_json_is_not_recorded(self, server, parts, tmp_path):
        archives = self.archives(server, parts)
        server.answers[f"/{archives[0].name}"] = content(b"\n  Please wait ...", kind="application/json")
        with pytest.raises(InputError, match="not JSON"):
            fetch_layout("tadtr", way_to(tmp_path / "out"), archives=archives)
        assert not (tmp_path / "out" / FILE_NAME).exists()

    def test_a_damaged_record_is_refused(self, server, parts, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / FILE_NAME).write_text('{"schema": "tal-repro/archives/1", "archives": {"a": {}}}')
        with pytest.raises(InputError, match="not a record of version"):
            fetch_layout("tadtr", way_to(tmp_path / "out"), archives=self.archives(server, parts))
        assert server.asked == []


def test_derived_features_name_themselves_everywhere(made, tmp_path):
    torch = pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")
    root = Path(shutil.copytree(made[0], tmp_path / "d"))
    (root / "data" / "thumos").rename(root / "thumos")
    result = CliRunner().invoke(main, ["data", "derive-tadtr", str(root)])
    assert result.exit_code == 0, result.output
    assert "DEVIATION" in result.output
    source, derived = load_dataset(root, "actionformer"), load_dataset(root, "tadtr")
    assert derived.derived and derived.name == "synthetic-thumos14-derived-from-actionformer" and derived.synthetic
    assert derived.annotation_hash == source.annotation_hash and not source.derived
    for video_id, video in derived.videos.items():
        rows = np.load(root / "thumos" / "i3d_features" / f"{video_id}.npy")
        tensor = torch.load(root / "thumos14" / "I3D_2stream_Pth" / video_id, weights_only=True)
        assert np.array_equal(tensor.numpy(), rows[::2]) and video.feature_length == len(tensor)
    layouts = json.loads((root / "fingerprint.json").read_text())["layouts"]
    assert [layout["name"] for layout in layouts] == [source.name, derived.name]
    with pytest.raises(InputError, match="TadTR's layout already"):
        from tal_repro.data.derive_tadtr import derive

        derive(root)


def test_runs_on_derived_features_must_declare_them(made, tmp_path, spec):
    pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")
    import dataclasses

    from tal_repro.data.derive_tadtr import derive
    from tal_repro.run.datasets import open_dataset

    root = Path(shutil.copytree(made[0] / "data", tmp_path / "d"))
    assert spec.data is not None

    def declared(name, model="tadtr", synthetic=True):
        data = dataclasses.replace(spec.data, name=name, annotation_hash="", synthetic=synthetic)
        return dataclasses.replace(spec, model=model, data=data)

    derive(root)
    with pytest.raises(InputError, match="are derived"):
        open_dataset(root, declared("synthetic-thumos14"))
    name = "synthetic-thumos14-derived-from-actionformer"
    assert open_dataset(root, declared(name)).derived
    with pytest.raises(InputError, match="are not derived"):
        open_dataset(root, declared(name, "tridet"))
    real = Path(shutil.copytree(made[0] / "data" / "thumos", tmp_path / "real" / "thumos")).parent
    file = real / "thumos" / "annotations" / "thumos14.json"
    raw = json.loads(file.read_text())
    del raw["synthetic"]
    file.write_text(json.dumps(raw))
    with pytest.raises(InputError, match="TadTR's features are not there"):
        open_dataset(real, declared("thumos14", synthetic=False))


def test_the_published_identifiers_are_those_of_the_upstreams():
    """As their README files state them."""
    (thumos,) = ARCHIVES["actionformer"]
    assert thumos.md5s == {"375f76ffbf7447af1035e694971ec9b2", "1f71c37dba55d549e4b02841d0dcf603"}
    links = " ".join(mirror.link for archive in (thumos, *ARCHIVES["tadtr"]) for mirror in archive.mirrors)
    for identifier in (
        "1zt2eoldshf99vJMDuu8jqxda55dCyhZP",
        "glpuxadymf3gd01m1cj6g5c3bn39qbgr",
        "1TgS91LVV-vzFTgIHl1AEGA",
        "s!AmoaChPnSuIOmwImo2-7iaRzrrAT?e=lyebbA",
        "EsMyXDlkrTdBsikoRQSIeUsBkxJJRsplbMyIQVYotiZRIQ?e=QYgiCH",
        "183VprlbKNjMb3Gr-rfmROQ",
    ):
        assert identifier in links
    assert not any(archive.md5s for archive in ARCHIVES["tadtr"])


def test_only_fetching_has_a_network():
    """No other module imports the network code, at import time or in a function."""
    words = ("urllib.request", "http.client", "http.cookiejar", "ftplib", "requests", "data.fetch")
    allowed = {"tal_repro/commands/data_fetch.py", "tal_repro/commands/data.py"}
    for path in (ROOT / "tal_repro").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("tal_repro/data/fetch/") or name in allowed:
            continue
        imports = [line for line in path.read_text().splitlines() if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in imports if any(word in line for word in words)], name
    code = "import sys, tal_repro.commands.data, tal_repro.data; print('tal_repro.data.fetch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
