"""The JSON that vidlang answers and writes, as JSON Schemas (draft 2020-12) by name."""

from __future__ import annotations

from typing import Any

SCHEMAS: dict[str, dict[str, Any]] = {}
