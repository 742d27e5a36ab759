"""The export stage: from a float network to ONNX files that were checked and timed beside it."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import ArtifactError
from espalier.runs.columns import FORMATS, write_rows
from espalier.runs.log import log
from espalier.settings.registry import Spec
from espalier.settings.sections import Export
from espalier.stages.definition import Outcome, stage

if TYPE_CHECKING:
    from espalier.export.agreement import Outcome as Scored
    from espalier.networks.artifact import Network
    from espalier.stages.frame.stage_run import StageRun

EAGER, BEFORE = "eager", "eager, before pruning"
_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class ExportStage(Spec):
    """The float network as ONNX files, checked and timed."""

    export: Export | None = None
    """ONNX files of the float networks, checked and timed; {} for the defaults, null for none"""


@stage(
    place=30,
    settings=ExportStage,
    reads="network",
    network="fp32.onnx",
    files=("formats.csv",),
    columns=(
        *("onnx_fp32_bytes", "onnx_int8_bytes", "fp32_logit_difference", "fp32_top1_difference"),
        *("int8_logit_difference", "int8_top1_difference"),
        *("fp32_speedup_1", "fp32_speedup_64", "int8_speedup_1", "int8_speedup_64"),
    ),
    branch=True,
)
def export(run: "StageRun", spec: ExportStage) -> Outcome:
    """Write a network as ONNX files, and what they score and cost beside eager PyTorch on the CPU.

    A network that was pruned is timed beside the one it was pruned from. int8.onnx is there where it is asked for.

    Raises:
        Mistake: the network or data cannot be used, or the network has no ONNX form.
    """
    from espalier.export import onnx_files
    from espalier.export.agreement import outcome
    from espalier.export.processor import processor, saturates
    from espalier.export.sessions import INT8, Session, timed
    from espalier.export.writing import write
    from espalier.metrics import cost
    from espalier.site import device

    device.prepare()
    cpu = processor()
    if spec.export.int8 and saturates(cpu) and not spec.export.reduce_range:
        log.warning("8-bit products saturate on this CPU, which may cost accuracy; set export.reduce_range to true")
    data = run.load()
    folders = {EAGER: run.parent} | ({BEFORE: run.parents[-2]} if len(run.parents) > 1 else {})
    networks = {form: _network(run, folder) for form, folder in folders.items()}
    eager, beat = networks[EAGER], run.heartbeat.beat
    name = f"the network of {run.parent} ({eager.choice.name})"
    outcomes = {form: outcome(network.model, data, beat) for form, network in networks.items()}
    files = {form: folder / "model.safetensors" for form, folder in folders.items()}
    for form, path, found in write(run.folder, spec.export, eager.model, outcomes[EAGER], data, name=name, beat=beat):
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

    write_rows(run.folder / "formats.csv", FORMATS, rows.values())
    facts = {
        "cpu": cpu,
        "params": cost.params(eager.model),
        "macs": cost.macs(eager.model, data.image_size),
        "opset": onnx_files.OPSET,
        "exporter": {library: metadata.version(library) for library in _LIBRARIES},
        "int8": files[INT8].name if INT8 in files else None,
    }
    speeds = (f"{form} {row['speedup_1']:.2f}" for form, row in rows.items() if form not in folders)
    more = (files[INT8].name,) if INT8 in files else ()
    return Outcome(_metrics(rows), f"speed-up over eager PyTorch at one image: {', '.join(speeds)}", facts, more)


def _network(run: "StageRun", folder: Path) -> "Network":
    network = run.network(folder)
    if network.quantization is not None:
        raise ArtifactError(f"{folder}: has few bits already; export the network that it was quantized from")
    return network


def _agreement(found: "Scored", eager: "Scored") -> str:
    return (
        f"validation top-1 {found.top1:.2f} % ({found.top1 - eager.top1:+.2f} points from eager), "
        f"largest difference of a logit {found.difference(eager):.3g}"
    )


def _differences(found: "Scored", eager: "Scored", *, same: bool) -> dict[str, Any]:
    """Columns of formats.csv; empty for another network, whose logits may be anything."""
    if not same:
        return {"max_logit_difference": "", "top1_difference": ""}
    return {"max_logit_difference": found.difference(eager), "top1_difference": found.top1 - eager.top1}


def _metrics(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of metrics.csv; those of a form that was not asked for are empty."""
    from espalier.export.sessions import FP32, INT8
    from espalier.metrics.latency import BATCHES

    found: dict[str, Any] = {}
    for short, form in (("fp32", FP32), ("int8", INT8)):
        row = rows.get(form, {})
        found[f"onnx_{short}_bytes"] = row.get("file_bytes", "")
        found[f"{short}_logit_difference"] = row.get("max_logit_difference", "")
        found[f"{short}_top1_difference"] = row.get("top1_difference", "")
        found |= {f"{short}_speedup_{batch}": row.get(f"speedup_{batch}", "") for batch in BATCHES}
    return found
