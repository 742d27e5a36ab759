"""The export stage as it is run, and the parts it is made of."""

import copy
import json
import subprocess
import sys
import tempfile
from itertools import groupby

import pytest
import torch
from onnx import numpy_helper
from torch import nn

from espalier.data.feed import Feed
from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.export.agreement import TOLERANCE, outcome, refuse_difference
from espalier.export.forms import FP32, INT8, forms
from espalier.export.graph_inputs import WithNormalization
from espalier.export.int8 import quantize
from espalier.export.onnx_files import WindowMaxima, converted, save
from espalier.export.processor import processor, saturates
from espalier.export.sessions import Session
from espalier.export.writing import calibration_images
from espalier.metrics.accuracy import score
from espalier.metrics.latency import latency
from espalier.networks import artifact
from espalier.settings.sections import Export
from support.digits_runs import made
from support.scripts_as_run import ENVIRONMENT, ROOT, preloaded, script, table

POINTS = 2.0
"""Most that 8 bits may change of the validation top-1 of the digits: 5 of 270 images."""
CUT_POINTS = 8.0
"""The same where the CPU cuts sums of two 8-bit products, against which `reduce_range` is the remedy."""
PARENT = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "train.epochs=6", "train.batch_size=32"]
PRUNED = ["prune={name: structured, ratio: 0.3}", "fine_tune.epochs=3", "fine_tune.batch_size=32"]


@pytest.fixture(scope="module")
def parent(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("parent") / "resnet-00000000bb", digits, *PARENT)


@pytest.fixture(scope="module")
def pruned(parent, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pruned") / "resnet-00000000cc"
    return made(folder, digits, *PRUNED, stage="prune", parents=(parent,))


@pytest.fixture(scope="module")
def exported(pruned, parent, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "resnet-00000000dd"
    return made(folder, digits, "export={}", stage="export", parents=(parent, pruned))


@pytest.fixture(scope="module")
def again(pruned, digits, tmp_path_factory):
    """The network without that before pruning, exported in a process with another hash seed; what was printed."""
    folder = tmp_path_factory.mktemp("again") / "resnet-00000000de"
    words = script("export", folder, "--parents", pruned, "--data", digits, "export={}")
    environment = ENVIRONMENT | {"PYTHONHASHSEED": "2"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="module")
def data(digits):
    return Resident.load(digits)


def test_the_forms_of_a_pruned_network_are_measured_side_by_side(exported, pruned, parent, data):
    rows = {row["format"]: row for row in table(exported / "formats.csv")}
    assert set(rows) == {"eager", "eager, before pruning", FP32, INT8}
    files = {"eager": pruned / "model.safetensors", "eager, before pruning": parent / "model.safetensors"}
    files |= {FP32: exported / "fp32.onnx", INT8: exported / "int8.onnx"}
    assert {form: int(row["file_bytes"]) for form, row in rows.items()} == {
        form: path.stat().st_size for form, path in files.items()
    }
    network = WithNormalization(artifact.load(pruned).model, Feed.of(data))
    logits = outcome(network, data).logits
    assert float(rows[FP32]["max_logit_difference"]) <= TOLERANCE * float(logits.abs().max())
    assert float(rows[INT8]["max_logit_difference"]) > 0
    assert abs(float(rows[INT8]["top1_difference"])) <= (CUT_POINTS if saturates(processor()) else POINTS)
    assert rows["eager, before pruning"]["top1_difference"] == ""
    for batch in (1, 64):
        assert all(float(row[f"latency_{batch}_ms"]) > 0 for row in rows.values())
        assert float(rows["eager"][f"speedup_{batch}"]) == 1
    for form, model in [("eager", network), *forms(exported)]:
        top1 = score(model, data.batches("validation", 50, pixels=True))["top1"]
        assert top1 == pytest.approx(float(rows[form]["validation_top1"]))
        expected = top1 - float(rows["eager"]["validation_top1"])
        assert float(rows[form]["top1_difference"]) == pytest.approx(expected)


def test_metrics_are_those_of_the_forms(exported):
    rows = {row["format"]: row for row in table(exported / "formats.csv")}
    (metrics,) = table(exported / "metrics.csv")
    assert (metrics["run"], metrics["parent"]) == ("00000000dd", "00000000cc")
    for short, form in (("fp32", FP32), ("int8", INT8)):
        assert metrics[f"onnx_{short}_bytes"] == rows[form]["file_bytes"]
        assert metrics[f"{short}_top1_difference"] == rows[form]["top1_difference"]
        assert metrics[f"{short}_logit_difference"] == rows[form]["max_logit_difference"]
        assert metrics[f"{short}_speedup_64"] == rows[form]["speedup_64"]


def test_a_run_records_processor_and_libraries_and_logs_nothing_else(again):
    folder, done = again
    record = json.loads((folder / "run.json").read_text())
    assert record["cpu"] == processor()
    assert record["files"] == {FP32: "fp32.onnx", INT8: "int8.onnx"} and record["input"] == "uint8"
    assert set(record["exporter"]) == {"onnx", "onnxscript", "onnxruntime"}
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if "saturate" not in line]
    assert len(told) == 3 and all(" INFO ONNX " in line for line in told[:2]), done.stderr
    assert "speed-up over eager PyTorch at one image: ONNX fp32 " in told[2]
    assert json.loads((folder / "heartbeat.json").read_text())["state"] == "done"


def test_the_same_network_gives_the_same_bytes_which_hold_no_path(exported, again):
    folder, _ = again
    assert {row["format"] for row in table(folder / "formats.csv")} == {"eager", FP32, INT8}
    for name in ("fp32.onnx", "int8.onnx"):
        written = (exported / name).read_bytes()
        assert written == (folder / name).read_bytes()
        for word in (str(ROOT), str(folder), str(exported), sys.prefix, "site-packages", "espalier"):
            assert word.encode() not in written
        assert tempfile.gettempdir().encode() not in written


@pytest.mark.parametrize("count", [1, 7, 64])
def test_any_number_of_images_has_the_logits_of_each(count, exported, data):
    images, _ = next(data.batches("validation", count, pixels=True))
    for _, network in forms(exported):
        alone = torch.cat([network(image[None]) for image in images])
        assert network(images).shape == (count, 10)
        torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "text"])
