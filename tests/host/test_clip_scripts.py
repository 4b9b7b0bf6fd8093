"""Scenario 9: scripts that run several generations (X/Y/Z plot, prompts from file, prompt matrix, img2img's batch tab),
as on the page."""

from __future__ import annotations

import base64
from contextlib import closing
from copy import copy
from pathlib import Path

import pytest
from PIL import Image

from tests.host.clips import BASE, SIZE, TITLE, animate, opened, picture, still

SETTINGS = {"num_frames": 2, "formats": ["gif"]}


def arguments(host, settings, script: int = 0) -> list:
    """Script arguments of the img2img tab: PIA's settings, and the chosen selectable script."""
    from modules import scripts

    args = list(host.api.default_script_arg_img2img)
    mine = next(s for s in scripts.scripts_img2img.alwayson_scripts if s.title() == TITLE)
    args[0], args[mine.args_from] = script, settings
    return args


@pytest.fixture
def processing(host):
    """processing(**attributes) -> a bound processing object of the img2img tab."""
    from modules import processing, scripts
    from modules.shared import opts

    made = []

    def make(settings=SETTINGS, script=0, **attributes):
        p = processing.StableDiffusionProcessingImg2Img(
            sd_model=host.shared.sd_model,
            outpath_samples=opts.outdir_img2img_samples,
            outpath_grids=opts.outdir_img2img_grids,
            init_images=[picture()],
            denoising_strength=0.6,
            **{**BASE, "steps": 1, "scheduler": "Automatic", **attributes},
        )
        p.scripts, p.script_args = scripts.scripts_img2img, tuple(arguments(host, settings, script))
        p.seed = attributes.get("seed", BASE["seed"])  # the tab's own seed field came with the arguments
        made.append(p)
        return p

    yield make
    for p in made:
        p.close()


def test_paths_are_whole_where_the_output_folder_is_relative(host, tmp_path, monkeypatch):
    """The WebUI's own setting is `outputs/img2img-images`, under a folder that a program on the API does not know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(host.shared.opts.data, "outdir_img2img_samples", "relative")
    answer = animate(host, SETTINGS, save_images=True, steps=1)
    path = Path(answer["info"]["pia"][0]["path"])
    assert path.is_file() and path.is_relative_to(tmp_path / "relative" / "PIA")


def test_a_plot_gets_one_clip_per_cell(host, processing):
    """As X/Y/Z plot does it: process_images of a shallow copy per cell, a grid of the first pictures, the first result
    as template."""
    from modules.processing import process_images

    before = still(host)
    p = processing(script=1)
    p.is_api = True
    cells = []
    for seed in (1, 2):
        cell = copy(p)
        cell.seed = seed
        cells.append(process_images(cell))
    assert (p.batch_size, p.n_iter, p.do_not_save_samples) == (1, 1, False) and "pia_session" not in vars(p)
    grid = copy(cells[0])
    grid.images = [picture(), *(cell.images[0] for cell in cells)]
    assert all(image.size == (SIZE, SIZE) and not isinstance(image, str) for image in grid.images)
    from modules.api.api import encode_pil_to_base64

    clips = [opened(encode_pil_to_base64(image).decode()) for image in grid.images[1:]]
    assert [(clip.format, clip.n_frames) for clip in clips] == [("GIF", 2)] * 2
    import json

    files = json.loads(grid.js())["pia"]
    assert [(file["index"], file["clip"], file["seed"]) for file in files] == [(1, 0, 1), (2, 1, 2)]
    assert still(host) == before


def test_a_copy_taken_in_the_middle_of_a_clip_is_an_ordinary_generation(host, processing):
    """An extension that generates from copy(p) inside a hook, without our script."""
    from modules.processing import process_images

    from tests.host.clips import Watcher

    watcher, results = Watcher(host), []

    def inner(p):
        if not results:
            results.append(None)
            other = copy(p)
            other.script_args = tuple(arguments(host, False))
            results[0] = process_images(other)

    watcher.hooks["postprocess_image"] = inner
    p = processing()
    with host.script(watcher):
        outer = process_images(p)
    assert (
        results[0].images[0].size == (SIZE, SIZE)
        and len(results[0].images) == 1
        and "PIA" not in results[0].infotexts[0]
    )
    assert Path(outer.images[0].already_saved_as).suffix == ".gif"


def test_the_batch_tab_makes_one_clip_per_picture_from_one_processing_object(host, processing, tmp_path):
    """As the WebUI's: picture by picture, each file's name as the pattern of what is saved."""
    from modules.processing import process_images

    out, p, results = tmp_path / "out", processing(batch_size=2), []
    for name, turn in (("a", 0), ("b", 1)):
        p.init_images, p.outpath_samples = [picture().transpose(turn)] * p.batch_size, str(out)
        p.override_settings = {"save_to_dirs": False, "samples_filename_pattern": name}
        results.append(process_images(p))
    images = [image for result in results for image in result.images]
    assert len(images) == 4 and all(len(result.infotexts) == 2 for result in results)
    assert (p.batch_size, p.n_iter) == (2, 1)
    names = sorted(path.name for path in out.glob("*.gif"))
    assert [name[:7] for name in names] == ["00000-a", "00001-a", "00002-b", "00003-b"]
    shown = [Path(image.already_saved_as).name for image in images]
    assert sorted(shown) == names


def test_lists_of_prompts_are_one_clip_each(host, processing):
    """Prompt matrix sets p.prompt and p.seed to lists."""
    from modules.processing import process_images

    p = processing(prompt=["a cat", "a red cat"], seed=[5, 5], n_iter=2)
    result = process_images(p)
    assert result.all_prompts == ["a cat", "a red cat"] and result.all_seeds == [5, 5] and len(result.images) == 2
    assert p.prompt == ["a cat", "a red cat"] and p.seed == [5, 5]
    alone = process_images(processing(prompt="a red cat", seed=5))
    assert (
        Path(result.images[1].already_saved_as).read_bytes()[500:]
        == Path(alone.images[0].already_saved_as).read_bytes()[500:]
    )


def test_one_processing_object_per_line_of_a_file(host, processing):
    """Prompts from file: copies of one object, all results in one list."""
    from modules.processing import process_images

    p = processing(script=1)
    p.is_api = True
    images = []
    for prompt in ("a dog", "a cow"):
        line = copy(p)
        line.prompt = prompt
        images += process_images(line).images
    assert len(images) == 2 and images[0].data != images[1].data


@pytest.mark.parametrize("script, kind", [(0, str), (None, str), ("None", str), (1, Image.Image)])
def test_only_a_chosen_script_gets_pictures(host, processing, script, kind):
    """An API request with infotext puts the word "None" where the chosen script's number stands."""
    from modules.processing import process_images

    p = processing({"num_frames": 2, "formats": ["gif", "webp"]}, script=script)
    p.is_api = True
    images = process_images(p).images
    assert all(isinstance(image, kind) for image in images) and len(images) == (2 if kind is str else 1)


