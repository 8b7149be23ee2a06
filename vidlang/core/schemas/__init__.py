"""The JSON that vidlang answers and writes, as JSON Schemas (draft 2020-12) by name.

An answer of ``--json`` is one object, a file of JSON Lines one object a line; each has ``schema``:
``vidlang.<name>/1``. Fields may be added within a version, so readers pass over what they do not know. A field that
goes, or means something else, makes the next version. A command that answers in JSON adds its schema to one of these
modules; a test holds answers against them.
"""

from __future__ import annotations

from vidlang.core.errors import UnknownName
from vidlang.core.schemas.files import FILES_WRITTEN
from vidlang.core.schemas.kept import KEPT
from vidlang.core.schemas.measured import MEASURED
from vidlang.core.schemas.videos import VIDEOS
from vidlang.core.schemas.words import JsonSchema

ALL = (*VIDEOS, *MEASURED, *KEPT, *FILES_WRITTEN)
SCHEMAS: dict[str, JsonSchema] = {schema["title"]: schema for _, schema in ALL}
SOURCES: dict[str, str] = {schema["title"]: where for where, schema in ALL}


def find_schema(name: str) -> JsonSchema:
    """The schema of a name, with or without ``vidlang.`` before and ``/1`` behind.

    Raises:
        UnknownName: there is none.
    """
    short = name.removeprefix("vidlang.").partition("/")[0]
    if short not in SCHEMAS:
        raise UnknownName("schema", short, SCHEMAS)
    return SCHEMAS[short]
