"""What `snakemake preview` shows, against the batches of training and the plan."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from espalier.data.augmented_samples import alone, samples, varied
from espalier.data.policy import Policy
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident, ordered
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.format import style
from espalier.results.page import preview_page
from espalier.settings.registry import entries
from support.data_samples import made, policy

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/draw_previews.py"
STUDY = "title: a study\ndataset: digits\nmodel: resnet\n"
AXIS = "grid: {product: {augment: {none: [], crop!: [pad_crop], 'crop?': [{name: pad_crop, padding: 1}]}}}\n"


@pytest.fixture
def prepared(tmp_path):
    write(tmp_path / "made-00.safetensors", made(), {"name": "made"})
    return Prepared.read(tmp_path / "made-00.safetensors")


def planned(tmp_path, text):
    (tmp_path / "shown.yaml").write_text(text)
    return json.loads(json.dumps(manifest(build(["shown"], tmp_path).studies["shown"])))


def test_samples_are_of_different_classes_as_far_as_there_are():
    labels = torch.tensor([2, 2, 0, 1, 0, 2, 1])
    assert varied(labels, 2) == [2, 3]
    assert varied(labels, 5) == [2, 3, 0, 4, 6]
    assert sorted(varied(labels, 99)) == list(range(7))


def test_without_augmentation_every_epoch_shows_the_stored_pixels(prepared):
    images, labels = prepared.splits["train"].images, prepared.splits["train"].labels
    found = samples(prepared, policy(), seed=3, count=5, epochs=2)
    for place, sample in zip(varied(labels, 5), found, strict=True):
        stored = images[place].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(sample.original, stored)
        assert sample.name == prepared.classes[labels[place]]
        for seen in sample.seen:
            np.testing.assert_array_equal(seen.image, stored)
            assert seen.labels == ((sample.name, 1.0),)


@pytest.mark.parametrize("name", [*entries("augmentation"), None])
def test_what_is_shown_of_an_epoch_is_what_training_gets(name, prepared):
    """The batches of one training epoch, laid end to end and searched for the samples."""
    augment = policy(*(["pad_crop", "horizontal_flip", {"name": "cutout", "size": 2}] if name is None else [name]))
    data, chosen = Resident(prepared), varied(prepared.splits["train"].labels, 6)
    found = samples(prepared, augment, seed=5, count=6, epochs=2)
    for epoch in (1, 2):
        batches = list(data.train_batches(augment, epoch=epoch, seed=5, batch_size=8))
        inputs = torch.cat([batch.inputs for batch in batches])
        order = ordered(23, seed=5, epoch=epoch).tolist()
        for place, sample in zip(chosen, found, strict=True):
            step, seen = order.index(place), sample.seen[epoch - 1]
            expected = inputs[step].permute(1, 2, 0) * torch.tensor(data.std) + torch.tensor(data.mean)
            np.testing.assert_array_equal(seen.image, (255 * expected).round().clamp(0, 255).to(torch.uint8))
            assert seen.labels[0][0] == sample.name
            if augment.mixes:
                (_, own), (partner, rest) = seen.labels
                assert own == torch.cat([batch.weight for batch in batches])[step] and own + rest == pytest.approx(1)
                following = torch.cat([batch.labels for batch in batches]).roll(-1)[step]
                assert partner == prepared.classes[following]


def test_a_mixed_image_is_the_mean_that_its_labels_say(prepared):
    images = prepared.splits["train"].images.permute(0, 2, 3, 1).double()
    for place, sample in zip(
        varied(prepared.splits["train"].labels, 4),
        samples(prepared, policy("mixup"), seed=0, count=4, epochs=3),
        strict=True,
    ):
        for epoch, seen in enumerate(sample.seen, 1):
            order = ordered(23, seed=0, epoch=epoch)
            partner = order[order.tolist().index(place) + 1]
            weight = seen.labels[0][1]
            expected = (weight * images[place] + (1 - weight) * images[partner]).numpy()
            assert np.abs(seen.image - expected).max() < 0.51


def test_every_policy_of_a_study_once_under_its_label(tmp_path):
    found = preview_page.policies(planned(tmp_path, STUDY + "repeats: 2\nseed: 4\n" + AXIS))
    assert [(one.title, one.key) for one in found] == [("none", "none"), ("crop!", "crop"), ("crop?", "crop-2")]
    assert {one.spec.seed for one in found} == {4}
    assert [preview_page.settings(one.spec) for one in found] == [
        "no augmentation",
        "pad_crop padding=2",
        "pad_crop padding=1",
    ]


def test_a_policy_without_a_label_is_named_by_its_settings(tmp_path):
    text = STUDY + "augment: [{name: pad_crop, padding: 3}, mixup]\n"
    text += "grid: {product: {train.epochs: [1, 2], dataset.image_size: [8, 16]}}\n"
    found = preview_page.policies(planned(tmp_path, text))
    assert [one.title for one in found] == ["pad_crop padding=3+mixup"] * 2
    assert len({one.data for one in found}) == 2
    assert [one.key for one in found] == [f"{Path(one.data).stem}-pad_crop-padding-3-mixup" for one in found]
    assert preview_page.settings(found[0].spec) == "pad_crop padding=3, mixup alpha=1 per=image"


def test_pictures_have_names_of_their_own_that_a_disk_takes(tmp_path):
    names = ["a-3", "a!", "a?", "é" * 300, "é" * 299 + "!"]
    axis = ", ".join(f"'{name}': [{{name: pad_crop, padding: {place}}}]" for place, name in enumerate(names, 1))
    found = preview_page.policies(planned(tmp_path, STUDY + f"grid: {{product: {{augment: {{{axis}}}}}}}\n"))
    assert [one.title for one in found] == names
    assert len({one.key for one in found}) == len(names)
    for one in found:
        (tmp_path / f".{one.key}.12345678.png").touch()


@pytest.mark.parametrize("augment", [[], ["mixup"]])
def test_a_picture_has_every_sample_in_every_epoch_and_says_what_it_is(augment, prepared, tmp_path):
    study = planned(tmp_path, STUDY + f"augment: {augment}\n")
    (one,) = preview_page.policies(study)
    shown = samples(prepared, Policy(one.spec.augment), seed=0, count=3, epochs=4)
    with style.applied():
        figure = preview_page.draw(one, shown)
        (axes,) = figure.axes
        assert figure.get_size_inches()[0] == style.PAGE
        assert len(axes.images) == 3 * (1 + 4)
        shown_images = [np.asarray(image.get_array()) for image in axes.images]
        for row, sample in enumerate(shown):
            for column, image in enumerate([sample.original, *(seen.image for seen in sample.seen)]):
                np.testing.assert_array_equal(shown_images[5 * row + column], image)
        texts = [text.get_text() for text in axes.texts]
        assert texts[:5] == ["original", "epoch 1", "epoch 2", "epoch 3", "epoch 4"]
        assert [texts[5 + 5 * row] for row in range(3)] == ["ash", "beech", "cedar"]
        if augment:
            (own, weight), (partner, rest) = shown[0].seen[0].labels
            assert texts[6] == f"{own}: {weight:.2f}\n{partner}: {rest:.2f}"
        else:
            assert texts[6] == ""
        assert figure.get_suptitle() == ("mixup" if augment else "none")
        assert axes.get_title(loc="left") == ("mixup alpha=1 per=image" if augment else "no augmentation")


@pytest.mark.parametrize("names", [["pad_crop", "horizontal_flip", "mixup"], ["cutmix"], ["rotation"]])
def test_each_augmentation_alone_stands_under_the_original_and_all_of_them_last(names, prepared, tmp_path):
    (one,) = preview_page.policies(planned(tmp_path, STUDY + f"augment: [{', '.join(names)}]\n"))
    augment = one.spec.augment
    shown = samples(prepared, Policy(augment), seed=0, count=3, epochs=1)
    each = alone(prepared, augment, seed=0, count=3)
    with style.applied():
        figure = preview_page.draw_alone(one, shown, each)
    (axes,) = figure.axes
    rows = [[sample.original for sample in shown]]
    rows += [[sample.seen[0].image for sample in row] for row in (each if len(each) == 1 else [*each, shown])]
    expected = [image for row in rows for image in row]
    for image, found in zip(expected, axes.images, strict=True):
        np.testing.assert_array_equal(np.asarray(found.get_array()), image)
    texts = [text.get_text() for text in axes.texts]
    heads = ["the original", *map(preview_page._augmentation, augment)]
    if len(names) > 1:
        heads = [heads[0], *(f"{head}, alone" for head in heads[1:]), "all of them, one after the other"]
    assert [text for text in texts if text in heads] == heads
    if augment[-1].name in ("mixup", "cutmix"):
        (own, weight), (partner, rest) = each[-1][0].seen[0].labels
        assert f"{own} {weight:.2f} /\n{partner} {rest:.2f}" in texts


def test_an_augmentation_alone_draws_what_it_draws_in_the_policy(prepared, tmp_path):
    """Where the first of two changes nothing, the second alone is the whole."""
    text = "augment: [{name: horizontal_flip, p: 0.0}, {name: cutout, size: 2}]\n"
    (one,) = preview_page.policies(planned(tmp_path, STUDY + text))
    whole = samples(prepared, Policy(one.spec.augment), seed=5, count=6, epochs=1)
    _, second = alone(prepared, one.spec.augment, seed=5, count=6)
    for one, other in zip(whole, second, strict=True):
        np.testing.assert_array_equal(one.seen[0].image, other.seen[0].image)


def test_gray_images_are_drawn_from_black_to_white(tmp_path):
    (one,) = preview_page.policies(planned(tmp_path, STUDY))
    image = np.full((4, 4, 1), 100, np.uint8)
    sample = type("Sample", (), {"name": "a", "original": image, "seen": []})
    with style.applied():
        (shown,) = preview_page.draw(one, [sample]).axes[0].images
    assert shown.get_array().shape == (4, 4) and shown.get_clim() == (0, 255)


def test_the_script_draws_a_picture_a_policy(tmp_path, monkeypatch):
    study = planned(tmp_path, STUDY + "grid: {product: {augment: {none: [], crop: [pad_crop]}}}\n")
    (tmp_path / "plan.json").write_text(json.dumps(study))
    (data,) = {one.data for one in preview_page.policies(study)}
    write(tmp_path / data, made(), {"name": "made"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path), "--plan", "plan.json"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert [path.name for path in (tmp_path / "preview/alone").iterdir()] == ["crop.png"]
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "preview").glob("*.png")}
    assert set(pictures) == {"none.png", "crop.png"} and len(set(pictures.values())) == 2


def test_a_preview_needs_the_data_and_no_training(planned):
    assert planned.jobs("preview") == {"prepare": 1, "preview_study": 1, "preview": 1}
