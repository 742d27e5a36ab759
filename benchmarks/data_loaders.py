"""The usual ways to make augmented batches, for `data_path.py`: PIL or tensors one by one, and kornia.

Each takes a policy as the registry reads it and gives a function that starts an epoch. What differs from Espalier:
torchvision erases squares that lie wholly inside the image, and it and kornia mix a batch with one weight.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import transforms
from torchvision.transforms import v2

Batches = Callable[[], Iterable]


class Samples(Dataset):
    """Images one by one, as the transform is given them."""

    def __init__(self, images: Any, labels: torch.Tensor, transform: Callable) -> None:
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class Pictures:
    """uint8 (N, H, W, C) read as PIL images, as torchvision's data sets read theirs."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images.numpy()

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        image = self.images[index]
        # PIL takes grey images without a channel.
        return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def pil_batches(data: Any, augment: tuple, size: int, workers: int) -> Batches:
    """torchvision's first transforms on PIL images, in worker processes or not."""
    train = data.splits["train"]
    images = Pictures(train.images.permute(0, 2, 3, 1).contiguous())
    loaded = [*torchvision(transforms, augment, train.images.shape[2]), transforms.ToTensor(), *after(data, augment)]
    return loader(Samples(images, train.labels, transforms.Compose(loaded)), augment, data, size, workers)


def v2_batches(data: Any, augment: tuple, size: int) -> Batches:
    """torchvision's second transforms on tensors, one by one as a data set does it."""
    train = data.splits["train"]
    cast = v2.ToDtype(torch.float32, scale=True)
    loaded = v2.Compose([*torchvision(v2, augment, train.images.shape[2]), cast, *after(data, augment)])
    return loader(Samples(train.images.contiguous(), train.labels, loaded), augment, data, size, 0)


def torchvision(module: ModuleType, augment: tuple, size: int) -> Iterator[Callable]:
    """What stands before the cast to float, of `torchvision.transforms` or its `v2`."""
    for each in augment:
        if each.name == "pad_crop":
            yield module.RandomCrop(size, each.padding)
        elif each.name == "horizontal_flip":
            yield module.RandomHorizontalFlip(each.p)
        elif each.name == "rotation":
            yield module.RandomRotation(each.degrees)
        elif each.name == "color_jitter":
            yield module.ColorJitter(each.brightness, each.contrast, each.saturation, each.hue)
        elif each.name == "autoaugment":
            yield module.AutoAugment(transforms.AutoAugmentPolicy(each.policy))


def after(data: Any, augment: tuple) -> Iterator[Callable]:
    """What stands behind the cast to float."""
    yield v2.Normalize(data.mean, data.std)
    area = data.splits["train"].images[0, 0].numel()
    for each in augment:
        if each.name == "cutout":
            yield v2.RandomErasing(each.p, (each.size**2 / area,) * 2, (1.0, 1.0))


def loader(samples: Samples, augment: tuple, data: Any, size: int, workers: int) -> Batches:
    mixings = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
    chosen = [each for each in augment if each.name in mixings]
    mixes = [mixings[each.name](alpha=each.alpha, num_classes=len(data.classes)) for each in chosen]
    collate = partial(mixed, mixes[0]) if mixes else None
    loaded = DataLoader(samples, size, shuffle=True, num_workers=workers, collate_fn=collate)
    return lambda: loaded


def mixed(mix: Callable, batch: list) -> tuple:
    return mix(*default_collate(batch))


def kornia_batches(data: Any, augment: tuple, size: int, where: torch.device) -> Batches:
    """kornia on whole batches of float tensors that lie on the device."""
    from kornia import augmentation

    train = data.splits["train"]
    images, labels = train.images.contiguous().to(where), train.labels.to(where)
    made = dict(kornia(augment, images.shape[2]))
    mix = next((made.pop(name) for name in ("mixup", "cutmix") if name in made), None)
    normalize = augmentation.Normalize(torch.tensor(data.mean), torch.tensor(data.std))
    last = [made.pop("cutout")] if "cutout" in made else []
    chain = torch.nn.Sequential(*made.values(), normalize, *last).to(where)

    def batches() -> Iterator[tuple]:
        for samples in torch.randperm(len(images), device=where).split(size):
            inputs = chain(images[samples].float() / 255)
            yield (inputs, labels[samples]) if mix is None else mix(inputs, labels[samples])

    return batches


def kornia(augment: tuple, side: int) -> Iterator[tuple[str, torch.nn.Module]]:
    from kornia import augmentation
    from kornia.augmentation.auto import AutoAugment

    for each in augment:
        if each.name == "pad_crop":
            module = augmentation.RandomCrop((side, side), padding=each.padding)
        elif each.name == "horizontal_flip":
            module = augmentation.RandomHorizontalFlip(p=each.p)
        elif each.name == "rotation":
            module = augmentation.RandomRotation(each.degrees, resample="nearest", p=1.0)
        elif each.name == "color_jitter":
            module = augmentation.ColorJitter(each.brightness, each.contrast, each.saturation, each.hue, p=1.0)
        elif each.name == "autoaugment":
            module = AutoAugment(each.policy)
        elif each.name == "cutout":
            module = augmentation.RandomErasing((each.size**2 / side**2,) * 2, (1.0, 1.0), p=each.p)
        else:
            mixing = {"mixup": augmentation.RandomMixUpV2, "cutmix": augmentation.RandomCutMixV2}[each.name]
            module = mixing(data_keys=["input", "class"])
        yield each.name, module
