"""One archive from a server that misbehaves: it arrives whole, or nothing does and the reason is told."""

from __future__ import annotations

import dataclasses
import errno
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_repro.data.fetch import download as module
from tal_repro.data.fetch import hosts, web
from tal_repro.data.fetch.download import download, note_path, part_path
from tal_repro.data.fetch.obtain import obtain
from tal_repro.data.fetch.sources import ARCHIVES, Archive, Mirror
from tal_repro.data.fetch.web import MirrorFailed
from tal_repro.data.workplace import workplace
from tal_repro.errors import InputError

from .misbehaving import HASTY, content, in_turn, md5, page, redirect, serving, status, way_to

DATA = bytes(range(256)) * 40  # 10240 bytes


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def fetch(server, tmp_path):
    """Download /file into tmp_path/file; `checked` publishes its md5."""
    told = []

    def run(path="/file", *, checked=True, most=10**6, link=None, **patience):
        mirror = Mirror("plain", link or f"{server.url}{path}", md5(DATA) if checked else None)
        archive = Archive("file", (mirror,), most)
        hasty = dataclasses.replace(HASTY, **patience)
        return download(archive, mirror, tmp_path / "file", hasty, lambda done, total: None, told.append)

    run.told = told
    return run


def test_a_sound_server(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA)
    assert fetch() is False
    assert (tmp_path / "file").read_bytes() == DATA
    assert not part_path(tmp_path / "file").exists() and note_path(tmp_path / "file").exists()
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_cut_download_goes_on_where_it_was(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA, cut_after=3000)
    assert fetch() is True
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == ["bytes=3000-", "bytes=6000-", "bytes=9000-"]
    assert {one.headers.get("If-Range") for one in server.asked[1:]} == {'"one"'}


def test_another_call_goes_on_too(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), status(404))
    with pytest.raises(MirrorFailed, match="404 not there any more"):
        fetch()
    assert part_path(tmp_path / "file").stat().st_size == 5000 and not (tmp_path / "file").exists()
    server.answers["/file"] = content(DATA)
    assert fetch() is True and server.ranges()[-1] == "bytes=5000-"
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_server_without_ranges_starts_over(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000, ranges=False), content(DATA, ranges=False))
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA and len(server.asked) == 2
    assert any("from the start" in line for line in fetch.told)


def test_a_file_that_changed_in_between_starts_over(server, fetch, tmp_path):
    other = DATA[::-1]
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), content(other, etag='"two"'))
    fetch()
    assert (tmp_path / "file").read_bytes() == other


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag(server, fetch, tmp_path):
    other = DATA[::-1]

    def careless(request):
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"ETag": '"two"', "Content-Range": f"bytes {start}-{len(other) - 1}/{len(other)}"}
        status(206 if start else 200, headers, other[start:])(request)

    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), careless)
    fetch(checked=False)
    assert (tmp_path / "file").read_bytes() == other


@pytest.mark.parametrize("span", ["bytes 0-10239/10240", "bytes 5000-10239/99999", "bytes 5000-9/10240", "rubbish"])
def test_the_wrong_part_is_not_appended(server, fetch, tmp_path, span):
    def wrong(request):
        status(206, {"ETag": '"one"', "Content-Range": span}, DATA[5000:])(request)

    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), wrong, content(DATA))
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA


def test_without_etag_and_checksum_nothing_is_kept(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000, etag=None), content(DATA, etag=None))
    fetch(checked=False)
    assert server.ranges() == [] and (tmp_path / "file").read_bytes() == DATA


def test_a_weak_etag_is_not_sent_as_a_condition(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000, etag='W/"x"'), content(DATA, etag='W/"x"'))
    fetch()
    assert server.ranges() == ["bytes=5000-"] and "If-Range" not in server.asked[1].headers


def test_another_mirror_of_the_same_checksum_goes_on(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), status(404))
    with pytest.raises(MirrorFailed):
        fetch()
    server.answers["/other"] = content(DATA, etag='"elsewhere"')
    assert fetch("/other") is True and server.ranges()[-1] == "bytes=5000-"
    assert "If-Range" not in server.asked[-1].headers and (tmp_path / "file").read_bytes() == DATA


