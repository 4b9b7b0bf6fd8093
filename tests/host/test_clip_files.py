"""Scenario 14: folders and names of files."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.clips import animate, pixels


def saved(host, settings=None, **request):
    answer = animate(host, {"num_frames": 2, "formats": ["gif"], **(settings or {})}, save_images=True, steps=1, **request)
    return [Path(file["path"]) for file in answer["info"]["pia"]]


def test_names_follow_the_hosts_patterns(host):
    with host.options(save_to_dirs=True, directories_filename_pattern="[prompt_words]", samples_filename_pattern="[seed]-[width]x[height]"):
        first, = saved(host, seed=77)
        second, = saved(host, seed=77)
    assert first.parent.name == "a cat" and first.parent.parent.name == "PIA"
    assert first.name.endswith("-77-64x64.gif") and int(second.name[:5]) == int(first.name[:5]) + 1


def test_batches_are_numbered_by_clip(host):
    with host.options(samples_filename_pattern="[seed]-[generation_number]", save_images_add_number=False):
        assert [path.name for path in saved(host, seed=5, batch_size=2)] == ["5-1.gif", "7-2.gif"]


@pytest.mark.parametrize("action, names", [("Replace", ["fixed.gif", "fixed.gif"]), ("Add number suffix", ["again.gif", "again-1.gif"])])
def test_a_name_that_is_there_already(host, action, names):
    stem = names[0].split(".")[0]
    with host.options(samples_filename_pattern=stem, save_images_add_number=False, save_images_replace_action=action):
        assert [saved(host)[0].name, saved(host)[0].name] == names


@pytest.mark.parametrize("prompt", ["ein schöner Käfer, 画像, 🐞", "long " * 60, "小さな猫が窓辺で眠っている、" * 20],
                         ids=["non-ASCII", "300 characters", "long and non-ASCII"])
def test_prompts_in_names(host, prompt):
    with host.options(samples_filename_pattern="[prompt]", save_to_dirs=True, directories_filename_pattern="[prompt]"):
        path, = saved(host, prompt=prompt)
    assert path.is_file() and len(path.name.encode()) <= 255 and path.name[6] == prompt[0]


def test_a_folder_with_a_name_in_another_script(host, tmp_path):
    folder = tmp_path / "出力 ö"
    with host.options(outdir_img2img_samples=str(folder)):
        path, = saved(host)
    assert folder in path.parents and path.is_file()


def test_a_folder_that_cannot_be_made_gives_the_frames_and_a_sentence(host, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with host.options(outdir_img2img_samples=str(tmp_path / "file" / "out")):
        answer = animate(host, {"formats": ["gif", "mp4"]}, save_images=True)
    assert len(answer["images"]) == 4 and [pixels(text) for text in answer["images"]] == [pixels(text) for text in animate(host)["images"]]
    files = answer["info"]["pia"]
    assert all(file["error"].startswith(f"The folder {tmp_path / 'file' / 'out' / 'PIA'}") for file in files) and len(files) == 2


def test_a_full_disk_gives_the_frames_and_a_sentence(host, monkeypatch):
    from lib_pia import files

    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        answer = animate(host, {"formats": ["gif", "webp"]}, save_images=True)
    assert len(answer["images"]) == 4 and "is full; free some space." in answer["info"]["pia"][0]["error"]


def test_a_read_only_folder_gives_the_frames_and_a_sentence(host, monkeypatch):
    from lib_pia.host.delivery import naming

    def read_only(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(naming.Path, "mkdir", read_only)
        answer = animate(host, save_images=True)
    assert len(answer["images"]) == 4 and "(Permission denied); check Settings > Paths for saving" in answer["info"]["pia"][0]["error"]


def test_infotext_stays_out_of_the_files_if_the_settings_say_so(host):
    from lib_pia.video import clip_infotext

    with host.options(enable_pnginfo=False):
        path, = saved(host)
    assert not clip_infotext(path)


def test_text_files_beside_the_clips_if_the_settings_say_so(host):
    with host.options(save_txt=True):
        path, = saved(host)
    assert "PIA enabled: True" in path.with_suffix(".txt").read_text()


@pytest.mark.parametrize(("motion", "frames"), [("loop", 8), ("animate", 7)])
def test_loops_are_interpolated_over_their_seam(host, motion, frames):
    settings = {"num_frames": 4, "formats": ["apng"], "motion": motion, "interpolate": 2}
    (file,) = animate(host, settings, steps=1)["info"]["pia"]
    assert file["frames"] == frames
