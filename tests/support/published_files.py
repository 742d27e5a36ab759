"""Small files in the formats in which the published data sets come, and in torchvision's layout."""

import gzip
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def cifar(root: Path, kind: type, monkeypatch, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Pickled batches whose MD5s replace those in `kind`; their images (N, 32, 32, 3) and labels in order."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key = "labels" if kind.base_folder.startswith("cifar-10-") else "fine_labels"
    names = [name for name, _ in kind.train_list + kind.test_list]
    classes = [f"class {number:02}" for number in range(10)] if key == "labels" else fine_names()
    rows, labels, sums = drawn(len(names) * each, 3072), np.arange(len(names) * each) % len(classes), {}
    for number, name in enumerate(names):
        part = slice(number * each, (number + 1) * each)
        content = pickle.dumps({"data": rows[part], key: labels[part].tolist()})
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    content = pickle.dumps({kind.meta["key"]: classes})
    (folder / kind.meta["filename"]).write_bytes(content)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": hashlib.md5(content).hexdigest()})
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[name, sums[name]] for name, _ in getattr(kind, part)])
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def fine_names() -> list[str]:
    from espalier.data.sets.cifar100 import COARSE

    return sorted(name for names in COARSE.values() for name in names)


def mnist(root: Path, kind: type, monkeypatch, *, compressed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """idx files of 40 training and 20 test images, as they come (gzip, with their MD5s) or unpacked."""
    folder = root / kind.__name__ / "raw"
    folder.mkdir(parents=True)
    images, labels = drawn(60, 28, 28), np.arange(60, dtype=np.uint8) % 10
    sums = []
    for name, _ in kind.resources:
        part = slice(0, 40) if name.startswith("train") else slice(40, 60)
        array = images[part] if "images" in name else labels[part]
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = head + array.tobytes()
        if compressed:
            content = gzip.compress(content)
        (folder / (name if compressed else name.removesuffix(".gz"))).write_bytes(content)
        sums.append((name, hashlib.md5(content).hexdigest()))
    if compressed:
        monkeypatch.setattr(kind, "resources", sums)
    return images, labels


def food101(root: Path, classes: tuple[str, ...] = ("apple_pie", "waffles"), train: int = 6, test: int = 3) -> None:
    """JPEGs of 48x32, darker to the left, under images/, listed by meta/train.json and meta/test.json."""
    ramp = np.broadcast_to(5 * np.arange(48, dtype=np.uint8)[:, None], (32, 48, 3))
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    listed = {"train": {}, "test": {}}
    for name in classes:
        (folder / "images" / name).mkdir(parents=True)
        for image in range(train + test):
            Image.fromarray(ramp).save(folder / f"images/{name}/{image}.jpg")
            listed["train" if image < train else "test"].setdefault(name, []).append(f"{name}/{image}")
    for name, content in listed.items():
        (folder / f"meta/{name}.json").write_text(json.dumps(content))
    (folder / "meta/classes.txt").write_text("\n".join(classes))


def folder(root: Path, classes: tuple[str, ...] = ("ash", "beech"), each: int = 20, side: int = 8) -> Path:
    """PNGs, one folder a class; pixel (0, 0) of image k of class c is (c, k, 0)."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for image in range(each):
            pixels = drawn(side, side, 3, seed=1000 * number + image)
            pixels[0, 0] = number, image, 0
            Image.fromarray(pixels).save(root / name / f"{image:03}.png")
    return root
