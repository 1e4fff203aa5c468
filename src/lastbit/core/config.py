"""The base of every configuration: frozen, keyword-only, validated, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError

from lastbit.core.errors import LastbitError, choose
from lastbit.core.refused import first_refusal, spaced

__all__ = ["Config", "validated"]


class Config(BaseModel):
    """A frozen, keyword-only, validated set of settings. Unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for a number, where Python counts them as 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        kinds = {*(get_args(field.annotation) or (field.annotation,))}
        own = any(isinstance(one, BeforeValidator) for one in field.metadata)
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds and not own:
            raise PydanticKnownError("float_type" if float in kinds else "int_type")
        return value


C = TypeVar("C", bound=Config)


def validated(
    config: type[C], values: Mapping[str, Any], *, flag: str = "", stored: Mapping[str, Any] = MappingProxyType({})
) -> C:
    """Build `config` from `values`.

    Args:
        config: the class to build.
        values: its fields.
        flag: what precedes a field's name in messages, `"--"` for the command line; underscores are then written
            as hyphens.
        stored: fields of an earlier time, which `values` go before; validators get them as their context, to let
            pass what was accepted then.

    Raises:
        LastbitError: one line that names the first field that does not fit, what arrived and what is accepted.
    """
    values = {**stored, **values}
    try:
        return config.model_validate(values, context=dict(stored))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # For a setting that holds several values, the position among them says less than the value shown.
        name = ".".join(part for part in first["loc"] if isinstance(part, str))
        if first["type"] == "extra_forbidden":
            choose(name, config.model_fields, "setting")
        shown = f"{flag}{name.replace('_', '-')}" if flag else name
        several = isinstance(values.get(name), list | tuple)
        if several and first["type"] in ("missing", "too_long"):
            wanted = _number_of_values(config.model_fields[name])
            raise LastbitError(f"{shown} {spaced(values[name])}: {wanted}") from None
        if first["type"] == "missing":
            raise LastbitError(f"{shown} is missing: give the {config.model_fields[name].description}") from None
        raise LastbitError(first_refusal(shown if name else "", error)) from None


def _number_of_values(field: FieldInfo) -> str:
    """Return how many values a setting of several takes, with its default as an example."""
    example = "" if field.is_required() else f", for example {spaced(field.default)}"
    return f"give {len(get_args(field.annotation))} values, the {field.description}{example}"
