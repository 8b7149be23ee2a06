"""Video ids as file names that Windows, macOS and Linux all take, and back.

An id is a POSIX path; each of its components becomes one component of a file path. Characters that a file system
refuses or treats specially are written as ``%XX`` (UTF-8 bytes), so ``urllib.parse.unquote`` gives the component back:

- control characters, ``< > : " | ? * \\``, ``%`` and ``~`` anywhere, and lone surrogates (bytes that are not UTF-8);
- a dot or a space at the end (Windows drops them), a dot or a space at the start (hidden files, temporaries); hence
  ``..`` becomes ``%2E%2E`` and no id leads out of its folder;
- the first letter of a Windows device name, with or without extension: ``CON.mp4`` becomes ``%43ON.mp4``;
- the last dot of a folder called ``*.h5``, so that a folder and an entry never want the same name.

An empty component becomes ``%_``. A component that is longer than 200 bytes in this form is cut and ends in
``~<32 hex digits>``, a hash of the whole; the true id lies inside the entry.
Ids that differ only by case get different names here, and meet on a file system that ignores case: ``FeatureCache``
looks at the id inside and refuses the second.
"""

from __future__ import annotations

import hashlib
import re

MAX_BYTES = 200
"""Room for an ending and a margin below the 255 bytes that file systems allow."""

_REFUSED = frozenset('<>:"|?*\\%~/\x7f') | frozenset(map(chr, range(32)))
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


def safe_component(name: str, *, folder: bool = False) -> str:
    """One path component for any text; different texts give different components."""
    if not name:
        return "%_"
    characters = [_escape(c) if c in _REFUSED or 0xD800 <= ord(c) <= 0xDFFF else c for c in name]
    if _DEVICES.fullmatch(name):
        characters[0] = _escape(name[0])
    if name[0] in ". ":
        characters[0] = _escape(name[0])
    for index in range(len(name) - 1, -1, -1):
        if name[index] not in ". ":
            break
        characters[index] = _escape(name[index])
    if folder and name.lower().endswith(".h5"):
        characters[-3] = _escape(".")
    safe = "".join(characters)
    return safe if len(safe.encode()) <= MAX_BYTES else _cut(safe, name)


def safe_path(video_id: str) -> str:
    """A relative POSIX path with the sub-folders of the id."""
    *folders, name = video_id.split("/")
    return "/".join([*(safe_component(folder, folder=True) for folder in folders), safe_component(name)])


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _cut(safe: str, name: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    head = safe.encode()[: MAX_BYTES - 33].decode("utf-8", "ignore")
    return f"{head}~{digest}"
