"""Data sets read from small files in the formats in which they are published."""

import fcntl
import os
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torchvision import datasets

from espalier.data.official_files import DOWNLOADS
from espalier.data.prepared import SPLITS, DataError, Prepared, write
from espalier.data.sets.digits import digits
from espalier.settings.registry import choice, entries
from espalier.stages.frame.command_line import main
from support.published_files import cifar, fine_names, folder, food101, mnist
from support.scripts_as_run import PATIENCE_S


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def built(root, name, **settings):
    return TypeAdapter(choice("dataset")).validate_python({"name": name, **settings}).build(root)


def whole(dataset):
    """All images as uint8 (N, H, W, C)."""
    return np.stack([dataset.images.image(place) for place in range(dataset.images.shape[0])])


def counts(dataset):
    return {name: len(part) for name, part in dataset.splits.items()}


@pytest.mark.parametrize("below", ["", "cifar10"])
def test_cifar10_is_read_pixel_for_pixel_from_the_folder_or_the_one_of_its_name(below, tmp_path, monkeypatch):
    images, labels = cifar(tmp_path / below, datasets.CIFAR10, monkeypatch)
    dataset = built(tmp_path, "cifar10")
    assert np.array_equal(whole(dataset), images)
    assert np.array_equal(dataset.labels, labels)
    assert counts(dataset) == {"train": 90, "validation": 10, "test": 20}
    assert dataset.splits["test"].tolist() == list(range(100, 120))
    assert len(dataset.classes) == entries("dataset")["cifar10"].facts["classes"] == 10


def test_a_cifar_file_is_unpickled_only_after_its_md5_was_right(tmp_path, monkeypatch):
    cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("read before it was checked"))
    with (tmp_path / "cifar-10-batches-py/data_batch_3").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match="cifar-10-batches-py is damaged, and fetching it failed"):
        built(tmp_path, "cifar10")


def test_cifar100_has_fine_or_coarse_labels(tmp_path, monkeypatch):
    _, labels = cifar(tmp_path, datasets.CIFAR100, monkeypatch, each=1000)
    fine, coarse = built(tmp_path, "cifar100"), built(tmp_path, "cifar100", labels="coarse")
    assert (len(fine.classes), len(coarse.classes)) == (100, 20)
    assert np.array_equal(fine.labels, labels)
    assert np.array_equal(coarse.labels, COARSE[labels])
    assert coarse.classes[0] == "aquatic_mammals" and fine.classes == tuple(fine_names())
    assert {name: np.unique(coarse.labels[part]).size for name, part in coarse.splits.items()} == dict.fromkeys(
        coarse.splits, 20
    )


_NUMBERS = """
4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13 14 17 18
10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17
8 14 13
"""
COARSE = np.array([int(number) for number in _NUMBERS.split()])
"""The authors' coarse label of each fine one."""


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)])
def test_idx_files_become_images_of_one_channel(name, kind, compressed, tmp_path, monkeypatch):
    images, labels = mnist(tmp_path, kind, monkeypatch, compressed=compressed)
    dataset = built(tmp_path, name, validation=0.25)
    assert dataset.images.shape == (60, 1, 28, 28)
    assert np.array_equal(whole(dataset), images[..., None])
    assert np.array_equal(dataset.labels, labels)
    assert counts(dataset) == {"train": 30, "validation": 10, "test": 20}
    assert len(dataset.classes) == entries("dataset")[name].facts["classes"]


def test_an_idx_file_cut_short_is_told(tmp_path, monkeypatch):
    mnist(tmp_path, datasets.MNIST, monkeypatch)
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="MNIST is damaged"):
        built(tmp_path, "mnist")


def test_food101_reads_the_images_that_its_lists_name(tmp_path):
    food101(tmp_path)
    dataset = built(tmp_path, "food101", image_size=32, validation=0.3)
    assert dataset.images.shape == (18, 3, 32, 32)
    assert dataset.classes == ("apple_pie", "waffles")
    assert dataset.labels.tolist() == 6 * [0] + 6 * [1] + 3 * [0] + 3 * [1]
    assert dataset.splits["test"].tolist() == list(range(12, 18))
    names = [f"{path.parent.name}/{path.stem}" for path in dataset.images.paths]
    assert names[:7] == [*(f"apple_pie/{k}" for k in range(6)), "waffles/0"] and names[12] == "apple_pie/6"
    middle = 5.0 * np.arange(8, 40)[:, None]
    assert abs(dataset.images.image(0) - middle).max() < 5, "but for what JPEG loses"