def test_a_damaged_file_is_told_in_one_line(damage, exported, tmp_path):
    path, whole = tmp_path / "fp32.onnx", (exported / "fp32.onnx").read_bytes()
    if damage != "missing":
        path.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "text": b"no network\n"}[damage])
    with pytest.raises(ArtifactError, match=r"fp32\.onnx: .*espalier forget") as caught:
        list(forms(tmp_path))
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_told_in_one_line(exported):
    with pytest.raises(ArtifactError, match=r"does not run on images \(2, 1, 9, 9\)"):
        Session(exported / "fp32.onnx")(torch.zeros(2, 1, 9, 9, dtype=torch.uint8))


def test_without_int8_there_is_none_nor_one_left_from_before(pruned, digits, tmp_path):
    (tmp_path / "int8.onnx").write_bytes(b"left")
    made(tmp_path, digits, "export.int8=false", stage="export", parents=(pruned,))
    assert not (tmp_path / "int8.onnx").exists()
    assert [name for name, _ in forms(tmp_path)] == [FP32]
    (row,) = table(tmp_path / "metrics.csv")
    assert {key for key, value in row.items() if value == ""} == {
        key for key in row if key.split("_")[0] in ("int8", "quantized", "program") or key == "onnx_int8_bytes"
    } | {"onnx_quantized_bytes"}


def test_calibration_sees_training_images_alone(digits):
    train = Resident.load(digits, splits=("train",))
    drawn = torch.cat(list(calibration_images(Export(calibration_images=200), train)))
    known = {image.numpy().tobytes() for images, _ in train.batches("train", 64) for image in images.contiguous()}
    assert len(drawn) == 200
    assert {image.numpy().tobytes() for image in drawn.contiguous()} <= known


