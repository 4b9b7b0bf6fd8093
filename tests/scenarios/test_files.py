"""Folders and names of files, and what fails there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_pia.video import clip_infotext

from .clips import animate
from .pictures import pixels


@pytest.fixture
def saved(host, tmp_path):
    """saved(options, settings, **request): paths of the files of a clip that is saved into a folder of its own."""

    def run(options=None, settings=None, folder=tmp_path, **request):
        with host.options(outdir_img2img_samples=str(folder), **(options or {})):
            clip = {"num_frames": 2, "formats": ["gif"], **(settings or {})}
            answer = animate(host, clip, save_images=True, steps=1, **request)
        return [Path(file["path"]) for file in answer["info"]["pia"]]

    return run


def test_names_follow_the_hosts_patterns(saved):
    patterns = {"save_to_dirs": True, "directories_filename_pattern": "[prompt_words]"}
    patterns["samples_filename_pattern"] = "[seed]-[width]x[height]"
    (first,), (second,) = saved(patterns, seed=77), saved(patterns, seed=77)
    assert first.parent.name == "a red star" and first.parent.parent.name == "PIA"
    assert first.name.endswith("-77-64x64.gif") and int(second.name[:5]) == int(first.name[:5]) + 1


def test_batches_are_numbered_by_clip(saved):
    options = {"samples_filename_pattern": "[seed]-[generation_number]", "save_images_add_number": False}
    assert [path.name for path in saved(options, seed=5, batch_size=2)] == ["5-1.gif", "7-2.gif"]


@pytest.mark.parametrize(
    "action, names", [("Replace", ["fixed.gif", "fixed.gif"]), ("Add number suffix", ["again.gif", "again-1.gif"])]
)
def test_a_name_that_is_there_already(saved, action, names):
    options = {"samples_filename_pattern": names[0].split(".")[0], "save_images_add_number": False}
    options["save_images_replace_action"] = action
    assert [saved(options)[0].name, saved(options)[0].name] == names


@pytest.mark.parametrize(
    "prompt",
    ["ein schöner Käfer, 画像, 🐞", "long " * 60, "小さな猫が窓辺で眠っている、" * 20],
    ids=["non-ASCII", "300 characters", "long and non-ASCII"],
)
def test_prompts_in_names(saved, prompt):
    patterns = {
        "samples_filename_pattern": "[prompt]",
        "save_to_dirs": True,
        "directories_filename_pattern": "[prompt]",
    }
    (path,) = saved(patterns, prompt=prompt)
    assert path.is_file() and len(path.name.encode()) <= 255 and path.name[6] == prompt[0]


def test_a_folder_with_a_name_in_another_script(saved, tmp_path):
    (path,) = saved(folder=tmp_path / "出力 ö")
    assert tmp_path / "出力 ö" in path.parents and path.is_file()


def test_a_folder_that_cannot_be_made_gives_the_frames_and_a_sentence(host, tmp_path, usual):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "out"
    with host.options(outdir_img2img_samples=str(folder)):
        answer = animate(host, {"formats": ["gif", "mp4"]}, save_images=True)
    assert [pixels(text) for text in answer["images"]] == [pixels(text) for text in usual[1]]
    errors = [file["error"] for file in answer["info"]["pia"]]
    assert len(errors) == 2 and all(error.startswith(f"The folder {folder / 'PIA'}") for error in errors)


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ({"event": "os.rename", "match": r"\.(gif|webp)", "errno": 28}, "is full; free some space."),
        ({"event": "os.mkdir", "match": "PIA", "errno": 13}, "(Permission denied); check Settings > Paths for saving"),
    ],
    ids=["a full disk", "a read-only folder"],
)
def test_what_the_disk_refuses_gives_the_frames_and_a_sentence(host, tmp_path, fault, sentence):
    with host.options(outdir_img2img_samples=str(tmp_path)):
        probe = {"fault": {"point": "file", **fault}}
        answer = animate(host, {"formats": ["gif", "webp"]}, probe, save_images=True)
    assert len(answer["images"]) == 4 and sentence in answer["info"]["pia"][0]["error"]


def test_without_ffmpeg_the_other_formats_are_written(host):
    fault = {"point": "file", "event": "subprocess.Popen", "match": "ffmpeg", "errno": 2}
    answer = animate(host, {"formats": ["mp4", "webp"]}, {"fault": fault})
    failed, written = answer["info"]["pia"]
    assert "ffmpeg" in failed["error"] and failed["error"].endswith(("imageio-ffmpeg", "."))
    assert written["format"] == "webp" and len(answer["images"]) == 1


def test_infotext_stays_out_of_the_files_if_the_settings_say_so(saved):
    (path,), (told,) = saved({"enable_pnginfo": False}), saved()
    assert not clip_infotext(path) and "PIA enabled: True" in clip_infotext(told)


def test_text_files_beside_the_clips_if_the_settings_say_so(saved):
    (path,) = saved({"save_txt": True})
    assert "PIA enabled: True" in path.with_suffix(".txt").read_text()
