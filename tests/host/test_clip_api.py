"""Scenarios 1, 4 and 7, and what a request may look like."""
from __future__ import annotations

import base64
from pathlib import Path

import pytest

from demo.minihost import HostResponseError
from lib_pia.video import clip_info, clip_infotext
from tests.host.clips import BASE, TITLE, animate, moving, opened, picture, still


def test_default_settings_give_a_gif_and_an_mp4_of_16_frames(host, tmp_path):
    answer = host.img2img(**{**BASE, "init_images": [host.base64(picture())], "steps": 1},
                          alwayson_scripts={TITLE: {"args": [{}]}})
    gif, mp4 = (base64.b64decode(text) for text in answer["images"])
    files = answer["info"]["pia"]
    assert [(file["index"], file["clip"], file["format"], file["mime"], file["path"]) for file in files] == [
        (0, 0, "gif", "image/gif", None), (1, 0, "mp4", "video/mp4", None)]
    for data, file in ((gif, files[0]), (mp4, files[1])):
        path = tmp_path / f"clip.{file['format']}"
        path.write_bytes(data)
        info = clip_info(path)
        told = (file["frames"], file["fps"], file["width"], file["height"], file["duration"])
        assert (info.frames, round(info.fps, 2), info.width, info.height, round(info.duration, 2)) == told == (16, 8, 64, 64, 2.0)
        assert clip_infotext(path) == answer["info"]["infotexts"][file["index"]]
        assert len(file["affinity"]) == 16 and file["affinity"][0] == 1.0
    assert len(set(frame.tobytes() for frame in moving(answer["images"][0]))) > 8           # it moves


def test_info_is_consistent_with_the_images(host):
    info = animate(host, {"formats": ["gif", "webp"]}, seed=42)["info"]
    assert info["seed"] == 42 and info["all_seeds"] == [42, 42] and info["index_of_first_image"] == 0
    assert len(info["infotexts"]) == len(info["all_prompts"]) == 2
    assert "PIA enabled: True" in info["infotexts"][0] and "Seed: 42" in info["infotexts"][0]


def test_batch_size_times_batch_count_clips_with_their_own_seeds(host):
    answer = animate(host, {"num_frames": 3, "formats": ["gif"]}, batch_size=2, n_iter=2, seed=100, steps=1)
    files = answer["info"]["pia"]
    assert [(file["index"], file["clip"], file["seed"]) for file in files] == [(0, 0, 100), (1, 1, 103), (2, 2, 106), (3, 3, 109)]
    assert answer["info"]["all_seeds"] == [100, 103, 106, 109]
    assert len(set(answer["images"])) == 4
    alone = animate(host, {"num_frames": 3, "formats": ["gif"]}, seed=106, steps=1)
    assert moving(alone["images"][0])[1].tobytes() == moving(answer["images"][2])[1].tobytes()


def test_one_clip_per_picture_of_a_batch(host):
    pictures = [picture(), picture().transpose(0)]
    answer = animate(host, {"num_frames": 2}, init_images=[host.base64(image) for image in pictures], batch_size=2, steps=1)
    second = animate(host, {"num_frames": 2}, image=pictures[1], seed=3, steps=1)
    assert answer["images"][2:] != answer["images"][:2]
    assert [opened(text).tobytes() for text in answer["images"][2:]] == [opened(text).tobytes() for text in second["images"]]


def test_pia_switched_off_changes_nothing(host, monkeypatch):
    from modules import script_callbacks, scripts

    request = {"seed": 9}
    off = [still(host, **request), still(host, alwayson_scripts={TITLE: {"args": [False]}}, **request),
           still(host, alwayson_scripts={TITLE: {"args": [{"enabled": False, "fps": 9}]}}, **request)]
    runner = scripts.scripts_txt2img
    mine = next(script for script in runner.alwayson_scripts if script.title() == TITLE)
    monkeypatch.setattr(runner, "alwayson_scripts", [script for script in runner.alwayson_scripts if script is not mine])
    for category in ("callbacks_cfg_denoiser", "callbacks_cfg_denoised"):
        monkeypatch.setitem(script_callbacks.callback_map, category, [])
    without = still(host, **request)
    assert off == [without] * 3


def test_positional_arguments_in_the_order_of_script_info(host):
    info = next(s for s in host.get("/sdapi/v1/script-info") if s["name"] == TITLE.lower() and s["is_img2img"])
    values = {arg["label"]: arg["value"] for arg in info["args"]}
    values.update({"Animate (PIA)": True, "Frames": 4, "Formats": ["png"]})
    args = {"alwayson_scripts": {TITLE: {"args": list(values.values())}}}
    assert animate(host, **args)["images"] == animate(host)["images"]


@pytest.mark.parametrize("args, sentence", [
    ([{"num_frames": 513}], "PIA setting num_frames is 513; it must be a whole number from 2 to 512."),
    ([{"fpz": 8}], "PIA setting \"fpz\" is unknown; did you mean fps"),
    ([{"fps": "8"}], "PIA setting fps is \"8\"; it must be a whole number from 1 to 60."),
    ([True, None, "x"], "PIA setting num_frames is \"x\""),
    (["yes"], "The first argument of script \"Animate (PIA)\" is \"yes\"; it must be an object of PIA settings or true or false."),
])
def test_bad_settings_are_refused_with_a_sentence(host, args, sentence):
    before = still(host)
    with pytest.raises(HostResponseError) as error:
        animate(host, alwayson_scripts={TITLE: {"args": args}})
    assert error.value.status == 422 and error.value.body["detail"].startswith(sentence)
    assert still(host) == before


def test_saved_or_not_as_the_request_says(host):
    folder = Path(host.shared.opts.outdir_img2img_samples)
    unsaved = animate(host, {"formats": ["gif"]})
    assert unsaved["info"]["pia"][0]["path"] is None
    saved = animate(host, {"formats": ["gif", "png"]}, save_images=True)
    paths = [Path(file["path"]) for file in saved["info"]["pia"]]
    assert len(paths) == 5 and all(path.is_file() and folder / "PIA" in path.parents for path in paths)
    assert [path.read_bytes() for path in paths] == [base64.b64decode(text) for text in saved["images"]]
    assert {path.name for path in paths[0].parent.iterdir()} >= {path.name for path in paths}


def test_nothing_stays_on_disk_when_saving_is_off(host, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "temporary"))
    before = sorted(path for path in host.data_dir.rglob("*") if path.is_file())
    animate(host, {"formats": ["gif", "mp4", "png"]})
    assert sorted(path for path in host.data_dir.rglob("*") if path.is_file()) == before
    assert not list((tmp_path / "temporary").rglob("*"))


def test_affinity_and_clip_settings_reach_the_files(host):
    answer = animate(host, {"formats": ["gif"], "affinity": [1.0, 0.2], "ping_pong": True, "fps": 10, "loop_count": 3})
    file = answer["info"]["pia"][0]
    assert file["affinity"] == pytest.approx([1.0, 0.733333, 0.466667, 0.2], abs=1e-5)
    assert (file["frames"], file["fps"], opened(answer["images"][0]).n_frames) == (6, 10, 6)
    for text in ("PIA affinity: 1.0 0.2", "PIA ping-pong: True", "PIA fps: 10", "PIA loop count: 3", "PIA model: tiny_pia.safetensors"):
        assert text in answer["info"]["infotexts"][0]
    assert animate(host)["images"] != animate(host, {"affinity": [1.0, 0.2]})["images"]
