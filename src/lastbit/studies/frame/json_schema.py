"""The JSON Schema (draft 2020-12) of what `plain` makes of a typed class."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import FloatSchema

__all__ = ["json_schema_of"]


class _AsPlain(GenerateJsonSchema):
    """Has numbers as `plain` writes them: infinities as text."""

    def float_schema(self, schema: FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), {"enum": ["inf", "-inf"]}]}


def json_schema_of(kind: type, *more: type) -> dict[str, Any]:
    """Return the JSON schema of the plain form of a class, the fields of further ones beside its own.

    Args:
        kind: a dataclass or a pydantic model.
        *more: whose fields stand in the same object; of two of one name the later is meant.
    """
    first, *others = (
        TypeAdapter(one).json_schema(mode="serialization", schema_generator=_AsPlain) for one in (kind, *more)
    )
    for other in others:
        for part in ("properties", "$defs"):
            if part in other:
                first[part] = {**first.get(part, {}), **other[part]}
        first["required"] = [*dict.fromkeys([*first.get("required", ()), *other.get("required", ())])]
    return first
