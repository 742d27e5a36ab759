"""Images of two channels go the whole way, and their network answers arrays of two channels."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from espalier import load
from espalier.data.feed import Feed
from espalier.data.prepared import write
from espalier.data.resident import Resident
from espalier.data.sets.arrays import arrays
from espalier.data.sets.digits import digits as digits_of
from espalier.errors import ArtifactError, DataError, Mistake
from espalier.networks import artifact
from support.digits_runs import made

SIDE = 8
MODEL = "model={name: resnet, blocks: [1], channels: [8]}"
POLICY = "augment=[pad_crop, horizontal_flip, {name: rotation, degrees: 10}, mixup]"


def pixels(count):
    """Three classes that only the two channels together tell apart: bright in the first, in the second, in both."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = rng.integers(0, 120, (count, SIDE, SIDE, 2))
    images[..., 0] += 120 * (labels != 1)[:, None, None]
    images[..., 1] += 120 * (labels != 0)[:, None, None]
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("depth")
    images, labels = pixels(150)
    np.savez(root / "depth.npz", images=images, labels=labels, classes=["left", "right", "both"])
    dataset = arrays(root, path="depth.npz", channels=2, image_size=SIDE)
    write(root / "depth-00000000aa.safetensors", dataset, {})
    return root / "depth-00000000aa.safetensors"


@pytest.fixture(scope="module")
def trained(data):
    return made(data.parent / "net-00000000b1", data, MODEL, POLICY, "train.epochs=4", "train.batch_size=16")


def test_a_network_of_two_channels_learns_them_and_is_fed_by_them(data, trained):
    told = json.loads((trained / "run.json").read_text())
    network = artifact.load(trained)
    assert network.channels == 2 and network.model.stem[0].weight.shape == (8, 2, 3, 3)
    # The stem, two 3x3 convolutions of 8, and the classifier; and what normalization has.
    assert told["macs"] == SIDE**2 * 9 * (2 * 8 + 2 * 8 * 8) + 8 * 3
    images, labels = pixels(30)
    answers = load(trained).predict(images)
    classes = ["left", "right", "both"]
    assert sum(answer.label == classes[label] for answer, label in zip(answers, labels, strict=True)) > 25
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert load(trained).predict(tensor) == answers
    assert len(load(trained).predict(pixels(3)[0].repeat(2, 1).repeat(2, 2))) == 3


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("cat.png", r"cat\.png: the network takes 2 channels; give arrays uint8 \(H, W, 2\)"),
        (np.zeros((8, 8, 3), np.uint8), r"an image must be uint8 \(H, W, 2\)"),
        (np.zeros((8, 8), np.uint8), r"an image must be uint8 \(H, W, 2\)"),
    ],
)
def test_what_cannot_become_two_channels_is_refused(trained, image, message):
    with pytest.raises(DataError, match=message):
        load(trained).predict(image)


def test_a_network_is_refused_on_images_of_other_channels(trained, digits, tmp_path):
    told = r"made for \(classes, image size, channels\) \(3, 8, 2\), and .* has \(10, 8, 1\)"
    with pytest.raises(ArtifactError, match=told):
        made(tmp_path / "net-00000000b9", digits, stage="evaluate", parents=(trained,))


def test_what_is_not_defined_for_two_channels_is_refused_when_a_run_starts(data, trained, tmp_path):
    with pytest.raises(
        Mistake, match="augment: grayscale: needs RGB images; leave it out; the number of channels is 2"
    ):
        made(tmp_path / "net-00000000c1", data, MODEL, "augment=[grayscale]")
    corrupted = "evaluate={corruptions: {names: [jpeg, contrast]}}"
    told = r"evaluate\.corruptions: defined for gray or RGB images alone: jpeg; set names to others"
    with pytest.raises(Mistake, match=told):
        made(tmp_path / "net-00000000c2", data, corrupted, stage="evaluate", parents=(trained,))
    assert not (tmp_path / "net-00000000c1/run.json").exists()


def test_a_file_of_three_equal_channels_from_before_is_read_as_what_it_is(tmp_path):
    dataset = digits_of(None, image_size=SIDE)
    equal = replace(dataset, images=dataset.images.expand(-1, 3, -1, -1))
    write(tmp_path / "equal.safetensors", equal, {"name": "cifar10", "grayscale": True})
    write(tmp_path / "gray.safetensors", dataset, {"name": "cifar10", "grayscale": True})
    before, now = (Feed.of(Resident.load(tmp_path / f"{name}.safetensors")) for name in ("equal", "gray"))
    assert (before.channels, before.grayscale, len(before.mean)) == (3, True, 3)
    assert (now.channels, now.grayscale, now.mean) == (1, False, before.mean[:1])


@pytest.mark.slow
def test_two_channels_go_the_whole_way(data, trained):
    root, line = data.parent, [trained]
    stages = {
        "prune": ["prune={name: structured, ratio: 0.3}", "fine_tune.epochs=1", "fine_tune.batch_size=16", POLICY],
        "quantize": ["quantize={weight_bits: [8], activation_bits: [8]}"],
        "export": ["export={program: true}"],
        "encode": ["encode={fold: true}"],
        "evaluate": ["evaluate={predictions: true, corruptions: {names: [gaussian_noise, pixelate], strengths: [1]}}"],
    }
    folders = {}
    for number, (stage, words) in enumerate(stages.items(), 2):
        folders[stage] = made(root / f"net-00000000b{number}", data, *words, stage=stage, parents=tuple(line))
        told = json.loads((folders[stage] / "run.json").read_text())
        assert told["outcome"] == "done"
        if stage != "export":
            line.append(folders[stage])
    with (folders["evaluate"] / "predictions.csv").open(newline="") as table:
        rows = [*csv.DictReader(table)]
    images, _ = pixels(150)
    chosen = images[[int(row["id"]) for row in rows]]
    coded = load(folders["encode"])
    assert coded.feed.channels == 2
    for row, answer in zip(rows, coded.predict(chosen), strict=True):
        assert answer.label == row["predicted"]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert right > 0.8 * len(rows)
    exported = load(folders["export"])
    assert exported.feed.channels == 2 and len(exported.predict(chosen)) == len(chosen)
