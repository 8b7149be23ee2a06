"""What users can cause. Each message is one line: what, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VidlangError(Exception):
    """Base of every error that a user can cause and mend."""


class BadInput(VidlangError):
    """Options or paths that cannot be used together or at all."""


class BadVideo(VidlangError):
    """A file that cannot be read as a video."""


class BadManifest(VidlangError):
    """A list of labelled videos that cannot be used."""


class BadAnnotation(VidlangError):
    """A published annotation file that does not read as its format says."""


class MissingFeatures(VidlangError):
    """Features that a command needs are not in the cache."""


class DamagedEntry(VidlangError):
    """A cache entry that is torn, edited, or of an unknown schema."""


class BadCheckpoint(VidlangError):
    """Trained weights that do not fit what is asked of them."""


class EncoderUnavailable(VidlangError):
    """Encoder weights that cannot be had here."""


class MissingDependency(VidlangError):
    """An optional package that the asked feature needs."""


class UnknownName(VidlangError):
    """A name that no registry knows; the message suggests the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        hint = did_you_mean(name, known)
        super().__init__(f"There is no {kind} called {name!r}.{hint} Known: {', '.join(known) or 'none'}.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'mini'?`` for a message, or nothing where no known name is close."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
