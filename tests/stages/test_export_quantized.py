"""What a chain has quantized, as files for other programs: its own levels, fed by what the file alone says."""

import copy
import json
import subprocess
import sys

import onnx
import pytest
import torch
from onnx import TensorProto
from PIL import Image

from espalier import load
from espalier.data.feed import Feed
from espalier.data.resident import Resident
from espalier.errors import ArtifactError
from espalier.export.agreement import outcome
from espalier.export.forms import FORMS, INT8, PROGRAM, QUANTIZED, opened
from espalier.export.graph_inputs import INPUTS, WithNormalization
from espalier.export.onnx_files import converted, save
from espalier.export.processor import processor, saturates
from espalier.export.programs import Program
from espalier.export.programs import write as write_program
from espalier.export.qdq import quantized
from espalier.export.sessions import Session
from espalier.metrics.cost import weighted
from espalier.networks import artifact
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.quantized import Quantization, install
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated, naive
from support.digits_runs import made
from support.scripts_as_run import ENVIRONMENT, run, table

MODEL = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "train.epochs=6", "train.batch_size=32"]
POINTS = 2.5 * 100 / 270
"""Points of top-1 that two images of the validation split are worth."""
CUT = 10 * POINTS
"""The same where the CPU cuts sums of two 8-bit products."""
ALONE = """
import json, sys
import numpy as np
from PIL import Image

folder, *paths = sys.argv[1:]
names = json.load(open(folder + "/labels.json"))
for path in paths:
    if path.endswith(".pt2"):
        import torch
        found = {"feed.json": ""}
        network = torch.export.load(path, extra_files=found).module()
        facts, run = json.loads(found["feed.json"]), lambda images: network(torch.from_numpy(images)).numpy()
    else:
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (own,) = session.get_inputs()
        facts = session.get_modelmeta().custom_metadata_map
        run = lambda images: session.run(None, {own.name: images})[0]
        assert json.loads(facts["input"]).startswith(own.name)
    facts = {key: json.loads(value) for key, value in facts.items()}
    mode = {1: "L", 3: "RGB"}[facts["channels"]]
    images = np.stack([np.asarray(Image.open(f"{folder}/{k}.png").convert(mode)) for k in range(len(names))])
    assert images.shape[1:3] == (facts["image_size"],) * 2
    images = images.reshape(*images.shape[:3], -1).transpose(0, 3, 1, 2)
    if facts["takes"] != "uint8":
        images = images.astype(np.float32) / 255
    if facts["takes"] == "normalized":
        mean, std = (np.array(facts[key], np.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
        images = (images - mean) / std
    guesses = [facts["classes"][k] for k in run(np.ascontiguousarray(images)).argmax(1)]
    print(100 * sum(map(str.__eq__, guesses, names)) / len(names))
assert not any(name.startswith("espalier") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("quantized")


@pytest.fixture(scope="module")
def parent(digits, root):
    return made(root / "resnet-00000000a0", digits, *MODEL)


@pytest.fixture(scope="module")
def few_bits(digits, root, parent):
    words = "quantize={weight_bits: [4], activation_bits: [8]}"
    return made(root / "resnet-00000000a1", digits, words, stage="quantize", parents=(parent,))


@pytest.fixture(scope="module")
def exported(digits, root, parent, few_bits):
    folder = root / "resnet-00000000a2"
    return made(folder, digits, "export={program: true}", stage="export", parents=(parent, few_bits))


@pytest.fixture(scope="module")
def data(digits):
    return Resident.load(digits)


def within(points):
    return abs(points) <= (CUT if saturates(processor()) else POINTS)


@pytest.mark.parametrize(
    ("widths", "scheme", "types"),
    [
        ((4, 8), calibrated(), {TensorProto.INT4, TensorProto.INT8}),
        ((2, 3), calibrated(first_bits=None), {TensorProto.INT4}),
        pytest.param((8, 8), calibrated(symmetric_activations=True), {TensorProto.INT8}, marks=pytest.mark.slow),
        pytest.param((12, 10), calibrated(), {TensorProto.INT16}, marks=pytest.mark.slow),
        ((4, 32), calibrated(symmetric_weights=False, rounding="nearest", first_bits=None), {TensorProto.UINT4}),
        pytest.param((32, 8), calibrated(), set(), marks=pytest.mark.slow),
        pytest.param(
            (8, 8), calibrated(granularity="tensor", rounding="nearest"), {TensorProto.INT8}, marks=pytest.mark.slow
        ),
        ((6, 5), naive(), {TensorProto.INT8}),
    ],
)
def test_levels_of_every_width_compute_the_same_as_onnx(widths, scheme, types, parent, data, tmp_path):
    network = artifact.load(parent)
    quantizer = Quantizer(network.model, scheme, calibration_batches(data, 256, 0))
    quantizer.set(*widths)
    own = Quantization(quantizer.weights, quantizer.activations, quantizer.dynamic)
    plain = network.plain()
    quantizer.close()
    model = copy.deepcopy(plain)
    install(model, own)
    proto = quantized(plain, own, "resnet", 8, 1)
    held = {
        each.data_type for each in proto.graph.initializer if "levels_" in each.name and "zero_point" not in each.name
    }
    assert held == types
    save(tmp_path / "quantized.onnx", proto, Feed.of(data), "uint8")
    found, expected = (
        outcome(Session(tmp_path / "quantized.onnx"), data),
        outcome(WithNormalization(model, Feed.of(data)), data),
    )
    assert within(found.top1 - expected.top1)
    if not saturates(processor()):
        # A number between two levels may go to the one or the other: no more than a few do.
        near = (found.logits - expected.logits).abs() <= 0.05 * float(expected.logits.abs().max())
        assert near.float().mean() > 0.98
    assert sum(node.op_type == "DequantizeLinear" for node in proto.graph.node) >= len(own.weights)
    assert not any(node.op_type == "BatchNormalization" for node in proto.graph.node)


def test_a_chain_that_quantizes_leaves_with_its_own_levels(exported, parent, few_bits, data):
    rows = {row["format"]: row for row in table(exported / "formats.csv")}
    assert set(rows) == {"eager", "ONNX fp32", QUANTIZED, PROGRAM} and not (exported / FORMS[INT8]).exists()
    (kept,) = table(few_bits / "metrics.csv")
    for form in (QUANTIZED, PROGRAM):
        assert int(rows[form]["file_bytes"]) == (exported / FORMS[form]).stat().st_size
        assert within(float(rows[form]["top1_difference"]))
        assert within(float(rows[form]["validation_top1"]) - float(kept["validation_top1"]))
        assert float(rows[form]["latency_1_ms"]) > 0
    assert float(rows["ONNX fp32"]["top1_difference"]) == 0
    assert int(rows[QUANTIZED]["file_bytes"]) < 0.6 * int(rows["ONNX fp32"]["file_bytes"])
    (metrics,) = table(exported / "metrics.csv")
    assert metrics["onnx_quantized_bytes"] == rows[QUANTIZED]["file_bytes"] and metrics["onnx_int8_bytes"] == ""
    assert metrics["program_bytes"] == rows[PROGRAM]["file_bytes"]
    assert metrics["quantized_speedup_64"] == rows[QUANTIZED]["speedup_64"]
    record = json.loads((exported / "run.json").read_text())
    assert set(record["files"].values()) <= record["written"].keys()
    graph = onnx.load(exported / FORMS[QUANTIZED]).graph
    levels = artifact.load(few_bits).quantization.weights
    assert (
        len(levels)
        == len(weighted(artifact.load(parent).model))
        == sum("levels_" in one.name for one in graph.initializer)
    )
    own = load(exported / FORMS[QUANTIZED])
    image = Image.new("RGB", (20, 12), (90, 40, 10))
    assert own.feed == load(few_bits).feed and own.predict(image)[0].label in own.feed.classes


@pytest.fixture(scope="module")
def photographs(digits, tmp_path_factory):
    """The test split as PNG files, and the names of their classes."""
    folder = tmp_path_factory.mktemp("photographs")
    split = Resident.load(digits, splits=("test",))
    for number, image in enumerate(split.splits["test"].images):
        Image.fromarray(image.squeeze(0).numpy()).save(folder / f"{number}.png")
    labels = split.splits["test"].labels.tolist()
    (folder / "labels.json").write_text(json.dumps([split.classes[label] for label in labels]))
    return folder


def alone(photographs, *paths):
    """Percent of right answers of each file in a process without Espalier, which knows files and photographs."""
    command = [sys.executable, "-c", ALONE, photographs, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd=photographs)
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.splitlines()]


def test_each_file_is_fed_by_what_it_says_of_itself(digits, root, parent, few_bits, exported, photographs):
    """It then scores what the row of evaluate says, and is scored on corrupted images too."""
    evaluated = root / "resnet-00000000a4"
    corruptions = "evaluate.corruptions={names: [contrast], strengths: [4]}"
    made(evaluated, digits, corruptions, stage="evaluate", parents=(parent, few_bits), branches=(exported,))
    scores = {row["format"]: row["test_top1"] for row in table(evaluated / "scores.csv") if row["stage"] == "export"}
    assert set(scores) == {"ONNX fp32", QUANTIZED, PROGRAM}
    answered = alone(photographs, *(exported / FORMS[form] for form in scores))
    assert answered == pytest.approx([float(top1) for top1 in scores.values()], abs=1e-4)
    assert min(answered) > 90
    rows = {(row["stage"], row["format"]): row for row in table(evaluated / "corruptions.csv")}
    assert {form for stage, form in rows if stage == "export"} == set(scores)
    for form in scores:
        assert float(rows["export", form]["clean_top1"]) == pytest.approx(float(scores[form]))
        assert float(rows["export", form]["top1"]) < float(scores[form])
    # A program in floats answers as the network that it is made of.
    of, like = rows["train", "eager"], rows["export", PROGRAM]
    assert float(like["top1"]) == pytest.approx(float(of["top1"]), abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("takes", [name for name in INPUTS if name != "uint8"])
def test_files_take_images_in_other_forms(takes, parent, exported, photographs, data, tmp_path):
    network, feed = artifact.load(parent), Feed.of(data)
    save(tmp_path / "fp32.onnx", converted(network.model, "resnet", 8, 1), feed, takes)
    write_program(tmp_path / "program.pt2", network.model, feed, takes, "resnet")
    expected, *found = alone(photographs, exported / "fp32.onnx", tmp_path / "fp32.onnx", tmp_path / "program.pt2")
    assert found == pytest.approx([expected] * 2, abs=1e-4)
    images, _ = next(data.batches("validation", 16, pixels=True))
    with torch.inference_mode():
        logits = WithNormalization(network.model, feed)(images)
    for network in (Session(tmp_path / "fp32.onnx"), Program(tmp_path / "program.pt2")):
        torch.testing.assert_close(network(images), logits, rtol=1e-4, atol=1e-4)


def test_few_bits_alone_are_refused(digits, few_bits, tmp_path):
    done = run("export", tmp_path / "a-00000000aa", "--parents", few_bits, "--data", digits, "export={}")
    assert done.returncode == 2 and "export needs the network that it was made of too" in done.stderr


def test_a_file_that_does_not_say_how_it_is_fed_is_told(exported, tmp_path):
    proto = onnx.load(exported / "fp32.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "fp32.onnx")
    with pytest.raises(ArtifactError, match="does not say how it is fed"):
        load(tmp_path / "fp32.onnx")
    (tmp_path / "program.pt2").write_bytes((exported / "program.pt2").read_bytes()[:5000])
    with pytest.raises(ArtifactError, match=r"program\.pt2: cannot be opened"):
        opened(PROGRAM, tmp_path / "program.pt2")
