"""The export stage: from a network to files for other programs, checked and timed beside it."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import ArtifactError
from espalier.runs import record as records
from espalier.runs.columns import FORMATS, write_rows
from espalier.runs.log import log
from espalier.settings.registry import Spec
from espalier.settings.sections import Export
from espalier.stages.definition import Outcome, stage

if TYPE_CHECKING:
    from espalier.data.resident import Resident
    from espalier.export.agreement import Outcome as Scored
    from espalier.export.writing import Quantized
    from espalier.stages.frame.stage_run import StageRun

EAGER, BEFORE = "eager", "eager, before pruning"
_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
_POINTS = 0.2
"""Most that the top-1 of the chain's levels may differ between PyTorch and ONNX Runtime without a warning."""


class ExportStage(Spec):
    """The network as ONNX files, and as a program of PyTorch, checked and timed."""

    export: Export | None = None
    """ONNX files of the networks, float and quantized, checked and timed; {} for the defaults, null for none"""


@stage(
    place=45,
    settings=ExportStage,
    reads="network",
    network="fp32.onnx",
    files=("formats.csv",),
    columns=(
        *("onnx_fp32_bytes", "onnx_int8_bytes", "onnx_quantized_bytes", "program_bytes"),
        *("fp32_logit_difference", "fp32_top1_difference", "int8_logit_difference", "int8_top1_difference"),
        *("quantized_logit_difference", "quantized_top1_difference"),
        *("program_logit_difference", "program_top1_difference"),
        *("fp32_speedup_1", "fp32_speedup_64", "int8_speedup_1", "int8_speedup_64"),
        *("quantized_speedup_1", "quantized_speedup_64", "program_speedup_1", "program_speedup_64"),
    ),
    branch=True,
)
def export(run: "StageRun", spec: ExportStage) -> Outcome:
    """Write a network for other programs, and what its files score and cost beside eager PyTorch on the CPU.

    The network of floats leaves as fp32.onnx. A chain that quantizes leaves as quantized.onnx too, with its own levels;
    of any other int8.onnx is calibrated anew, where it is asked for. All files take the images as they are told to,
    and say so in their metadata. A network that was pruned is timed beside the one it was pruned from.

    Raises:
        Mistake: the network or data cannot be used, or the network has no such form.
    """
    from espalier.data.feed import Feed
    from espalier.export import onnx_files
    from espalier.export.agreement import outcome
    from espalier.export.forms import PROGRAM, QUANTIZED, opened
    from espalier.export.graph_inputs import WithNormalization
    from espalier.export.processor import processor, saturates
    from espalier.export.sessions import timed
    from espalier.export.writing import write
    from espalier.metrics import cost
    from espalier.site import device

    device.prepare()
    cpu = processor()
    data = run.load()
    feed, beat = Feed.of(data), run.heartbeat.beat
    quantized, line = _quantized(run, data)
    pruned = len(line) > 1 and records.complete(line[-1]).content["stage"] == "prune"
    folders = {EAGER: line[-1]} | ({BEFORE: line[-2]} if pruned else {})
    networks = {form: run.network(folder) for form, folder in folders.items()}
    own = networks[EAGER]
    eager = {form: WithNormalization(network.model, feed) for form, network in networks.items()}
    name = f"the network of {run.parent} ({own.choice.name})"
    if (quantized or spec.export.int8) and saturates(cpu) and not spec.export.reduce_range:
        more = "" if quantized else "; set export.reduce_range to true"
        log.warning("8-bit products saturate on this CPU, which may cost accuracy%s", more)
    outcomes = {form: outcome(model, data, beat) for form, model in eager.items()}
    files = {form: folder / "model.safetensors" for form, folder in folders.items()}
    beside: dict[str, Scored] = {}
    written = write(run.folder, spec.export, own.model, outcomes[EAGER], data, quantized, name=name, beat=beat)
    for form, path, found in written:
        files[form], outcomes[form] = path, found
        beside[form] = quantized.eager if quantized and form in (QUANTIZED, PROGRAM) else outcomes[EAGER]
        log.info("%s: %d bytes, %s", form, path.stat().st_size, _agreement(found, beside[form]))
        if form == QUANTIZED and abs(found.top1 - beside[form].top1) > max(_POINTS, 100 / data.size("validation")):
            log.warning("%s scores otherwise than in PyTorch on this CPU", form)
    arms = {form: eager[form] if form in eager else opened(form, path).forward for form, path in files.items()}
    seconds = timed(arms, data)
    rows = {
        form: {"format": form, "file_bytes": path.stat().st_size, "validation_top1": outcomes[form].top1}
        | _differences(outcomes[form], beside.get(form, outcomes[EAGER]), same=form != BEFORE)
        | seconds[form]
        for form, path in files.items()
    }

    write_rows(run.folder / "formats.csv", FORMATS, rows.values())
    facts = {
        "cpu": cpu,
        "params": cost.params(own.model),
        "macs": cost.macs(own.model, data.image_size, data.channels),
        "opset": onnx_files.QUANTIZED_OPSET if quantized else onnx_files.OPSET,
        "exporter": {library: metadata.version(library) for library in _LIBRARIES},
        "input": spec.export.input,
        "files": {form: path.name for form, path in files.items() if form not in folders},
    }
    speeds = (f"{form} {row['speedup_1']:.2f}" for form, row in rows.items() if form not in folders)
    more = tuple(path.name for form, path in files.items() if form not in folders and path.name != "fp32.onnx")
    return Outcome(_metrics(rows), f"speed-up over eager PyTorch at one image: {', '.join(speeds)}", facts, more)


