"""The sections of a study that stages read: frozen, checked, with every default in one place.

A setting at its default is left out of a run's id, so a new setting with a default renames, and re-runs, nothing.
"""

from typing import Annotated, Literal

from pydantic import Field, Strict, TypeAdapter

from espalier.settings.registry import Spec, choice
from espalier.settings.start import Checkpoint
from espalier.settings.types import (
    CORRUPTIONS,
    STRENGTHS,
    Bits,
    CorruptionNames,
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Strengths,
    Widths,
)


def _default(kind: str, named: str | dict):
    return TypeAdapter(choice(kind)).validate_python(named)


class EarlyStopping(Spec):
    """Stop when validation has not improved for a while."""

    patience: Count
    """epochs without improvement before training stops"""
    min_delta: NonNegative = 0.0
    """smallest change of the selection metric that counts as improvement (points of top-1, or nats of loss)"""


class Lookahead(Spec):
    """Slow weights that follow the optimizer's fast ones (Zhang et al. 2019, arXiv 1907.08610).

    The weights that are scored and saved at the end of an epoch are the fast ones, which the slow ones replace every k
    steps; the paper scores the slow ones. They are the same where k divides the steps so far.
    """

    k: Count = 5
    """optimizer steps between two updates of the slow weights"""
    alpha: Fraction = 0.5
    """step of the slow weights towards the fast ones"""


class Teacher(Spec):
    """A run whose answers a network learns beside the labels (Hinton et al. 2015, arXiv 1503.02531).

    Its settings are those of the chain's `train`, key by key, but for what stands here; {} is another training of the
    same network, or for what follows `train` that training itself. The plan makes the run, or shares one that it has.
    """

    temperature: Positive = 4.0
    """what the logits of both are divided by before the softmax"""
    weight: Probability = 0.9
    """share of the teacher in the loss; the rest is that of the labels"""
    model: choice("model") | None = None
    """the teacher's network; null for the chain's"""
    augment: Annotated[tuple[choice("augmentation"), ...] | None, Strict(False)] = None
    """the teacher's augmentations; null for the chain's"""
    train: "Training | None" = None
    """how the teacher is trained, what is not said as the chain's network is; it may have a teacher of its own"""
    pretrained: bool | None = None
    """whether the teacher starts from published weights; null for as the chain's network does"""
    checkpoint: Checkpoint = None
    """weights that the teacher starts from; null for those of the chain's network"""
    seed: Natural | None = None
    """the teacher's seed, one for all repeats; null for that of each repeat"""


class Training(Spec):
    """How a network is trained."""

    epochs: Natural = 10
    """passes over the training split; 0 leaves weights that it starts from as they are"""
    batch_size: Count = 128
    """images a step, over all processes"""
    optimizer: choice("optimizer", "sgd") = _default("optimizer", "sgd")
    """optimizer, by name or with its settings"""
    scheduler: choice("scheduler", "cosine") = _default("scheduler", "cosine")
    """learning-rate schedule, by name or with its settings"""
    warmup_epochs: NonNegative = 0.0
    """epochs of linear warm-up from zero in front of the schedule; fractions are allowed"""
    lookahead: Lookahead | None = None
    """wrap the optimizer in Lookahead (Zhang et al. 2019, arXiv 1907.08610); the fast weights are scored and saved,
    where the paper scores the slow ones"""
    loss: choice("loss", "cross_entropy") = _default("loss", "cross_entropy")
    """what the labels cost, by name or with its settings; validation always tells cross-entropy"""
    label_smoothing: Fraction = 0.0
    """probability mass taken from the true class and spread over all classes"""
    class_weights: Literal["balanced"] | None = None
    """balanced: images of each class count together as much as those of any other; null: every image counts one"""
    sampling: Literal["balanced"] | None = None
    """balanced: every class fills an equal share of an epoch of as many images; null: every image is seen once"""
    teacher: Teacher | None = None
    """a run whose answers are learned beside the labels; {} for the defaults, null for none"""
    clip_norm: Positive | None = None
    """largest L2 norm of the gradient of all parameters together"""
    early_stopping: EarlyStopping | None = None
    """stop when validation has not improved for a while"""
    select: Literal["top1", "balanced_top1", "loss"] = "top1"
    """validation metric that chooses the best epoch; balanced_top1 is the mean over classes; ties go to the lower loss,
    then to the earlier epoch"""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    """arithmetic of the forward pass; parameters stay fp32. tf32 is fp32 with the factors of products rounded to
    10 bits behind the point, on GPUs that have it"""
    channels_last: bool = True
    """keep images and weights in NHWC memory order"""
    deterministic: bool = True
    """only deterministic kernels, so that a run gives the same bits again on the same hardware"""
    processes: Count = 1
    """data-parallel processes, each with its share of every batch"""
    compile: bool = False
    """compile the training steps, which takes about a minute on a CPU"""
    cuda_graph: bool = True
    """on a CUDA GPU, start forward and backward pass of full batches at once, as one graph, where the first batch shows
    that this gives the same bits; changes no result"""
    nodes: Count = 1
    """nodes of a SLURM job that share the processes equally; elsewhere all are on one machine"""


