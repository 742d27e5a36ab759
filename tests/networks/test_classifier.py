"""Networks in use: fed by what their artifact says, they answer images as the run that made them was scored."""

import csv
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from espalier import load
from espalier.cli import app
from espalier.data.feed import Feed
from espalier.data.images import square
from espalier.errors import ArtifactError, DataError, Mistake
from espalier.networks.classifier import _pixels
from espalier.networks.classify_folder import classify
from support.digits_runs import made
from support.published_files import folder as images_of
from support.scripts_as_run import ENVIRONMENT, run

CLASSES = ("ash", "beech", "cedar")
MODEL = ["model={name: resnet, blocks: [1], channels: [8]}", "train.epochs=3"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Files of images, and the folders of a network that was trained on them, pruned, quantized and coded."""
    root = tmp_path_factory.mktemp("used")
    images = images_of(root / "images", CLASSES, each=30, side=12)
    data = root / "folder-00000000aa.safetensors"
    words = ["dataset.name=folder", f"dataset.path={json.dumps(str(images))}", "dataset.image_size=8"]
    done = run("prepare", data, *words)
    assert done.returncode == 0, done.stderr
    stages = {
        "train": MODEL,
        "prune": ["prune={name: structured, ratio: 0.3}", "fine_tune.epochs=1"],
        "quantize": ["quantize={weight_bits: [4], activation_bits: [8]}"],
        "encode": ["encode={}"],
        "evaluate": ["evaluate.predictions=true"],
    }
    folders = {}
    for number, (stage, settings) in enumerate(stages.items()):
        folder = root / f"net-00000000b{number}"
        folders[stage] = made(folder, data, *settings, stage=stage, parents=tuple(folders.values()))
    return images, folders


def files(images):
    return sorted(images.rglob("*.png"))


def test_what_is_answered_is_what_the_run_was_scored_by(chain):
    """The images of the test split, from their files, have the probabilities and labels of predictions.csv."""
    images, folders = chain
    with (folders["evaluate"] / "predictions.csv").open(newline="") as table:
        rows = [*csv.DictReader(table)]
    paths = files(images)
    answers = load(folders["encode"]).predict([paths[int(row["id"])] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        assert answer.label == row["predicted"]
        for name in CLASSES:
            assert answer.probabilities[name] == pytest.approx(float(row[f"probability.{name}"]), abs=1e-6)


@pytest.mark.parametrize("stage", ["train", "prune", "quantize", "encode"])
def test_every_artifact_says_how_it_is_fed(chain, stage):
    _, folders = chain
    net = load(folders[stage])
    assert net.feed.classes == list(CLASSES) and net.feed.image_size == 8 and net.feed.channels == 3
    assert len(net.feed.mean) == len(net.feed.std) == 3 and not net.module.training
    if stage != "encode":
        assert Feed.model_validate(json.loads((folders[stage] / "model.json").read_text())["feed"]) == net.feed
    assert net.feed == load(folders["train"]).feed


def test_a_coded_file_alone_is_enough(chain, tmp_path):
    images, folders = chain
    (tmp_path / "mine.esp").write_bytes((folders["encode"] / "model.esp").read_bytes())
    some = files(images)[:5]
    assert load(tmp_path / "mine.esp").predict(some) == load(folders["encode"]).predict(some)


def test_an_image_is_the_same_in_every_form(chain):
    images, folders = chain
    net, path = load(folders["train"]), files(images)[7]
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    pixels = np.asarray(image)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    (expected,) = net.predict(path)
    for form in (str(path), [path], image, pixels, tensor, pixels[None], tensor[None], [image], iter([pixels])):
        assert net.predict(form) == [expected]
    gray = np.asarray(image.convert("L"))
    assert net.predict(gray) == net.predict(gray[..., None]) == net.predict(Image.fromarray(gray))
    assert expected.probability == max(expected.probabilities.values()) == expected.probabilities[expected.label]
    assert sum(expected.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "must be uint8"),
        (np.zeros((4, 4, 5), np.uint8), "must be uint8"),
        (Image.new("I", (4, 4)), "more than 8 bits"),
        ("nowhere.png", "there is no such file"),
        (7, "int is no image"),
    ],
)
def test_what_is_no_image_is_told(chain, image, message):
    with pytest.raises(DataError, match=message):
        load(chain[1]["train"]).predict(image)


def feed(channels, **more):
    numbers = [0.5] * channels
    return Feed(image_size=6, channels=channels, mean=numbers, std=numbers, classes=["ash", "beech"], **more)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA", "CMYK"])
def test_an_image_of_any_mode_becomes_what_the_network_takes(mode, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    image.save(tmp_path / "some.tif")
    gray, colours = square(image, 6, True), square(image, 6, False)
    for form in (image, tmp_path / "some.tif"):
        assert np.array_equal(_pixels(form, feed(1)), gray)
        assert np.array_equal(_pixels(form, feed(3)), colours)
        # Of networks from before gray images had one channel.
        assert np.array_equal(_pixels(form, feed(3, grayscale=True)), gray.repeat(3, 2))
    assert gray.shape == (6, 6, 1)
    assert np.array_equal(
        np.asarray(image.convert("L").resize((8, 6), Image.Resampling.BILINEAR))[:, 1:7], gray[..., 0]
    )


def test_arrays_become_gray_or_rgb_too_and_others_stay_what_they_are():
    colours = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    gray = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(_pixels(colours, feed(1))[..., 0], gray)
    assert np.array_equal(_pixels(gray[..., None], feed(3)), gray[..., None].repeat(3, 2))
    four = np.concatenate([colours, gray[..., None]], 2)
    assert np.array_equal(_pixels(torch.from_numpy(four).permute(2, 0, 1), feed(4)), four)
    with pytest.raises(DataError, match="the network takes 4 channels"):
        _pixels(Image.fromarray(four), feed(4))


def test_a_long_stream_is_read_as_it_is_answered(chain):
    """No more than the batch that is asked for is read."""
    images, folders = chain
    path, taken = files(images)[0], []

    def endless():
        while True:
            taken.append(1)
            yield path

    answers = load(folders["train"]).stream(endless(), batch=4)
    assert len([next(answers) for _ in range(10)]) == 10 and len(taken) <= 16


def test_a_pickled_batch_is_answered_as_a_competition_asks(chain, tmp_path):
    images, folders = chain
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize((16, 16))) for path in files(images)[:7]])
    batch = tmp_path / "batch.pkl"
    batch.write_bytes(pickle.dumps({b"data": pixels, b"ids": np.arange(100, 107)}))
    assert classify(folders["encode"], batch, tmp_path / "out.csv", strict=False).images == 7
    net = load(folders["encode"])
    wanted = [net.feed.classes.index(one.label) for one in net.predict(pixels)]
    rows = [f"{100 + place},{label}" for place, label in enumerate(wanted)]
    assert (tmp_path / "out.csv").read_text().splitlines() == ["ID,Labels", *rows]


def test_an_evaluated_chain_is_its_last_network(chain):
    images, folders = chain
    some = files(images)[:5]
    assert load(folders["evaluate"]).predict(some) == load(folders["encode"]).predict(some)


def test_what_cannot_be_loaded_is_told(chain, tmp_path):
    _, folders = chain
    (tmp_path / "a/b").mkdir(parents=True)
    shutil.copytree(folders["evaluate"], tmp_path / "a/b/net-00000000b4")
    with pytest.raises(ArtifactError, match="the run that it has scored, 00000000b3, is gone"):
        load(tmp_path / "a/b/net-00000000b4")
    with pytest.raises(ArtifactError, match="not complete"):
        load(tmp_path)
    for words in ({}, {"path": tmp_path, "study": "demo", "best": True}, {"study": "demo"}):
        with pytest.raises(Mistake, match="give the folder of a run, or study"):
            load(**words)


def test_a_folder_is_answered_and_its_corrupt_files_are_listed(chain, tmp_path):
    images, folders = chain
    (images / "ash/bad.png").write_text("no image")
    try:
        words = ["predict", str(folders["train"]), str(images), "-o", str(tmp_path / "out.csv")]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1 and "91 images, 1 could not be read" in done.output, done.output
        with (tmp_path / "out.csv").open(newline="") as table:
            rows = {row["file"]: row for row in csv.DictReader(table)}
        assert len(rows) == 91 and "cannot identify" in rows[str(images / "ash/bad.png")]["error"]
        path = files(images)[1]
        assert rows[str(path)]["label"] == load(folders["train"]).predict(path)[0].label
        (tmp_path / "out.csv").unlink()
        done = CliRunner().invoke(app, [*words, "--strict"])
        assert done.exit_code == 2 and list(tmp_path.iterdir()) == []
    finally:
        (images / "ash/bad.png").unlink()


def test_the_package_imports_no_torch_until_a_network_is_loaded():
    program = "import sys, espalier; print('torch' in sys.modules, 'pandas' in sys.modules, espalier.__version__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.startswith("False False ")
