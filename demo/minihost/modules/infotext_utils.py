"""The text under a picture ("prompt, Negative prompt:, Steps: 20, ...") to values, and those into the page."""
from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path

import gradio as gr
from modules import errors, images, script_callbacks, shared
from modules.paths import data_path
from PIL import Image

sys.modules["modules.generation_parameters_copypaste"] = sys.modules[__name__]

_KEY, _QUOTED = r"\w[\w \-/]+", r'"(?:[^"\\]|\\.)+"'
_PAIR = re.compile(rf"({_KEY}):\s*({_QUOTED}|[^,]*)(?:,\s*|$)")
_SIZE = re.compile(r"(\d+)x(\d+)")
type_of_gr_update = type(gr.update())
infotext_to_setting_name_mapping = []
_DEFAULTS = {
    "Clip skip": "1", "Hires resize-1": 0, "Hires resize-2": 0, "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler", "Hires checkpoint": "Use same checkpoint", "Hires prompt": "",
    "Hires negative prompt": "", "Mask mode": "Inpaint masked", "Masked content": "original", "Inpaint area": "Whole picture",
    "Masked area padding": 32, "RNG": "GPU", "Schedule type": "Automatic", "Schedule max sigma": 0, "Schedule min sigma": 0,
    "Schedule rho": 0, "VAE Encoder": "Full", "VAE Decoder": "Full", "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False}


class ParamBinding:
    def __init__(self, paste_button, tabname, source_text_component=None, source_image_component=None, source_tabname=None,
                 override_settings_component=None, paste_field_names=None):
        self.paste_button, self.tabname, self.paste_field_names = paste_button, tabname, list(paste_field_names or ())
        self.source_text_component, self.source_image_component = source_text_component, source_image_component
        self.source_tabname, self.override_settings_component = source_tabname, override_settings_component


class PasteField(tuple):
    def __new__(cls, component, target, *, api=None):
        return super().__new__(cls, (component, target))

    def __init__(self, component, target, *, api=None):
        self.component, self.api = component, api
        self.label, self.function = (None, target) if callable(target) else (target, None)


paste_fields: dict[str, dict] = {}
registered_param_bindings: list[ParamBinding] = []


def reset():
    paste_fields.clear()
    registered_param_bindings.clear()


def quote(text):
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,\n:]", str(text)) else text


def unquote(text):
    if re.fullmatch(r'".*"', text, re.DOTALL):
        with contextlib.suppress(ValueError):
            text = json.loads(text)
    return text


def image_from_url_text(filedata):
    """The picture that a gradio component shows: a file of gradio's or base64."""
    if isinstance(filedata, list):
        filedata = filedata[0] if filedata else None
    if filedata is None:
        return None
    if isinstance(filedata, dict):
        return images.read(filedata["name"].rsplit("?", 1)[0])
    return images.read(io.BytesIO(base64.b64decode(filedata.split(",", 1)[-1])))


def add_paste_fields(tabname, init_img, fields, override_settings_component=None):
    fields = [field if isinstance(field, PasteField) else PasteField(*field) for field in fields or []] or None
    paste_fields[tabname] = dict(init_img=init_img, fields=fields, override_settings_component=override_settings_component)


def create_buttons(tabs_list):
    return {tab: gr.Button(f"Send to {tab}", elem_id=f"{tab}_tab") for tab in tabs_list}


def register_paste_params_button(binding: ParamBinding):
    registered_param_bindings.append(binding)


def send_image_and_dimensions(x):
    img = x if isinstance(x, Image.Image) else image_from_url_text(x)
    if img is None or not shared.opts.send_size:
        return img, gr.update(), gr.update()
    return img, img.width, img.height


