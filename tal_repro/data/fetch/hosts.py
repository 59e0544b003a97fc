"""From a published link to the address that gives the bytes, and what a host's web page means when it sends one."""

from __future__ import annotations

import base64
import html
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from tal_repro.data.fetch.sources import Mirror
from tal_repro.data.fetch.web import MirrorFailed, Web, check_url, is_page, printable, read_page

DRIVE_DOWNLOAD = "https://drive.usercontent.google.com/download"
_DRIVE_ID = re.compile(r"/(?:file/d|folders)/([A-Za-z0-9_-]{10,100})(?:/|$)")
_DRIVE_FILE = re.compile(
    r'/file/d/([A-Za-z0-9_-]{10,100})/(?:(?!flip-entry-title).){0,2000}flip-entry-title"[^<>]*>([^<]+)', re.S
)
WANTED = "thumos"  # in the name of the one file that is wanted of a shared Drive folder
_FORM_IDS = ("download-form", "downloadForm")  # of Drive's page for files too large for its virus scan
# What pages say, in the order of what tells most. Matched in lower case.
_PAGES = (
    ("quota exceeded", "its download quota is used up; try again in a day"),
    ("too many users have viewed or downloaded", "its download quota is used up; try again in a day"),
    ("can't view or download this file", "its download quota is used up; try again in a day"),
    ("you need access", "permission denied: the file is not public any more"),
    ("request access", "permission denied: the file is not public any more"),
    ("sign in", "asks for a login"),
    ("in the owner's trash", "the file was deleted"),
    ("does not exist", "the file was deleted"),
    ("link has been removed or is unavailable", "the shared link was removed"),
    ("something went wrong", "the host says that something went wrong (a deleted or closed link, as a rule)"),
)


def address_of(mirror: Mirror, name: str, web: Web) -> str:
    """Return the address to ask for a mirror's bytes; `name` is the file wanted of a shared folder."""
    parts = urlsplit(mirror.link)
    if mirror.host in ("google-drive", "google-drive-folder"):
        match = _DRIVE_ID.search(parts.path)
        if not match:
            raise MirrorFailed("not a link to Google Drive")
        file_id = match[1] if mirror.host == "google-drive" else _in_drive_folder(mirror.link, match[1], web)
        query = urlencode({"id": file_id, "export": "download", "confirm": "t"})
        return f"{DRIVE_DOWNLOAD}?{query}"
    if mirror.host == "box":  # a shared link's `download_url` as Box's reference for shared links prints it
        ending = name.rpartition(".")[2]
        return f"{parts.scheme}://{parts.netloc}/shared/static/{parts.path.rpartition('/')[2]}.{ending}"
    if mirror.host == "onedrive":  # a sharing token, as Microsoft's reference for the shares API makes it
        token = base64.urlsafe_b64encode(mirror.link.encode()).decode().rstrip("=")
        return f"https://api.onedrive.com/v1.0/shares/u!{token}/root/content"
    if mirror.host == "sharepoint-folder":
        return _in_shared_folder(mirror.link, name, web)
    return mirror.link


def _in_drive_folder(link: str, folder_id: str, web: Web) -> str:
    """List a public folder (the page that other sites embed); return the id of its one file for THUMOS14."""
    reply = web.get(urljoin(link, f"/embeddedfolderview?id={folder_id}"))
    page = read_page(reply)
    files = [(match[1], html.unescape(match[2]).strip()) for match in _DRIVE_FILE.finditer(page)]
    fitting = [file_id for file_id, name in files if WANTED in name.lower()]
    if not files:
        raise MirrorFailed(_meaning(page))
    if len(fitting) != 1:
        names = printable(", ".join(name for _, name in files))
        raise MirrorFailed(f"its files do not say which is for THUMOS14: {names}")
    return fitting[0]


def _in_shared_folder(link: str, name: str, web: Web) -> str:
    """Open a shared folder's page (which sets its cookie); its address names the folder the file is in."""
    reply = web.get(link)
    url: str = reply.url
    page = read_page(reply) if is_page(reply) else ""
    folder = parse_qs(urlsplit(url).query).get("id", [""])[0]
    owner = re.match(r"(/(?:personal|sites)/[^/]+)/", folder)
    if not owner:
        raise MirrorFailed(_meaning(page))
    source = quote(f"{folder.rstrip('/')}/{name}", safe="")
    return urljoin(url, f"{quote(owner[1])}/_layouts/15/download.aspx?SourceUrl={source}")


def behind_page(url: str, page: str) -> str:
    """Return the address behind Drive's confirmation page; raise MirrorFailed saying what any other page means."""
    form = _Form()
    if any(name in page for name in _FORM_IDS):
        form.feed(page)
    if form.action is None:
        raise MirrorFailed(_meaning(page))
    action = urljoin(url, form.action)
    check_url(action)
    here, there = urlsplit(url), urlsplit(action)
    if not _same_site(here.hostname or "", there.hostname or "") or (here.scheme, there.scheme) == ("https", "http"):
        raise MirrorFailed("its confirmation page leads to another site")
    kept = parse_qs(there.query)
    query = urlencode({**{key: values[0] for key, values in kept.items()}, **form.fields})
    return there._replace(query=query, fragment="").geturl()


def _same_site(here: str, there: str) -> bool:
    ours = (".google.com", ".googleusercontent.com")
    return here == there or (f".{here}".endswith(ours) and f".{there}".endswith(ours))


def _meaning(page: str) -> str:
    text = re.sub(r"<[^<>]{0,2000}>", " ", page).replace("\u2019", "'").replace("&#39;", "'").lower()
    text = re.sub(r"\s+", " ", text)
    for words, meaning in _PAGES:
        if words in text:
            return meaning
    title = re.search(r"<title[^>]{0,200}>([^<]{0,200})", page, re.IGNORECASE)
    page_title = f" ({' '.join(title[1].split())[:60]!r})" if title and title[1].strip() else ""
    return f"sends a web page instead of the file{page_title}"


class _Form(HTMLParser):
    """Collect action and hidden fields of the download form."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form, and the hidden inputs in it."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") in _FORM_IDS:
            self._inside, self.action = True, given.get("action", "")
        elif tag == "input" and self._inside and given.get("type") == "hidden" and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Leave the form."""
        if tag == "form":
            self._inside = False
