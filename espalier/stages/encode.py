"""The encode stage: a network as one small file, decoded again before it is kept, and what each byte of it is for."""

import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espalier.coding import words
from espalier.coding.anatomy import Part, anatomy
from espalier.coding.codecs import CODECS
from espalier.coding.decoder import open_parts
from espalier.coding.encoder import encode as write
from espalier.coding.ladder import ladder
from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.files import replacing
from espalier.metrics import cost
from espalier.metrics.accuracy import score
from espalier.networks import artifact, coded_network
from espalier.plan.spec import EncodeStage
from espalier.pruning.account import nonzeros
from espalier.quantization.qparams import Quantized
from espalier.quantization.width_grid import EVALUATION_BATCH
from espalier.runs import record
from espalier.runs.clock import Clock
from espalier.runs.columns import ANATOMY, LADDER, write_rows
from espalier.site import device
from espalier.site.process import spare_compiler

log = logging.getLogger("espalier")


def encode(folder: Path, spec: EncodeStage, parent: Path, data_file: Path, *, original: Path, started: float) -> None:
    """Code a network, decode it again, score that on the validation split, and write the run's folder.

    Args:
        original: the run that the chain began with, over whose file the compression is counted

    Raises:
        ArtifactError: a network cannot be rebuilt, is not made for this data, or does not decode to what was coded.
        DataError: the data set cannot be used.
        Mistake: nothing is asked for, or a number is too large for fp16.
    """
    clock = Clock(started)
    asked = spec.encode
    if asked is None:
        raise Mistake("encode: nothing is coded; set encode")
    spare_compiler()
    device.prepare()
    where = device.choose()
    data = Resident.load(data_file, where, ("validation",))
    network = artifact.load(parent)
    artifact.check(network, parent, data_file, data.num_classes, data.image_size)
    dense_bytes = _size(Path(original) / "model.safetensors")
    tensors, about = coded_network.tensors_of(network, asked.fold, asked.floats)
    path = Path(folder) / artifact.CODED
    with replacing(path) as temporary:
        times = [time.perf_counter()]
        write(tensors, about, temporary, asked.codecs)
        times.append(time.perf_counter())
        opened = open_parts(temporary)
        contents = opened.contents()
        decoded = coded_network.rebuild(contents, path)
        times.append(time.perf_counter())
        if (contents.record != about) or (wrong := _differing(contents.tensors, tensors)):
            what = "its record" if contents.record != about else wrong
            raise ArtifactError(f"{path}: {what} does not decode to what was coded; the file is not kept")
        parts = anatomy(opened)
    seconds = {"encode_s": round(times[1] - times[0], 3), "decode_s": round(times[2] - times[1], 3)}
    model = decoded.model.to(where, memory_format=torch.channels_last)
    found = score(model, data.batches("validation", EVALUATION_BATCH))
    write_rows(Path(folder) / "anatomy.csv", ANATOMY, map(_part, parts))
    size, levels = path.stat().st_size, _levels(parts, tensors)
    coded = levels["level_bytes"] if set(asked.codecs) == set(CODECS) else None
    write_rows(Path(folder) / "ladder.csv", LADDER, (_rung(*rung) for rung in ladder(tensors, coded)))
    row = {"params": cost.params(model), "nonzeros": nonzeros(model), "file_bytes": size, **levels}
    row |= {"dense_bytes": dense_bytes, "compression": dense_bytes / size, **seconds}
    row |= {f"validation_{name}": value for name, value in found.items()}
    record.write(
        folder,
        "encode",
        spec,
        row,
        parent=parent,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=None,
        params=row["params"],
        macs=cost.macs(model, data.image_size),
        resumed=0,
    )
    log.info("%d bytes, 1/%.1f: validation top-1 %.2f %%", size, row["compression"], found["top1"])


def _differing(found: coded_network.Tensors, wanted: coded_network.Tensors) -> str | None:
    """The first name, in order, whose tensors are not the same bit for bit; None where all are."""
    for one, other in zip(found, wanted, strict=True) if len(found) == len(wanted) else [("a tensor", "")]:
        if one != other or not _same(found[one], wanted[other]):
            return one
    return None


def _same(one: Quantized | Tensor, other: Quantized | Tensor) -> bool:
    if isinstance(one, Quantized) and isinstance(other, Quantized):
        pairs = ((one.levels, other.levels), *zip(one.qparams[:2], other.qparams[:2], strict=True))
        return one.qparams[2:] == other.qparams[2:] and all(_same(*pair) for pair in pairs)
    if isinstance(one, Quantized) or isinstance(other, Quantized):
        return False
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and bool((words.bits(one) == words.bits(other)).all())


def _levels(parts: list[Part], tensors: coded_network.Tensors) -> dict[str, Any]:
    """Columns of metrics.csv about the streams of levels; bits a weight are empty where nothing is quantized."""
    level_bytes = sum(part.bytes for part in parts if part.purpose in ("weights", "indices"))
    weights = sum(one.levels.numel() for one in tensors.values() if isinstance(one, Quantized))
    bound = sum(part.bound for part in parts if part.bound is not None)
    bits = 8 * level_bytes / weights if weights else ""
    return {"level_bytes": level_bytes, "bound_bytes": bound, "bits_per_weight": bits}


def _part(part: Part) -> dict[str, Any]:
    bound = "" if part.bound is None else part.bound
    return {"purpose": part.purpose, "name": part.name, "codec": part.codec, "bytes": part.bytes, "bound_bytes": bound}


def _rung(method: str, level_bytes: float, other_bytes: int | None) -> dict[str, Any]:
    return {
        "method": method,
        "level_bytes": level_bytes,
        "other_bytes": "" if other_bytes is None else other_bytes,
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ArtifactError(
            f"{path}: it cannot be read ({error.strerror}). Remove the folder {path.parent} and make this run again"
        ) from error