def connect_paste_params_buttons():
    """Wire all registered buttons: the picture, the text under it, and what one tab hands to another."""
    for binding in list(registered_param_bindings):
        receiver = paste_fields[binding.tabname]
        target, fields = receiver["init_img"], receiver["fields"] or []
        sizes = [field for field, name in fields if name in ("Size-1", "Size-2")]
        if binding.source_image_component and target:
            gallery = isinstance(binding.source_image_component, gr.Gallery)
            with_size = len(sizes) == 2 and binding.tabname != "inpaint"
            fn = send_image_and_dimensions if with_size else image_from_url_text if gallery else lambda x: x
            binding.paste_button.click(fn, _js="extract_image_from_gallery" if gallery else None, inputs=[binding.source_image_component],
                                       outputs=[target, *sizes] if with_size else [target], show_progress=False)
        if binding.source_text_component is not None and fields:
            connect_paste(binding.paste_button, fields, binding.source_text_component, binding.override_settings_component, binding.tabname)
        if binding.source_tabname is not None and fields:
            names = {"Prompt", "Negative prompt", "Steps", "Face restoration", *binding.paste_field_names,
                     *(["Seed"] if shared.opts.send_seed else [])}
            sources = {name: field for field, name in paste_fields[binding.source_tabname]["fields"] if name in names}
            pairs = [(sources[name], field) for field, name in fields if name in sources]
            binding.paste_button.click(lambda *x: x if len(x) > 1 else x[0], inputs=[source for source, _ in pairs],
                                       outputs=[field for _, field in pairs], show_progress=False)
        binding.paste_button.click(None, _js=f"switch_to_{binding.tabname}", inputs=None, outputs=None, show_progress=False)


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None):
    """The values of an infotext; "64x48" becomes Key-1 and Key-2. What is not said gets the value it has by default."""
    *lines, last = x.strip().split("\n")
    pairs = _PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    prompt, *negative = re.split(r"^\s*Negative prompt:", "\n".join(map(str.strip, lines)), maxsplit=1, flags=re.MULTILINE)
    res = {}
    for key, value in pairs:
        value = unquote(value)
        size = _SIZE.fullmatch(value) if isinstance(value, str) else None
        res.update({f"{key}-1": size[1], f"{key}-2": size[2]} if size else {key: value})
    res["Prompt"], res["Negative prompt"] = prompt.strip(), "".join(negative).strip()
    for key, value in _DEFAULTS.items():
        res.setdefault(key, value)
    for key in shared.opts.infotext_skip_pasting if skip_fields is None else skip_fields:
        res.pop(key, None)
    return res


def _setting_of():
    return [(info.infotext, key) for key, info in shared.opts.data_labels.items() if info.infotext] + infotext_to_setting_name_mapping


def create_override_settings_dict(text_pairs):
    """["Clip skip: 2"] -> {"CLIP_stop_at_last_layers": 2}."""
    values = {key.strip(): value.strip() for key, value in (pair.split(":", maxsplit=1) for pair in text_pairs)}
    return {setting: shared.opts.cast_value(setting, values[name]) for name, setting in _setting_of() if name in values}


def get_override_settings(params, *, skip_fields=None):
    """[(infotext key, setting, value), ...] of all settings that `params` wants to be other than they are."""
    found = []
    for name, setting in _setting_of():
        kept = setting == "sd_model_checkpoint" and shared.opts.disable_weights_auto_swap
        if kept or name in (skip_fields or {}) or params.get(name) is None:
            continue
        value = shared.opts.cast_value(setting, params[name])
        if value != getattr(shared.opts, setting, None):
            found.append((name, setting, value))
    return found


def _pasted(output, key, params):
    if callable(key):
        try:
            value = key(params)
        except Exception:
            errors.report(f"pasting by {key} failed", exc_info=True)
            value = None
    else:
        value = params.get(key)
    if value is None or isinstance(value, type_of_gr_update):
        return gr.update() if value is None else value
    try:
        kind = type(output.value)
        return gr.update(value=False if kind is bool and value == "False" else float(value) if kind is int else kind(value))
    except Exception:
        return gr.update()


def connect_paste(button, paste_fields, input_comp, override_settings_component, tabname):
    def paste(prompt):
        last = Path(data_path, "params.txt")
        text = prompt or (last.read_text(encoding="utf8") if last.exists() else prompt)
        values = parse_generation_parameters(text)
        script_callbacks.infotext_pasted_callback(text, values)
        return [_pasted(output, key, values) for output, key in paste_fields]

    button.click(paste, inputs=[input_comp], outputs=[output for output, _ in paste_fields], show_progress=False)
