"""The server's side of the player: its place under the gallery, one frame of a clip, and the host's own "send to"."""

from __future__ import annotations

import importlib.util
from typing import Any

import gradio as gr
from modules import errors, infotext_utils
from PIL import Image

from lib_pia.errors import MediaError, PIAError
from lib_pia.host.delivery.recent_clips import RecentClip, recent

LONGEST = 512  # frames that the player steps through (32, interpolated and ping-pong: 248)


class _Frames:
    """The frames of the clip that was asked for last."""

    def __init__(self) -> None:
        self._held: tuple[int, list[Image.Image]] = (0, [])

    def of(self, clip: RecentClip) -> list[Image.Image]:
        held, frames = self._held
        if held != clip.id:
            frames = clip.frames(LONGEST)
            self._held = (clip.id, frames)
        return frames


_frames = _Frames()  # a cache of files on disk


def frame_of(clip_id: int, number: int) -> Image.Image:
    """Frame `number` (from 0) of a clip of `recent`, RGB, with the clip's infotext in `info`. Raises MediaError."""
    clip = recent.find(clip_id)
    if clip is None:
        raise MediaError(f"Clip {clip_id} is not in the list of last clips any more; make it again.")
    frames = _frames.of(clip)
    if not 0 <= number < len(frames):
        raise MediaError(f"Clip {clip_id} has {len(frames)} frames; frame {number} is none of 0 to {len(frames) - 1}.")
    picture = frames[number].copy()
    picture.info = {"parameters": clip.infotext}
    return picture


def send_targets() -> list[str]:
    """Where the host can send a picture to."""
    return ["img2img", "inpaint", *(["extras"] if importlib.util.find_spec("modules.ui_postprocessing") else [])]


def build(tab: str) -> None:
    """The player's place, for the results column of `tab`; it stays hidden until JavaScript has a clip to show.

    JavaScript writes "clip:frame" into `frame` and presses `fetch`, which loads that frame; the answer calls it back to
    press one of the `send_*`, the host's own paste buttons.
    """
    hidden = {"elem_classes": ["pia-hidden"]}

    def name_of(part: str) -> str:
        return f"{tab}_pia_{part}"

    gr.HTML(value="", elem_id=name_of("player"), **hidden)
    wanted = gr.Textbox(value="", label="Frame to send", elem_id=name_of("frame"), **hidden)
    done = gr.Textbox(value="", label="Frame that is ready", elem_id=name_of("frame_ready"), **hidden)
    picture = gr.Image(type="pil", label="Frame", visible=False, interactive=False)
    infotext = gr.Textbox(value="", label="Infotext of the frame", visible=False)
    for text in (wanted, done, infotext):
        text.do_not_save_to_config = True
    fetch = gr.Button("Fetch the frame", elem_id=name_of("fetch"), **hidden)
    fetch.click(fn=_fetched, inputs=[wanted], outputs=[picture, infotext, done], show_progress=False, queue=False).then(
        fn=None, _js=f"(ready) => {{ pia.answered('{tab}', ready); return []; }}", inputs=[done]
    )
    for target in ["condition", *send_targets()]:
        button = gr.Button(f"Send to {target}", elem_id=name_of(f"send_{target}"), **hidden)
        infotext_utils.register_paste_params_button(
            infotext_utils.ParamBinding(
                paste_button=button,
                tabname="img2img" if target == "condition" else target,
                source_text_component=infotext if target in ("img2img", "inpaint") else None,
                source_image_component=picture,
            )
        )


def _fetched(wanted: str) -> tuple[Any, Any, str]:
    """The picture, its infotext, and "clip:frame" again, or a sentence that says why not."""
    try:
        clip, _, number = str(wanted).partition(":")
        picture = frame_of(int(clip), int(number))
    except PIAError as error:
        return gr.update(), gr.update(), error.detail
    except ValueError:
        return gr.update(), gr.update(), "No frame was chosen; select a clip in the player."
    except Exception as error:
        errors.report("PIA could not read a frame", exc_info=True)
        return gr.update(), gr.update(), f"The frame could not be read: {error}."
    return picture, picture.info["parameters"], wanted
