"""The errors a user is meant to read. The command line prints them without a traceback and exits 2."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from os import PathLike

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OTHER_PLACE = "see to its permissions, or give another place"
_REMEDIES = {
    errno.EACCES: _OTHER_PLACE,
    errno.EPERM: _OTHER_PLACE,
    errno.EROFS: "its disk is read-only: give another place",
    errno.ENOSPC: "free space on its disk, or give another place",
    errno.EDQUOT: "your quota on its disk is used up: free space, or give another place",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a part of this path is a file: give another place",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links go round in a circle: put the file in their place",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "this machine has too many files open: end other programs",
    errno.EIO: "its disk, or the network to it, failed: check it, try again, or give another place",
}
CONTAINER_VARIABLE = "TAL_REPRO_CONTAINER"  # set in the images: kit or upstream


class InputError(ValueError):
    """Say what is wrong with an input, where (file, line, field), and what to do about it."""

    def __init__(self, what: str, where: str | PathLike[str] | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, None if where is None else str(where), remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")


def commands_for_host(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a message whose `tal-repro ...` commands start the container, where this runs in one: its host has no kit.

    Commands about data are given `--fetch`: the one kind of container that has a network and may write the data folder.
    """
    if not environment.get(CONTAINER_VARIABLE):
        return text
    # those about data first: after it, no "tal-repro" is left in them for the second
    text = re.sub(r"\btal-repro (?=data [a-z])", "docker/kit.sh --fetch -- ", text)
    return re.sub(r"\btal-repro (?=[a-z]+\b)", "docker/kit.sh -- ", text)


def system_remedy(error: BaseException, missing: str | None = None) -> str:
    """Return what to do about a file or folder that the system refused; `missing`: where it is not there.

    "" for an error that is not of a file.
    """
    number = error.errno if isinstance(error, OSError) else errno.ENOENT
    return missing if number == errno.ENOENT and missing else _REMEDIES.get(number or 0, "")


def of_system(error: OSError) -> InputError | None:
    """Return what a user is meant to read of an error of the system; None where it is not of a file."""
    if not (remedy := system_remedy(error)):
        return None
    return InputError(f"{error.strerror}", error.filename or "a file", remedy)
