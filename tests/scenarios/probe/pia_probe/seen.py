"""What an extension can see, as small JSON values."""

from __future__ import annotations

import base64
from typing import Any

DIGITS = 6  # significant ones of a number in the record
OF_P = (
    "batch_size n_iter iteration prompt negative_prompt prompts negative_prompts all_prompts "
    "all_negative_prompts seed seeds all_seeds subseed subseeds all_subseeds subseed_strength seed_resize_from_w "
    "seed_resize_from_h width height steps cfg_scale denoising_strength sampler_name scheduler sampler is_api "
    "do_not_save_samples do_not_save_grid enable_hr is_hr_pass hr_checkpoint_info refiner_checkpoint_info "
    "disable_extra_networks extra_network_data init_images init_latent image_conditioning mask nmask "
    "mask_for_overlay overlay_images color_corrections paste_to init_img_hash inpainting_fill resize_mode "
    "firstpass_image rng c uc hr_c hr_uc extra_generation_params comments"
).split()
OF_STATE = "job job_count job_no sampling_step interrupted skipped stopping_generation".split()


def number(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def plain(value: Any) -> Any:
    """A JSON value that says what `value` is, never what a host's class looks like inside."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return number(value)
    if hasattr(value, "detach"):
        return f"tensor{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "convert") and hasattr(value, "size"):
        return f"picture {value.mode} {value.size[0]}x{value.size[1]}"
    if hasattr(value, "shape") and hasattr(value, "batch"):
        return f"{type(value).__name__} of {len(value.batch)}"
    return type(value).__name__


def of_p(p: Any) -> dict[str, Any]:
    """The attributes of a processing object that an extension may use, and the host's state."""
    from modules.shared import state

    out = {}
    for name in OF_P:
        if hasattr(p, name):
            value = getattr(p, name)
            out[name] = f"{len(value)} conds" if name in ("uc", "hr_uc") and isinstance(value, list) else plain(value)
            if name == "color_corrections" and value:
                out[name] = f"{len(value)} corrections"
            if name == "rng" and value is not None:
                out[name] = {"shape": list(value.shape), "seeds": len(value.seeds)}
            if name == "extra_network_data" and value is not None:
                out[name] = {kind: [list(item.items) for item in items] for kind, items in value.items()}
    # what the host fills in later (functions, None) is its own affair
    told = getattr(p, "extra_generation_params", {})
    out["extra_generation_params"] = {
        key: plain(value) for key, value in told.items() if value is not None and not callable(value)
    }
    return {**out, **{f"state.{name}": plain(getattr(state, name)) for name in OF_STATE}}


def summary(tensor: Any) -> dict[str, Any]:
    """Shape, mean, deviation and eight values of a tensor."""
    flat = tensor.detach().float().flatten()
    spread = flat[:: max(1, len(flat) // 8)][:8]
    return {
        "shape": list(tensor.shape),
        "mean": number(float(flat.mean())),
        "std": number(float(flat.std())) if len(flat) > 1 else 0.0,
        "values": [number(value) for value in spread.tolist()],
    }


def packed(tensor: Any) -> dict[str, Any]:
    """All values of a tensor, as base64 of float32."""
    values = tensor.detach().float().cpu().contiguous()
    return {"shape": list(values.shape), "float32": base64.b64encode(values.numpy().tobytes()).decode()}


def groups(rows: Any) -> str:
    """Which rows of a tensor are equal: one letter per row, the same for equal rows, in order of appearance."""
    known: list[Any] = []
    out = ""
    for row in rows.detach():
        index = next((i for i, other in enumerate(known) if other.equal(row)), None)
        if index is None:
            index = len(known)
            known.append(row)
        out += "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[index % 52]
    return out


def of_hook(name: str, args: tuple, kwargs: dict) -> dict[str, Any]:
    """What a hook is given besides `p`."""
    given: dict[str, Any] = {key: plain(value) for key, value in kwargs.items() if key != "prompts"}
    if not args:
        return given
    first = args[0]
    if name == "post_sample":
        given["samples"] = summary(first.samples)
    elif name in ("postprocess_image", "postprocess_image_after_composite"):
        given["image"] = plain(first.image)
    elif name == "postprocess_maskoverlay":
        given.update(index=first.index, mask=plain(first.mask_for_overlay), overlay=plain(first.overlay_image))
    elif name == "postprocess_batch_list":
        given["images"] = plain(list(first.images))
    elif name == "on_mask_blend":
        given.update(
            final=first.is_final_blend, current=plain(first.current_latent), blended=plain(first.blended_latent)
        )
    elif name == "postprocess":
        names = ("index_of_first_image", "batch_size", "all_seeds", "width", "height", "job_timestamp")
        given.update({key: plain(getattr(first, key)) for key in names[:-1]})
        given.update(images=plain(list(first.images)), infotexts=len(first.infotexts))
    return given


def of_callback(name: str, params: Any) -> dict[str, Any]:
    """What the denoiser's callbacks are given."""
    out = {"x": groups(params.x), "step": params.sampling_step, "of": params.total_sampling_steps}
    if name == "cfg_denoiser":
        out["sigma"] = number(float(params.sigma[0]))
        out["text_cond"], out["text_uncond"] = list(params.text_cond.shape), list(params.text_uncond.shape)
        out["cond"], out["uncond"] = groups(params.text_cond), groups(params.text_uncond)
        out["image_cond"] = plain(params.image_cond)
    return out


def of_unet(x: Any, timesteps: Any, context: Any) -> dict[str, Any]:
    return {
        "x": groups(x),
        "shape": list(x.shape[1:]),
        "t": number(float(timesteps[0])),
        "context": groups(context),
        "tokens": context.shape[1],
    }
