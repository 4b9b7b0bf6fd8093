"""After the sampling: frames become clips, are written, and take the place of the pictures in the host's result."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules import errors, processing
from modules.shared import opts, state
from PIL import Image

from lib_pia.color import match_colors
from lib_pia.errors import HostError
from lib_pia.host import upscalers
from lib_pia.host.generation.made import MadeClips
from lib_pia.host.generation.pictures import as_shown
from lib_pia.host.generation.progress import progress

from .clips import MadeClip, cut_into_clips
from .plot import Cell, mark
from .recent_clips import recent, temporary_folder
from .result import ClipProcessed, Delivered, share_files
from .showing import items_of
from .writing import ClipWriter


def deliver(made: MadeClips, processed: Any) -> None:
    """Replaces `processed.images` (frames of all clips) by clips. Never raises: whatever fails is told in the result,
    with the frames."""
    try:
        clips = cut_into_clips(made, processed)
        if made.sampled < len(clips):
            raise HostError("another extension replaced the host's sampling after PIA did; switch it off")
        # what the host's result took from `p` while frames counted as a batch
        processed.batch_size, processed.index_of_first_image = made.request.batch_size, 0
        delivery = Delivery(made, processed)
        for clip in clips:
            delivery.add(clip)
        delivery.finish()
    except Exception as error:
        errors.report("PIA could not turn the frames into clips", exc_info=True)
        _tell(made.p, processed, f"PIA could not turn the frames into clips ({error}); they are delivered as pictures.")
        ClipProcessed.upgrade(processed, [Delivered(0, "", processed.seed, [], error=str(error))])


def _tell(p: Any, processed: Any, sentence: str) -> None:
    p.comment(sentence)
    processed.comments += f"{sentence}\n"


class Delivery:
    """Puts clips into the host's result: one item per picture in the gallery or file in the API's answer."""

    def __init__(self, made: MadeClips, processed: Any) -> None:
        self.made, self.processed, self.p = made, processed, made.p
        self.scripted = _chosen_script(self.p) > 0  # a script (X/Y/Z plot, ...) reads the pictures
        earlier = max((file.clip for file in share_files(self.p)), default=-1)  # of the script's other generations
        self.writer = ClipWriter(made, earlier + 1)
        self.items: list[tuple[MadeClip, Any]] = []
        complete = not (state.interrupted or state.skipped)
        self.saves = made.request.saves and opts.samples_save and (opts.save_incomplete_images or complete)

    def add(self, clip: MadeClip) -> None:
        """Writes a clip and puts it into the result; what cannot be written is told."""
        picture = self.made.picture(clip.number, clip.frames[0].size)
        if self.made.request.settings.color_match > 0 and picture is not None:
            clip.frames = self._matched(clip, picture)
        not_enlarged = self._enlarge(clip)
        temporary = None if self.saves else temporary_folder()
        try:
            clip.files = [*not_enlarged, *self.writer.write(clip, temporary)]
            for sentence in dict.fromkeys(file.error for file in clip.files if file.error is not None):
                _tell(self.p, self.processed, sentence)
            written = [file for file in clip.files if file.error is None]
            items = items_of(clip, written, self.p.is_api, self.scripted)
            self.items += [(clip, item) for item in items]
            if self.scripted:
                mark(items[0], Cell(self.made, clip, self.saves))
        except BaseException:
            _delete(temporary)
            raise
        share_files(self.p).extend(clip.files)
        self._remember(clip, written, picture, temporary)

    def _matched(self, clip: MadeClip, picture: Image.Image) -> list[Image.Image]:
        made, settings = self.made, self.made.request.settings
        progress(f"matching the colours of clip {clip.number + 1}/{made.request.clips}")
        frames = match_colors(clip.frames, picture, made.condition_frame, settings.color_match)
        overlay = made.overlay(clip.number)
        if overlay is None:
            return frames
        # what is not masked stays the input
        return [processing.apply_overlay(frame, None, overlay)[0] for frame in frames]

    def _enlarge(self, clip: MadeClip) -> list[Delivered]:
        """The clip at its final size, behind the clip that it goes on from. Interrupted, or where the upscaler fails,
        all frames keep the size that they were sampled at, and the answer says so."""
        request, small = self.made.request, clip.frames
        before = request.before
        old = [as_shown(self.p, frame, small[0].size) for frame in before]
        try:
            new = self._enlarged(clip.number, small)
            if before and before[0].size == new[0].size:
                clip.frames = [*before, *new]
            else:
                clip.frames = [*self._enlarged(clip.number, old), *new]
        except HostError as error:
            clip.frames = [*old, *small]
            return [self.writer.failure(clip, "upscale", error)]
        return []

    def _enlarged(self, number: int, frames: list[Image.Image]) -> list[Image.Image]:
        settings, out = self.made.request.settings, []
        if settings.upscale == 1:
            return frames
        upscaler = upscalers.find(settings.upscaler)
        for index, frame in enumerate(frames):
            progress(f"enlarging frame {index + 1}/{len(frames)} of clip {number + 1}/{self.made.request.clips}")
            stopped = state.interrupted or state.skipped
            out.append(frame if stopped else upscalers.enlarge(frame, upscaler, settings.upscale))
            if stopped or state.interrupted:  # the host's upscalers stop half-way then
                raise HostError("Interrupted: the clip is delivered without enlarging.")
        return out

    def _remember(
        self, clip: MadeClip, written: Sequence[Delivered], picture: Image.Image | None, temporary: Path | None
    ) -> None:
        """Keeps the clip for the panel's player; what an API request did not want on disk is deleted now."""
        if self.p.is_api and temporary is not None:
            _delete(temporary)
            for file in written:
                file.path = None
            return
        if opts.save_txt and temporary is None and written:
            self._write_text(Path(written[0].path).with_suffix(".txt"), clip.infotext)
        if not self.p.is_api and written:
            files = [file.to_dict([]) for file in written]
            tab = "img2img" if self.made.request.is_img2img else "txt2img"
            recent.add(tab, clip.infotext, files, picture, temporary)
            if temporary is not None:
                for file in written:
                    file.path = None

    def _write_text(self, path: Path, text: str) -> None:
        try:
            path.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            _tell(self.p, self.processed, f"{path} cannot be written ({error.strerror or error}); check the disk.")

    def finish(self) -> None:
        """Puts everything into the host's result; with nothing done (interrupted at once) it stays empty."""
        processed, clips = self.processed, [clip for clip, _ in self.items]
        processed.images = [item for _, item in self.items]
        processed.infotexts = [clip.infotext for clip in clips] or [processed.info]
        for name in ("seed", "subseed", "prompt", "negative_prompt"):
            values = [getattr(clip, name) for clip in clips]
            if values:
                setattr(processed, f"all_{name}s", values)
        ClipProcessed.upgrade(processed, share_files(self.p))


def _chosen_script(p: Any) -> int:
    """The place of the selectable script that runs, from 1; 0 for none. (An API request with infotext has the word
    "None" there.)"""
    first = p.script_args[0] if p.script_args else 0
    return first if isinstance(first, int) else 0


def _delete(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
