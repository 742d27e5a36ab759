"""Tables and figures of quantized, coded and exported networks."""

import math
import shutil
from pathlib import Path

import pytest

from espalier.errors import ArtifactError
from espalier.results.format import style, table_files
from espalier.results.format.error_scale import ErrorScale
from espalier.results.tables.rounding import way
from support import compressed_on_disk as compressed
from support.made_results import made
from support.sealed import reseal

SPLIT = {"split": "test"}
TABLES = {"bit_grid": SPLIT, "rounding": SPLIT, "accounting": {}, "size_ladder": {}}
FIGURES = {"bit_grid": SPLIT, "size_anatomy": {}}


@pytest.fixture
def study(tmp_path, monkeypatch):
    return on_disk(tmp_path, monkeypatch)


def on_disk(root, monkeypatch, **changes):
    monkeypatch.chdir(root)
    study = compressed.plan(**changes)
    compressed.finish(root, study)
    return study


def point(study, pruning, way, repeat=0):
    labels = {"prune": pruning, "quantize": way}
    return next(p for p in study["points"] if p["labels"] == labels and p["repeat"] == repeat)


@pytest.mark.parametrize(("split", "less"), [("test", 1.0), ("validation", 0.0)])
def test_bit_grid_shows_the_split_asked_for_at_every_setting(study, split, less):
    found = made("table", "bit_grid", study, split=split)
    for row in found.data.to_dict("records"):
        own = [point(study, row["prune"], row["quantize"], repeat) for repeat in range(2)]
        values = [compressed.top1(p, row["weight_bits"], row["activation_bits"]) - less for p in own]
        assert row["mean"] == pytest.approx(sum(values) / 2)
        assert row["sd"] == pytest.approx(math.sqrt(0.5))
        assert row["before"] == pytest.approx(sum(compressed.top1(p) - less for p in own) / 2)
        assert (row["n"], row["kept"]) == (2, (row["weight_bits"], row["activation_bits"]) == compressed.KEPT)
    assert len(found.data) == 2 * (36 + 36 + 1)
    assert found.caption.whole().startswith(split.capitalize())


def test_bit_grid_has_a_block_a_configuration_and_marks_what_is_kept(study):
    printed = made("table", "bit_grid", study, **SPLIT).printed
    assert printed[["Prune", "Quantize"]].drop_duplicates().to_numpy().tolist() == [
        [pruning, way] for pruning in ("dense", "pruned") for way in compressed.WAYS
    ]
    calibrated = printed[(printed["Prune"] == "dense") & (printed["Quantize"] == "calibrated")]
    assert calibrated["Weights (bits)"].tolist() == ["float", "8", "6", "5", "4", "3"]
    marked = [(row, head) for row, cells in calibrated.iterrows() for head, cell in cells.items() if "†" in str(cell)]
    assert [(calibrated.loc[row, "Weights (bits)"], head) for row, head in marked] == [("4", "Activations 4 (%)")]
    # Settings that nobody asked for are empty, not missing.
    aware = printed[printed["Quantize"] == "aware"].iloc[0]
    assert (aware["Activations 8 (%)"], aware["Activations 4 (%)"]) == ("", "89.50 ± 0.71 †")


def test_bit_grid_of_a_study_without_evaluation_is_of_validation_images(study):
    for one in study["points"]:
        study["runs"].pop(one["runs"].pop("evaluate"), None)
    found = made("table", "bit_grid", study, **SPLIT)
    assert found.caption.whole().startswith("Validation")
    assert found.data["mean"].notna().all()


def test_one_setting_alone_is_a_table_and_a_figure(tmp_path, monkeypatch):
    study = on_disk(tmp_path, monkeypatch, repeats=1, ways=("aware",), prunings=("dense",), export=False)
    found = made("table", "bit_grid", study, **SPLIT)
    assert found.printed.to_numpy().tolist() == [["4", "93.00", "89.00 †", "1"]]
    figure = made("figure", "bit_grid", study, **SPLIT)
    style.save(figure, tmp_path, "bit_grid")
    tiles = figure.axes[0]
    assert [line.get_gid() for line in tiles.lines if line.get_gid()] == ["kept"]
    assert [text.get_text() for text in tiles.texts] == ["89.0"]
    assert tiles.get_title(loc="left") == "in floats: 93.0 %"


