"""`data fetch --check`: every link is asked for its first bytes, against a local server."""

import pytest
from click.testing import CliRunner

from tal_repro.commands.data_fetch import fetch
from tal_repro.data.fetch import sources
from tal_repro.data.fetch.links import FIRST_BYTES, check_links
from tal_repro.data.fetch.sources import ARCHIVES, Archive, Mirror, instructions

from .misbehaving import content, page, serving, status

DATA = bytes(range(256)) * 40


@pytest.fixture
def archive():
    with serving() as server:
        server.answers |= {"/sound": content(DATA), "/gone": status(404), "/page": page("<html>sign in</html>")}
        server.answers |= {"/empty": status(200), "/busy": status(503)}
        mirrors = [Mirror("plain", f"{server.url}/{name}") for name in ("sound", "gone", "page", "empty", "busy")]
        yield Archive("file", (*mirrors, Mirror("by-hand", "https://by.hand/x")))


def test_each_link_has_its_answer(archive):
    answers = list(check_links([archive]))
    assert [answer.gives for answer in answers] == [True, False, False, False, False, None]
    assert answers[0].reason == f"gives its first {FIRST_BYTES} bytes"
    assert "404" in answers[1].reason and "503" in answers[4].reason


@pytest.mark.parametrize(("first", "code"), [(0, 0), (1, 1)], ids=["one link gives it", "no link gives it"])
def test_the_command_prints_a_line_each_and_fails_where_an_archive_has_no_link(
    archive, monkeypatch, tmp_path, first, code
):
    mirrors = archive.mirrors[first:]
    for layout in ARCHIVES:
        monkeypatch.setitem(sources.ARCHIVES, layout, (Archive(layout, mirrors),))
    answer = CliRunner().invoke(fetch, ["--check", "--out", str(tmp_path / "none")])
    assert answer.exit_code == code, answer.output
    assert answer.output.count("by.hand") == len(ARCHIVES)
    assert ("actionformer: no link" in answer.output) == bool(code)
    assert not (tmp_path / "none").exists()


def test_without_check_name_and_layout_are_asked_for():
    assert CliRunner().invoke(fetch, []).exit_code == 2
    assert "--layout" in CliRunner().invoke(fetch, ["thumos14"]).output


def test_onedrive_is_the_last_that_is_asked_by_program_and_says_why():
    for archives in ARCHIVES.values():
        for archive in archives:
            hosts = [mirror.host for mirror in archive.mirrors if mirror.host != "by-hand"]
            assert "onedrive" not in hosts[:-1]
            assert all("October 2024" in mirror.note for mirror in archive.mirrors if mirror.host == "onedrive")


def test_the_way_by_hand_serves_a_machine_without_a_browser(tmp_path):
    archive = ARCHIVES["actionformer"][0]
    assert f"scp {archive.name} " in (instructions(archive, tmp_path, [], "md5").remedy or "")