def test_an_object_that_failed_can_be_used_again(host, processing, monkeypatch):
    from modules.processing import process_images

    from lib_pia.host.generation import windows as sampling

    p = processing()

    def broken(*args):
        raise RuntimeError("once")

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "inject", broken)
        with pytest.raises(RuntimeError, match="once"), closing(copy(p)) as cell:
            process_images(cell)
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "inject", broken)
        with pytest.raises(RuntimeError, match="once"):
            process_images(p)
    assert (p.batch_size, p.n_iter) == (1, 1) and not {"init", "sample", "pia_session"} & set(vars(p))
    result = process_images(p)
    assert Path(result.images[0].already_saved_as).suffix == ".gif"


def test_on_the_page_the_first_picture_of_a_clip_moves(host, processing):
    from modules.processing import process_images

    result = process_images(processing({"num_frames": 3, "formats": ["mp4", "gif", "png"]}))
    shown = [Path(image.already_saved_as) for image in result.images]
    assert [path.suffix for path in shown] == [".gif", ".png", ".png", ".png"] and len(result.infotexts) == 4
    assert opened(base64.b64encode(shown[0].read_bytes()).decode()).n_frames == 3
    only_mp4 = process_images(processing({"num_frames": 3, "formats": ["mp4"]}))
    assert len(only_mp4.images) == 1 and not hasattr(only_mp4.images[0], "already_saved_as")


def test_the_page_remembers_its_clips(host, processing, monkeypatch):
    from modules.processing import process_images

    from lib_pia.host.delivery.recent_clips import recent

    recent.clear()
    process_images(processing())
    with host.options(samples_save=False):
        unsaved = process_images(processing())
    newest, older = recent.listed()
    assert (
        newest["tab"] == "img2img" and Path(newest["files"][0]["path"]).is_file() and Path(newest["picture"]).is_file()
    )
    assert host.shared.opts.outdir_img2img_samples in older["files"][0]["path"]
    assert "PIA enabled: True" in newest["infotext"]
    import json

    assert json.loads(unsaved.js())["pia"][0]["path"] is None
    recent.clear()
    assert not Path(newest["files"][0]["path"]).exists() and Path(older["files"][0]["path"]).is_file()
