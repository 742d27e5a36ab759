"""The network in a run's folder: weights in safetensors, and the settings that rebuild it around them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from espalier.data.feed import Feed
from espalier.errors import ArtifactError, Damaged, Mistake
from espalier.files import replacing, write_text
from espalier.models.facts import FORMAT
from espalier.networks.network import Network, channels_of, structure
from espalier.runs import record as records
from espalier.settings.registry import Choice, choice

if TYPE_CHECKING:
    from torch import Tensor, nn

    from espalier.quantization.quantized import Quantization

CODED = "model.esp"
LEVELS = "levels.safetensors"


def save(
    folder: Path,
    weights: "dict[str, Tensor]",
    model: Choice,
    num_classes: int,
    image_size: int,
    shapes: dict[str, Any] | None = None,
    quantization: "Quantization | None" = None,
    feed: Feed | None = None,
) -> None:
    """Write `model.safetensors` and `model.json`, and for a quantized network `levels.safetensors`.

    Equal weights give equal bytes.

    Args:
        shapes: from `pruning.shapes`, for a network whose widths are not those of its settings
        quantization: the levels that the weights are on
        feed: how images are prepared for the network, and its classes; without it, three channels are assumed
    """
    import torch
    from safetensors.torch import save_file

    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    with replacing(Path(folder) / "model.safetensors") as temporary:
        save_file(copies, temporary)
    record = {
        "format": FORMAT,
        "model": model.model_dump(mode="json"),
        "num_classes": num_classes,
        "image_size": image_size,
    }
    if shapes:
        record["shapes"] = shapes
    if feed:
        record["feed"] = feed.said()
    if quantization:
        from espalier.quantization.quantized import packed
        from espalier.runs.checkpoint import write

        write(Path(folder) / LEVELS, packed(quantization))
        record["levels"] = LEVELS
    write_text(Path(folder) / "model.json", json.dumps(record, indent=2) + "\n")


def load(folder: Path) -> Network:
    """Rebuild the network of a run's folder without unpickling: of its coded file, where it has one.

    Where the run has a record, its files are the bytes that the record names.

    Raises:
        ArtifactError: a file is missing or damaged, the weights do not fit the settings, or the run has no network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if found := records.read(folder):
        verify(found)
    if (folder / CODED).is_file():
        from espalier.networks import coded_network

        return coded_network.load(folder / CODED)
    record = _record(folder / "model.json")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise _unusable(path, "it does not exist")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unusable(path, f"it is cut short or damaged ({error})") from error
    try:
        built = structure(record.choice, record.num_classes, record.image_size, channels_of(record.feed), record.shapes)
        built.load_state_dict(weights)
    except (RuntimeError, ValueError, Mistake) as error:
        reason = " ".join(str(error).split())
        raise _unusable(path, f"it does not fit {folder / 'model.json'}: {reason}") from error
    quantization = _installed(built, folder) if record.levels else None
    sizes = record.num_classes, record.image_size
    return Network(built.eval(), record.choice, *sizes, record.shapes, quantization, record.feed)


def verify(record: records.Record) -> None:
    """Refuse a run without a network, or with other files than it has written; its tables of numbers aside.

    Raises:
        ArtifactError: the run is not done, or a file is missing or changed.
    """
    if record.outcome != records.DONE:
        raise ArtifactError(f"{record.folder}: the run has no network ({record.outcome}: {record.reason})")
    for name in record.written:
        if not name.endswith(".csv"):
            record.path(name)


def _installed(model: "nn.Module", folder: Path) -> "Quantization":
    """Levels from their file, in the model, whose weights they must be."""
    import torch

    from espalier.quantization.quantized import install, unpacked
    from espalier.runs.checkpoint import read

    path = folder / LEVELS
    try:
        quantization = unpacked(read(path))
        before = {layer: model.get_submodule(layer).weight.detach() for layer in quantization.weights}
        install(model, quantization)
    except (Damaged, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unusable(path, f"it cannot be read ({error})") from error
    if wrong := [layer for layer, old in before.items() if not torch.equal(old, model.get_submodule(layer).weight)]:
        raise _unusable(path, f"its levels are not the weights of {folder / 'model.safetensors'}: {wrong[0]}")
    return quantization


def check(network: Network, folder: Path, data_file: Path, num_classes: int, image_size: int, channels: int) -> None:
    """Refuse a network that is not made for a data set.

    Raises:
        ArtifactError: it has another number of classes or of channels, or another image size.
    """
    made = (network.num_classes, network.image_size, network.channels)
    found = (num_classes, image_size, channels)
    if made != found:
        raise ArtifactError(
            f"{Path(folder) / 'model.json'}: made for (classes, image size, channels) {made}, and {data_file} has "
            f"{found}; use it on the data set that it was trained on"
        )


@dataclass(frozen=True)
class _Record:
    choice: Choice
    num_classes: int
    image_size: int
    shapes: dict[str, Any] | None
    levels: bool
    feed: Feed | None


def _record(path: Path) -> _Record:
    try:
        found = json.loads(path.read_text())
        if found["format"] != FORMAT:
            raise _unusable(path, f"its format is {found['format']!r}, and this version reads {FORMAT}")
        model = TypeAdapter(choice("model")).validate_json(json.dumps(found["model"]))
        sizes = int(found["num_classes"]), int(found["image_size"])
        feed = Feed.model_validate(found["feed"]) if "feed" in found else None
        return _Record(model, *sizes, found.get("shapes"), "levels" in found, feed)
    except FileNotFoundError as error:
        raise _unusable(path, "it does not exist") from error
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise ArtifactError(f"{path}: model: {first['ctx']['error']}") from error
        key = ".".join(("feed" if error.title == "Feed" else "model", *map(str, first["loc"])))
        raise _unusable(path, f"{key}: {first['msg']}, found {first['input']!r}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"it cannot be read ({type(error).__name__}: {error})") from error


def _unusable(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path}: {why}. {records.mend(path.parent)}")
