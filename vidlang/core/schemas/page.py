"""The page of documentation that is made from the schemas."""

from __future__ import annotations

from collections.abc import Iterator

from vidlang.core.schemas import ALL
from vidlang.core.schemas.words import JsonSchema

DEEPEST = 3
"""Objects inside objects that are shown."""


def schemas_page() -> str:
    """``docs/json.md``."""
    lines = [
        "# JSON answers and files",
        "",
        "<!-- Made by: vidlang schema --markdown > docs/json.md -->",
        "",
        "`--json` prints one JSON object on stdout; messages and progress go to stderr. Files called `.jsonl` hold one",
        "object a line. Each object has `schema`, such as `vidlang.score/1`: the name and the version. Fields may be",
        "added within a version, so pass over what you do not know; a field that goes or means something else makes",
        "the next version. `vidlang schema NAME` prints the JSON Schema (draft 2020-12) of a name. Times are seconds",
        "unless a field says otherwise, and intervals are half-open. Exit codes are those without `--json`: an answer",
        "in which a video failed comes with exit code 1.",
        "",
        "| schema | of | what |",
        "|---|---|---|",
        *(f"| [`{s['title']}`](#{_anchor(s['title'])}) | {where} | {s['description']} |" for where, s in ALL),
    ]
    for where, schema in ALL:
        lines += ["", f"## {schema['title']}", "", f"{schema['description']} Of: {where}.", ""]
        lines += _fields(schema, "", 0)
    return "\n".join(lines) + "\n"


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return title.replace(".", "")


def _fields(schema: JsonSchema, indent: str, depth: int) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if name == "schema":
            yield f"{indent}- `schema`: `{field['const']}`"
            continue
        missing = "" if name in required else ", not always there"
        says = f" - {field['description']}" if field.get("description") else ""
        yield f"{indent}- `{name}` ({_kind(field)}{missing}){says}"
        inner = _inner(field)
        if inner and depth < DEEPEST:
            yield from _fields(inner, indent + "  ", depth + 1)


def _kind(schema: JsonSchema) -> str:
    kind = schema.get("type", "any")
    kinds = kind if isinstance(kind, list) else [kind]
    said = " or ".join(str(k) for k in kinds)
    if "array" in kinds:
        exact = f"{schema['minItems']} " if "minItems" in schema else ""
        said = said.replace("array", f"list of {exact}{_kind(schema['items'])}")
    elif schema.get("enum"):
        said = "one of " + ", ".join(schema["enum"])
    elif "additionalProperties" in schema:
        said = said.replace("object", f"object of names to {_kind(schema['additionalProperties'])}")
    return said


def _inner(schema: JsonSchema) -> JsonSchema | None:
    """The object that a field is, or that its items are."""
    while "items" in schema:
        schema = schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        schema = schema["additionalProperties"]
    return schema if schema.get("properties") else None
