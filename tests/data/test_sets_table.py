"""Images listed by a table: columns, splits, groups, and tables that cannot be used."""

import re
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from espalier.data.prepared import SPLITS, DataError, Prepared, write
from espalier.settings.registry import choice
from support.published_files import drawn

HEAD = "file,species,part,patient"


def built(place, text, name="labels.csv", **settings):
    (place / name).write_text(text) if isinstance(text, str) else (place / name).write_bytes(text)
    given = {"name": "table", "file": name, "image": "file", "label": "species", "image_size": 8, **settings}
    return TypeAdapter(choice("dataset")).validate_python(given).build(place)


def rows(count=60, classes=("ash", "elm"), patients=12, parts=None):
    """Lines of a table: a patient has images of both classes."""
    lines = [HEAD]
    for place in range(count):
        part = parts[place % len(parts)] if parts else ""
        lines.append(f"i/{place}.png,{classes[place % len(classes)]},{part or 'x'},p{place // 2 % patients}")
    return "\n".join(lines) + "\n"


def images(root, count=60):
    (root / "i").mkdir()
    for place in range(count):
        Image.fromarray(drawn(8, 8, 3, seed=place)).save(root / f"i/{place}.png")


def test_a_table_is_drawn_into_splits_and_prepared(tmp_path):
    images(tmp_path)
    dataset = built(tmp_path, rows())
    write(tmp_path / "out.safetensors", dataset, {})
    made = Prepared.read(tmp_path / "out.safetensors", SPLITS)
    assert made.classes == ("ash", "elm") and [len(made.splits[name].labels) for name in SPLITS] == [48, 6, 6]
    place = int(made.splits["test"].indices[0])
    assert np.array_equal(made.splits["test"].images[0].permute(1, 2, 0), drawn(8, 8, 3, seed=place))
    assert made.splits["test"].files[0] == f"i/{place}.png"
    assert made.splits["test"].labels[0] == place % 2


@pytest.mark.parametrize(
    ("parts", "splits", "sizes"),
    [
        (("train", "train", "train", "train", "val", "val", "test", "test"), None, (32, 14, 14)),
        (("Training", "Training", "Testing", "Testing"), None, (27, 3, 30)),
        (("a", "a", "b", "b", "c", "c"), {"train": ["a", "b"], "test": "c"}, (36, 4, 20)),
    ],
)
def test_splits_are_those_of_a_column(parts, splits, sizes, tmp_path):
    dataset = built(tmp_path, rows(parts=parts), split="part", splits=splits)
    assert tuple(len(dataset.splits[name]) for name in SPLITS) == sizes


@pytest.mark.parametrize("split", ["80/10/10", {"folds": 3, "fold": 2}])
@pytest.mark.parametrize("seed", [0, 1])
def test_images_of_a_group_stay_together(split, seed, tmp_path):
    dataset = built(tmp_path, rows(240, patients=24), split=split, group="patient", split_seed=seed)
    where = defaultdict(set)
    for name in SPLITS:
        for file in dataset.images.names(dataset.splits[name].tolist()):
            where[int(file[2:-4]) // 2 % 24].add(name)
    assert len(where) == 24 and all(len(names) == 1 for names in where.values())
    assert sum(len(part) for part in dataset.splits.values()) == 240
    shares = [np.bincount(dataset.labels[dataset.splits[name]]) / len(dataset.splits[name]) for name in SPLITS]
    assert np.allclose(shares, 0.5)


def test_folds_of_groups_test_every_image_once(tmp_path):
    made = [built(tmp_path, rows(), split={"folds": 4, "fold": fold}, group="patient") for fold in range(4)]
    assert sorted(place for one in made for place in one.splits["test"].tolist()) == list(range(60))


def test_a_group_in_two_given_splits_is_refused(tmp_path):
    with pytest.raises(DataError, match="12 groups are in two splits, such as p0 in train and test"):
        built(tmp_path, rows(240, parts=("train", "train", "train", "test", "test")), split="part", group="patient")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (rows().replace(",", "\t"), "labels.tsv"),
        (rows().replace(",", ";"), "labels.csv"),
        ("\ufeff" + rows(), "labels.csv"),
        (rows().replace("\n", "\r\n"), "labels.csv"),
        (rows().replace(".png", ""), "labels.csv"),
        (rows().replace("i/", ""), "labels.csv"),
    ],
)
def test_tables_come_in_many_forms(text, name, tmp_path):
    images(tmp_path)
    more = {} if ".png" in text else {"ending": ".png"}
    more |= {} if "i/" in text else {"root": "i"}
    dataset = built(tmp_path, text, name, **more)
    assert dataset.classes == ("ash", "elm")
    assert np.array_equal(dataset.images.image(5), drawn(8, 8, 3, seed=5))


def test_parquet_is_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"file": [f"i/{n}.png" for n in range(60)], "species": [n % 3 for n in range(60)]})
    frame.to_parquet(tmp_path / "labels.parquet")
    dataset = built(tmp_path, (tmp_path / "labels.parquet").read_bytes(), "labels.parquet")
    assert dataset.classes == ("0", "1", "2")


def test_classes_that_are_numbers_are_ordered_by_size(tmp_path):
    assert built(tmp_path, rows(classes=("10", "9", "NA"))).classes == ("10", "9", "NA")
    assert built(tmp_path, rows(classes=("10", "9", "100"))).classes == ("9", "10", "100")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (rows(), {"label": "specie"}, "unknown column 'specie'; did you mean 'species'?"),
        (rows(), {"image": "path"}, "unknown column 'path'"),
        (rows(), {"group": "plant"}, "unknown column 'plant'"),
        (rows(), {"split": "fold"}, "unknown column 'fold'"),
        (rows(), {"split": "part"}, "x in the column part is no split that is known"),
        (rows(parts=("train",)), {"split": "part"}, "the column part needs train and test"),
        (rows(parts=("a", "b")), {"split": "part", "splits": {"train": "a"}}, "b in the column part is no split"),
        (rows(classes=("ash",)), {}, "the column species holds one class only, ash"),
        (rows(60).replace("i/7.png,elm", "i/7.png,"), {}, "1 row has no species, the first in line 9"),
        (rows(60).replace("i/7.png,", ","), {}, "1 row has no file, the first in line 9"),
        (HEAD + "\n", {}, "the table has no rows"),
        ("", {}, "no table that can be read"),
        (HEAD + '\na,"b', {}, "no table that can be read"),
        (b"\xff\xfe\x00\x01", {}, "no table that can be read"),
        (rows(3), {}, "class elm has too few images: 1 are left"),
        (rows(), {"keep": ["ash", "oak"]}, "unknown class 'oak'"),
        (rows(60, patients=2), {"group": "patient"}, "1 group of images cannot be in 2 parts, for validation"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_a_line(text, more, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        built(tmp_path, text, **more)
    assert str(caught.value).startswith("dataset.file labels.csv: ") and "\n" not in str(caught.value)


def test_images_that_are_not_there_are_listed(tmp_path):
    images(tmp_path, 58)
    with pytest.raises(DataError, match="2 of 60 images cannot be read") as caught:
        write(tmp_path / "out.safetensors", built(tmp_path, rows()), {})
    assert "i/59.png: there is no such file" in str(caught.value)
    with pytest.raises(DataError, match="there is no such file"):
        TypeAdapter(choice("dataset")).validate_python({"name": "table", "file": "none.csv"}).build(tmp_path)