def _quantized(run: "StageRun", data: "Resident") -> "tuple[Quantized | None, tuple[Path, ...]]":
    """The network that the chain has quantized, where it has one, and the runs of its networks of floats.

    Raises:
        ArtifactError: a network of floats has few bits.
    """
    from espalier.data.feed import Feed
    from espalier.export.agreement import outcome
    from espalier.export.graph_inputs import WithNormalization
    from espalier.export.writing import Quantized

    network, line = run.network(), run.parents
    found = None
    if network.quantization is not None:
        line = line[:-1]
        if not line or run.network(line[-1]).quantization is not None:
            raise ArtifactError(f"{run.parent}: has few bits already; export needs the network that it was made of too")
        if any(network.quantization):
            computed = outcome(WithNormalization(network.model, Feed.of(data)), data, run.heartbeat.beat)
            found = Quantized(network.plain, network.quantization, computed)
    return found, line


def _agreement(found: "Scored", eager: "Scored") -> str:
    return (
        f"validation top-1 {found.top1:.2f} % ({found.top1 - eager.top1:+.2f} points from PyTorch), "
        f"largest difference of a logit {found.difference(eager):.3g}"
    )


def _differences(found: "Scored", eager: "Scored", *, same: bool) -> dict[str, Any]:
    """Columns of formats.csv; empty for another network, whose logits may be anything."""
    if not same:
        return {"max_logit_difference": "", "top1_difference": ""}
    return {"max_logit_difference": found.difference(eager), "top1_difference": found.top1 - eager.top1}


def _metrics(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of metrics.csv; those of a form that was not written are empty."""
    from espalier.export.forms import FORMS
    from espalier.metrics.latency import BATCHES

    found: dict[str, Any] = {}
    for form, file in FORMS.items():
        short, _, suffix = file.partition(".")
        row = rows.get(form, {})
        found[f"onnx_{short}_bytes" if suffix == "onnx" else f"{short}_bytes"] = row.get("file_bytes", "")
        found[f"{short}_logit_difference"] = row.get("max_logit_difference", "")
        found[f"{short}_top1_difference"] = row.get("top1_difference", "")
        found |= {f"{short}_speedup_{batch}": row.get(f"speedup_{batch}", "") for batch in BATCHES}
    return found
