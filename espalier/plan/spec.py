"""The settings of every stage, and the order of stages in a chain.

A stage's settings are the sections of a study that it reads.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Strict

from espalier.settings.registry import Spec, choice
from espalier.settings.sections import Encoding, Evaluation, Export, FineTuning, Quantization, Training
from espalier.settings.types import Natural, Protocol


class PrepareStage(Spec):
    """A data set as one file: images, labels, splits, class names, statistics."""

    dataset: choice("dataset")
    """data set, by name or with its settings"""
    protocol: Protocol = "clean"
    """where choices are made: clean on images set aside from training; published on the test split, as reports did,
    with all other images to train on, so that accuracies are optimistic"""


class TrainStage(Spec):
    """A network trained on the train split, its best epoch chosen on the validation split."""

    model: choice("model")
    """network, by name or with its settings"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, in order, by name or with their settings"""
    train: Training = Training()
    """how the network is trained"""
    pretrained: bool = False
    """start from the ImageNet weights that torchvision or timm publish, as far as their shapes fit"""
    checkpoint: str | None = None
    """start from weights of your own: a file in safetensors, or a state dict saved by torch"""
    seed: Natural = 0
    """seed of initialization, order, augmentation and dropout"""


class PruneStage(Spec):
    """Weights or channels removed from a trained network, and the rest fine-tuned."""

    prune: choice("pruning") | None = None
    """what to prune and how, by name or with its settings; null leaves the stage out"""
    control: Literal["random", "scratch"] | None = None
    """what the pruned network is compared with: as many weights or channels chosen at random, or the pruned
    structure with new weights, trained from scratch for the epochs of training and fine-tuning together"""
    fine_tune: FineTuning = FineTuning()
    """how the pruned network is trained"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training"""
    seed: Natural = 0
    """seed of order, augmentation, dropout and random choices"""


class ExportStage(Spec):
    """The float network as ONNX files, checked and timed."""

    export: Export | None = None
    """what to export; null leaves the stage out"""


class QuantizeStage(Spec):
    """A network with weights and activations of few bits, at every setting of a grid of widths."""

    quantize: Quantization | None = None
    """widths and how they are reached; null leaves the stage out"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training; only quantization-aware fine-tuning sees them"""
    seed: Natural = 0
    """seed of order, augmentation and dropout"""


class EncodeStage(Spec):
    """A network as one small file that decodes to it exactly."""

    encode: Encoding | None = None
    """how to code; null leaves the stage out"""


class EvaluateStage(Spec):
    """The test split, scored once, at the end of a chain."""

    evaluate: Evaluation = Evaluation()
    """what evaluation writes"""


STAGES: dict[str, type[Spec]] = {
    "prepare": PrepareStage,
    "train": TrainStage,
    "prune": PruneStage,
    "export": ExportStage,
    "quantize": QuantizeStage,
    "encode": EncodeStage,
    "evaluate": EvaluateStage,
}
"""Stages in the order of a chain; each reads the artifact of the one before it that is no branch."""

OPTIONAL = ("prune", "export", "quantize", "encode")
"""Stages left out of a chain where the section that bears their name is null."""

BRANCHES = ("export",)
"""Stages whose artifact only `evaluate` reads."""


class Settings(PrepareStage, TrainStage, PruneStage, ExportStage, QuantizeStage, EncodeStage, EvaluateStage):
    """All settings of one chain, every stage's together."""

    def stages(self, wanted: Collection[str]) -> tuple[str, ...]:
        """The stages of the chain: those wanted, less the optional ones that the settings leave out."""
        chosen = (name for name in STAGES if name in wanted or name == "prepare")
        return tuple(name for name in chosen if name not in OPTIONAL or getattr(self, name) is not None)

    def stage(self, name: str) -> Spec:
        """The settings that one stage reads."""
        kind = STAGES[name]
        return kind(**{key: getattr(self, key) for key in kind.model_fields})

    def unread(self) -> set[str]:
        """Sections that only stages left out of the chain read; the one whose null leaves a stage out is read."""
        read = {key for name in self.stages(STAGES) for key in STAGES[name].model_fields}
        return set(type(self).model_fields) - read - set(OPTIONAL)

    def reduced(self) -> "Settings":
        """The same chain, with what it does not read at its defaults."""
        return self.model_copy(update={key: type(self).model_fields[key].default for key in self.unread()})
