"""Published weights, from files in the format of the real ones; no test reaches a network."""

import pickle

import huggingface_hub.constants
import pytest
import timm
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model, get_weight
from torchvision.models.vgg import cfgs, make_layers

from espalier.errors import Mistake
from espalier.networks.pretrained import load
from espalier.settings.registry import choice, entries

FACTS = {weights: entry for entry in entries("model").values() for weights in entry.facts.get("pretrained", {})}
RESNET18 = "resnet18-f37072fd.pth"


def read(written):
    return TypeAdapter(choice("model")).validate_python(written)


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The folders where torchvision and timm look, empty; whatever they try to fetch is refused."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub"


def random_network(name, weights):
    """torchvision's network with numbers of its own in every tensor, saved where its loader looks."""
    torch.manual_seed(7)
    model = get_model(name, weights=None)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.1 + 0.01)
    return model.eval(), get_weight(weights).url.rpartition("/")[2]


def test_logits_are_those_of_the_published_network_where_everything_fits(caches):
    expected, file = random_network("resnet18", "ResNet18_Weights.IMAGENET1K_V1")
    torch.save(expected.state_dict(), caches / "checkpoints" / file)
    model = read("resnet18").build(1000, 32)
    state = torch.get_rng_state()
    assert load(model, read("resnet18")) == []
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(model.eval()(x), expected(x))


@pytest.mark.parametrize(
    ("written", "network", "weights", "left"),
    [
        ("resnet18", "resnet18", "ResNet18_Weights.IMAGENET1K_V1", {"fc"}),
        ("resnet18_cifar", "resnet18", "ResNet18_Weights.IMAGENET1K_V1", {"fc", "conv1"}),
        ("resnet18_224", "resnet18", "ResNet18_Weights.IMAGENET1K_V1", {"fc"}),
        ("mobilenetv2_cifar", "mobilenet_v2", "MobileNet_V2_Weights.IMAGENET1K_V2", {"classifier.1"}),
        ("squeezenet1_0_cifar", "squeezenet1_0", "SqueezeNet1_0_Weights.IMAGENET1K_V1", {"features.0", "classifier.1"}),
        ("shufflenetv2_x1_0", "shufflenet_v2_x1_0", "ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1", {"fc"}),
        ("efficientnet_b0", "efficientnet_b0", "EfficientNet_B0_Weights.IMAGENET1K_V1", {"classifier.1"}),
    ],
)
def test_what_differs_stays_initialized_and_is_named(written, network, weights, left, caches):
    published, file = random_network(network, weights)
    torch.save(published.state_dict(), caches / "checkpoints" / file)
    model = read(written).build(10, 32)
    renamed = ("conv1.1.", "conv1.") if written == "resnet18_224" else ("", "")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = load(model, read(written))
    assert {name.rpartition(".")[0] for name in names} == left
    for name, tensor in model.state_dict().items():
        if name in names:
            assert torch.equal(tensor, before[name])
        else:
            assert torch.equal(tensor, published.state_dict()[name.replace(*renamed)]), name


