"""vidlang: video in, language-aligned understanding out."""

from __future__ import annotations

__version__ = "0.1.0"
