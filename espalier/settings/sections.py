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
    """Ends a training whose validation has not improved for some epochs."""

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
    """how far the slow weights move towards the fast ones, as a share of the way"""


class Teacher(Spec):
    """A run whose answers a network learns beside the labels (Hinton et al. 2015, arXiv 1503.02531).

    Its settings are those of the chain's `train`, key by key, but for what stands here; {} is another training of the
    same network, or for what follows `train` that training itself. The plan makes the run, or shares one that it has.
    """

    temperature: Positive = 4.0
    """temperature: the logits of both networks are divided by it before the softmax"""
    weight: Probability = 0.9
    """share of the teacher's answers in the loss; the labels have the rest"""
    model: choice("model") | None = None
    """the teacher's network; null for the chain's"""
    augment: Annotated[tuple[choice("augmentation"), ...] | None, Strict(False)] = None
    """the teacher's augmentations; null for the chain's"""
    train: "Training | None" = None
    """training settings of the teacher; those not said here are the chain's; it may have a teacher of its own"""
    pretrained: bool | None = None
    """whether the teacher starts from published weights; null: as the chain's network does"""
    checkpoint: Checkpoint = None
    """weights that the teacher starts from; null for those of the chain's network"""
    seed: Natural | None = None
    """the teacher's seed, one for all repeats; null for that of each repeat"""


class Training(Spec):
    """How a network is trained."""

    epochs: Natural = 10
    """passes over the training split; 0 leaves the weights that training starts from as they are"""
    batch_size: Count = 128
    """images in a step, of all processes together"""
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
    """loss that training minimizes, by name or with its settings; the validation loss is always cross-entropy"""
    label_smoothing: Fraction = 0.0
    """probability mass taken from the true class and spread over all classes"""
    class_weights: Literal["balanced"] | None = None
    """balanced: images are weighted in the loss so that every class counts the same; null: every image counts the
    same"""
    sampling: Literal["balanced"] | None = None
    """balanced: every class fills an equal share of each epoch, which still has as many images as the training split;
    null: every image is seen once an epoch"""
    teacher: Teacher | None = None
    """a trained network whose answers are learned beside the labels (distillation); {} for the defaults, null for
    none"""
    clip_norm: Positive | None = None
    """largest L2 norm of the gradient of all parameters together, which is clipped to it; null: no clipping"""
    early_stopping: EarlyStopping | None = None
    """end training when validation has not improved for some epochs; null: train all epochs"""
    select: Literal["top1", "balanced_top1", "loss"] = "top1"
    """validation metric that chooses the best epoch; balanced_top1 is the mean of top-1 over classes; ties go to the
    lower loss, then to the earlier epoch"""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    """number format of the forward pass; parameters stay fp32. tf32 is fp32 with the factors of products rounded to a
    mantissa of 10 bits, on GPUs that have it"""
    channels_last: bool = True
    """keep images and weights in NHWC memory order"""
    deterministic: bool = True
    """use deterministic kernels only, so that a run gives the same bits again on the same hardware"""
    processes: Count = 1
    """data-parallel processes, each with its share of every batch"""
    compile: bool = False
    """compile the network with torch.compile, which takes about a minute on a CPU"""
    cuda_graph: bool = True
    """on a CUDA GPU, run forward and backward pass of full batches as one CUDA graph, if the first batch gives the
    same bits that way; changes no result"""
    nodes: Count = 1
    """nodes of a SLURM job that share the processes equally; elsewhere all are on one machine"""


class Extension(Training):
    """How training is continued from its best epoch. What is not said here has its default, not what the chain's
    `train` says."""

    epochs: Count
    """further passes over the training split, after those of training"""
    augment: Annotated[tuple[choice("augmentation"), ...] | None, Strict(False)] = None
    """augmentations of the training images, in order, by name or with their settings; null for those of the chain"""


class FineTuning(Training):
    """How a network is trained after it was pruned; by default at a lower learning rate than `train`."""

    epochs: Natural = 5
    """passes over the training split after pruning, in each round if there are several; 0 for none"""
    optimizer: choice("optimizer", "sgd") = _default("optimizer", {"name": "sgd", "lr": 0.01})
    """optimizer, by name or with its settings"""
    compile: Literal[False] = False
    """always false: shapes change from round to round, and fine-tuning is short"""


