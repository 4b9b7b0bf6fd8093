"""The miniature's parts without its trained weights: pictures, tokenizer, VAE folding, checkpoint layout, LoRA."""

import json

import numpy as np
import pytest
import torch
import yaml

from demo.miniature import lora, vae
from demo.miniature.base import CAP, loss_weight
from demo.miniature.net import MODELS, TEXT, UNET, Miniature, text_width
from demo.miniature.scenes import DIRECTIONS, FRAMES, describe, random_clip, random_clip_plan, random_scene, to_bytes
from demo.miniature.shapes import SIZE, STYLES, Figure, Scene, render
from demo.miniature.tokenizer import END, Tokenizer
from demo.miniature.vae import DDCONFIG
from demo.miniature.webui import TEXT_FOLDER, install, write_text_folder
from lib_pia.injection import find_sites


@pytest.fixture(scope="module")
def model() -> Miniature:
    torch.manual_seed(0)
    model = Miniature().eval().requires_grad_(False)
    torch.nn.init.normal_(model.unet.out[2].weight, 0, 0.1)  # LDM starts it at zero
    return model


def scene(style: str = "flat", shape: str = "circle") -> Scene:
    return Scene("navy", (Figure(shape, "red", 30.0, 34.0, 12.0),), style)


def test_the_same_seed_renders_the_same_clip():
    a, b = random_clip(np.random.default_rng(7)), random_clip(np.random.default_rng(7))
    assert a.caption == b.caption
    assert np.array_equal(a.frames, b.frames)
    assert not np.array_equal(a.frames, random_clip(np.random.default_rng(8)).frames)


def test_a_disk_covers_its_area_and_its_edge_is_soft():
    flat = render(scene()) - np.array(render(Scene("navy", ())))
    cover = flat[..., 0] / flat[..., 0].max()
    assert cover.sum() == pytest.approx(np.pi * 12**2, rel=0.01)
    assert ((cover > 0.05) & (cover < 0.95)).any()


@pytest.mark.parametrize("style", [s for s in STYLES if s not in ("flat", "cross")])
def test_every_style_draws_the_same_scene_differently(style):
    assert np.abs(render(scene(style)) - render(scene())).max() > 0.1


def test_clips_move_where_their_captions_say_and_stay_in_the_picture():
    rng = np.random.default_rng(3)
    for _ in range(40):
        plan, motions, offsets = random_clip_plan(rng, two=0.0)
        farthest = offsets[np.abs(offsets).sum((1, 2)).argmax(), 0]
        expected = DIRECTIONS.get(motions[0], (0, 0))
        assert np.sign(np.round(farthest, 6)).tolist() == list(expected)
        places = np.array([[f.x, f.y] for f in plan.figures]) + offsets[:, 0]
        assert (places > plan.figures[0].radius).all() and (places < SIZE - plan.figures[0].radius).all()


def test_clips_in_looks_of_their_own_are_bright_on_dark_and_told_by_their_motion_alone():
    rng, captions = np.random.default_rng(4), set()
    for _ in range(20):
        clip = random_clip(rng, unnamed=1.0)
        captions.add(clip.caption)
        assert len(clip.scene.figures) == 1 and max(clip.scene.look.ground) < 0.4 < max(clip.scene.look.colour)
    assert captions <= {"still", *(f"moving {word}" for word in DIRECTIONS)}
    assert random_clip(np.random.default_rng(7), unnamed=0.0).scene.look is None


def test_a_fading_look_turns_into_what_the_whole_caption_says():
    for seed in range(8):
        fading, flat = (random_clip(np.random.default_rng(seed), **kind) for kind in ({"fading": 1.0}, {"two": 0.0}))
        assert fading.caption.startswith("a ") and fading.scene.look is None and 1 <= fading.settled <= 7
        for number, frame in enumerate(fading.frames):
            named = to_bytes(render(fading.scene.moved(fading.offsets[number])))
            assert np.array_equal(frame, named) == (number >= fading.settled)
        assert flat.settled == 0


def test_captions_name_each_figure_and_its_motion():
    assert describe(scene(), ("left",)) == "a red circle on a navy background, moving left"
    assert describe(scene(shape="cross"), ("still",)) == "a red zwx on a navy background, still"
    rng = np.random.default_rng(0)
    two = random_scene(rng, two=1.0)
    a, b = two.figures
    text = describe(two, ("left", "up"))
    assert text == (
        f"a {a.colour} {a.shape} and a {b.colour} {b.shape} on a {two.background} background, {a.shape} moving "
        f"left, {b.shape} moving up"
    )