def test_ways_to_round_are_compared_repeat_by_repeat_on_the_same_network(study):
    found = made("table", "rounding", study, **SPLIT)
    for row in found.data.to_dict("records"):
        widths = row["weight_bits"], row["activation_bits"]
        plain, compensated, aware = (
            [compressed.top1(point(study, row["prune"], way, repeat), *widths) - 1 for repeat in range(2)]
            for way in ("plain", "calibrated", "aware")
        )
        assert row["plain rounding_mean"] == pytest.approx(sum(plain) / 2)
        differences = [new - old for old, new in zip(plain, compensated, strict=True)]
        assert row["compensated rounding_change"] == pytest.approx(sum(differences) / 2)
        if widths == compressed.KEPT:
            assert row["quantization-aware fine-tuning_mean"] == pytest.approx(sum(aware) / 2)
    # Weights in floats are not rounded.
    assert len(found.data) == 2 * 5 * 6
    at_four = found.printed[(found.printed["Weights (bits)"] == "4") & (found.printed["Activations (bits)"] == "4")]
    assert at_four["Quantization-aware fine-tuning (%)"].iloc[0] == "89.50 ± 0.71 (+36.00)"
    assert (found.printed["Quantization-aware fine-tuning (%)"] == "").sum() == 2 * 29


def test_ways_that_differ_in_more_than_rounding_bear_their_labels(study):
    for run in study["runs"].values():
        if run["settings"].get("quantize.scheme.rounding") == "nearest" and "quantize.fine_tune" in run["settings"]:
            run["settings"]["quantize.scheme.name"] = "naive"
    heads = made("table", "rounding", study, **SPLIT).printed.columns
    assert {"Plain rounding (plain) (%)", "Compensated rounding (calibrated) (%)"} <= set(heads)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantize.scheme.name": "naive"}, "plain rounding"),
        ({"quantize.scheme.name": "calibrated", "quantize.scheme.rounding": "compensated"}, "compensated rounding"),
        ({"quantize.scheme.name": "rate_distortion", "quantize.scheme.price": 1e-3}, "rate-distortion rounding"),
        ({"quantize.scheme.name": "rate_distortion", "quantize.fine_tune.epochs": 2}, "quantization-aware fine-tuning"),
    ],
)
def test_a_way_to_round_has_its_name(settings, said):
    assert way(settings) == said


def test_where_nothing_compares_rounding_says_so_in_one_line(tmp_path, monkeypatch):
    study = on_disk(tmp_path, monkeypatch, repeats=1, ways=("calibrated",))
    found = made("table", "rounding", study, **SPLIT)
    assert found.printed.shape == (1, 1)
    assert found.printed.iloc[0, 0].startswith("Nothing to compare")
    table_files.write(tmp_path, "rounding", found)


def test_accounting_follows_a_chain_from_its_original_to_its_files(study):
    data = made("table", "accounting", study).data
    chain = data[(data["prune"] == "pruned") & (data["quantize"] == "calibrated")].set_index("stage")
    assert chain.index.tolist() == [
        "original",
        "pruned",
        "quantized (W4 A4)",
        "coded",
        "exported, ONNX fp32",
        "exported, ONNX quantized",
    ]
    assert chain["file_bytes"].tolist() == [80_000, 40_000, 40_000, 5_000, 84_000, 31_000]
    assert chain["file_ratio"].tolist() == pytest.approx([80_000 / size for size in chain["file_bytes"]])
    assert chain["bits"].tolist() == pytest.approx([32, 32, 4, 1.6, 32, 4])
    assert chain["activation_mib"].tolist()[:4] == pytest.approx([0.32, 0.32, 0.04, 0.04])
    pruned = chain.loc["original", "params"] / chain.loc["pruned", "params"]
    removed = [1, *[pruned] * 5]
    bits = chain["bits"].tolist()
    assert chain["weight_ratio"].tolist() == pytest.approx([32 / b * r for b, r in zip(bits, removed, strict=True)])
    assert chain["activation_ratio"].tolist()[:4] == pytest.approx([1, 1, 8, 8])
    assert chain["latency_1_ms"].dropna().tolist() == [0.9, 0.6, 0.2, 0.15]
    own = [point(study, "pruned", "calibrated", repeat) for repeat in range(2)]
    assert chain.loc["coded", "test_top1_mean"] == pytest.approx(
        sum(compressed.top1(p, *compressed.KEPT) - 1 for p in own) / 2
    )
    assert chain.loc["exported, ONNX quantized", "test_top1_mean"] == pytest.approx(
        sum(compressed.top1(p) - 2 for p in own) / 2
    )
    assert chain["n"].tolist() == [2] * 6


