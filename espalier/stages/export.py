"""The export stage: from a float network to ONNX files that were checked and timed beside it."""

import logging
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.export import onnx_files
from espalier.export.agreement import Outcome, outcome
from espalier.export.processor import processor, saturates
from espalier.export.sessions import FP32, INT8, Session
from espalier.export.timing import timed
from espalier.export.writing import write
from espalier.metrics import cost
from espalier.metrics.latency import BATCHES
from espalier.networks import artifact
from espalier.plan.spec import ExportStage
from espalier.runs import record
from espalier.runs.clock import Clock
from espalier.runs.columns import FORMATS, write_rows
from espalier.runs.progress import Heartbeat
from espalier.site import device

EAGER, BEFORE = "eager", "eager, before pruning"
_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")

log = logging.getLogger("espalier")


def export(
    folder: Path,
    spec: ExportStage,
    parent: Path,
    data_file: Path,
    *,
    before: Path | None,
    heartbeat: Heartbeat,
    started: float,
) -> None:
    """Write a network as ONNX files, and what they score and cost beside eager PyTorch on the CPU.

    Args:
        parent: the run whose network is exported
        before: the run whose network was pruned to that one; it is timed with the others

    Raises:
        Mistake: the network or data cannot be used, or the network has no ONNX form.
    """
    clock = Clock(started)
    if spec.export is None:
        raise Mistake("nothing is exported; set export")
    device.prepare()
    cpu = processor()
    if spec.export.int8 and saturates(cpu) and not spec.export.reduce_range:
        log.warning("8-bit products saturate on this CPU, which may cost accuracy; set export.reduce_range to true")
    data = Resident.load(data_file)
    folders = {EAGER: Path(parent)} | ({BEFORE: Path(before)} if before else {})
    networks = {form: _network(run, data_file, data) for form, run in folders.items()}
    eager = networks[EAGER]
    name = f"the network of {parent} ({eager.choice.name})"
    outcomes = {form: outcome(network.model, data, heartbeat.beat) for form, network in networks.items()}
    files = {form: run / "model.safetensors" for form, run in folders.items()}
    written = write(Path(folder), spec.export, eager.model, outcomes[EAGER], data, name=name, beat=heartbeat.beat)
    for form, path, found in written:
        files[form], outcomes[form] = path, found
        log.info("%s: %d bytes, %s", form, path.stat().st_size, _agreement(found, outcomes[EAGER]))
    arms = {form: networks[form].model if form in networks else Session(path).forward for form, path in files.items()}
    seconds = timed(arms, data)
    rows = {
        form: {"format": form, "file_bytes": path.stat().st_size, "validation_top1": outcomes[form].top1}
        | _differences(outcomes[form], outcomes[EAGER], same=form != BEFORE)
        | seconds[form]
        for form, path in files.items()
    }

    write_rows(Path(folder) / "formats.csv", FORMATS, rows.values())
    record.write(
        folder,
        "export",
        spec,
        _metrics(rows),
        parent=parent,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=None,
        cpu=cpu,
        params=cost.params(eager.model),
        macs=cost.macs(eager.model, data.image_size),
        resumed=0,
        opset=onnx_files.OPSET,
        exporter={library: metadata.version(library) for library in _LIBRARIES},
        int8=files[INT8].name if INT8 in files else None,
    )


def _network(folder: Path, data_file: Path, data: Resident) -> artifact.Network:
    network = artifact.load(folder)
    artifact.check(network, folder, data_file, data.num_classes, data.image_size)
    if network.quantization is not None:
        raise ArtifactError(f"{folder}: has few bits already; export the network that it was quantized from")
    return network


def _agreement(found: Outcome, eager: Outcome) -> str:
    return (
        f"validation top-1 {found.top1:.2f} % ({found.top1 - eager.top1:+.2f} points from eager), "
        f"largest difference of a logit {found.difference(eager):.3g}"
    )


def _differences(found: Outcome, eager: Outcome, *, same: bool) -> dict[str, Any]:
    """Columns of formats.csv; empty for another network, whose logits may be anything."""
    if not same:
        return {"max_logit_difference": "", "top1_difference": ""}
    return {"max_logit_difference": found.difference(eager), "top1_difference": found.top1 - eager.top1}


def _metrics(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of metrics.csv; those of a form that was not asked for are empty."""
    found: dict[str, Any] = {}
    for short, form in (("fp32", FP32), ("int8", INT8)):
        row = rows.get(form, {})
        found[f"onnx_{short}_bytes"] = row.get("file_bytes", "")
        found[f"{short}_logit_difference"] = row.get("max_logit_difference", "")
        found[f"{short}_top1_difference"] = row.get("top1_difference", "")
        found |= {f"{short}_speedup_{batch}": row.get(f"speedup_{batch}", "") for batch in BATCHES}
    return found