def test_the_tokenizer_equals_transformers(tmp_path):
    from transformers import CLIPTokenizer

    write_text_folder(tmp_path)
    theirs = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    texts = ["a red star on a navy background, moving left", "It's ZWX 123 na\u00efve -- ok!!", "", "square " * 100]
    ours = Tokenizer()(texts)
    assert ours.shape == (4, 77)
    for row, text in zip(ours.tolist(), texts):
        assert row == theirs(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
    assert ours[2, 1:].eq(END).all()


def test_folding_the_epsilon_keeps_the_function_and_gives_ldms_norms():
    torch.manual_seed(1)
    model = vae.AutoencoderKL()
    vae.widen_epsilon(model)
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = model.decode(model.encode(pictures))
        vae.fold_epsilon(model)
        after = model.decode(model.encode(pictures))
    assert (after - before).norm() < 1e-4 * before.norm()
    found = {m.eps for m in model.modules() if isinstance(m, torch.nn.GroupNorm)}
    assert found == {vae.LDM_EPSILON}
    assert all(type(m) is torch.nn.GroupNorm for m in model.modules() if isinstance(m, torch.nn.GroupNorm))


def test_a_flat_colour_survives_the_folded_norm_but_not_ldms_own():
    torch.manual_seed(1)
    flat = torch.randn(2, 64, 1, 1).expand(2, 64, 8, 8)  # two pictures, each of one colour
    norm = torch.nn.GroupNorm(32, 64, eps=vae.LDM_EPSILON)
    scale = (vae.LDM_EPSILON / vae.TRAINING_EPSILON) ** 0.5
    with torch.no_grad():
        lost, kept = norm(flat), norm(scale * flat) * vae.TRAINING_EPSILON**0.5
    assert torch.allclose(lost.abs(), torch.ones(()), atol=1e-3)  # only the sign is left
    pairs = flat[:, ::2] - flat[:, 1::2]
    assert torch.allclose(kept[:, ::2] - kept[:, 1::2], pairs, rtol=0.25)


def test_whitening_keeps_the_pictures_and_scales_the_posterior_with_the_mean():
    torch.manual_seed(2)
    model = vae.AutoencoderKL()
    vae.widen_epsilon(model)
    pictures = torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, (mean, log_variance) = model.decode(model.encode(pictures)), model.moments(pictures)
        vae.whiten(model, pictures)
        latents, (new_mean, new_log_variance) = model.encode(pictures), model.moments(pictures)
        after = model.decode(latents)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert (after - before).norm() < 1e-4 * before.norm()
    ratio = new_mean.std((0, 2, 3)) / mean.std((0, 2, 3))
    assert torch.allclose((new_log_variance - log_variance).mean((0, 2, 3)), 2 * ratio.log(), atol=1e-3)


def test_the_checkpoint_has_stable_diffusions_names_and_comes_back(model, tmp_path):
    names = set(model.state())
    for name in (
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.decoder.mid.attn_1.proj_out.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    ):
        assert name in names
    model.save(tmp_path / "m.safetensors", half=False)
    again = Miniature.load(tmp_path / "m.safetensors")
    assert all(torch.equal(t, again.state()[n]) for n, t in model.state().items())
    text = again.encode_text(["a red star", "", "a red star"])
    assert (
        text.shape == (3, 77, TEXT["hidden_size"])
        and torch.equal(text[0], text[2])
        and not torch.equal(text[0], text[1])
    )


def test_pia_finds_all_its_sites(model):
    sites = find_sites(model.unet)
    assert (len(sites.down), len(sites.up), len(sites.norms)) == (8, 12, 45)
    assert set(sites.channels) == {64}


def test_the_yaml_describes_this_model():
    params = yaml.safe_load((MODELS / "miniature.yaml").read_text())["model"]["params"]
    assert params["unet_config"]["params"] == UNET | {"context_dim": text_width(MODELS / "miniature.safetensors")}
    assert params["first_stage_config"]["params"]["ddconfig"] == DDCONFIG
    assert params["scale_factor"] == vae.SCALE_FACTOR


def test_the_text_encoder_may_be_narrower_than_the_unet(tmp_path):
    Miniature(text_width=16).save(tmp_path / "miniature.safetensors")
    again = Miniature.load(tmp_path / "miniature.safetensors")
    assert text_width(tmp_path / "miniature.safetensors") == 16 and again.encode_text(["a"]).shape == (1, 77, 16)
    again.unet(torch.zeros(1, 4, 8, 8), torch.tensor([5]), context=again.encode_text(["a"]))
    install(tmp_path / "webui", tmp_path)
    config = json.loads((tmp_path / "webui" / TEXT_FOLDER / "config.json").read_text())
    assert (config["hidden_size"], config["projection_dim"], config["intermediate_size"]) == (16, 16, 64)


def test_the_text_folder_is_the_text_encoders_config(tmp_path):
    write_text_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert {key: config[key] for key in TEXT} == TEXT
    assert len(json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))) == TEXT["vocab_size"]


def test_a_saved_lora_merged_into_a_fresh_unet_equals_the_trained_one(model, tmp_path):
    import copy

    trained, fresh = copy.deepcopy(model.unet), copy.deepcopy(model.unet)
    for parameter in lora.attach(trained):
        torch.nn.init.normal_(parameter, 0, 0.05)
    lora.save(trained, tmp_path / "lora.safetensors", {})
    x, t, text = torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), torch.randn(2, 77, 64)
    with torch.no_grad():
        before, wanted = fresh(x, t, context=text), trained(x, t, context=text)
        lora.merge(fresh, tmp_path / "lora.safetensors")
        merged = fresh(x, t, context=text)
    assert (wanted - before).norm() > 0.1 * before.norm()
    assert (merged - wanted).norm() < 0.01 * (wanted - before).norm()


def test_lora_names_are_those_that_kohya_gives(model):
    names = set(lora.targets(model.unet))
    for name in (
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_down_blocks_3_resnets_1_conv2",
        "lora_unet_mid_block_attentions_0_proj_in",
        "lora_unet_mid_block_resnets_1_conv1",
        "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_ff_net_0_proj",
        "lora_unet_up_blocks_0_resnets_0_conv_shortcut",
    ):
        assert name in names
    layers = [
        m
        for n, m in model.unet.named_modules()
        if lora.kohya_name(n) and isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))
    ]
    assert len(names) == len(layers)  # no two layers share a name


def test_the_loss_weight_is_the_v_weight_up_to_its_cap():
    alphas = torch.tensor([1.0, 0.5, 0.001])
    assert loss_weight(alphas).tolist() == pytest.approx([1.0, 2.0, CAP])


def test_a_clip_has_as_many_frames_as_pia_takes():
    assert random_clip(np.random.default_rng(0)).frames.shape == (FRAMES, SIZE, SIZE, 3) == (16, 64, 64, 3)
