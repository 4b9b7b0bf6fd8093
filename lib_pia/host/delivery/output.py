"""After the sampling: frames become clips, are written, and take the place of the pictures in the host's result."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules import errors, processing
from modules.shared import opts, state
from PIL import Image

from lib_pia.color import match_colors
from lib_pia.errors import HostError, PIAError
from lib_pia.host.generation.session import Session
from lib_pia.video import ClipFile, ClipOptions, encode_clip

from .naming import clip_path
from .recent_clips import recent, temporary_folder
from .result import ClipImage, ClipProcessed, Delivered, as_base64, share_files

MOVING = ("gif", "webp", "apng")  # what the page's gallery can show moving, best first


@dataclasses.dataclass
class Clip:
    """One clip on its way out."""

    number: int
    frames: list[Image.Image]
    seed: int
    subseed: int
    prompt: str
    negative_prompt: str
    infotext: str
    files: list[Delivered] = dataclasses.field(default_factory=list)


def deliver(session: Session, processed: Any) -> None:
    """Replaces `processed.images` (frames of all clips) by clips. Never raises: whatever fails is told in the result,
    with the frames."""
    p = session.p
    try:
        clips = _clips(session, processed)
        if session.sampled < len(clips):
            raise HostError("another extension replaced the host's sampling after PIA did; switch it off")
        _put_back(session, processed)
        outcome = _Outcome(session, processed)
        for clip in clips:
            outcome.add(clip)
        outcome.finish()
    except Exception as error:
        errors.report("PIA could not turn the frames into clips", exc_info=True)
        _tell(p, processed, f"PIA could not turn the frames into clips ({error}); they are delivered as pictures.")
        ClipProcessed.upgrade(processed, [Delivered(0, "", processed.seed, [], error=str(error))])
    finally:
        session.end()


def _clips(session: Session, processed: Any) -> list[Clip]:
    """The host's pictures, cut into clips. Grids and masks that settings put between them are left out."""
    p, size = session.p, session.settings.num_frames
    pictures = processed.images[processed.index_of_first_image :]
    infotexts = processed.infotexts[processed.index_of_first_image :]
    total = sum(session.frame_count)
    stride = len(pictures) // total if total and len(pictures) % total == 0 else 1
    frames = [_rgb(picture) for picture in pictures[::stride]]
    clips, start = [], 0
    for number, count in enumerate(session.frame_count):
        first = number * size
        if count:
            clips.append(
                Clip(
                    number,
                    frames[start : start + count],
                    p.all_seeds[first],
                    p.all_subseeds[first],
                    p.all_prompts[first],
                    p.all_negative_prompts[first],
                    infotexts[start] if start < len(infotexts) else processed.info,
                )
            )
        start += count
    return clips


