"""The table of an `.esp` file: tensors, shapes and streams, read from text that nobody vouches for."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from espalier.errors import Damaged

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_Natural = Annotated[int, Field(ge=0, lt=1 << 31)]
_ELEMENTS = 1 << 56


def _countable(shape: tuple[int, ...]) -> tuple[int, ...]:
    # A tensor of no elements may have other sizes of any length, which numpy cannot hold.
    if math.prod(size or 1 for size in shape) > _ELEMENTS:
        raise ValueError("a shape is beyond 2^56")
    return shape


Shape = Annotated[tuple[_Natural, ...], Field(max_length=8), AfterValidator(_countable)]
Dtype = Literal["float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        # A row is a list in the file: the names of its fields need not be said again for every tensor.
        if not isinstance(value, list):
            return value
        if len(value) != len(cls.model_fields):
            raise ValueError("a row has another length")
        values = (tuple(each) if isinstance(each, list) else each for each in value)
        return dict(zip(cls.model_fields, values, strict=True))

    def row(self) -> list[Any]:
        """What stands in the file."""
        return list(self.model_dump().values())


class Levels(_Row):
    """A quantized tensor, and its stream of levels less zero points."""

    name: Annotated[str, Field(max_length=512)]
    shape: Shape
    lowest: Annotated[int, Field(ge=-(1 << 16), le=0)]
    highest: Annotated[int, Field(gt=0, lt=1 << 16)]
    scale_shape: Shape
    zero_points: bool
    """false where all are 0 and not stored"""
    codec: Annotated[int, Field(ge=0, lt=2)]
    """index into `CODECS`"""
    low: int
    high: int
    settings: Annotated[tuple[int, ...], Field(max_length=16)]
    bytes: _Natural


class Plain(_Row):
    """The entry of a tensor that is stored exactly; its values are in the stream of its type."""

    name: Annotated[str, Field(max_length=512)]
    shape: Shape
    dtype: Dtype


class Words(_Row):
    """A stream of the words of all tensors of one kind."""

    kind: Dtype | Literal["scale", "zero_point"]
    codec: Literal["xz", "range"]
    bytes: _Natural


class Table(BaseModel):
    """What a file holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    record: dict[str, Any]
    """the settings that rebuild the network"""
    order: list[Annotated[int, Field(ge=0, le=1)]]
    """for each tensor, 0 where it is the next of `levels` and 1 where it is the next of `plain`"""
    levels: list[Levels]
    plain: list[Plain]
    words: list[Words]

    @field_validator("levels", "plain")
    @classmethod
    def _named(cls, rows: list[Any]) -> list[Any]:
        if bad := next((row.name for row in rows if not _NAME.fullmatch(row.name)), None):
            raise ValueError(f"no tensor can be named {bad[:80]!r}")
        return rows

    @model_validator(mode="after")
    def _whole(self) -> "Table":
        names = [row.name for row in (*self.levels, *self.plain)]
        if len(set(names)) != len(names):
            raise ValueError("two tensors have one name")
        if (self.order.count(0), self.order.count(1)) != (len(self.levels), len(self.plain)):
            raise ValueError("the order is not that of the tensors")
        if len({row.kind for row in self.words}) != len(self.words):
            raise ValueError("two streams of words are of one kind")
        return self

    def text(self) -> dict[str, Any]:
        """The table as it is written."""
        rows = {key: [row.row() for row in getattr(self, key)] for key in ("levels", "plain", "words")}
        return {"record": self.record, "order": self.order, **rows}


def parse(found: Any) -> Table:
    """Check a table read from a file.

    Raises:
        Damaged: it is not one.
    """
    try:
        return Table.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Damaged(f"its table is wrong: {place[:200]} {first['msg'][:200]}") from error


def broadcasts(inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    """Whether scales of one shape fit levels of another: one of all, or of each place along an axis."""
    return not inner or (
        len(inner) == len(outer) and all(size in (1, full) for size, full in zip(inner, outer, strict=True))
    )
