"""Recorded numbers of WTAL: where they lie, and how tests compare them.

``from wtal_golden import needs_golden, over_tolerance``; a test that reads them is marked ``@needs_golden`` and skips
with a reason where they are absent. Nothing is read at import. The comparison itself is that of
``benchmarks/golden_wtal.py``, which prints it as a table.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(os.environ.get("VIDLANG_SHARED", ROOT.parent / "shared")) / "golden" / "wtal"
SCRIPT = ROOT / "benchmarks" / "golden_wtal.py"

needs_golden = pytest.mark.skipif(
    not (GOLDEN / "losses.npz").is_file(), reason="needs golden/wtal of the shared development data ($VIDLANG_SHARED)"
)


@cache
def script() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("golden_wtal", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(SCRIPT.parent))  # where golden_table lies
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def over_tolerance(section: str, least: int) -> list[str]:
    """Lines of one section that are over their tolerance; at least so many comparisons must have been made."""
    rows = list(script().SECTIONS[section](script().Golden(GOLDEN)))
    made = sum(row.num_arrays for row in rows)
    assert made >= least, f"{section}: only {made} comparisons"
    return [f"{row.what}: {row.difference:.1e} > {row.tolerance:.0e}" for row in rows if not row.holds]
