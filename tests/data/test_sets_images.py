"""Images from files to the prepared file: formats, sizes, threads, memory, what is broken, and what is interrupted."""

import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from espalier.data.images import Arrays, Files, Unreadable
from espalier.data.prepared import SPLITS, DataError, Dataset, Prepared, write
from support.published_files import drawn, folder
from support.scripts_as_run import PATIENCE_S, preloaded

PREPARE = [sys.executable, Path(__file__).parents[2] / "workflow/scripts/stage.py", "prepare"]


def dataset_of(images):
    count = images.shape[0]
    parts = np.split(np.random.default_rng(0).permutation(count), [count // 2, count * 3 // 4])
    splits = {name: torch.from_numpy(part) for name, part in zip(SPLITS, parts, strict=True)}
    return Dataset(images, torch.arange(count) % 2, splits, ("even", "odd"))


def saved(path, image):
    image.save(path)
    return path


RGB = drawn(9, 9, 3)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("rgb.png", Image.fromarray(RGB), RGB),
        ("rgb.bmp", Image.fromarray(RGB), RGB),
        ("gray.png", Image.fromarray(RGB[..., 0]), np.repeat(RGB[..., :1], 3, axis=2)),
        ("alpha.png", Image.fromarray(np.dstack([RGB, drawn(9, 9, seed=1)])), RGB),
        ("gray_alpha.png", Image.fromarray(RGB[..., :2], "LA"), np.repeat(RGB[..., :1], 3, axis=2)),
        ("bits.png", Image.fromarray(RGB[..., 0] > 99), np.repeat(255 * (RGB[..., :1] > 99), 3, axis=2)),
        ("palette.png", Image.fromarray(RGB // 200 * 200).quantize(8), RGB // 200 * 200),
    ],
)
def test_every_mode_becomes_rgb(name, image, expected, tmp_path):
    files = Files([saved(tmp_path / name, image)], 9)
    assert files.shape == (1, 3, 9, 9)
    assert np.array_equal(files.image(0), expected)


@pytest.mark.parametrize("shape", [(20, 20), (31, 20), (20, 47), (5, 9), (64, 8), (1, 3)])
@pytest.mark.parametrize("size", [8, 13])
def test_the_shorter_side_is_resized_and_the_middle_kept_as_torchvision_does(shape, size, tmp_path):
    image = Image.fromarray(drawn(*shape, 3))
    expected = np.asarray(Compose([Resize(size), CenterCrop(size)])(image))
    assert np.array_equal(Files([saved(tmp_path / "a.png", image)], size).image(0), expected)
    if shape[0] == shape[1]:
        assert np.array_equal(Arrays(np.asarray(image)[None], size).image(0), expected)


def test_shrinking_averages_where_it_would_alias():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = Arrays(board[None].astype(np.uint8), 8).image(0)
    assert abs(small.astype(int) - 127).max() <= 1


def test_a_line_is_refused_before_its_resizing_takes_all_memory(tmp_path):
    path = saved(tmp_path / "line.png", Image.fromarray(drawn(1, 20_000, 3)))
    assert Files([path], 8).image(0).shape == (8, 8, 3)
    with pytest.raises(Unreadable, match=r"too long and thin to resize \(20000 x 1 pixels\)"):
        Files([path], 224).image(0)


def test_deeper_images_are_refused_for_pillow_would_clip_them(tmp_path):
    path = saved(tmp_path / "deep.png", Image.fromarray(drawn(4, 4).astype(np.uint16) * 256))
    with pytest.raises(Unreadable, match="more than 8 bits a channel"):
        Files([path], 4).image(0)


def test_no_number_of_threads_changes_a_byte(tmp_path):
    root = folder(tmp_path / "trees", each=200, side=48)
    dataset = dataset_of(Files(sorted(root.glob("*/*.png")), 40))
    files = [tmp_path / f"{threads}.safetensors" for threads in (1, 3, 16)]
    for path, threads in zip(files, (1, 3, 16), strict=True):
        write(path, dataset, {}, threads)
    assert len({path.read_bytes() for path in files}) == 1
    prepared = Prepared.read(files[0], SPLITS)
    for name, split in prepared.splits.items():
        places = dataset.splits[name].tolist()
        assert np.array_equal(split.images.permute(0, 2, 3, 1), [dataset.images.image(place) for place in places])
    pixels = prepared.splits["train"].images.double() / 255
    torch.testing.assert_close(torch.tensor(prepared.mean).double(), pixels.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(prepared.std).double(), pixels.std((0, 2, 3), correction=0))


@pytest.mark.parametrize("broken", [3, 30])
def test_every_broken_image_is_listed_up_to_twenty(broken, tmp_path):
    root = folder(tmp_path / "trees")
    paths = sorted(root.glob("*/*.png"))
    for number, path in enumerate(paths[:broken]):
        kind = number % 3
        path.write_bytes([b"", b"no image", path.read_bytes()[:90]][kind])
    with pytest.raises(DataError) as caught:
        write(tmp_path / "out/trees.safetensors", dataset_of(Files(paths, 8)), {}, 2)
    text = str(caught.value)
    assert text.startswith(f"{broken} of 40 images cannot be read")
    listed = set(re.findall(r"\S+\.png(?=: )", text))
    assert len(listed) == min(broken, 20) and listed <= {str(path) for path in paths[:broken]}
    assert ("… and 10 more" in text) == (broken == 30)
    assert not list((tmp_path / "out").iterdir())


@dataclass(frozen=True)
class Made:
    """Images that cost nothing to make and 12 KB each to hold."""

    count: int

    @property
    def shape(self):
        return self.count, 3, 64, 64

    def image(self, place):
        return np.full((64, 64, 3), place % 256, np.uint8)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    peaks = []
    for count in (500, 8000):
        dataset = dataset_of(Made(count))
        tracemalloc.start()
        write(tmp_path / "made.safetensors", dataset, {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (2 << 20) < 16 << 20, "of 98 MB"


@dataclass(frozen=True)
class Awaited(Made):
    """Images that come only when two threads have asked for one."""

    both: threading.Barrier
    asked: set

    def image(self, place):
        if threading.get_ident() not in self.asked:
            self.asked.add(threading.get_ident())
            self.both.wait(timeout=PATIENCE_S)
        return super().image(place)


def test_threads_work_side_by_side(tmp_path):
    write(tmp_path / "made.safetensors", dataset_of(Awaited(200, threading.Barrier(2), set())), {}, 2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_preparation_leaves_no_images(number, code, tmp_path):
    folder(tmp_path / "data/trees", each=100)
    words = ("dataset.name=folder", "dataset.path=trees", "dataset.image_size=512")
    process = subprocess.Popen(
        [*PREPARE, tmp_path / "out/trees.safetensors", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=preloaded() | {"ESPALIER_DATA": str(tmp_path / "data")},
    )
    # One that is not forked though it should be says so first.
    assert "of 200 images (1" in process.stderr.readline()
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    # Of one that was killed the lock file stays, which nobody holds any more.
    left = [".trees.safetensors.owner"] if number == signal.SIGKILL else []
    assert [path.name for path in (tmp_path / "out").iterdir()] == left
