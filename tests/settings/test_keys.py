import pytest

from espalier.settings.keys import flat, merged, put


def test_put_makes_a_mapping_of_a_name_on_the_way():
    settings = {"train": {"optimizer": "sgd"}}
    put(settings, "train.optimizer.lr", 0.2)
    assert settings == {"train": {"optimizer": {"name": "sgd", "lr": 0.2}}}


def test_put_refuses_to_enter_a_value_without_keys():
    with pytest.raises(ValueError, match="epochs is 3"):
        put({"train": {"epochs": 3}}, "train.epochs.lr", 1)


def test_merged_keeps_what_is_not_named_and_leaves_its_arguments_alone():
    base = {"train": {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.1}}}
    assert merged(base, {"train": {"optimizer": {"lr": 0.2}}}) == {
        "train": {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.2}}
    }
    assert base["train"]["optimizer"]["lr"] == 0.1


def test_merged_replaces_the_settings_of_another_entry():
    base = {"optimizer": {"name": "sgd", "momentum": 0.5}}
    assert merged(base, {"optimizer": {"name": "adam", "lr": 1}}) == {"optimizer": {"name": "adam", "lr": 1}}
    assert merged({"optimizer": "sgd"}, {"optimizer": {"lr": 1}}) == {"optimizer": {"name": "sgd", "lr": 1}}


def test_merged_can_remove_with_null():
    assert merged({"train": {"clip_norm": 1}}, {"train": {"clip_norm": None}}) == {"train": {"clip_norm": None}}


def test_flat_names_every_leaf():
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert dict(flat(nested)) == {"a.b": 1, "a.c.d": [2], "e": {}}
