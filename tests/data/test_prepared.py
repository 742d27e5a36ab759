import errno
import hashlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from espalier.data import prepared as prepared_file
from espalier.data.pixel_writing import histogram, moments
from espalier.data.prepared import SPLITS, DataError, Prepared, write
from support.data_samples import made

SETTINGS = {"name": "made", "image_size": 6, "kinds": ("a", "b")}


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "made.safetensors", made(), SETTINGS)
    return tmp_path / "made.safetensors"


def test_a_split_comes_back_pixel_for_pixel_in_its_own_order(path):
    dataset = made()
    prepared = Prepared.read(path, SPLITS)
    for name, indices in dataset.splits.items():
        split = prepared.splits[name]
        assert torch.equal(split.indices, indices)
        assert torch.equal(split.images, dataset.images[indices])
        assert torch.equal(split.labels, dataset.labels[indices])
    assert prepared.classes == dataset.classes
    assert prepared.settings == {"name": "made", "image_size": 6, "kinds": ["a", "b"]}


def test_only_the_asked_splits_are_handed_out(path):
    assert set(Prepared.read(path).splits) == {"train", "validation"}
    assert set(Prepared.read(path, ("test",)).splits) == {"test"}
    with pytest.raises(ValueError, match="no split"):
        Prepared.read(path, ("dev",))


def test_mean_and_std_are_those_of_the_train_split_alone(path):
    dataset = made()
    pixels = dataset.images[dataset.splits["train"]].double() / 255
    prepared = Prepared.read(path)
    torch.testing.assert_close(torch.tensor(prepared.mean), pixels.mean((0, 2, 3)).float())
    torch.testing.assert_close(torch.tensor(prepared.std), pixels.std((0, 2, 3), correction=0).float())


def test_mean_and_std_of_a_known_image():
    mean, std = moments(histogram(np.array([[0, 51], [255, 51]], np.uint8).reshape(1, 1, 2, 2)))
    assert mean == [0.5, 0.2]
    assert std == [0.5, 0.0]


def test_other_test_images_change_the_checksum_and_nothing_else_that_training_sees(tmp_path, path):
    dataset = made()
    images = dataset.images.clone()
    images[dataset.splits["test"]] ^= 255
    write(tmp_path / "other.safetensors", replace(dataset, images=images), SETTINGS)
    one, other = Prepared.read(path), Prepared.read(tmp_path / "other.safetensors")
    assert (one.mean, one.std) == (other.mean, other.std)
    assert all(torch.equal(one.splits[name].images, other.splits[name].images) for name in one.splits)
    assert one.checksum != other.checksum


def test_preparing_again_gives_the_same_bytes_in_another_process(tmp_path, path):
    again = tmp_path / "again.safetensors"
    command = (
        "import sys; from support.data_samples import made; from espalier.data.prepared import write; "
        f"write(sys.argv[1], made(), {SETTINGS!r})"
    )
    root = Path(__file__).parents[2]
    search = os.pathsep.join([str(root), str(root / "tests")])
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": search}
    subprocess.run([sys.executable, "-c", command, again], check=True, env=environment)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize("change", ["images", "labels", "classes", "settings"])
def test_the_checksum_covers(change, tmp_path, path):
    dataset, settings = made(), dict(SETTINGS)
    if change == "images":
        dataset.images[dataset.splits["validation"][0], 0, 0, 0] ^= 1
    elif change == "labels":
        dataset.labels[dataset.splits["validation"][0]] ^= 1
    elif change == "classes":
        dataset = replace(dataset, classes=(*dataset.classes[:-1], "elm"))
    else:
        settings["image_size"] = 7
    write(tmp_path / "other.safetensors", dataset, settings)
    assert Prepared.read(tmp_path / "other.safetensors").checksum != Prepared.read(path).checksum