class Cell(Spec):
    """One pair of widths of `quantize`, with which the chain goes on."""

    weight_bits: Bits
    """width of the weights of convolutions and linear layers"""
    activation_bits: Bits
    """width of the inputs of these layers"""


class Quantization(Spec):
    """Widths of weights and activations, every pair of which is measured, and how a network is brought to them."""

    scheme: choice("quantization", "calibrated") = _default("quantization", "calibrated")
    """how weights and activations become levels, by name or with settings"""
    weight_bits: Widths = (8,)
    """widths of the weights of convolutions and linear layers; 32 leaves them as they are"""
    activation_bits: Widths = (8,)
    """widths of the inputs of these layers; 32 leaves them as they are"""
    keep: Cell | None = None
    """the pair of widths with which the chain goes on, one of those above; null: the first of each list"""
    calibration_images: Count = 1024
    """training images, without labels, on which a scheme is calibrated"""
    fine_tune: FineTuning | None = None
    """train further with quantized weights and activations and learned step sizes (LSQ, Esser et al. 2019, arXiv
    1902.08153); with one width of each only"""

    def kept(self) -> Cell:
        """The setting that the chain goes on with."""
        return self.keep or Cell(weight_bits=self.weight_bits[0], activation_bits=self.activation_bits[0])


class Export(Spec):
    """Files of a network for other programs (ONNX, torch.export), and how they are made."""

    input: Literal["uint8", "unit", "normalized"] = "uint8"
    """what the files take. uint8: pixels from 0 to 255; unit: pixels from 0 to 1; both are normalized inside the file.
    normalized: normalized images"""
    int8: bool = True
    """also write an 8-bit ONNX file (QDQ), calibrated anew; of a chain that quantizes, its own levels are written
    instead"""
    program: bool = False
    """also write the network as a program of torch.export, program.pt2"""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """how the range of an activation's levels is found for the 8-bit file"""
    calibration_images: Count = 256
    """training images, without labels, that the calibration looks at"""
    reduce_range: bool = False
    """7-bit weights in the 8-bit file, for CPUs whose 8-bit products saturate (AVX2 without VNNI)"""


class Encoding(Spec):
    """How a network is coded as one small file."""

    fold: bool = False
    """fold batch normalization into the layer before it: a smaller file, for a network that is not trained further"""
    floats: Literal["fp32", "fp16"] = "fp32"
    """number format of all that is not quantized: scales, biases, statistics; fp16 rounds them"""
    significant_bits: Annotated[int, Field(ge=3, le=24)] | None = None
    """round all that is not quantized to this many significant bits, for fewer bytes; null keeps all bits of the
    format: 24 in fp32, 11 in fp16"""
    shrink: bool = False
    """leave out channels that have no effect, such as those whose weights are all 0; the network's answers stay the
    same"""
    codecs: Annotated[tuple[Literal["dense", "mixed"], ...], Strict(False)] = ("dense", "mixed")
    """ways to code a tensor's levels; all that are named are tried, and each tensor gets the smallest"""


class Corruptions(Spec):
    """Corruptions of test images, such as noise and blur, after CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv
    1903.12261)."""

    names: CorruptionNames = CORRUPTIONS
    """corruptions, each applied alone"""
    strengths: Strengths = STRENGTHS
    """strengths of each corruption, 1 the weakest"""
    images: Count | None = None
    """number of test images to score, drawn once for all runs of a data set; null for all"""


class Evaluation(Spec):
    """What is measured on the test split beside top-1 and loss, and what is written."""

    predictions: bool = False
    """write predictions.csv: every test image with its class, the predicted class and the probability of each class"""
    metrics: Annotated[tuple[choice("metric"), ...], Strict(False)] = tuple(
        _default("metric", name) for name in ("nll", "brier", "ece", "calibration", "per_class", "confusion")
    )
    """further metrics on the test split at the end of a chain, each by name or with settings: numbers go to
    test_metrics.csv, tables to a file of their own"""
    corruptions: Corruptions | None = None
    """also score the networks of a chain on corrupted test images; {} for all corruptions, null for none"""