def test_stopped_between_the_last_byte_and_the_name(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA)
    fetch()
    (tmp_path / "file").rename(part_path(tmp_path / "file"))
    fetch()
    assert len(server.asked) == 1 and (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("note", ["{", "[]", '{"link": 1}', '{"link": "x", "total": -1}', '{"link": "x", "no": 1}'])
def test_a_damaged_note_is_not_trusted(server, fetch, tmp_path, note):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), status(404))
    with pytest.raises(MirrorFailed):
        fetch()
    note_path(tmp_path / "file").write_text(note)
    server.answers["/file"] = content(DATA)
    fetch()
    assert "Range" not in server.asked[-1].headers and (tmp_path / "file").read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_over(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(content(DATA, cut_after=5000), status(404))
    with pytest.raises(MirrorFailed):
        fetch()
    part_path(tmp_path / "file").write_bytes(DATA + DATA)
    server.answers["/file"] = content(DATA)
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA


def test_503_then_fine_and_retry_after(server, fetch, tmp_path):
    server.answers["/file"] = in_turn(status(503, {"Retry-After": "7"}), status(429), content(DATA))
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA
    assert [line.partition(";")[0] for line in fetch.told] == ["503 Service Unavailable", "429 Too Many Requests"]


def test_503_for_ever(server, fetch):
    server.answers["/file"] = status(503)
    with pytest.raises(MirrorFailed, match="503"):
        fetch()
    assert len(server.asked) == HASTY.tries


def test_a_server_that_gives_a_byte_a_time_is_given_up(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA, cut_after=1)
    with pytest.raises(MirrorFailed, match="cut after"):
        fetch()
    assert len(server.asked) == HASTY.tries


@pytest.mark.parametrize("code", [401, 403, 404, 410, 400])
def test_a_refusal_is_not_asked_twice(server, fetch, code):
    server.answers["/file"] = status(code)
    with pytest.raises(MirrorFailed, match=str(code)):
        fetch()
    assert len(server.asked) == 1


def test_silence_and_slowness_end(server, fetch, tmp_path):
    server.answers["/file"] = lambda request: time.sleep(1.5)
    with pytest.raises(MirrorFailed, match="no answer in time"):
        fetch(timeout_seconds=0.3)

    def trickle(request):
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        for _ in range(40):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    server.answers["/slow"] = trickle
    with pytest.raises(MirrorFailed, match="slower than"):
        fetch("/slow", window_seconds=0.3, window_bytes=4000)


def test_a_slow_but_steady_server_is_waited_for(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA, pause_s=0.12)
    fetch(window_seconds=0.2)
    assert (tmp_path / "file").read_bytes() == DATA and len(server.asked) == 1


def test_more_than_expected_is_refused(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA, announce=10**12)
    with pytest.raises(MirrorFailed, match="announces 1000000000000 bytes"):
        fetch()

    def endless(request):
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(DATA)

    server.answers["/endless"] = endless
    with pytest.raises(MirrorFailed, match="more bytes than expected"):
        fetch("/endless", most=50_000)
    assert not part_path(tmp_path / "file").exists()


@pytest.mark.parametrize("tail", [b"0\r\n\r\n", b""])
def test_a_chunked_reply_whole_or_cut(server, fetch, tmp_path, tail):
    def chunked(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n%s" % (len(DATA), DATA, tail))

    server.answers["/file"] = chunked
    if tail:
        fetch()
        assert (tmp_path / "file").read_bytes() == DATA
    else:
        with pytest.raises(MirrorFailed, match="the connection broke"):
            fetch()
        assert not (tmp_path / "file").exists()


def test_wrong_size(server, fetch, tmp_path):
    server.answers["/file"] = content(DATA, announce=len(DATA) + 1, ranges=False)
    with pytest.raises(MirrorFailed, match="cut after 10240 of 10241"):
        fetch()
    assert not (tmp_path / "file").exists()


def test_an_empty_answer(server, fetch, tmp_path):
    server.answers["/file"] = content(b"", ranges=False)
    with pytest.raises(MirrorFailed, match="sent nothing"):
        fetch()
    assert not (tmp_path / "file").exists()


def test_redirects_are_followed_under_our_rules(server, fetch, tmp_path):
    server.answers["/file"] = redirect("/second", 301)
    server.answers["/second"] = redirect(f"{server.url}/third", 307)
    server.answers["/third"] = content(DATA)
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("file:///etc/passwd", "leads to file:"),
        ("ftp://127.0.0.1/x", "leads to ftp:"),
        ("data:text/plain,hello", "leads to data:"),
        ("http://user:secret@127.0.0.1/x", "login"),
        ("https:///x", "no host"),
        ("http://[", "no URL"),
        ("/file", "redirects more than 10 times"),
        ("", "redirects to nowhere"),
    ],
)
def test_a_bad_redirect(server, fetch, tmp_path, to, reason):
    server.answers["/file"] = redirect(to)
    with pytest.raises(MirrorFailed, match=reason):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_with_an_endless_body_is_not_read(server, fetch, tmp_path):
    def endless(request):
        request.send_response(302)
        request.send_header("Location", "/there")
        request.end_headers()
        while True:
            request.wfile.write(DATA)

    server.answers["/file"], server.answers["/there"] = endless, content(DATA)
    fetch()
    assert (tmp_path / "file").read_bytes() == DATA


