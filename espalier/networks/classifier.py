"""A network to use: from images in files, in Pillow, in arrays or tensors, to the names of their classes."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from espalier.data.feed import Feed
from espalier.data.images import DEEP, Files, square, square_planes
from espalier.data.photographs import as_seen
from espalier.data.sampling import GRAY_OR_RGB
from espalier.errors import ArtifactError, DataError
from espalier.export.forms import FORMS, FP32
from espalier.networks import artifact, coded_network
from espalier.networks.network import Network
from espalier.runs import record as records

BATCH = 64
READERS = 4
"""Files decoded at once."""
_BATCH_DIMS = 4
_IMAGE_DIMS = 3
"""Dimensions of an image that is (H, W, C) or (C, H, W)."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image."""

    label: str
    """name of the class with the highest probability"""
    probability: float
    """of that class: the softmax of the logits"""
    probabilities: dict[str, float]
    """of every class"""


class Classifier:
    """A trained network and how it is fed.

    `module` is the plain network, on the CPU and in evaluation mode: from normalized images float32 (n, C, H, W) to
    logits float32 (n, classes). Where `pixels` is set, as for ONNX files, it takes pixels uint8 (n, C, H, W). `feed`
    says how images become its input, and what its classes are called.
    """

    def __init__(self, module: nn.Module, feed: Feed | None, path: Path, *, pixels: bool = False):
        if feed is None:
            raise ArtifactError(f"{path}: does not say how the network is fed; make its run again")
        self.module, self.feed, self.path, self.pixels = module, feed, path, pixels

    def predict(self, images: Any, batch: int = BATCH) -> list[Prediction]:
        """The class of each image.

        Args:
            images: one or several of: a path, a Pillow image, uint8 (H, W), (H, W, C) as an array, uint8 (C, H, W) as a
                tensor; an array (n, H, W, C) or tensor (n, C, H, W) is several. Any size: each is brought to the
                network's as the training images were. Images become gray or RGB, whichever the network takes; one
                of other channels takes arrays and tensors of as many
            batch: images at once

        Raises:
            DataError: something is no image; the message names it.
        """
        return [one for _, one in self.stream(_each(images), batch)]

    def stream(
        self, images: Iterable[Any], batch: int = BATCH, strict: bool = True
    ) -> Iterator[tuple[Any, Prediction | DataError]]:
        """Pairs of an image and its prediction, in their order; no more than a batch is read at a time.

        Args:
            strict: an image that cannot be read ends it; otherwise the error stands in the place of the prediction

        Raises:
            DataError: something is no image, and `strict` is set.
        """
        with ThreadPoolExecutor(READERS) as pool:
            for some in _batches(images, batch):
                read = list(pool.map(self._read, some))
                if strict and (wrong := next((one for one in read if isinstance(one, DataError)), None)):
                    raise wrong
                sound = [one for one in read if not isinstance(one, DataError)]
                answers = iter(self._answers(np.stack(sound)) if sound else ())
                for image, found in zip(some, read, strict=True):
                    yield image, found if isinstance(found, DataError) else next(answers)

    def _read(self, image: Any) -> np.ndarray | DataError:
        try:
            return _pixels(image, self.feed)
        except DataError as error:
            return error

    @torch.inference_mode()
    def _answers(self, pixels: np.ndarray) -> list[Prediction]:
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2) if self.pixels else self.feed.inputs(pixels)
        shares = self.module(inputs).double().softmax(1).tolist()
        return [self._answer(row) for row in shares]

    def _answer(self, row: Sequence[float]) -> Prediction:
        best = max(range(len(row)), key=row.__getitem__)
        return Prediction(self.feed.classes[best], row[best], dict(zip(self.feed.classes, row, strict=True)))


def load(path: str | Path) -> Classifier:
    """The network of a run's folder, of a coded file (.esp), or of an ONNX file of an export run (.onnx).

    The folder of an export run has that of its file of floats; one of evaluate that of the run it has scored.

    Raises:
        ArtifactError: there is none, it is damaged, or the run is not complete.
    """
    path = Path(path)
    if path.suffix == ".esp":
        return _classifier(coded_network.load(path), path)
    if path.suffix == ".onnx":
        return _exported(path)
    record = records.complete(path)
    stage = record.content["stage"]
    if stage == "export":
        artifact.verify(record)
        return _exported(path / FORMS[FP32])
    if stage == "evaluate":
        found = [*path.parent.parent.glob(f"*/*-{record.content['parent']}")]
        if not found:
            raise ArtifactError(f"{path}: the run that it has scored, {record.content['parent']}, is gone")
        return load(found[0])
    return _classifier(artifact.load(path), path)


def _classifier(network: Network, path: Path) -> Classifier:
    return Classifier(network.model, network.feed, path)


def _exported(path: Path) -> Classifier:
    from espalier.export.sessions import Session

    session = Session(path)
    return Classifier(session, session.feed, path, pixels=True)


def _each(images: Any) -> Iterable[Any]:
    """Several images as an iterable; one as a list of one."""
    if isinstance(images, np.ndarray | torch.Tensor):
        return images if images.ndim == _BATCH_DIMS else [images]
    return images if isinstance(images, list | tuple | Iterator) else [images]


def _batches(images: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(images)
    while some := [*islice(left, size)]:
        yield some


def _pixels(image: Any, feed: Feed) -> np.ndarray:
    """One image, uint8 (image_size, image_size, channels).

    Raises:
        DataError: it is none.
    """
    if isinstance(image, torch.Tensor):
        image = (image.permute(1, 2, 0) if image.ndim == _IMAGE_DIMS else image).numpy()
    if isinstance(image, np.ndarray):
        return _of_array(image, feed)
    if feed.channels not in GRAY_OR_RGB:
        where = f"{image}: " if isinstance(image, str | Path) else ""
        raise DataError(f"{where}the network takes {feed.channels} channels; give arrays uint8 (H, W, {feed.channels})")
    return _of_picture(image, feed)


def _of_array(image: np.ndarray, feed: Feed) -> np.ndarray:
    from PIL import Image

    taken = GRAY_OR_RGB if feed.channels in GRAY_OR_RGB else (feed.channels,)
    if image.dtype != np.uint8 or image.ndim not in (2, _IMAGE_DIMS) or (image.shape[2:] or (1,))[0] not in taken:
        forms = "(H, W) or (H, W, 3)" if taken == GRAY_OR_RGB else f"(H, W, {feed.channels})"
        raise DataError(f"an image must be uint8 {forms}, or a tensor (C, H, W); found {image.dtype} {image.shape}")
    if feed.channels not in GRAY_OR_RGB:
        return square_planes(image, feed.image_size)
    return _of_picture(Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image), feed)


def _of_picture(image: Any, feed: Feed) -> np.ndarray:
    """A file or a Pillow image, as a network of one or three channels takes it."""
    from PIL import Image

    gray = feed.grayscale or feed.channels == 1
    if isinstance(image, str | Path):
        own = {"upright": bool(feed.exif_orientation), "background": feed.background}
        found = Files([Path(image)], feed.image_size, gray, **own).image(0)
    elif not isinstance(image, Image.Image):
        raise DataError(f"{type(image).__name__} is no image: give a path, a Pillow image, an array or a tensor")
    elif image.mode.startswith(DEEP):
        raise DataError(f"an image has more than 8 bits a channel (mode {image.mode}); convert it")
    else:
        found = square(as_seen(image, bool(feed.exif_orientation), feed.background), feed.image_size, gray)
    return np.repeat(found, feed.channels, 2) if found.shape[2] < feed.channels else found
