"""minihost itself behaves as the WebUI does: order of hooks, swallowed exceptions, API answers, models, masks, interrupts."""
from __future__ import annotations

import base64
import io
import types

import pytest
import torch
from PIL import Image

from demo.minihost import HostResponseError

BASE = {"prompt": "a red star", "steps": 3, "width": 64, "height": 64, "seed": 1, "sampler_name": "Euler"}


def picture(colour=(200, 40, 90), size=64):
    image = Image.new("RGB", (size, size), colour)
    image.paste((20, 160, 60), (size // 4, size // 4, size // 2, size // 2))
    return image


@pytest.fixture
def img2img(host):
    return lambda **request: host.img2img(**{**BASE, "init_images": [host.base64(picture())], **request})


def test_equal_requests_give_equal_pictures(host):
    first, second, other = host.txt2img(**BASE), host.txt2img(**BASE), host.txt2img(**{**BASE, "seed": 2})
    assert first["images"] == second["images"]
    assert first["images"] != other["images"]
    assert first["info"]["all_seeds"] == [1]


def test_a_picture_does_not_depend_on_its_batch(host):
    single, batch = host.txt2img(**{**BASE, "seed": 2}), host.txt2img(**BASE, batch_size=2)
    assert batch["info"]["all_seeds"] == [1, 2]
    difference = abs(torch.tensor(list(host.picture(single["images"][0]).tobytes())) - torch.tensor(list(host.picture(batch["images"][1]).tobytes())))
    assert difference.max() <= 1


HOOKS = ("setup", "before_process", "process", "before_process_batch", "after_extra_networks_activate", "process_batch",
         "process_before_every_sampling", "post_sample", "postprocess_batch", "postprocess_batch_list", "postprocess_image",
         "postprocess_maskoverlay", "postprocess_image_after_composite", "postprocess")


def recorder(host, calls, failing=()):
    """A script that notes every hook that is called, and raises in those that are `failing`."""
    def hook(name):
        def call(self, p, *args, **kwargs):
            calls.append(name)
            if name in failing:
                raise RuntimeError(f"{name} fails")
        return call

    members = {name: hook(name) for name in HOOKS} | {"title": lambda self: "recorder"}
    return type("Recorder", (host.scripts.Script,), members)()


def test_hooks_are_called_in_the_webuis_order(host):
    calls = []
    with host.script(recorder(host, calls)):
        host.txt2img(**BASE, n_iter=2)
    batch = list(HOOKS[3:-1])
    assert calls == [*HOOKS[:3], *batch, *batch, "postprocess"]


def test_an_exception_in_any_hook_is_swallowed(host, capfd):
    expected = host.txt2img(**BASE)
    calls = []
    with host.script(recorder(host, calls, failing=HOOKS)):
        answer = host.txt2img(**BASE)
    assert answer["images"] == expected["images"]
    assert calls == list(HOOKS)
    assert "postprocess_image fails" in capfd.readouterr().err


def test_an_exception_in_sampling_reaches_the_client_and_skips_postprocess(host, monkeypatch):
    class Refused(Exception):
        def __init__(self):
            super().__init__("no such thing")
            self.status_code, self.detail = 422, "say something else"

    def sample(*args, **kwargs):
        raise Refused

    calls, closed = [], []
    processing = host.modules.processing.StableDiffusionProcessingTxt2Img
    close = processing.close
    with host.script(recorder(host, calls)), pytest.raises(HostResponseError) as caught, monkeypatch.context() as patch:
        patch.setattr(processing, "sample", sample)
        patch.setattr(processing, "close", lambda p: (closed.append(p), close(p)))
        host.txt2img(**BASE)
    assert caught.value.status == 422
    assert caught.value.body == {"error": "Refused", "detail": "say something else", "body": "", "errors": "no such thing"}
    assert "postprocess" not in calls and len(closed) == 1
    assert host.txt2img(**BASE)["images"]


@pytest.mark.parametrize("request_,status,detail", [
    ({"alwayson_scripts": {"no such": {"args": []}}}, 422, "Script 'no such' not found"),
    ({"alwayson_scripts": {"X/Y/Z plot": {"args": []}}}, 422, "Cannot have a selectable script in the always on scripts params"),
    ({"script_name": "no such"}, 422, "Script 'no such' not found"),
])
def test_wrong_requests_are_answered_as_by_the_webui(host, request_, status, detail):
    with pytest.raises(HostResponseError) as caught:
        host.txt2img(**BASE, **request_)
    assert (caught.value.status, caught.value.body["detail"]) == (status, detail)


def test_img2img_needs_a_readable_picture(host):
    for images, status in ((None, 404), (["bm90IGEgcGljdHVyZQ=="], 500)):
        with pytest.raises(HostResponseError) as caught:
            host.img2img(**BASE, init_images=images)
        assert caught.value.status == status


def test_more_pictures_than_the_batch_are_an_error(host):
    with pytest.raises(HostResponseError) as caught:
        host.img2img(**BASE, init_images=[host.base64(picture())] * 2)
    assert caught.value.body["errors"] == "bad number of images passed: 2; expecting 1 or less"


def test_script_args_are_filled_up_and_cut(host):
    runner = host.scripts.scripts_txt2img
    script = runner.script("sampler")
    defaults = host.api.default_script_arg_txt2img

    def args(given):
        request = types.SimpleNamespace(alwayson_scripts={"SAMPLER": {"args": given}})
        return host.api.init_script_args(request, defaults, None, None, runner)[script.args_from:script.args_to]

    assert args([7]) == [7, *defaults[script.args_from + 1:script.args_to]]
    assert args([7, "Euler", "Karras", "one too many"]) == [7, "Euler", "Karras"]


def test_a_string_among_the_pictures_passes_through(host):
    class Adds(host.scripts.Script):
        def title(self):
            return "adds"

        def postprocess(self, p, processed, *args):
            processed.images.append("dGV4dA==")

    with host.script(Adds()):
        assert host.txt2img(**BASE)["images"][1] == "dGV4dA=="


def test_pictures_are_saved_only_when_asked(host):
    folder = host.data_dir / "outputs" / "txt2img-images"
    before = set(folder.rglob("*.png"))
    host.txt2img(**BASE)
    assert set(folder.rglob("*.png")) == before
    host.txt2img(**BASE, save_images=True)
    saved = set(folder.rglob("*.png")) - before
    assert [path.stem.split("-")[-1] for path in saved] == ["1"]
    with Image.open(saved.pop()) as image:
        assert image.info["parameters"].startswith("a red star\nSteps: 3, Sampler: Euler")


def test_infotext_is_parsed_back(host):
    text = host.txt2img(**{**BASE, "prompt": "a star,\nred", "negative_prompt": "blue: dark"})["info"]["infotexts"][0]
    params = host.modules.infotext_utils.parse_generation_parameters(text)
    wanted = {"Prompt": "a star,\nred", "Negative prompt": "blue: dark", "Steps": "3", "Size-1": "64", "Size-2": "64", "Seed": "1"}
    assert {key: params[key] for key in wanted} == wanted
    answer = host.post("/sdapi/v1/png-info", image=host.txt2img(**BASE)["images"][0])
    assert answer["parameters"]["Sampler"] == "Euler"


def test_unmasked_pixels_stay(host, img2img):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    for area in (False, True):
        answer = img2img(mask=host.base64(mask), mask_blur=0, inpaint_full_res=area, inpainting_fill=1)
        out, source = host.picture(answer["images"][0]).convert("RGB"), picture()
        assert out.crop((0, 0, 32, 64)).tobytes() == source.crop((0, 0, 32, 64)).tobytes()
        assert out.crop((32, 0, 64, 64)).tobytes() != source.crop((32, 0, 64, 64)).tobytes()


def test_lora_changes_the_picture_and_is_undone(host, models):
    before = host.txt2img(**BASE)["images"]
    changed = host.txt2img(**{**BASE, "prompt": f"a red star<lora:{models.lora()}:1>"})["images"]
    assert changed[0] != before[0]
    assert host.picture(host.txt2img(**BASE)["images"][0]).tobytes() == host.picture(before[0]).tobytes()


def test_checkpoint_and_vae_overrides_last_for_one_request(host, models):
    before, model = host.txt2img(**BASE), host.shared.sd_model
    other = host.txt2img(**BASE, override_settings={"sd_model_checkpoint": models.other()})
    assert other["info"]["sd_model_name"] == "other" and other["images"] != before["images"]
    assert host.shared.sd_model is model                    # the same layout: weights are loaded into the same object
    vae = host.txt2img(**BASE, override_settings={"sd_vae": models.vae()})
    assert vae["info"]["sd_vae_name"] == "other-vae.safetensors" and vae["images"] != before["images"]
    assert host.txt2img(**BASE)["images"] == before["images"]


def test_an_inpainting_checkpoint_is_another_model(host, models, img2img):
    answer = img2img(override_settings={"sd_model_checkpoint": models.inpainting()})
    assert answer["info"]["is_using_inpainting_conditioning"]
    host.txt2img(**BASE)
    assert host.shared.sd_model.model.conditioning_key == "crossattn"


def test_interrupting_gives_the_last_latent(host):
    def stop(params):
        if params.denoiser.step == 1:
            host.shared.state.interrupt()

    callbacks = host.modules.script_callbacks
    callbacks.on_cfg_denoiser(stop)
    try:
        assert len(host.txt2img(**BASE)["images"]) == 1
    finally:
        callbacks.remove_callbacks_for_function(stop)
    assert host.get("/sdapi/v1/progress")["progress"] == 0


def test_hires_fix_makes_a_larger_picture(host):
    answer = host.txt2img(**BASE, enable_hr=True, hr_scale=1.5, hr_second_pass_steps=2, denoising_strength=0.5)
    assert host.picture(answer["images"][0]).size == (96, 96)
    assert "Hires upscale: 1.5" in answer["info"]["infotexts"][0]


def test_xyz_plot_makes_one_picture_per_value(host):
    answer = host.txt2img(**BASE, script_name="x/y/z plot", script_args=["Seed", "1,2", "Nothing", ""])
    assert len(answer["images"]) == 3 and answer["info"]["index_of_first_image"] == 1
    assert host.picture(answer["images"][1]).tobytes() == host.picture(host.txt2img(**BASE)["images"][0]).tobytes()


def test_torch_load_gives_none_for_what_it_refuses(tmp_path, host):
    torch.save({"a": torch.zeros(1)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(torch.load(tmp_path / "old.pt")["a"], torch.zeros(1))
    (tmp_path / "bad.pt").write_bytes(b"no pickle")
    assert torch.load(tmp_path / "bad.pt") is None


def test_the_page_has_the_webuis_parts(host):
    from modules import ui

    try:
        page = ui.create_ui()
        ids = {component["props"].get("elem_id") for component in page.config["components"]}
        wanted = {"txt2img_prompt", "img2img_prompt", "img2img_image", "txt2img_generate", "img2img_generate", "txt2img_gallery",
                  "img2img_gallery", "html_info_txt2img", "txt2img_seed", "img2img_steps", "txt2img_cfg_scale", "img2img_sampling",
                  "img2img_denoising_strength", "img2img_batch_count", "pnginfo_image", "settings_submit", "setting_samples_format"}
        assert wanted <= ids
    finally:
        host._serve_api()
    assert host.txt2img(**BASE)["images"]


def test_gallery_shows_the_file_that_a_picture_was_saved_as(host, tmp_path):
    from modules import ui_tempdir

    moving = tmp_path / "clip.gif"
    moving.write_bytes(b"GIF89a")
    image = picture()
    image.already_saved_as = str(moving)
    assert ui_tempdir.save_pil_to_file(None, image).startswith(f"{moving}?")
    del image.already_saved_as
    shown = ui_tempdir.save_pil_to_file(None, image, dir=str(tmp_path))
    with Image.open(shown) as opened:
        assert opened.tobytes() == image.tobytes()


def test_pictures_travel_as_png(host):
    data = base64.b64decode(host.txt2img(**BASE)["images"][0])
    assert Image.open(io.BytesIO(data)).format == "PNG"