def test_missing_food_is_listed_and_nothing_written(tmp_path):
    food101(tmp_path / "data")
    (tmp_path / "data/food-101/images/waffles/2.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 18 images(.|\n)*waffles/2\.jpg: there is no such file"):
        write(tmp_path / "out/food.safetensors", built(tmp_path / "data", "food101", validation=0.3), {})
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "food101"])
def test_files_that_are_nowhere_are_one_error_with_both_mends(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "elsewhere", None):
        with pytest.raises(DataError) as caught:
            built(root, name)
        text = str(caught.value)
        assert f"{root or DOWNLOADS}" in text and "is not there" in text and "no network" in text
        assert "set ESPALIER_DATA" in text and "download=True" in text and "\n" not in text


def test_a_folder_holds_one_class_a_folder(tmp_path):
    folder(tmp_path / "trees")
    dataset = built(tmp_path, "folder", path="trees", image_size=8)
    assert dataset.classes == ("ash", "beech")
    assert counts(dataset) == {"train": 32, "validation": 4, "test": 4}
    corner = whole(dataset)[:, 0, 0]
    assert np.array_equal(corner[:, 0], dataset.labels) and np.array_equal(corner[:, 1], 2 * list(range(20)))
    for part in dataset.splits.values():
        assert (dataset.labels[part] == 0).sum() * 2 == len(part)
    with pytest.raises(DataError, match=r"dataset\.split: official needs train and test"):
        built(tmp_path, "folder", path="trees", split="official")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("train", "test"), {"train": 36, "validation": 4, "test": 40}),
        (("train", "val"), {"train": 36, "validation": 4, "test": 40}),
        (("train", "val", "test"), {"train": 40, "validation": 40, "test": 40}),
        (("train", "valid", "test"), {"train": 40, "validation": 40, "test": 40}),
    ],
)
def test_train_and_test_folders_are_official_splits(parts, expected, tmp_path):
    for part in parts:
        folder(tmp_path / part)
    dataset = built(tmp_path, "folder", path=".")
    assert counts(dataset) == expected
    for name, part in dataset.splits.items():
        place = {"train": "train", "test": parts[-1], "validation": parts[1] if len(parts) == 3 else "train"}[name]
        assert {dataset.images.paths[one].parts[-3] for one in part} == {place}
    again = built(tmp_path, "folder", path=".", split="80/10/10")
    assert sum(counts(again).values()) == 40 * len(parts)


def test_a_class_may_be_called_train(tmp_path):
    folder(tmp_path, ("bus", "train"))
    assert built(tmp_path, "folder", path=".").classes == ("bus", "train")


@pytest.mark.parametrize("wrong", ["nowhere", "empty", "one", "none inside", "unknown class"])
def test_folders_that_are_no_data_set_are_refused(wrong, tmp_path):
    if wrong == "unknown class":
        folder(tmp_path / wrong / "train")
        folder(tmp_path / wrong / "test", ("ash", "elm"))
    elif wrong == "one":
        folder(tmp_path / wrong, ("ash",))
    elif wrong == "none inside":
        folder(tmp_path / wrong)
        shutil.rmtree(tmp_path / wrong / "ash")
        (tmp_path / wrong / "ash").mkdir()
    elif wrong == "empty":
        (tmp_path / wrong).mkdir()
    with pytest.raises(DataError, match=f"{wrong}"):
        built(tmp_path, "folder", path=wrong)


def test_kept_classes_are_renumbered_in_the_order_given(tmp_path, monkeypatch):
    _, labels = cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    dataset = built(tmp_path, "cifar10", keep=["class 07", 2])
    assert dataset.classes == ("class 07", "class 02")
    places = torch.cat(list(dataset.splits.values())).sort().values
    assert np.array_equal(places, np.flatnonzero((labels == 7) | (labels == 2)))
    assert np.array_equal(dataset.labels[places] == 0, labels[places] == 7)
    tenths = built(tmp_path, "cifar10", keep=["class 07", 2], split="80/10/10")
    assert torch.equal(torch.cat(list(tenths.splits.values())).sort().values, places)
    write(tmp_path / "two.safetensors", dataset, {})
    assert set(Prepared.read(tmp_path / "two.safetensors", SPLITS).splits["test"].labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (["clas 07", 2], "unknown class 'clas 07'; did you mean 'class 0"),
        ([3, 10], "no class 10; the 10 classes are numbered from 0"),
        ([2, "class 02"], "names a class twice: class 02, class 02"),
    ],
)
def test_classes_that_do_not_exist_are_refused(keep, message, tmp_path, monkeypatch):
    cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    with pytest.raises(DataError, match=message):
        built(tmp_path, "cifar10", keep=keep)