def test_accounting_leaves_out_chains_that_others_go_on_from(study):
    data = made("table", "accounting", study).data
    assert set(data["quantize"]) == set(compressed.WAYS)


def test_original_size_is_that_of_the_file_and_outlives_it(study, tmp_path):
    for path in tmp_path.glob("results/runs/train/*/model.safetensors"):
        path.write_bytes(b"\0" * 160_000)
    data = made("table", "accounting", study).data
    assert set(data.loc[data["stage"] == "coded", "file_ratio"]) == {32.0}
    for path in tmp_path.glob("results/runs/train/*/model.safetensors"):
        path.unlink()
    data = made("table", "accounting", study).data
    assert set(data.loc[data["stage"] == "coded", "file_ratio"]) == {16.0}


def test_float_activations_are_not_guessed_where_layers_have_widths_of_their_own(tmp_path, monkeypatch):
    study = on_disk(tmp_path, monkeypatch, repeats=1, ways=("aware",), prunings=("dense",))
    assert made("table", "accounting", study).data["activation_mib"][0] == pytest.approx(0.32)
    for run in study["runs"].values():
        if run["stage"] == "quantize":
            run["settings"]["quantize.scheme.first_bits"] = 8
    assert made("table", "accounting", study).printed["Activations (MiB)"][0] == "–"


def test_masks_leave_the_activations_of_the_original_and_cuts_do_not(tmp_path, monkeypatch):
    study = on_disk(tmp_path, monkeypatch, repeats=1, ways=("calibrated",), prunings=("pruned",))
    assert made("table", "accounting", study).data["activation_mib"][0] == pytest.approx(0.32)
    for path in tmp_path.glob("results/runs/prune/*/metrics.csv"):
        path.write_text(path.read_text().replace(",20000,", ",15000,"))
        reseal(path.parent)
    assert made("table", "accounting", study).printed["Activations (MiB)"].tolist()[:2] == ["–", "0.32"]


def test_ladder_stands_over_its_own_bound(study):
    found = made("table", "size_ladder", study)
    assert found.data["method"].tolist() == [*compressed.RUNGS] * 6
    for row in found.data.to_dict("records"):
        size, bound = compressed.RUNGS[row["method"]][0], compressed.RUNGS["order-0 entropy"][0]
        assert row["over_bound_percent"] == pytest.approx(100 * (size - bound) / bound)
    assert found.printed["Over order-0 entropy (%)"].tolist()[2] == "−2.8"


def test_parts_of_a_bar_are_the_file(study):
    figure = made("figure", "size_anatomy", study)
    (panel,) = figure.axes
    for row in range(6):
        assert sum(bar[row].get_width() for bar in panel.containers) == pytest.approx(compressed.CODED_BYTES / 1000)
    assert {bar.get_label() for bar in panel.containers} == set(compressed.PURPOSES)
    assert [line.get_xdata()[0] for line in panel.lines if line.get_gid() == "bound"] == [3.6] * 6
    assert [text.get_text() for text in panel.texts if text.get_gid() == "total"] == [" 5.0 kB (16.0×)"] * 6


def test_every_setting_is_a_cell_and_colours_have_a_scale_with_a_unit(study):
    figure = made("figure", "bit_grid", study, **SPLIT)
    *maps, scale = figure.axes
    assert len(maps) == 6 and scale.get_ylabel() == "Test top-1 (%)"
    ticks = [float(label.get_text()) for label in scale.get_yticklabels()]
    assert ticks == sorted(ticks) and len(ticks) > 2
    # One scheme knows one setting alone.
    assert [sum(text.get_gid() == "value" for text in tiles.texts) for tiles in maps] == 2 * [36, 36, 1]
    for tiles in maps:
        assert len([line for line in tiles.lines if line.get_gid() == "kept"]) == 1
        assert (tiles.get_xlabel(), tiles.get_ylabel()) == ("Activations (bits)", "Weights (bits)")
    assert [text.get_text() for text in maps[0].texts][:2] == ["93.5", "93.1"]
    assert "Means of n = 2 seeds" in figure.get_supxlabel()


