"""Presets: sets of settings by name, shipped ones and a person's own in a JSON file."""

import json

import pytest

from lib_pia.errors import HostError, SettingsError
from lib_pia.presets import SHIPPED, find_preset, own_presets, preset_names, save_preset
from lib_pia.settings import PIASettings

SETTINGS = PIASettings(num_frames=40, magnitude="large", formats=("webp",), affinity=(1.0, 0.5), continue_from="aGk=")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "PIA" / "presets.json"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_ones_are_good_settings_that_are_not_the_default(name, path):
    settings = PIASettings.from_dict(find_preset(name, path))
    assert settings != PIASettings() and "formats" not in SHIPPED[name] and "model" not in SHIPPED[name]


def test_a_saved_one_comes_back_without_files_and_defaults(path):
    assert preset_names(path) == list(SHIPPED)
    save_preset("  my walk 走 ", SETTINGS, path)
    save_preset("other", PIASettings(fps=12), path)
    assert preset_names(path) == [*SHIPPED, "my walk 走", "other"]
    values = find_preset("my walk 走", path)
    assert set(values) == {"num_frames", "motion", "magnitude", "formats", "affinity"}
    assert PIASettings.from_dict(values) == PIASettings(**{**vars(SETTINGS), "continue_from": None})
    save_preset("other", PIASettings(fps=24), path)
    assert find_preset("other", path) == {"fps": 24} and len(own_presets(path)) == 2


def test_what_is_typed_into_the_file_counts_at_once(path):
    save_preset("a", PIASettings(fps=12), path)
    path.write_text('{"b": {"fps": 3}}')
    assert preset_names(path)[-1] == "b" and find_preset("b", path) == {"fps": 3}


@pytest.mark.parametrize("text", ['{"a": ', "[1]", "\xff\x00", "[" * 100_000])
def test_a_broken_file_is_one_sentence_and_is_kept(path, text):
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    for act in (lambda: find_preset("a", path), lambda: save_preset("a", SETTINGS, path)):
        with pytest.raises(SettingsError, match=r"The presets in .* correct the file, or move it away\.$") as error:
            act()
        assert "\n" not in str(error.value)
    assert path.read_text(encoding="latin-1") == text and preset_names(path) == list(SHIPPED)
    assert find_preset("Large motion", path) == SHIPPED["Large motion"]


@pytest.mark.parametrize(
    "values, sentence",
    [
        (3, r'PIA preset "a" is 3; it must be an object'),
        ({"fps": 0}, r'PIA preset "a" cannot be used: PIA setting fps is 0; it must'),
        ({"preset": "b"}, r'PIA preset "a" cannot be used: PIA setting "preset" is unknown'),
    ],
)
def test_a_preset_of_bad_settings_says_which(path, values, sentence):
    path.parent.mkdir()
    path.write_text(json.dumps({"a": values}))
    with pytest.raises(SettingsError, match=sentence):
        find_preset("a", path)


@pytest.mark.parametrize("name", ["Small", 3, None, ["Large motion"], {}])
def test_an_unknown_one_is_refused_with_the_names(path, name):
    with pytest.raises(SettingsError, match="is not there; there are: Gentle, loop, Large motion, Long chain"):
        find_preset(name, path)


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\nb", "Large motion"])
def test_names_that_cannot_be_saved(path, name):
    with pytest.raises(SettingsError, match="no name; type one|comes with the extension; choose another"):
        save_preset(name, SETTINGS, path)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "PIA").write_text("a file")
    with pytest.raises((HostError, SettingsError), match=r"The presets .* "):
        save_preset("a", SETTINGS, tmp_path / "PIA" / "presets.json")
