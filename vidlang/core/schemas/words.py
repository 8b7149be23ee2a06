"""Short words that JSON Schemas (draft 2020-12) are written with: ``record(x=number("…"))``."""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def text(says: str = "") -> JsonSchema:
    return _of("string", says)


def word(*words: str, says: str = "") -> JsonSchema:
    """One of some texts."""
    return {**text(says), "enum": list(words)}


def number(says: str = "") -> JsonSchema:
    return _of("number", says)


def count(says: str = "") -> JsonSchema:
    """A whole number from 0 on."""
    return {**_of("integer", says), "minimum": 0}


def whole(says: str = "") -> JsonSchema:
    return _of("integer", says)


def flag(says: str = "") -> JsonSchema:
    return _of("boolean", says)


def share(says: str = "") -> JsonSchema:
    """A number from 0 to 1."""
    return {**number(says), "minimum": 0, "maximum": 1}


def any_value(says: str = "") -> JsonSchema:
    return {"description": says} if says else {}


def many(item: JsonSchema, says: str = "") -> JsonSchema:
    return {**_of("array", says), "items": item}


def pair(item: JsonSchema, says: str = "") -> JsonSchema:
    return {**many(item, says), "minItems": 2, "maxItems": 2}


def by_name(value: JsonSchema, says: str = "") -> JsonSchema:
    """An object whose keys are names of the user's or of what was measured."""
    return {**_of("object", says), "additionalProperties": value}


def or_null(schema: JsonSchema) -> JsonSchema:
    kind = schema["type"]
    return {**schema, "type": [*kind, "null"] if isinstance(kind, list) else [kind, "null"]}


def record(says: str = "", /, optional: dict[str, JsonSchema] | None = None, **fields: JsonSchema) -> JsonSchema:
    """An object that has these fields, may have the optional ones, and others that later versions add."""
    return {**_of("object", says), "properties": {**fields, **(optional or {})}, "required": list(fields)}


def document(
    name: str, says: str, version: int = 1, /, optional: dict[str, JsonSchema] | None = None, **fields: JsonSchema
) -> JsonSchema:
    """The schema of a whole answer or line, which says its own name in ``schema``."""
    identity = f"vidlang.{name}/{version}"
    fields = {"schema": {"const": identity, "description": "This schema's name and version."}, **fields}
    return {"$schema": DIALECT, "$id": identity, "title": name, **record(says, optional=optional, **fields)}


def _of(kind: str, says: str) -> JsonSchema:
    return {"type": kind, **({"description": says} if says else {})}
