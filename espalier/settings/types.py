"""Value types of settings, shared by stage specs and registered functions."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator


def _ordered(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("the lower end comes first")
    return interval


def _once(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("a value is named twice")
    return values


def _some(values: tuple) -> tuple:
    if not values:
        raise ValueError("nothing is named; name one, or leave the key out for all")
    return _once(values)


def _text(value: Any) -> Any:
    # Ids, studies and folders may be called by digits alone, which YAML reads as a number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(_text(value), str) else value


Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Portion = Annotated[float, Field(gt=0, le=1)]
Percent = Annotated[float, Field(gt=0, le=100)]
Probability = Annotated[float, Field(ge=0, le=1)]
Turn = Annotated[float, Field(ge=0, le=0.5)]
"""Part of a circle, to either side."""
Bins = Annotated[int, Field(ge=2)]
Bits = Literal[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32]
"""Width of a level; 32 leaves floats as they are."""
# A YAML sequence arrives as a list; the elements stay strictly typed.
Counts = Annotated[tuple[Count, ...], Strict(False), Field(min_length=1)]
Widths = Annotated[tuple[Bits, ...], Strict(False), Field(min_length=1), AfterValidator(_once)]
Classes = Annotated[tuple[Natural | str, ...], Strict(False), Field(min_length=2)]
"""Classes by their numbers or names."""
Name = Annotated[str, BeforeValidator(_text)]
Names = Annotated[tuple[Name, ...], Strict(False), BeforeValidator(_listed), Field(min_length=1), AfterValidator(_once)]
"""Names, or one alone."""
Protocol = Literal["clean", "published"]
"""Which images choices are made on: those set aside from training, or the test split."""
Parts = Annotated[tuple[Literal["first", "classifier"], ...], Strict(False)]
Extent = Annotated[tuple[Probability, Probability], Strict(False)]
"""Shares of an image's width and height."""
Interval = Annotated[tuple[Positive, Positive], Strict(False), AfterValidator(_ordered)]
Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "gaussian_blur",
    "motion_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg",
]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
"""What may befall a test image, in the order of tables."""
Strength = Literal[1, 2, 3, 4, 5]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
CorruptionNames = Annotated[tuple[Corruption, ...], Strict(False), AfterValidator(_some)]
Strengths = Annotated[tuple[Strength, ...], Strict(False), AfterValidator(_some)]
AugmentStage = Literal["uint8", "normalized", "mixing"]
AUGMENT_STAGES: tuple[AugmentStage, ...] = get_args(AugmentStage)
"""What an augmentation works on, in the order in which a policy must name them."""


class FolderSplits(BaseModel):
    """What the splits are called in a source: folders of `folder`, values in the column of `table`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    train: Names | None = None
    """names of the training split, one or several"""
    validation: Names | None = None
    """names of the validation split, one or several"""
    test: Names | None = None
    """names of the test split, one or several"""

    def named(self) -> dict[str, tuple[str, ...]]:
        """Split → its names, of those that have any."""
        return {split: names for split, names in self if names}


class Folds(BaseModel):
    """One fold of a stratified cross-validation: one part of the images is tested, the rest is for training and
    validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    folds: Bins
    """number of parts that the images are cut into"""
    fold: Natural
    """the part that is tested, from 0"""

    @model_validator(mode="after")
    def _in_range(self) -> "Folds":
        if self.fold >= self.folds:
            raise ValueError(f"there is no fold {self.fold}; the {self.folds} folds are numbered from 0")
        return self


@dataclass(frozen=True)
class AlsoWritten:
    """A shorter form that a validator accepts beside a type's own; the JSON schema learns of it here."""

    schema: Literal["name", "list", "item", "text", "mapping"]
    names: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    """names that may also stand in a mapping, with settings beside them that the type cannot list"""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        own = handler(core)
        short = {
            "name": {"enum": list(self.names)},
            "list": {"type": "array", "minItems": 1},
            "item": own.get("items", {}),
            "text": {"type": "string"},
            "mapping": {"type": "object"},
        }
        preset = {"type": "object", "properties": {"name": {"enum": list(self.presets)}}, "required": ["name"]}
        return {"anyOf": [short[self.schema], own, *([preset] if self.presets else [])]}


__all__ = [
    "AlsoWritten",
    "Annotated",
    "Bins",
    "Bits",
    "Classes",
    "Count",
    "Counts",
    "Extent",
    "FolderSplits",
    "Folds",
    "Fraction",
    "Interval",
    "Literal",
    "Natural",
    "NonNegative",
    "Parts",
    "Percent",
    "Portion",
    "Positive",
    "Probability",
    "Protocol",
    "Share",
    "Turn",
    "Widths",
]
