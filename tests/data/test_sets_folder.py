"""Folders of images as people have them: what they hold is seen for what it is, or refused with its mend."""

import os
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from espalier.data.image_folders import left_out_words, listed
from espalier.data.prepared import SPLITS, DataError, Prepared, write
from espalier.data.splits import published
from espalier.settings.registry import choice
from support.published_files import drawn, folder


def built(root, **settings):
    return TypeAdapter(choice("dataset")).validate_python({"name": "folder", "path": ".", **settings}).build(root)


def files_of(dataset, split):
    return sorted(dataset.images.names(dataset.splits[split].tolist()))


def put(root, *names, text=b"x"):
    """Files, and folders where a name ends in a slash."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def image(path, seed=0, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn(side, side, 3, seed=seed)).save(path)


def splits(root, *names, classes=("ash", "beech")):
    for number, name in enumerate(names):
        for place, one in enumerate(classes):
            for each in range(4):
                image(root / name / one / f"{each}.png", seed=1000 * number + 10 * place + each)


@pytest.mark.parametrize(
    ("names", "trained", "tested"),
    [
        (("train", "test"), "train", "test"),
        (("Train", "Test"), "Train", "Test"),
        (("training", "testing"), "training", "testing"),
        (("train", "val"), "train", "val"),
        (("TRAIN", "VALID"), "TRAIN", "VALID"),
        (("train", "dev", "test"), "train", "test"),
        (("train", "valid", "test"), "train", "test"),
    ],
)
def test_splits_are_known_by_their_names(names, trained, tested, tmp_path):
    splits(tmp_path, *names)
    made = built(tmp_path, validation=0.4) if len(names) == 2 else built(tmp_path)
    assert {name.split("/")[0] for name in files_of(made, "train")} == {trained}
    assert {name.split("/")[0] for name in files_of(made, "test")} == {tested}
    own = names[1] if len(names) == 3 else trained
    assert {name.split("/")[0] for name in files_of(made, "validation")} == {own}
    assert made.classes == ("ash", "beech")


def halves(root):
    splits(root, "A", "B")


def named_and_more(root):
    splits(root, "train", "test", "extra")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (lambda root: splits(root, "train", "training"), "train, training hold folders of the same names"),
        (lambda root: splits(root, "test", "val"), "test, val hold folders of the same names (ash, beech), as splits"),
        (halves, "A, B hold folders of the same names (ash, beech), as splits do. Say which is which, splits: {train:"),
        (lambda root: splits(root, "2019", "2020", "2021"), "2019, 2020, 2021 hold folders of the same names"),
        (lambda root: (halves(root), image(root / "C/1.png")), "A, B hold folders of the same names"),
        (named_and_more, "extra beside train is no split that is known"),
        (named_and_more, "[train, extra], joins folders"),
        (lambda root: splits(root, "train", "val", "valid"), "val and valid both look like validation"),
        (lambda root: splits(root, "train", "Train", "test"), "both look like train"),
        (
            lambda root: (splits(root, "train"), image(root / "test/1.png"), image(root / "test/2.png")),
            "test holds 2 images and no folders of classes",
        ),
        (
            lambda root: (splits(root, "train"), splits(root, "test", classes=("ash", "elm"))),
            "elm in test is no class of the training images, which are ash, beech",
        ),
        (
            lambda root: (splits(root, "train"), splits(root, "test", classes=("Ash", "beech"))),
            "Ash in test is no class of the training images",
        ),
        (
            lambda root: (splits(root, "train"), splits(root, "test", classes=("ash",))),
            "a class without an image in a split: beech (3 train, 1 validation, 0 test)",
        ),
        (lambda root: splits(root, "photos"), "its one folder with images is photos, which holds ash, beech"),
        (lambda root: image(root / "1.png"), "it holds 1 image and no folders"),
        (lambda root: put(root, "ash/", "beech/"), "it holds no image; name a folder with one folder a class"),
        (lambda root: put(root, "ash/a.txt", "ash/b.raw"), "it holds no image (left out: 1 .raw, 1 .txt)"),
        (lambda root: image(root / "ash/1.png"), "there is one class only, ash; a classifier needs two"),
        (lambda root: folder(root, each=20) and put(root, "elm/1.xcf"), "elm (0 train, 0 validation, 0 test)"),
        (lambda root: (folder(root, each=20), image(root / "elm/1.png")), "class elm has too few images: 1 are left"),
        (
            lambda root: (folder(root, each=100), [image(root / f"elm/{n}.png", n) for n in range(3)]),
            "elm (3 train, 0 validation, 0 test)",
        ),
        (lambda root: folder(root, each=4), "1 of 8 images for test are fewer than the 2 classes"),
    ],
)
def test_a_folder_that_misleads_is_refused(layout, message, tmp_path):
    layout(tmp_path)
    with pytest.raises(DataError) as caught:
        built(
            tmp_path,
            **({"validation": 0.2} if (tmp_path / "train").is_dir() and not (tmp_path / "val").is_dir() else {}),
        )
    assert message in str(caught.value) and str(caught.value).startswith("dataset.path .: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": "A"}, "splits needs train and test"),
        ({"test": "A", "validation": "B"}, "splits needs train and test"),
        ({"train": "A", "test": "b"}, "splits: unknown folder 'b' (allowed: A, B)"),
    ],
)
def test_splits_that_cannot_be(given, message, tmp_path):
    halves(tmp_path)
    with pytest.raises(DataError, match=re.escape(message)):
        built(tmp_path, splits=given)


def test_splits_are_what_the_study_says(tmp_path):
    splits(tmp_path, "2019", "2020", "2021")
    # YAML reads 2019 as a number.
    made = built(tmp_path, splits={"train": [2019, "2020"], "test": 2021}, validation=0.25)
    assert {name.split("/")[0] for name in files_of(made, "test")} == {"2021"}
    assert len(made.splits["train"]) == 12 and len(made.splits["validation"]) == 4
    made = built(tmp_path, splits={"train": "2019", "validation": "2020", "test": "2021"})
    assert [len(made.splits[name]) for name in SPLITS] == [8, 8, 8]


def test_folders_of_like_shape_may_be_classes(tmp_path):
    splits(tmp_path, *(classes := ("cat", "dog")), classes=("indoors", "outdoors"))
    made = built(tmp_path, splits={}, split={"folds": 2, "fold": 1}, validation=0.5)
    assert made.classes == classes


@pytest.mark.parametrize(
    "junk",
    [
        "__MACOSX/ash/._001.png",
        ".ipynb_checkpoints/001.png",
        ".git/a.png",
        "@eaDir/001.png/SYNOFILE.jpg",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/x.png",
        ".DS_Store",
        "ash/.DS_Store",
        "ash/._001.png",
        "ash/Thumbs.db",
        "ash/desktop.ini",
        "ash/~$notes.png",
        "ash/.thumbnails/001.png",
        "beech/.001.png.icloud",
    ],
)
def test_what_systems_leave_behind_is_neither_class_nor_image(junk, tmp_path):
    folder(tmp_path)
    clean = built(tmp_path)
    put(tmp_path, junk, text=b"no image")
    made = built(tmp_path)
    assert made.classes == clean.classes and len(made.labels) == len(clean.labels) and not made.left_out


def test_files_of_other_types_are_counted_by_their_endings(tmp_path):
    folder(tmp_path)
    put(tmp_path, "ash/a.HEIC", "ash/b.heic", "beech/c.heic", "beech/sub/d.txt", "README", "notes.txt")
    found = listed(tmp_path)
    assert found.all_left_out() == {".heic": 3, ".txt": 2, "": 1}
    assert left_out_words(found.all_left_out()) == (
        "3 .heic, 2 .txt, 1 without ending (pip install pillow-heif to read .heic)"
    )
    assert built(tmp_path).left_out == found.all_left_out()
    with pytest.raises(DataError, match="No such file"):
        listed(tmp_path / "nowhere")


@pytest.mark.parametrize("ending", ["jfif", "jpe", "gif", "avif", "webp", "bmp", "tif", "ppm", "JPG"])
def test_formats_that_pillow_reads_are_images(ending, tmp_path):
    folder(tmp_path)
    kind = {"jfif": "jpeg", "jpe": "jpeg", "JPG": "jpeg", "tif": "tiff"}.get(ending, ending)
    Image.fromarray(drawn(8, 8, 3)).save(tmp_path / f"ash/last.{ending}", kind)
    made = built(tmp_path)
    place = made.images.names(range(41)).index(f"ash/last.{ending}")
    assert made.images.image(place).shape == (32, 32, 3)


def test_images_beside_the_classes_are_told(tmp_path, caplog):
    folder(tmp_path)
    image(tmp_path / "sample.png")
    assert len(built(tmp_path).labels) == 40
    assert "1 image is left out, in no folder of a class" in caplog.text


def test_images_keep_the_order_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    folder(tmp_path)
    for name in ("ash/b/1.png", "ash/a/1.png", "ash/a.b/1.png", "ash/zz.png"):
        image(tmp_path / name)
    own = built(tmp_path)
    theirs = ImageFolder(tmp_path)
    assert [str(path) for path in own.images.paths] == [path for path, _ in theirs.samples]
    assert own.labels.tolist() == theirs.targets


@pytest.mark.parametrize("link", ["ash/again", "ash/up", "beech/ash", "elm"])
def test_a_folder_that_links_reach_twice_would_put_images_into_several_splits(link, tmp_path):
    folder(tmp_path / "trees")
    target = {"again": ".", "up": ".."}.get(link.rpartition("/")[2], tmp_path / "trees/ash")
    (tmp_path / "trees" / link).symlink_to(target, target_is_directory=True)
    with pytest.raises(DataError, match="is the same folder as"):
        built(tmp_path / "trees")


def test_a_test_folder_that_is_the_training_folder_is_refused(tmp_path):
    folder(tmp_path / "train")
    (tmp_path / "test").symlink_to("train", target_is_directory=True)
    with pytest.raises(DataError, match="is the same folder as"):
        built(tmp_path)


def test_a_class_whose_name_is_no_text_is_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "ash").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(DataError, match=r"'\\udcff' is not UTF-8"):
        built(tmp_path)


def test_a_number_that_is_another_classs_name_is_refused(tmp_path):
    folder(tmp_path, ("1", "10", "2"))
    with pytest.raises(DataError, match="1 is the number of class 10 and the name of another"):
        built(tmp_path, keep=[1, 2])
    assert built(tmp_path, keep=["1", "2"]).classes == ("1", "2")


def test_a_validation_fraction_beside_a_validation_folder_is_refused(tmp_path):
    splits(tmp_path, "train", "val", "test")
    with pytest.raises(DataError, match=r"dataset\.validation 0\.2 contradicts"):
        built(tmp_path, validation=0.2)


def copied(root, *pairs):
    for source, target in pairs:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, root / target)


def prepared(root, out, **settings):
    dataset = built(root, image_size=8, **settings)
    write(out, dataset, {})
    return Prepared.read(out, SPLITS)


def test_a_test_folder_that_is_a_copy_is_refused_with_pairs(tmp_path):
    folder(tmp_path / "trees/train")
    shutil.copytree(tmp_path / "trees/train", tmp_path / "trees/test")
    with pytest.raises(DataError) as caught:
        prepared(tmp_path / "trees", tmp_path / "out.safetensors")
    told = str(caught.value)
    assert told.startswith("40 images are the same in two splits:")
    assert "\n  train/ash/000.png (train, ash) = test/ash/000.png (test, ash)" in told
    assert "… and 30 more" in told and "dataset.duplicates: drop" in told
    assert not (tmp_path / "out.safetensors").exists()


def test_a_copy_in_another_format_is_the_same_image(tmp_path):
    splits(tmp_path / "t", "train", "test")
    Image.open(tmp_path / "t/train/ash/0.png").save(tmp_path / "t/test/ash/other.bmp")
    with pytest.raises(DataError, match="1 image is the same in two splits"):
        prepared(tmp_path / "t", tmp_path / "out.safetensors", validation=0.4)


def test_dropped_copies_leave_the_training_images(tmp_path, caplog):
    root = tmp_path / "t"
    splits(root, "train", "val", "test")
    clean = prepared(root, tmp_path / "clean.safetensors")
    copied(
        root,
        ("test/ash/0.png", "train/ash/9.png"),
        ("test/ash/0.png", "val/beech/8.png"),
        ("val/beech/1.png", "train/beech/copy.png"),
        ("train/ash/1.png", "train/ash/again.png"),
    )
    (root / "train/ash/again.png").unlink()
    made = prepared(root, tmp_path / "out.safetensors", duplicates="drop")
    for name in SPLITS:
        assert np.array_equal(made.splits[name].images, clean.splits[name].images)
        assert np.array_equal(made.splits[name].labels, clean.splits[name].labels)
    assert (made.mean, made.std) == (clean.mean, clean.std)
    assert "2 images are the same in two splits, 3 copies are left out" in caplog.text
    assert "1 image stands under two labels" in caplog.text and "val/beech/8.png (validation, beech)" in caplog.text
    kept = prepared(root, tmp_path / "kept.safetensors", duplicates="keep")
    assert [len(kept.splits[name].labels) for name in SPLITS] == [10, 9, 8]


def test_dropping_all_of_a_class_is_refused(tmp_path):
    root = tmp_path / "t"
    splits(root, "train", "val", "test")
    for each in range(4):
        shutil.copy(root / f"train/ash/{each}.png", root / f"test/ash/copy{each}.png")
    with pytest.raises(DataError, match=r"ash \(0 train, 4 validation, 8 test\)"):
        prepared(root, tmp_path / "out.safetensors", duplicates="drop")


def test_under_the_protocol_published_copies_are_found_too(tmp_path):
    root = tmp_path / "t"
    splits(root, "train", "test")
    shutil.copy(root / "train/ash/0.png", root / "test/ash/copy.png")
    dataset = published(built(root, image_size=8, validation=0.4, duplicates="drop"))
    write(tmp_path / "out.safetensors", dataset, {})
    made = Prepared.read(tmp_path / "out.safetensors", ("train", "validation"))
    assert len(made.splits["train"].labels) == 7 and len(made.splits["validation"].labels) == 9


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_their_camera_says(orientation, tmp_path):
    folder(tmp_path)
    seen = np.zeros((8, 8, 3), np.uint8)
    seen[:4, :4] = 255
    way = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    turned = Image.fromarray(seen)
    if orientation > 1:
        # Stored as the sensor saw it: what the orientation undoes.
        undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
        turned = turned.transpose(Image.Transpose(undone))
    assert way
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "ash/last.png", exif=exif)
    for asked, expected in ((True, seen), (False, np.asarray(turned))):
        made = built(tmp_path, image_size=8, exif_orientation=asked)
        place = made.images.names(range(41)).index("ash/last.png")
        assert np.array_equal(made.images.image(place), expected)


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("gray", 128), ("black", 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_the_background(mode, background, level, tmp_path):
    folder(tmp_path)
    pixels = np.full((8, 8, 4), 77, np.uint8)
    pixels[..., 3] = 255 * (np.indices((8, 8)).sum(0) % 2)
    shown = Image.fromarray(pixels)
    shown = shown.quantize(4) if mode == "P" else shown.convert(mode)
    shown.save(tmp_path / "ash/last.png")
    made = built(tmp_path, image_size=8, background=background)
    found = made.images.image(made.images.names(range(41)).index("ash/last.png"))
    assert np.array_equal(found, np.where(pixels[..., 3:] > 0, 77, level).repeat(3, 2))


@pytest.mark.parametrize(
    ("side", "colours", "message"),
    [
        (9_400, 6, "its 9400 x 9400 pixels take 337 MiB of memory, more than the 256 MiB that one image may"),
        (20_000, 0, "it has more pixels than are opened, 178,956,970; make it smaller"),
    ],
)
def test_an_image_that_memory_does_not_hold_is_refused_unread(side, colours, message, tmp_path):
    folder(tmp_path / "trees")
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, colours, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (head, body)]
    (tmp_path / "trees/ash/huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DataError, match=re.escape(message)):
        prepared(tmp_path / "trees", tmp_path / "out.safetensors")


def test_groups_of_folds_test_every_image_once(tmp_path):
    folder(tmp_path)
    tested = []
    for fold in range(4):
        made = built(tmp_path, split={"folds": 4, "fold": fold})
        parts = [set(made.splits[name].tolist()) for name in SPLITS]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 40
        assert np.bincount(made.labels[made.splits["test"]]).tolist() == [5, 5]
        tested += made.splits["test"].tolist()
    assert sorted(tested) == list(range(40))
    with pytest.raises(DataError, match="class ash has too few images: 20 are left, where 21 parts need one each"):
        built(tmp_path, split={"folds": 21, "fold": 0})
