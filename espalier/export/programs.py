"""Networks as programs of torch.export (.pt2), which PyTorch runs and compiles without their code."""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from espalier.data.feed import Feed
from espalier.errors import ArtifactError, Mistake
from espalier.export.graph_inputs import WithNormalization, metadata, of_pixels, read_metadata
from espalier.export.onnx_files import quiet
from espalier.runs.record import mend

FEED = "feed.json"
"""Name within the file, under torch.export's extra files: what an ONNX file has as metadata, key → JSON."""


def write(path: Path, model: nn.Module, feed: Feed, takes: str, name: str) -> None:
    """Write a network behind its normalization, for any number of images.

    Args:
        model: in evaluation mode, with no hooks; takes normalized images, float32 (b, C, H, W)
        name: what the network is called in an error

    Raises:
        Mistake: torch.export cannot follow it.
    """
    fed = WithNormalization(copy.deepcopy(model).cpu(), feed, takes).eval().requires_grad_(False)
    images = of_pixels(torch.zeros(2, feed.channels, feed.image_size, feed.image_size, dtype=torch.uint8), feed, takes)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(fed, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # torch.export raises whatever its parts do.
        (first, *_) = str(error).strip().splitlines() or [""]
        raise Mistake(
            f"{name} cannot be exported as a program: {type(error).__name__}: {first}. Set export.program to false"
        ) from error
    torch.export.save(program, path, extra_files={FEED: json.dumps(metadata(feed, takes))})


class Program(nn.Module):
    """A network of a program of ours; from pixels uint8 (b, C, H, W) to logits float32 (b, classes)."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            ArtifactError: the file is missing, damaged, or does not say how it is fed.
        """
        super().__init__()
        found = {FEED: ""}
        try:
            with quiet():
                program = torch.export.load(path, extra_files=found)
            self.feed, self._takes = read_metadata(json.loads(found[FEED]))
        except Exception as error:  # torch.export raises whatever its parts do.
            reason = " ".join(str(error).split())[:300]
            raise ArtifactError(f"{path}: cannot be opened ({reason}). {mend(path.parent)}") from error
        # A module of torch.export knows no evaluation mode; it is one already.
        self._forward = program.module().forward

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of any size; the images are brought to what the file takes."""
        return self._forward(of_pixels(images.cpu(), self.feed, self._takes)).to(images.device)
