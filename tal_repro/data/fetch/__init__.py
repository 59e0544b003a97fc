"""Archives from the authors' published places to a checked data folder: the one part of the kit with a network.

Order of reading: sources (what, where), thumos14 and checkpoints (the whole way), obtain (one archive), download, web
and hosts (its bytes), checksums, unpack (safe extraction). Only `tal-repro data fetch` and `data fetch-checkpoint` load
it; everything else works without a network.

Why the standard library and not gdown. The archives lie at four kinds of host (Google Drive, Box, OneDrive, SharePoint)
and gdown knows the pages of one; it would add requests, BeautifulSoup, filelock, tqdm and what these need to every lock
file. As read at its commit 013f4b8 it appends to a cut download without asking whether the file is still the same, or
whether the server sent the rest or the whole; it has no limit of size, and its addresses cannot be pointed at a local
server, so that none of its failures could be tested without a network. What it does better is to keep up with Google's
pages. Here a page that is not understood is no failure of the kit: it ends with what to download by hand, and the same
command takes the file from there. The protocol itself (redirects, ranges, If-Range, retries) is needed for every host,
and is small on top of `urllib.request`, which honours proxies and the system's certificates.
"""