def test_a_spread_of_sizes_stands_behind_the_mean(study):
    folder = compressed.folder_of(Path(), study, 2, "encode")
    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace(str(compressed.CODED_BYTES), str(compressed.CODED_BYTES + 400)))
    reseal(folder)
    (panel,) = made("figure", "size_anatomy", study).axes
    texts = [text.get_text() for text in panel.texts if text.get_gid() == "total"]
    assert sum("±" in text for text in texts) == 1 and " 5.00 ± 0.28 kB" in texts[0]


@pytest.mark.parametrize(
    "values", [[10.0, 92.0, 94.0, 94.5], [93.0, 94.0, 94.5], [100.0, 99.0, 10.0], [88.0], [50.0] * 3]
)
def test_accuracies_keep_their_order_and_ticks_stay_inside(values):
    scale = ErrorScale(values)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert scale.ticks
    assert all(-0.01 <= scale(tick) <= 1.01 for tick in scale.ticks)
    luminance = [sum(w * c for w, c in zip((0.3, 0.59, 0.11), scale.colour(v), strict=False)) for v in sorted(values)]
    assert luminance == sorted(luminance, reverse=True)
    # White paper has 1.
    assert max(luminance) < 0.75


def test_close_accuracies_among_failures_are_told_apart():
    scale = ErrorScale([10.0, 92.0, 94.0])
    assert scale.logarithmic
    assert scale(94.0) - scale(92.0) > 0.05
    assert not ErrorScale([93.0, 94.0]).logarithmic


@pytest.mark.parametrize("gone", ["quantize", "encode", "export", "evaluate", "prune", "train"])
def test_missing_runs_are_dashes(tmp_path, monkeypatch, gone):
    study = on_disk(tmp_path, monkeypatch, repeats=1, ways=("calibrated", "aware"), prunings=("pruned",))
    for folder in Path("results/runs", gone).iterdir():
        shutil.rmtree(folder)
    for name, settings in TABLES.items():
        found = made("table", name, study, **settings)
        table_files.write(tmp_path, name, found)
    for name, settings in FIGURES.items():
        assert made("figure", name, study, **settings).axes
    grid = made("table", "bit_grid", study, **SPLIT)
    # What was scored is still known where the network itself is gone.
    assert ("–" in set(grid.printed["Activations 8 (%)"])) is (gone == "evaluate")
    assert len(grid.data) == 37


def test_without_a_single_run_all_stand_and_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = compressed.plan()
    for name, settings in TABLES.items():
        found = made("table", name, study, **settings)
        table_files.write(tmp_path, name, found)
        assert any("–" in cells for cells in found.printed.to_numpy().tolist())
    for name, settings in FIGURES.items():
        figure = made("figure", name, study, **settings)
        assert "planned" in figure.axes[0].texts[0].get_text()


def test_files_of_runs_at_work_count_as_missing(study):
    for place in (2, 3):
        (compressed.folder_of(Path(), study, place, "quantize") / "run.json").unlink()
    data = made("table", "bit_grid", study, split="validation").data
    block = data[(data["prune"] == "dense") & (data["quantize"] == "calibrated")]
    assert set(block["n"]) == {0}


@pytest.mark.parametrize(
    ("stage", "file", "kind", "name", "settings"),
    [
        ("quantize", "grid.csv", "table", "bit_grid", {"split": "validation"}),
        ("evaluate", "scores.csv", "table", "bit_grid", SPLIT),
        ("encode", "anatomy.csv", "figure", "size_anatomy", {}),
        ("encode", "ladder.csv", "table", "size_ladder", {}),
    ],
)
def test_a_changed_file_is_told(study, stage, file, kind, name, settings):
    folder = compressed.folder_of(Path(), study, 2, stage)
    with (folder / file).open("a") as changed:
        changed.write("\n")
    with pytest.raises(ArtifactError, match=rf"{file}: it is damaged.*espalier forget {folder.name}"):
        made(kind, name, study, **settings)


def test_chains_that_share_a_quantized_network_show_its_grid_once(study):
    study["axes"].append("encode.fold")
    for one in list(study["points"]):
        one["labels"]["encode.fold"] = "no"
        study["points"].append(one | {"labels": one["labels"] | {"encode.fold": "yes"}})
    assert len(made("table", "bit_grid", study, **SPLIT).data) == 2 * 73
    assert set(made("table", "rounding", study, **SPLIT).data["n"]) == {2}