class Extension(Training):
    """How a trained network is trained on: the keys of `train`, at their defaults and not as the chain's `train` is."""

    epochs: Count
    """passes over the training split after those of training"""
    augment: Annotated[tuple[choice("augmentation"), ...] | None, Strict(False)] = None
    """augmentations of the training images, by name or with their settings; null for the chain's"""


class FineTuning(Training):
    """How a network is trained after it was pruned: the keys of `train`, with a low rate."""

    epochs: Natural = 5
    """passes over the training split after pruning, in each round where there are several; 0 for none"""
    optimizer: choice("optimizer", "sgd") = _default("optimizer", {"name": "sgd", "lr": 0.01})
    """optimizer, by name or with its settings"""
    compile: Literal[False] = False
    """never: shapes change from round to round, and fine-tuning is short"""


class Cell(Spec):
    """One setting of a grid of widths."""

    weight_bits: Bits
    """width of the weights of convolutions and linear layers"""
    activation_bits: Bits
    """width of the inputs of these layers"""


class Quantization(Spec):
    """A grid of widths, and how a network is brought to them."""

    scheme: choice("quantization", "calibrated") = _default("quantization", "calibrated")
    """way to quantize, by name or with its settings"""
    weight_bits: Widths = (8,)
    """widths of the weights of convolutions and linear layers; 32 leaves them as they are"""
    activation_bits: Widths = (8,)
    """widths of the inputs of these layers; 32 leaves them as they are"""
    keep: Cell | None = None
    """the setting that the chain goes on with, of those of the grid; the first of each where none is named"""
    calibration_images: Count = 1024
    """training images, without labels, that a scheme may look at"""
    fine_tune: FineTuning | None = None
    """train on with the levels in sight and learned steps (LSQ, Esser et al. 2019, arXiv 1902.08153); takes one
    width of each"""

    def kept(self) -> Cell:
        """The setting that the chain goes on with."""
        return self.keep or Cell(weight_bits=self.weight_bits[0], activation_bits=self.activation_bits[0])


class Export(Spec):
    """Forms in which a network leaves, and how they are made."""

    input: Literal["uint8", "unit", "normalized"] = "uint8"
    """what the files take: pixels 0 to 255, or pixels 0 to 1, both normalized inside; or normalized images"""
    int8: bool = True
    """also write an 8-bit network (QDQ), calibrated anew; a chain that quantizes has its own levels written instead"""
    program: bool = False
    """also write the chain's network as a program of torch.export, program.pt2"""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """range of an activation's levels in the 8-bit network"""
    calibration_images: Count = 256
    """training images, without labels, that the calibration looks at"""
    reduce_range: bool = False
    """7-bit weights in the 8-bit network, for CPUs whose 8-bit products saturate (AVX2 without VNNI)"""


class Encoding(Spec):
    """How a network is coded."""

    fold: bool = False
    """fold batch normalization into the layer before it, for a smaller file of a network that is no more trained"""
    floats: Literal["fp32", "fp16"] = "fp32"
    """type of all that is not quantized: scales, biases, statistics; fp16 rounds them"""
    significant_bits: Annotated[int, Field(ge=3, le=24)] | None = None
    """round all that is not quantized to so many significant bits, for fewer bytes; null for all of the type's, which
    are 24 in fp32 and 11 in fp16"""
    shrink: bool = False
    """leave out the channels that nothing needs, such as those whose weights have all become 0; the answers stay"""
    codecs: Annotated[tuple[Literal["dense", "mixed"], ...], Strict(False)] = ("dense", "mixed")
    """ways to code a tensor's levels that are tried; the smallest is taken for each"""


class Corruptions(Spec):
    """Test images made worse before they are scored, as in CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv
    1903.12261)."""

    names: CorruptionNames = CORRUPTIONS
    """what is done to them, one at a time"""
    strengths: Strengths = STRENGTHS
    """how strongly, from 1 to 5"""
    images: Count | None = None
    """score so many test images, drawn once for all runs of a data set; null for all"""


class Evaluation(Spec):
    """What scoring the test split leaves beside its metrics."""

    predictions: bool = False
    """write predictions.csv: every test image with its class, the predicted one and the probability of each"""
    metrics: Annotated[tuple[choice("metric"), ...], Strict(False)] = tuple(
        _default("metric", name) for name in ("nll", "brier", "ece", "calibration", "per_class", "confusion")
    )
    """what else is measured on the test split at the end of a chain, each by name or with its settings: numbers are
    written to test_metrics.csv, tables to a file of their own"""
    corruptions: Corruptions | None = None
    """score the networks of a chain on corrupted test images too; {} for all corruptions, null for none"""