@pytest.mark.parametrize("classes", [("ash", "beech", "cedar", "date"), ('Ä "b"', "\\n", "\x7f", "日")])
def test_the_file_is_what_safetensors_itself_writes(classes, tmp_path):
    path = tmp_path / "made.safetensors"
    write(path, replace(made(train=3000, size=12), classes=classes), SETTINGS)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, tmp_path / "again.safetensors", metadata)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "small.safetensors"
    write(path, made(train=2, validation=1, test=1, size=2), {})
    whole = path.read_bytes()
    for place, bit in itertools.product(range(len(whole)), range(8)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"small\.safetensors.*Make it again: snakemake"):
            Prepared.read(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(kept, path):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(DataError, match="cut short"):
        Prepared.read(path)


def test_a_missing_a_foreign_and_a_newer_file_are_told_apart(tmp_path, path):
    with pytest.raises(DataError, match=r"nowhere\.safetensors: there is no such file\. Make it again"):
        Prepared.read(tmp_path / "nowhere.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="not a prepared data set"):
        Prepared.read(tmp_path / "model.safetensors")
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["espalier-data"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "newer.safetensors", {"espalier-data": json.dumps(header | {"version": 2})})
    with pytest.raises(DataError, match="format version 2, where this Espalier reads 1"):
        Prepared.read(tmp_path / "newer.safetensors")


def _spoilt(name):
    dataset = made()
    splits = dict(dataset.splits)
    if name == "overlap":
        splits["test"] = splits["train"][:3]
    elif name == "empty":
        splits["validation"] = splits["validation"][:0]
    elif name == "missing":
        del splits["test"]
    elif name == "beyond":
        splits["test"] = torch.tensor([99])
    elif name == "classes":
        return replace(dataset, classes=("ash",))
    elif name == "dtype":
        return replace(dataset, images=dataset.images.float())
    return replace(dataset, splits=splits)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("overlap", "two splits"),
        ("empty", "the validation split is empty"),
        ("missing", "splits must be train, validation, test"),
        ("beyond", "split indices up to 99"),
        ("classes", "labels reach 3, of 1 class"),
        ("dtype", "images must be uint8"),
    ],
)
def test_a_data_set_that_contradicts_itself_is_not_written(name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write(tmp_path / "bad.safetensors", _spoilt(name), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_images_are_views_of_the_mapped_file_and_no_copy(tmp_path):
    path = tmp_path / "large.safetensors"
    write(path, made(train=20_000, size=20), {})
    prepared = Prepared.read(path)
    first = prepared.splits["train"].images.data_ptr()
    start = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, _, high = line.partition(" ")[0].partition("-")
        if int(low, 16) <= first < int(high, 16):
            start = line
    assert str(path) in str(start)
    validation = prepared.splits["validation"].images
    assert validation.data_ptr() - first == 20_000 * 20 * 20 * 3
    assert validation.is_contiguous(memory_format=torch.channels_last)


def test_what_is_written_is_what_is_read(tmp_path):
    metadata = write(tmp_path / "made.safetensors", made(), SETTINGS)
    prepared = Prepared.read(tmp_path / "made.safetensors")
    assert metadata["checksum"] == prepared.checksum
    assert (metadata["mean"], metadata["std"]) == (list(prepared.mean), list(prepared.std))


@pytest.mark.parametrize("where", ["save", "fill", "_checksum"])
def test_an_end_in_the_middle_leaves_the_file_of_before_and_nothing_beside_it(where, tmp_path, monkeypatch, path):
    before = path.read_bytes()
    real = getattr(prepared_file, where)

    def stopped(*arguments):
        real(*arguments)
        raise SystemExit(143)

    monkeypatch.setattr(prepared_file, where, stopped)
    with pytest.raises(SystemExit):
        write(path, made(seed=1), SETTINGS)
    assert list(path.parent.iterdir()) == [path] and path.read_bytes() == before


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DataError, match=r"made\.safetensors cannot be written: .*No space left"):
        write(tmp_path / "made.safetensors", made(), SETTINGS)
    assert not list(tmp_path.iterdir())