def test_from_https_to_http_is_refused():
    with pytest.raises(MirrorFailed, match="from https to http"):
        web._redirected("https://host/a", "http://host/b")


def test_a_server_that_is_not_there_is_not_waited_for(fetch, monkeypatch):
    with pytest.raises(MirrorFailed, match="cannot be reached"):
        fetch(link="http://127.0.0.1:1/x")

    def no_name(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with pytest.raises(MirrorFailed, match="cannot be reached"):
        fetch(link="http://no-such-host.invalid/x")
    assert fetch.told == []


@pytest.mark.parametrize(
    "reply", [b"rubbish\r\n\r\n", b"HTTP/1.1 200 \x1b[2J\r\n", b"", b"HTTP/1.1 599 \x1b[2J\r\n\r\n"]
)
def test_what_is_no_http(server, fetch, reply):
    server.answers["/file"] = lambda request: request.wfile.write(reply)
    with pytest.raises(MirrorFailed) as told:
        fetch()
    assert str(told.value).isprintable()


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_web_page_instead_of_the_file(server, fetch, tmp_path, kind):
    server.answers["/file"] = content(b"<!DOCTYPE html><title>Welcome</title>", kind=kind)
    with pytest.raises(MirrorFailed, match="web page instead of the file"):
        fetch()
    assert not (tmp_path / "file").exists()


FORM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p>Google Drive can't scan this file for viruses.</p><form id="download-form" action="{action}" method="get">
<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="abc&amp;d">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="1-2"></form>
<form id="other"><input type="hidden" name="evil" value="1"></form></body></html>"""


def test_drives_confirmation_page_is_followed_and_cut_downloads_behind_it_go_on(server, fetch, tmp_path):
    server.answers["/file"] = page(FORM.format(action=f"{server.url}/download"))
    server.answers["/download"] = content(DATA, cut_after=6000)
    assert fetch() is True
    assert (tmp_path / "file").read_bytes() == DATA
    asked = [one.path for one in server.asked if one.path.startswith("/download")]
    assert asked == ["/download?id=abc%26d&confirm=t&uuid=1-2"] * 2


@pytest.mark.parametrize(
    ("action", "reason"),
    [("https://elsewhere.example/x", "another site"), ("file:///etc/passwd", "leads to file:")],
)
def test_a_confirmation_page_leads_nowhere_else(server, fetch, action, reason):
    server.answers["/file"] = page(FORM.format(action=action))
    with pytest.raises(MirrorFailed, match=reason):
        fetch()


def test_a_confirmation_page_that_leads_to_itself_ends(server, fetch):
    server.answers["/file"] = page(FORM.format(action="/file"))
    with pytest.raises(MirrorFailed, match="one web page after the other"):
        fetch()
    assert len(server.asked) == module.PAGES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<title>Google Drive - Quota exceeded</title>", "quota is used up"),
        ("<p>Too many users have <b>viewed</b> or downloaded this file recently.", "quota is used up"),
        ("<h1>You need access</h1>", "permission denied"),
        ("<title>Google Drive: Sign in</title>", "asks for a login"),
        ("<p>This shared file or folder link has been removed or is unavailable to you.", "was removed"),
        ("<title>\x1b[2JHello</title>", "web page instead of the file"),
        ("<" * 60_000, "web page instead of the file"),
        ("<form id='download-form'" + "<!-- " * 12_000, "web page instead of the file"),
    ],
)
def test_what_a_page_means(server, fetch, text, reason):
    server.answers["/file"] = page(text)
    started = time.process_time()
    with pytest.raises(MirrorFailed, match=reason) as told:
        fetch()
    assert time.process_time() - started < 2 and str(told.value).isprintable()


def test_a_full_disk_keeps_what_came(server, fetch, tmp_path, monkeypatch):
    server.answers["/file"] = content(DATA)

    def full(stream, block):
        stream.write(block[:4000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", full)
        with pytest.raises(InputError, match=r"No space left on device.*\n.*goes on from here"):
            fetch()
    assert not (tmp_path / "file").exists() and part_path(tmp_path / "file").stat().st_size == 4000
    assert fetch() is True and server.ranges() == ["bytes=4000-"]
    assert (tmp_path / "file").read_bytes() == DATA


def test_too_little_space_is_told_before_the_first_byte(server, fetch, tmp_path, monkeypatch):
    server.answers["/file"] = content(DATA)
    monkeypatch.setattr("tal_repro.data.workplace.SPARE_BYTES", 2**62)
    with pytest.raises(InputError, match="MiB are free"):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_addresses_of_the_published_links():
    session = web.Web(1)
    (archive,) = ARCHIVES["actionformer"]
    drive, box, copy, onedrive = (hosts.address_of(mirror, archive.name, session) for mirror in archive.mirrors[:4])
    assert drive.startswith("https://drive.usercontent.google.com/download?id=1zt2eoldshf99vJMDuu8jqxda55dCyhZP&")
    assert box == "https://uwmadison.box.com/shared/static/glpuxadymf3gd01m1cj6g5c3bn39qbgr.gz"
    assert copy.startswith("https://drive.usercontent.google.com/download?id=1iemRUtCVshYD3o9WahUrTTOW08GyCjfi&")
    assert onedrive.startswith("https://api.onedrive.com/v1.0/shares/u!aHR0cHM6Ly8xZHJ2Lm1z")
    assert onedrive.endswith("/root/content") and "=" not in onedrive


def test_a_file_of_a_shared_sharepoint_folder(server, tmp_path):
    folder = "/personal/some_body_edu/Documents/data set"

    def needs_cookie(request):
        if "FedAuth=1" not in request.headers.get("Cookie", ""):
            status(403)(request)
        else:
            content(DATA)(request)

    where = "/personal/some_body_edu/_layouts/15/"
    query = folder.replace("/", "%2F").replace(" ", "%20")
    server.answers["/share"] = status(302, {"Location": f"{where}onedrive.aspx?id={query}", "Set-Cookie": "FedAuth=1"})
    server.answers[f"{where}onedrive.aspx"] = page("<title>Files</title>")
    server.answers[f"{where}download.aspx"] = needs_cookie
    mirror = Mirror("sharepoint-folder", f"{server.url}/share")
    target = tmp_path / "a.tar"
    download(Archive("a.tar", (mirror,)), mirror, target, HASTY, lambda done, total: None, print)
    assert target.read_bytes() == DATA
    assert server.asked[-1].path == f"{where}download.aspx?SourceUrl={query}%2Fa.tar"
    server.answers["/share"] = page("<p>This link has been removed or is unavailable")
    with pytest.raises(MirrorFailed, match="the shared link was removed"):
        download(Archive("b.tar", (mirror,)), mirror, tmp_path / "b.tar", HASTY, lambda done, total: None, print)


def test_no_secret_of_a_url_is_printed():
    assert web.shown("https://user:pw@host:1/a/b?token=x#y") == "https://host:1/a/b"


OLD, NEW = DATA, bytes(range(255, -1, -1)) * 41
ANSWERS = st.one_of(
    st.sampled_from([status(503), status(404), status(206), status(416), page("<title>Quota exceeded</title>")]),
    st.builds(
        content,
        st.sampled_from([OLD, NEW]),
        etag=st.sampled_from(['"old"', '"new"', 'W/"x"', None]),
        ranges=st.booleans(),
        cut_after=st.one_of(st.none(), st.integers(0, 12_000)),
        announce=st.one_of(st.none(), st.integers(0, 12_000)),
    ),
)


def test_a_server_that_sends_much_and_starts_over_is_given_up(tmp_path):
    cut = content(OLD, etag='"old"', ranges=True, cut_after=5000)
    with serving() as server:
        server.answers["/file"] = in_turn(*[cut, status(206)] * 40)
        archive = Archive("file", (Mirror("plain", f"{server.url}/file", md5(NEW)),), 10**6)
        with workplace(tmp_path), pytest.raises(InputError, match="by hand"):
            obtain(archive, [], way_to(tmp_path))
        assert server.count("/file") < 20


@settings(max_examples=60, deadline=None)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=6), calls=st.integers(1, 3))
def test_whatever_a_server_does_a_file_is_the_published_one_or_absent(tmp_path_factory, answers, calls):
    root = tmp_path_factory.mktemp("any")
    with serving() as server:
        server.answers["/file"] = in_turn(*answers)
        archive = Archive("file", (Mirror("plain", f"{server.url}/file", md5(NEW)),), 10**6)
        target = root / "downloads" / "file"
        for _ in range(calls):
            try:
                with workplace(root):
                    found = obtain(archive, [], way_to(root))
                assert found.path == target and target.read_bytes() == NEW
            except InputError as error:
                assert "by hand" in str(error) and not target.exists()
