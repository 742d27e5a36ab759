"""Value types of settings, shared by stage specs and registered functions."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
# A YAML sequence arrives as a list; the elements stay strictly typed.
Counts = Annotated[tuple[Count, ...], Strict(False), Field(min_length=1)]
Floats = Annotated[tuple[float, ...], Strict(False), Field(min_length=1)]
Names = Annotated[tuple[str, ...], Strict(False)]


@dataclass(frozen=True)
class AlsoWritten:
    """A shorter form that a validator accepts beside a type's own; the JSON schema learns of it here."""

    schema: Literal["name", "list", "item"]
    names: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        own = handler(core)
        short = {
            "name": {"enum": list(self.names)},
            "list": {"type": "array", "minItems": 1},
            "item": own.get("items", {}),
        }
        return {"anyOf": [short[self.schema], own]}


__all__ = [
    "AlsoWritten",
    "Annotated",
    "Count",
    "Counts",
    "Floats",
    "Fraction",
    "Literal",
    "Names",
    "Natural",
    "NonNegative",
    "Positive",
    "Probability",
]
