"""Normal ends: what a request may look like, and what its answer holds."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from lib_pia.evaluation.server import Server
from lib_pia.video import clip_info, clip_infotext

from .clips import BASE, TITLE, animate, still
from .pictures import encoded, moving, opened, picture


def test_default_settings_give_a_gif_and_an_mp4_of_16_frames(host, tmp_path):
    request = {**BASE, "init_images": [encoded(picture())], "steps": 1, "alwayson_scripts": {TITLE: {"args": [{}]}}}
    answer = host.generate("img2img", request)
    files = answer["info"]["pia"]
    told = [(file["index"], file["clip"], file["format"], file["mime"], file["path"]) for file in files]
    assert told == [(0, 0, "gif", "image/gif", None), (1, 0, "mp4", "video/mp4", None)]
    for text, file in zip(answer["images"], files):
        path = tmp_path / f"clip.{file['format']}"
        path.write_bytes(base64.b64decode(text))
        info = clip_info(path)
        told = (file["frames"], file["fps"], file["width"], file["height"], file["duration"])
        assert (info.frames, round(info.fps, 2), info.width, info.height, round(info.duration, 2)) == told
        assert told == (16, 8, 64, 64, 2.0)
        assert clip_infotext(path) == answer["info"]["infotexts"][file["index"]]
        assert len(file["affinity"]) == 16 and file["affinity"][0] == 1.0
    assert len({frame.tobytes() for frame in moving(answer["images"][0])}) > 8  # it moves


def test_the_evaluation_finds_the_extension_and_the_checkpoints(host):
    server = Server(host.url)
    assert all(TITLE.lower() in server.scripts(tab) for tab in ("txt2img", "img2img"))
    assert "miniature" in {checkpoint.stem for checkpoint in server.checkpoints()}


def test_info_is_consistent_with_the_images(host):
    info = animate(host, {"formats": ["gif", "webp"]}, seed=42)["info"]
    assert info["seed"] == 42 and info["all_seeds"] == [42, 42] and info["index_of_first_image"] == 0
    assert len(info["infotexts"]) == len(info["all_prompts"]) == 2
    assert "PIA enabled: True" in info["infotexts"][0] and "Seed: 42" in info["infotexts"][0]


def test_batch_size_times_batch_count_clips_with_their_own_seeds(host):
    settings = {"num_frames": 3, "formats": ["gif"]}
    answer = animate(host, settings, batch_size=2, n_iter=2, seed=100, steps=1)
    told = [(file["index"], file["clip"], file["seed"]) for file in answer["info"]["pia"]]
    assert told == [(0, 0, 100), (1, 1, 103), (2, 2, 106), (3, 3, 109)]
    assert answer["info"]["all_seeds"] == [100, 103, 106, 109]
    assert len(set(answer["images"])) == 4
    alone = animate(host, settings, seed=106, subseed=7, steps=1)
    assert moving(alone["images"][0])[1].tobytes() == moving(answer["images"][2])[1].tobytes()


def test_one_clip_per_picture_of_a_batch(host):
    pictures = [picture(), picture(turn=1)]
    both = {"init_images": [encoded(image) for image in pictures], "batch_size": 2}
    answer = animate(host, {"num_frames": 2}, steps=1, **both)
    second = animate(host, {"num_frames": 2}, init_images=[encoded(pictures[1])], seed=3, subseed=3, steps=1)
    assert answer["images"][2:] != answer["images"][:2]
    clips = [[opened(text).tobytes() for text in images] for images in (answer["images"][2:], second["images"])]
    assert clips[0] == clips[1]


def test_pia_switched_off_changes_nothing(host):
    off = [[], [False], [{"enabled": False, "fps": 9}]]
    assert {still(host), *(still(host, alwayson_scripts={TITLE: {"args": args}}) for args in off)} == {still(host)}


def test_positional_arguments_in_the_order_of_script_info(host):
    listed = host.get("/sdapi/v1/script-info")
    info = next(one for one in listed if one["name"] == TITLE.lower() and one["is_img2img"])
    values = {arg["label"]: arg["value"] for arg in info["args"]}
    values.update({"Animate (PIA)": True, "Frames": 4, "Formats": ["png"]})
    by_position = animate(host, alwayson_scripts={TITLE: {"args": list(values.values())}})
    assert by_position["images"] == animate(host)["images"]


def test_saved_or_not_as_the_request_says(host):
    assert animate(host, {"formats": ["gif"]})["info"]["pia"][0]["path"] is None
    saved = animate(host, {"formats": ["gif", "png"]}, save_images=True)
    paths = [Path(file["path"]) for file in saved["info"]["pia"]]
    assert len(paths) == 5 and all(path.is_file() and "PIA" in path.parts for path in paths)
    assert [path.read_bytes() for path in paths] == [base64.b64decode(text) for text in saved["images"]]


def test_nothing_stays_on_disk_when_saving_is_off(host):
    def files():
        data = Path(host.get("/pia-probe/host")["data"])
        return sorted(
            path for path in data.rglob("*") if path.is_file() and path.suffix not in (".log", ".txt", ".pyc")
        )

    animate(host)
    before = files()
    animate(host, {"formats": ["gif", "mp4", "png"]})
    assert files() == before


def test_affinity_and_clip_settings_reach_the_files(host):
    settings = {"formats": ["gif"], "affinity": [1.0, 0.2], "ping_pong": True, "fps": 10, "loop_count": 3}
    answer = animate(host, settings)
    file = answer["info"]["pia"][0]
    assert file["affinity"] == pytest.approx([1.0, 0.733333, 0.466667, 0.2], abs=1e-5)
    assert (file["frames"], file["fps"], opened(answer["images"][0]).n_frames) == (6, 10, 6)
    for text in ("PIA affinity: 1.0 0.2", "PIA ping-pong: True", "PIA fps: 10", "PIA loop count: 3", "PIA model: "):
        assert text in answer["info"]["infotexts"][0]
    assert animate(host)["images"] != animate(host, {"affinity": [1.0, 0.2]})["images"]


def test_equal_requests_give_equal_clips(host):
    assert animate(host)["images"] == animate(host)["images"]
