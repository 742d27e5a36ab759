"""The counts of every network against those of one, closed forms, and the tables and figures made of them."""

import csv
from pathlib import Path

import pytest
import torch

from espalier.errors import Mistake
from espalier.metrics import cost, layer_inputs
from espalier.networks import registry_counts
from espalier.networks.single_pass import counts
from espalier.results.format.line_ends import _apart
from espalier.results.page import zoo_page as shown
from espalier.results.study_outputs import StudyOutput
from espalier.settings.registry import entries, presets

HEADS = "name,preset,settings,classes,image_size"
FILES = {
    "networks": f"""{HEADS},params,macs,training_macs,layers,activation_input_mib,activation_saved_mib,novelty
grows,,,10,16,100,1000,3000,3,0.5,1.0,residual connections; global pooling
grows,,,10,32,400,4000,12000,3,2.0,4.0,residual connections; global pooling
keeps,,,10,48,1234567,2500000,7400000,5,0.25,0.5,
keeps,,,10,64,1234567,5000000,9000000,5,0.5,0.75,
wide,wide,width 2,10,32,900,9000,27000,3,1.0,2.0,
""",
    "depth": f"""{HEADS},setting,params,macs,layers
grows,,,10,32,blocks,400,4000,3
grows,,blocks 2,10,32,blocks,700,8000,5
keeps,,,10,48,depth,1234567,2500000,5
""",
    "standards": f"""{HEADS},standard,params,standard_params,macs,standard_macs
grows,,,10,224,vgg,25,100,300,200
""",
}


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Small counts where the tables and figures look for them."""
    monkeypatch.chdir(tmp_path)
    shown.FOLDER.mkdir(parents=True)
    for name, text in FILES.items():
        (shown.FOLDER / f"{name}.csv").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("name", "side"), [("lenet", 32), ("cct", 16), ("mobilenetv2", 24), ("densenet", 32)])
def test_one_pass_says_what_the_passes_of_cost_and_memory_say(name, side):
    with torch.device("meta"):
        network = registry_counts._read(name).build(registry_counts.CLASSES, side)
    expected = [
        measure(network, side)
        for measure in (cost.macs, cost.training_macs, layer_inputs.input_bytes, layer_inputs.saved_bytes)
    ]
    found = counts(network, side)
    assert [found.macs, found.training_macs, found.input_bytes, found.saved_bytes] == expected


@pytest.fixture
def few(monkeypatch):
    """A zoo of three networks and two sides."""
    kept = {name: entries("model")[name] for name in ("lenet", "mlp", "spinal_vgg")}
    monkeypatch.setattr(registry_counts, "entries", lambda kind: kept)
    monkeypatch.setattr(registry_counts, "presets", lambda kind: {"spinal_vgg13": presets(kind)["spinal_vgg13"]})
    monkeypatch.setattr(registry_counts, "SIDES", (16, 32))


def test_a_network_has_a_row_for_each_side_that_it_takes(few):
    rows = list(registry_counts.networks())
    assert [(row["name"], row["image_size"]) for row in rows] == [
        *(("lenet", 16), ("lenet", 32), ("mlp", 16), ("mlp", 32), ("spinal_vgg", 32), ("spinal_vgg13", 32))
    ]
    perceptron = rows[3]
    pixels, hidden = 3 * 32 * 32, 64
    assert perceptron["params"] == hidden * pixels + hidden + 10 * hidden + 10
    assert perceptron["macs"] == hidden * pixels + 10 * hidden
    assert perceptron["training_macs"] == 2 * hidden * pixels + 3 * 10 * hidden
    assert perceptron["activation_input_mib"] == 4 * (pixels + hidden) / 2**20
    assert rows[-1]["settings"] == "depth 13"
    assert rows[-1]["params"] == 10_744_138


def test_depth_deepens_and_enlarges(few):
    rows = [row for row in registry_counts.depths() if row["name"] == "spinal_vgg"]
    assert len(rows) == len(entries("model")["spinal_vgg"].facts["depths"]["depth"])
    for key in ("params", "macs", "layers"):
        found = [row[key] for row in rows]
        assert found == sorted(set(found))


def test_a_standard_variant_is_counted_as_published(few):
    first = next(iter(registry_counts.standards()))
    convolutions = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    features = sum(9 * inputs * outputs + 3 * outputs for inputs, outputs in convolutions)
    linear = [(512 * 7 * 7, 4096), (4096, 4096), (4096, 10)]
    assert first["standard"] == "vgg11_bn"
    assert first["standard_params"] == features + sum(inputs * outputs + outputs for inputs, outputs in linear)
    halves = 256 * 7 * 7
    spinal = halves * 512 + 3 * (halves + 512) * 512 + 4 * 512 + (4 * 512 + 1) * 10
    assert first["params"] == features + spinal


def test_networks_are_shown_once_smallest_first(counted):
    made = StudyOutput("table", "networks", "networks", {}).make(None, {})
    assert made.data[["name", "image_size", "params"]].to_numpy().tolist() == [
        *(["grows", 32, 400], ["wide", 32, 900], ["keeps", 48, 1234567])
    ]
    assert made.printed["Params"].tolist() == ["400", "900", "1,234,567"]
    assert made.printed["Settings"].tolist() == ["defaults", "width 2", "defaults"]
    assert made.printed["MACs (M)"].tolist() == ["0.00", "0.01", "2.50"]


def test_compactness_is_the_share_saved(counted):
    made = StudyOutput("table", "compactness", "compactness", {}).make(None, {})
    assert made.data["params_compactness"].tolist() == [75.0]
    assert made.data["macs_compactness"].tolist() == [-50.0]
    assert made.printed["Compactness, params (%)"].tolist() == ["75.0"]
    assert made.printed["Compactness, MACs (%)"].tolist() == ["−50.0"]


def test_only_networks_that_grow_with_the_image_are_coloured(counted):
    figure = StudyOutput("figure", "f", "scalability", {"by": "image_size"}).make(None, None, {})
    for panel, column in zip(figure.axes, ("params", "macs"), strict=True):
        lines = {line.get_gid(): line for line in panel.lines}
        assert set(lines) == {"grows", "keeps"}
        assert lines["grows"].get_color() != lines["keeps"].get_color()
        rows = [row for row in csv.DictReader(FILES["networks"].splitlines()) if row["name"] == "grows"]
        assert lines["grows"].get_ydata().tolist() == [int(row[column]) for row in rows]
        assert {text.get_text() for text in panel.texts} == {"grows", "keeps"}


def test_depth_is_drawn_against_layers(counted):
    figure = StudyOutput("figure", "f", "scalability", {"by": "depth"}).make(None, None, {})
    line = next(line for line in figure.axes[1].lines if line.get_gid() == "grows")
    assert line.get_xydata().tolist() == [[3, 4000], [5, 8000]]


def test_activation_memory_is_drawn_of_each_family(counted):
    figure = StudyOutput("figure", "f", "activation_memory", {}).make(None, None, {})
    points = next(line for line in figure.axes[0].lines if line.get_gid() == "networks")
    assert points.get_xydata().tolist() == [[400, 2.0], [1234567, 0.25]]


def test_the_page_links_what_is_there(counted):
    shown.write()
    page = (shown.FOLDER / "index.html").read_text()
    for part in ("tables/networks.csv", "tables/compactness.tex", "figures/scalability.png", "networks.csv"):
        assert f'href="{part}"' in page
        assert (shown.FOLDER / part).exists()


def test_without_counts_the_command_that_makes_them_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Mistake, match="snakemake zoo"):
        StudyOutput("table", "networks", "networks", {}).make(None, {})


@pytest.mark.parametrize(
    ("heights", "expected"),
    [([10, 50], [10, 50]), ([20, 20], [15, 25]), ([20, 21, 60], [15.5, 25.5, 60]), ([2, 3], [5, 15])],
)
def test_names_move_apart_as_little_as_it_takes(heights, expected):
    assert _apart(heights, 10, 5, 100) == expected


def test_the_rule_declares_the_files_that_are_read():
    rule = (Path(__file__).parents[2] / "workflow/rules/zoo.smk").read_text()
    assert all(f'"{shown.FOLDER}/{name}.csv"' in rule for name in FILES)