@pytest.fixture(scope="module")
def floats(pruned):
    """The network in fp32, before its form has 8 bits."""
    return converted(artifact.load(pruned).model, "resnet", 8, 1)


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("reduce_range", [False, True])
def test_weights_have_8_or_7_bits_and_a_step_a_channel(
    calibration, reduce_range, exported, pruned, floats, data, tmp_path
):
    settings = Export(calibration=calibration, reduce_range=reduce_range, calibration_images=128)
    feed = Feed.of(data)
    proto = quantize(copy.deepcopy(floats), calibration_images(settings, data), settings, "resnet")
    fp32, path, graph = exported / "fp32.onnx", tmp_path / "int8.onnx", proto.graph
    save(path, proto, feed, "uint8")
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert len(layers) == sum(isinstance(each, nn.Conv2d) for each in artifact.load(pruned).model.modules())
    largest = 0
    for node in layers:
        weights, steps = (arrays[name] for name in producers[node.input[1]].input[:2])
        assert weights.dtype == "int8" and steps.shape == (len(weights),)
        largest = max(largest, abs(weights.astype(int)).max())
    assert largest == (64 if reduce_range else 127)
    points = CUT_POINTS if saturates(processor()) and not reduce_range else POINTS
    assert abs(outcome(Session(path), data).top1 - outcome(Session(fp32), data).top1) <= points


def test_a_network_changed_on_the_way_is_refused(exported, pruned, data):
    model = artifact.load(pruned).model
    session = outcome(Session(exported / "fp32.onnx"), data)
    fed = WithNormalization(model, Feed.of(data))
    refuse_difference(session, outcome(fed, data), "resnet")
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    first.eps = 1e-3
    with pytest.raises(ArtifactError, match="resnet as ONNX differs by"):
        refuse_difference(session, outcome(fed, data), "resnet")
    first.running_var.fill_(float("nan"))
    with pytest.raises(ArtifactError, match="no finite numbers"):
        refuse_difference(session, outcome(fed, data), "resnet")


class Bessel(nn.Module):
    def forward(self, images):
        return torch.special.bessel_j0(images).mean((2, 3))


class Branching(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


class OfTwo(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)).reshape(2, 3) * torch.ones(2, 3)


@pytest.mark.parametrize(
    ("model", "reason"),
    [(Bessel, "the operator .*bessel_j0 has no ONNX form"), (Branching, "data-dependent"), (OfTwo, "one number of")],
)
def test_a_network_that_cannot_be_exported_says_why(model, reason, capfd):
    with pytest.raises(Mistake, match=f"odd cannot be exported to ONNX: .*{reason}") as caught:
        converted(model(), "odd", 8)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_nothing_asked_for_is_a_mistake(pruned, digits, tmp_path):
    done = subprocess.run(
        script("export", tmp_path / "a-00000000aa", "--parents", pruned, "--data", digits),
        env=preloaded(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "export: nothing is asked for; set export" in done.stderr


@pytest.mark.parametrize("output", [1, 2, 3, (4, 2), (None, 3)])
@pytest.mark.parametrize("side", [1, 4, 7])
def test_maxima_of_windows_are_adaptive_maxima(side, output):
    images = torch.randn(2, 3, side, side + 1)
    assert torch.equal(WindowMaxima(output)(images), nn.AdaptiveMaxPool2d(output)(images))


def test_functions_of_images_are_timed_in_turn_with_networks():
    called = []

    def one(images):
        called.append("one")
        assert images.is_contiguous() and images.shape == (4, 3, 8, 8)

    network = nn.Conv2d(3, 2, 3)
    network.register_forward_hook(lambda *_: called.append("network"))
    images = torch.randn(4, 8, 8, 3).permute(0, 3, 1, 2)
    found = latency([network, one], images)
    turns = [name for name, _ in groupby(called)]
    assert turns == ["network", "one"] * (len(turns) // 2)
    assert all(len(each.times) == len(turns) // 2 - 1 and each.median > 0 for each in found)


def test_a_cpu_with_8_bit_products_of_its_own_does_not_saturate():
    assert saturates({"flags": ["avx", "avx2"]})
    assert not saturates({"flags": ["avx", "avx2", "avx512_vnni"]})
    assert not saturates({"flags": []})


def test_no_other_stage_imports_onnx():
    modules = ("stages.train", "stages.prune", "stages.quantize", "stages.evaluate", "metrics.latency", "plan.study")
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import "
    program += ", ".join(f"espalier.{each}" for each in modules)
    program += "; print([name for name in sys.modules if name.startswith('onnx')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