def adapted(weight, channels):
    """What the docs say of a first layer for other channels, written out."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return torch.stack([weight[:, one % 3] for one in range(channels)], 1) * (3 / channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    ("written", "network", "weights"),
    [
        ("resnet18", "resnet18", "ResNet18_Weights.IMAGENET1K_V1"),
        ("resnet18_224", "resnet18", "ResNet18_Weights.IMAGENET1K_V1"),
        ("mobilenetv2_cifar", "mobilenet_v2", "MobileNet_V2_Weights.IMAGENET1K_V2"),
    ],
)
def test_a_first_layer_for_other_channels_is_adapted_as_timm_does_it(written, network, weights, channels, caches):
    published, file = random_network(network, weights)
    torch.save(published.state_dict(), caches / "checkpoints" / file)
    model = read(written).build(1000, 32, channels)
    assert load(model, read(written)) == []
    stem = model.get_submodule(model.facts.first).weight
    before = next(one for one in published.modules() if isinstance(one, nn.Conv2d)).weight
    torch.testing.assert_close(stem, before if channels == 3 else adapted(before, channels), rtol=1e-6, atol=0)


def test_a_stem_that_does_not_fit_stays_initialized_whatever_its_channels(caches):
    published, file = random_network("resnet18", "ResNet18_Weights.IMAGENET1K_V1")
    torch.save(published.state_dict(), caches / "checkpoints" / file)
    assert load(read("resnet18_cifar").build(1000, 32, 1), read("resnet18_cifar")) == ["conv1.weight"]


def test_features_below_a_new_head_are_those_of_the_published_network(caches):
    features = make_layers(cfgs["A"], batch_norm=True).eval()
    nn.init.uniform_(features[1].running_mean)
    file = get_weight("VGG11_BN_Weights.IMAGENET1K_V1").url.rpartition("/")[2]
    torch.save(features.state_dict(prefix="features."), caches / "checkpoints" / file)
    model = read("spinal_vgg11").build(10, 32)
    assert all(name.startswith("head.") for name in load(model, read("spinal_vgg11")))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(model.eval().features(x), features(x))


def test_weights_of_timm_are_read_from_its_cache(caches):
    torch.manual_seed(7)
    published = timm.create_model("regnetx_002").eval()
    snapshot = caches / "models--timm--regnetx_002.pycls_in1k/snapshots/0123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("0123")
    save_file(published.state_dict(), snapshot / "model.safetensors")
    written = {"name": "regnetx", "stem": 32}
    model = read(written).build(1000, 32)
    state = torch.get_rng_state()
    assert load(model, read(written)) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, published.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert {name.rpartition(".")[0] for name in load(read("regnetx").build(10, 32), read("regnetx"))} == {
        *("stem.conv", "stem.bn", "s1.b1.conv1.conv", "s1.b1.downsample.conv", "head.fc")
    }


def test_offline_torchvision_says_where_it_looks_and_what_fetches(caches):
    with pytest.raises(Mistake, match="Connection refused") as error:
        load(read("resnet18").build(10, 32), read("resnet18"))
    text = str(error.value)
    assert f"{caches / 'checkpoints' / RESNET18} cannot be read" in text
    assert f"https://download.pytorch.org/models/{RESNET18} not be fetched" in text
    assert "TORCH_HOME" in text
    command = text.partition('python -c "')[2].removesuffix('"')
    compile(command, "command", "exec")
    assert "get_weight('ResNet18_Weights.IMAGENET1K_V1')" in command
    assert not list((caches / "checkpoints").iterdir())


def test_offline_timm_says_where_it_looks_and_what_fetches(caches):
    with pytest.raises(Mistake, match=r"timm/ghostnetv2_100\.in1k not be fetched") as error:
        load(read("ghostnet").build(10, 32), read("ghostnet"))
    assert str(caches / "models--timm--ghostnetv2_100.in1k") in str(error.value)
    assert "HF_HOME" in str(error.value)
    assert "timm.create_model('ghostnetv2_100.in1k', pretrained=True)" in str(error.value)


class Harmful:
    def __reduce__(self):
        return print, ("this must not be run",)


@pytest.mark.parametrize(
    "content", [pickle.dumps({"conv1.weight": Harmful()}), b"", b"\x80\x04half"], ids=["code", "empty", "cut"]
)
def test_a_damaged_file_is_named_and_nothing_in_it_is_run(content, caches, capsys):
    (caches / "checkpoints" / RESNET18).write_bytes(content)
    with pytest.raises(Mistake, match=f"{RESNET18} is damaged .* remove it"):
        load(read("resnet18").build(10, 32), read("resnet18"))
    assert "must not be run" not in capsys.readouterr().out


def test_code_in_a_checkpoint_is_not_run(caches, capsys):
    torch.save({"conv1.weight": Harmful()}, caches / "checkpoints" / RESNET18)
    with pytest.raises(Mistake, match="is damaged"):
        load(read("resnet18").build(10, 32), read("resnet18"))
    assert "must not be run" not in capsys.readouterr().out


def test_weights_of_another_network_are_refused(caches):
    torch.save({"stem.weight": torch.zeros(3)}, caches / "checkpoints" / RESNET18)
    with pytest.raises(Mistake, match=r"no tensor of .* fits resnet_imagenet; leave the key out"):
        load(read("resnet18").build(10, 32), read("resnet18"))


@pytest.mark.parametrize("written", ["lenet", "mobilenetv2_projected", "densenet121_cifar"])
def test_settings_without_published_weights_are_refused(written):
    with pytest.raises(Mistake, match=f"fit these settings of {read(written).name}"):
        load(read(written).build(10, 32), read(written))


@pytest.mark.parametrize("source", FACTS)
def test_what_a_fact_names_is_published(source):
    library, _, name = source.partition("/")
    if library == "torchvision":
        assert get_weight(name).url.startswith("https://download.pytorch.org/models/")
    else:
        assert name in timm.list_pretrained()


DENSENETS = [(169, (6, 12, 32, 32)), (201, (6, 12, 48, 32))]


@pytest.mark.parametrize(
    ("written", "published"),
    [
        *(({"name": "densenet", "growth_rate": 32, "blocks": b}, f"timm/densenet{d}.tv_in1k") for d, b in DENSENETS),
        ("preact_resnet34", "timm/resnetv2_34.ra4_e3600_r224_in1k"),
        ("ghostnetv3_x1_0", "timm/ghostnetv3_100.in1k"),
        ("spinal_vgg19", "torchvision/VGG19_BN_Weights.IMAGENET1K_V1"),
        ({"name": "shufflenetv2", "channels": (48, 96, 192)}, "torchvision/ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"),
    ],
)
def test_the_published_network_has_nearly_every_tensor(written, published):
    library, _, name = published.partition("/")
    with torch.device("meta"):
        own = read(written).build(10, 32).state_dict()
        if library == "timm":
            found = timm.create_model(name).state_dict()
        else:
            found = get_model(name.partition("_Weights")[0].lower(), weights=None).state_dict()
    fitting = [key for key, tensor in own.items() if key in found and found[key].shape == tensor.shape]
    lacking = {key.split(".")[0] for key in own.keys() - set(fitting)}
    assert len(fitting) > 0.8 * len(own)
    assert lacking <= {"stem", "features", "classifier", "conv_stem", "head", "fc"}
