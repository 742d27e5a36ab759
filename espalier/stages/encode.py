"""The encode stage: a network as one small file, decoded again before it is kept, and what each byte of it is for."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import ArtifactError
from espalier.files import replacing
from espalier.runs.columns import ANATOMY, LADDER, write_rows
from espalier.runs.record import mend
from espalier.settings.registry import Spec
from espalier.settings.sections import Encoding
from espalier.stages.definition import Outcome, stage

if TYPE_CHECKING:
    from espalier.coding.anatomy import Part
    from espalier.networks.coded_network import Tensors
    from espalier.stages.frame.stage_run import StageRun


class EncodeStage(Spec):
    """A network as one small file that decodes to it exactly."""

    encode: Encoding | None = None
    """code each network as one small file; {} for the defaults, null for none"""


@stage(
    place=50,
    settings=EncodeStage,
    reads="network",
    splits=("validation",),
    network="model.esp",
    files=("anatomy.csv", "ladder.csv"),
    columns=(
        *("params", "nonzeros", "file_bytes", "level_bytes", "bound_bytes", "dense_bytes", "compression"),
        *("bits_per_weight", "encode_s", "decode_s", "validation_loss", "validation_top1", "validation_top5"),
    ),
)
def encode(run: "StageRun", spec: EncodeStage) -> Outcome:
    """Code a network as one small file, decode it again, and score that on the validation split.

    The compression is counted over the file of the network that the chain began with.

    Raises:
        ArtifactError: a network cannot be rebuilt, is not made for this data, or does not decode to what was coded.
        DataError: the data set cannot be used.
        Mistake: a number is too large for fp16.
    """
    import torch

    from espalier.coding.anatomy import anatomy
    from espalier.coding.codecs import CODECS
    from espalier.coding.decoder import open_parts
    from espalier.coding.encoder import encode as write
    from espalier.coding.ladder import ladder
    from espalier.metrics import cost
    from espalier.metrics.accuracy import score
    from espalier.networks import artifact, coded_network
    from espalier.pruning.account import nonzeros
    from espalier.quantization.width_grid import EVALUATION_BATCH
    from espalier.site import device

    asked = spec.encode
    device.prepare()
    where = device.choose()
    data = run.load(where)
    network = run.network()
    dense_bytes = _size(run.parents[0] / "model.safetensors")
    tensors, about = coded_network.tensors_of(network, asked.fold, asked.floats, asked.shrink, asked.significant_bits)
    path = run.folder / artifact.CODED
    with replacing(path) as temporary:
        times = [time.perf_counter()]
        write(tensors, about, temporary, asked.codecs)
        times.append(time.perf_counter())
        opened = open_parts(temporary)
        contents = opened.contents().of_torch()
        decoded = coded_network.rebuild(contents, path)
        times.append(time.perf_counter())
        if (contents.record != about) or (wrong := coded_network.differing(contents.tensors, tensors)):
            what = "its record" if contents.record != about else wrong
            raise ArtifactError(f"{path}: {what} does not decode to what was coded; the file is not kept")
        parts = anatomy(opened)
    seconds = {"encode_s": round(times[1] - times[0], 3), "decode_s": round(times[2] - times[1], 3)}
    model = decoded.model.to(where, memory_format=torch.channels_last)
    found = score(model, data.batches("validation", EVALUATION_BATCH))
    write_rows(run.folder / "anatomy.csv", ANATOMY, map(_part, parts))
    size, levels = path.stat().st_size, _levels(parts, tensors)
    coded = levels["level_bytes"] if set(asked.codecs) == set(CODECS) else None
    write_rows(run.folder / "ladder.csv", LADDER, (_rung(*rung) for rung in ladder(tensors, coded)))
    row = {"params": cost.params(model), "nonzeros": nonzeros(model), "file_bytes": size, **levels}
    row |= {"dense_bytes": dense_bytes, "compression": dense_bytes / size, **seconds}
    row |= {f"validation_{name}": value for name, value in found.items()}
    said = f"{size} bytes, 1/{row['compression']:.1f}: validation top-1 {found['top1']:.2f} %"
    return Outcome(row, said, {"params": row["params"], "macs": cost.macs(model, data.image_size, data.channels)})


def _levels(parts: "list[Part]", tensors: "Tensors") -> dict[str, Any]:
    """Columns of metrics.csv about the streams of levels; bits a weight are empty where nothing is quantized."""
    from espalier.quantization.qparams import Quantized

    level_bytes = sum(part.bytes for part in parts if part.purpose in ("weights", "indices"))
    weights = sum(one.levels.numel() for one in tensors.values() if isinstance(one, Quantized))
    bound = sum(part.bound for part in parts if part.bound is not None)
    bits = 8 * level_bytes / weights if weights else ""
    return {"level_bytes": level_bytes, "bound_bytes": bound, "bits_per_weight": bits}


def _part(part: "Part") -> dict[str, Any]:
    row = {"purpose": part.purpose, "name": part.name, "codec": part.codec, "bytes": part.bytes}
    bounds = {"bound_bytes": part.bound, "conditional_bytes": part.conditional}
    return row | {name: "" if bound is None else bound for name, bound in bounds.items()}


def _rung(method: str, level_bytes: float, other_bytes: int | None) -> dict[str, Any]:
    return {"method": method, "level_bytes": level_bytes, "other_bytes": "" if other_bytes is None else other_bytes}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ArtifactError(f"{path}: it cannot be read ({error.strerror}). {mend(path.parent)}") from error