def _rgb(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _put_back(session: Session, processed: Any) -> None:
    """What the host's result took from `p` while frames counted as a batch."""
    processed.batch_size = session.loan.before("batch_size")
    processed.index_of_first_image = 0


def _tell(p: Any, processed: Any, sentence: str) -> None:
    p.comment(sentence)
    processed.comments += f"{sentence}\n"


class _Outcome:
    """Collects what goes into the host's result: parallel lists, one item per picture in the gallery or file in the
    API's answer."""

    def __init__(self, session: Session, processed: Any) -> None:
        self.session, self.processed = session, processed
        self.p = session.p
        self.scripted = _chosen_script(self.p) > 0  # a script (X/Y/Z plot, ...) reads the pictures
        self.earlier = 1 + max(
            (file.clip for file in share_files(self.p)), default=-1
        )  # clips of the script's other generations
        self.images: list[Any] = []
        self.of: list[Clip] = []  # the clip of each image
        self.saves = (
            session.saves
            and opts.samples_save
            and (opts.save_incomplete_images or not (state.interrupted or state.skipped))
        )

    def add(self, clip: Clip) -> None:
        session = self.session
        picture = session.picture(clip.number, clip.frames[0].size)
        if session.settings.color_match > 0 and picture is not None:
            clip.frames = self._matched(clip, picture)
        temporary = None if self.saves else temporary_folder()
        try:
            written = self._written(clip, temporary)
            self._give(clip, written)
        except BaseException:
            _delete(temporary)
            raise
        share_files(self.p).extend(clip.files)
        self._remember(clip, written, picture, temporary)

    def _written(self, clip: Clip, temporary: Path | None) -> list[Delivered]:
        """The files of the clip that could be written; the user is told of the others."""
        try:
            self._encode(clip, self._path(clip, temporary))
        except PIAError as error:
            clip.files = [self._failure(clip, name, error) for name in self.session.settings.formats]
        for sentence in dict.fromkeys(file.error for file in clip.files if file.error is not None):
            _tell(self.p, self.processed, sentence)
        return [file for file in clip.files if file.error is None]

    def _matched(self, clip: Clip, picture: Image.Image) -> list[Image.Image]:
        session = self.session
        self.session.progress(f"matching the colours of clip {clip.number + 1}/{session.clips}")
        frames = match_colors(clip.frames, picture, session.condition_frame, session.settings.color_match)
        overlay = session.overlay(clip.number)
        if overlay is None:
            return frames
        return [
            processing.apply_overlay(frame, None, overlay)[0] for frame in frames
        ]  # what is not masked stays the input

    def _path(self, clip: Clip, temporary: Path | None) -> Path:
        if temporary is not None:
            return temporary / f"{clip.number:05}-{clip.seed}"
        return clip_path(self.p, clip.number, self.session.clips, clip.seed, clip.frames[0])

    def _encode(self, clip: Clip, path: Path) -> None:
        """Writes the clip's files; one format that fails loses nothing else."""
        session, settings = self.session, self.session.settings
        options = ClipOptions(
            fps=settings.fps,
            loop_count=settings.loop_count,
            ping_pong=settings.ping_pong,
            interpolate=settings.interpolate,
            infotext=clip.infotext if opts.enable_pnginfo else "",
            **quality_options(),
        )
        result = encode_clip(
            clip.frames,
            path,
            settings.formats,
            options,
            on_format=lambda name: session.progress(
                f"encoding clip {clip.number + 1}/{session.clips} as {name.upper()}"
            ),
        )
        for name in ("interpolate", *settings.formats):
            if name in result.errors:
                clip.files.append(self._failure(clip, name, result.errors[name]))
            for file in result:
                if file.format == name:
                    clip.files.extend(self._delivered(clip, file))

    def _delivered(self, clip: Clip, file: ClipFile) -> list[Delivered]:
        """One entry per file on disk: a clip as PNG is one file per frame."""
        numbers = {"fps": file.fps, "width": file.width, "height": file.height, "duration": file.duration}
        if len(file.paths) > 1:
            numbers["duration"] = 1 / file.fps
        return [
            Delivered(
                self.earlier + clip.number,
                file.format,
                clip.seed,
                self._affinity(),
                file.mime,
                str(path),
                file.frames if len(file.paths) == 1 else 1,
                **numbers,
            )
            for path in file.paths
        ]

    def _failure(self, clip: Clip, name: str, error: Exception) -> Delivered:
        return Delivered(self.earlier + clip.number, name, clip.seed, self._affinity(), error=str(error))

    def _affinity(self) -> list[float]:
        return [round(value, 6) for value in self.session.affinity().tolist()]

    # ---- what stands in `images`

    def _append(self, clip: Clip, image: Any) -> Any:
        self.images.append(image)
        self.of.append(clip)
        return image

    def _shown(self, clip: Clip, frame: Image.Image, path: str | None = None) -> Image.Image:
        image = frame.copy()
        if opts.enable_pnginfo:
            image.info["parameters"] = clip.infotext
        if path is not None:
            image.already_saved_as = path
        return image

    def _give(self, clip: Clip, written: Sequence[Delivered]) -> None:
        if not written:  # the frames themselves, which the host encodes as PNG
            for frame in clip.frames:
                self._append(clip, self._shown(clip, frame))
        elif self.p.is_api:
            self._give_files(clip, written)
        else:
            self._give_gallery(clip, written)

    def _give_files(self, clip: Clip, written: Sequence[Delivered]) -> None:
        """Every file as base64 text; to a script, which counts pictures, one picture per clip that is saved as the
        clip."""
        for file in written[:1] if self.scripted else written:
            data = Path(file.path).read_bytes()
            if self.scripted:
                file.image = self._append(clip, ClipImage.of(self._shown(clip, clip.frames[0], file.path), data))
            else:
                file.image = self._append(clip, as_base64(data))

    def _give_gallery(self, clip: Clip, written: Sequence[Delivered]) -> None:
        """The first frame of the clip, shown as the file that moves; and every frame that is a file of its own."""
        moving = next((file for name in MOVING for file in written if file.format == name), None)
        image = self._append(clip, self._shown(clip, clip.frames[0], moving.path if moving else None))
        if moving is not None:
            moving.image = image
        for file in written:
            if file.format == "png":
                with Image.open(file.path) as frame:
                    file.image = self._append(clip, self._shown(clip, frame, file.path))

    # ---- afterwards

    def _remember(
        self, clip: Clip, written: Sequence[Delivered], picture: Image.Image | None, temporary: Path | None
    ) -> None:
        """Keeps the clip for the panel's player; what an API request did not want on disk is deleted now."""
        p = self.p
        if p.is_api and temporary is not None:
            _delete(temporary)
            for file in written:
                file.path = None
            return
        if opts.save_txt and temporary is None and written:
            self._write_text(Path(written[0].path).with_suffix(".txt"), clip.infotext)
        if not p.is_api and written:
            files = [file.to_dict([]) for file in written]
            recent.add("img2img" if self.session.is_img2img else "txt2img", clip.infotext, files, picture, temporary)
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
        processed = self.processed
        processed.images = self.images
        processed.infotexts = [clip.infotext for clip in self.of] or [processed.info]
        for name in ("seed", "subseed", "prompt", "negative_prompt"):
            values = [getattr(clip, name) for clip in self.of]
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


def quality_options() -> dict[str, Any]:
    """The settings page's quality values, under the names of `ClipOptions`."""
    names = {"pia_gif_colors": "gif_colors", "pia_mp4_crf": "mp4_crf"}
    return {option: int(getattr(opts, name)) for name, option in names.items() if name in opts.data}
