"""Published ImageNet weights in a network that they fit, fetched and read by torchvision's and timm's own loaders."""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.models import rules
from espalier.models.facts import facts_of
from espalier.settings.registry import Choice

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def load(model: "nn.Module", choice: Choice) -> list[str]:
    """Copy published weights that fit the settings into `model`, and return the names of tensors that stay initialized.

    These have another name or shape in the published network, such as a stem for small images or a classifier of
    another number of classes. If images do not have three channels, the weights of the first layer are adapted as timm
    does: for one channel, the sum over red, green and blue; for n others, the three repeated and cut to n, times 3 / n.
    The state of torch's random generator is unchanged.

    Raises:
        Mistake: no published weights fit, or they cannot be found, fetched or read.
    """
    source = rules.published(choice.entry(), choice.settings())
    if source is None:
        raise Mistake(f"pretrained: no published weights fit these settings of {choice.name}; leave the key out")
    library, _, name = source.partition("/")
    place, origin, found = {"torchvision": _torchvision, "timm": _timm}[library](name)
    own = model.state_dict()
    published = {key: found.get(_published_name(model, key)) for key in own}
    stem = f"{facts_of(model).first}.weight"
    published[stem] = _of_channels(published.get(stem), own[stem].shape)
    fitting = {key: one for key, one in published.items() if one is not None and one.shape == own[key].shape}
    if not fitting:
        raise Mistake(f"pretrained: no tensor of {origin} ({place}) fits {choice.name}; leave the key out")
    model.load_state_dict(fitting, strict=False)
    return [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]


def _of_channels(weight: "Tensor | None", shape: "torch.Size") -> "Tensor | None":
    """The weight of a first convolution for images of three channels, as that of `shape` where only they differ."""
    if weight is None or weight.ndim != len(shape) or weight.shape[1] != 3:
        return weight
    from timm.models import adapt_input_conv

    return adapt_input_conv(shape[1], weight)


def _published_name(model: "nn.Module", key: str) -> str:
    path, _, parameter = key.rpartition(".")
    return f"{facts_of(model).published.get(path, path)}.{parameter}"


def _torchvision(name: str) -> "tuple[Path, str, dict[str, Tensor]]":
    import torch
    from torchvision.models import get_weight

    weights = get_weight(name)
    place = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    call = "get_state_dict(progress=True, check_hash=True, weights_only=True, map_location='cpu')"
    command = f"from torchvision.models import get_weight; get_weight('{name}').{call}"
    try:
        found = weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except Exception as error:  # there is no end of what the bytes of a damaged file raise
        raise _unusable(place, weights.url, "TORCH_HOME", command, error) from error
    return place, weights.url, found


def _timm(name: str) -> "tuple[Path, str, dict[str, Tensor]]":
    import timm
    import torch
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE, f"models--timm--{name}")
    url = f"{constants.ENDPOINT}/timm/{name}"
    command = f"import timm; timm.create_model('{name}', pretrained=True)"
    try:
        with torch.random.fork_rng(devices=[]):
            found = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:
        raise _unusable(place, url, "HF_HOME", command, error) from error
    return place, url, found


def _unusable(place: Path, url: str, home: str, command: str, error: Exception) -> Mistake:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if place.exists() and not isinstance(error, OSError):
        return Mistake(f"pretrained: {place} is damaged ({reason}); remove it, and it is fetched again")
    return Mistake(
        f"pretrained: {place} cannot be read, and {url} not be fetched ({reason}). Run on a machine with network, "
        f'with {home} set to a folder that this one sees: python -c "{command}"'
    )