@pytest.mark.parametrize("settings", [{"keep": [1]}, {"keep": [True, 2]}, {"keep": [-1, 2]}, {"fraction": 0.0}])
def test_settings_out_of_range_are_no_settings(settings):
    with pytest.raises(ValidationError):
        TypeAdapter(choice("dataset")).validate_python({"name": "cifar10", **settings})


def test_a_fraction_is_of_the_training_images_alone(tmp_path, monkeypatch):
    cifar(tmp_path, datasets.CIFAR10, monkeypatch, each=200)
    full, tenth = built(tmp_path, "cifar10"), built(tmp_path, "cifar10", fraction=0.1)
    assert counts(full) == {"train": 900, "validation": 100, "test": 200}
    assert counts(tenth) == {"train": 90, "validation": 100, "test": 200}
    assert np.bincount(tenth.labels[tenth.splits["train"]]).tolist() == 10 * [9]
    assert all(torch.equal(full.splits[name], tenth.splits[name]) for name in ("validation", "test"))
    assert set(tenth.splits["train"].tolist()) < set(full.splits["train"].tolist())


def test_the_tenths_of_all_images_have_no_other_validation(tmp_path, monkeypatch):
    cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    dataset = built(tmp_path, "cifar10", split="80/10/10")
    assert counts(dataset) == {"train": 96, "validation": 12, "test": 12}
    assert set(dataset.splits["test"].tolist()) & set(range(100)), "drawn from the official train split too"
    with pytest.raises(DataError, match="contradicts"):
        built(tmp_path, "cifar10", split="80/10/10", validation=0.2)


def test_gray_is_what_pillow_calls_gray(tmp_path, monkeypatch):
    images, _ = cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    found = whole(built(tmp_path, "cifar10", grayscale=True))
    assert found.shape == (*images.shape[:3], 1)
    assert abs(found[..., 0] - images @ (0.299, 0.587, 0.114)).max() < 1


def prepared(monkeypatch, root, *words):
    """What the stage prepare does in this process."""
    monkeypatch.setenv("ESPALIER_DATA", str(root))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    main(["prepare", str(root / "out.safetensors"), *words])


def test_a_data_set_whose_images_have_other_channels_than_it_states_is_refused(tmp_path, monkeypatch, capsys):
    """Networks would be counted for other images than they are trained on."""
    true = digits(None)
    equal = replace(true, images=true.images.expand(-1, 3, -1, -1))
    monkeypatch.setattr("espalier.data.sets.digits.digits", lambda source, **_: equal)
    with pytest.raises(SystemExit):
        prepared(monkeypatch, tmp_path, "dataset.name=digits")
    told = "dataset digits states 1 channel, and its images have 3; register it with the fact channels=3"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_statistics_are_told_beside_the_published_ones(tmp_path, monkeypatch, capsys):
    cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    prepared(monkeypatch, tmp_path, "dataset.name=cifar10", "--threads", "2", "dataset.split=80/10/10")
    lines = capsys.readouterr().out.splitlines()
    file = Prepared.read(tmp_path / "out.safetensors")
    assert "96 train, 12 validation, 12 test images of (3, 32, 32), 10 classes" in lines[0]
    assert lines[1].split() == ["class", "train", "validation", "test"]
    every = Prepared.read(tmp_path / "out.safetensors", SPLITS).splits.values()
    counts = torch.stack([split.labels.bincount(minlength=10) for split in every], 1)
    assert [[int(cell) for cell in line.split()[-3:]] for line in lines[2:12]] == counts.tolist()
    assert lines[12].startswith("12 test images: one is worth 8.3 points")
    assert lines[13] == f"sha256 {file.checksum}"
    assert lines[14].startswith("mean " + " ".join(f"{value:.4f}" for value in file.mean))
    assert lines[15].startswith("mean 0.4914 0.4822 0.4465, std 0.2470 0.2435 0.2616 published")
    assert file.settings["split"] == "80/10/10"


def test_a_mistake_is_one_line_without_a_file(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        prepared(monkeypatch, tmp_path, "dataset.name=folder", "dataset.path=nowhere")
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.startswith("error: dataset.path nowhere") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nobody_reads_what_another_process_is_still_fetching(tmp_path, monkeypatch):
    mnist(tmp_path, datasets.MNIST, monkeypatch)
    built(tmp_path, "mnist", validation=0.25)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(built, tmp_path, "mnist", validation=0.25)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        os.close(descriptor)
        assert waiting.result(timeout=PATIENCE_S).images.shape[0] == 60
