"""One clip's files: encoded, named and told of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from modules.shared import opts

from lib_pia.errors import PIAError
from lib_pia.host.generation.made import MadeClips
from lib_pia.host.generation.progress import progress
from lib_pia.video import ClipFile, ClipOptions, encode_clip

from .attention import ATTENTION_CLIP, write_attention
from .clips import MadeClip
from .naming import clip_path
from .result import Delivered


class ClipWriter:
    """Writes the clips of one generation; `first` is the number of its first clip among those of all generations."""

    def __init__(self, made: MadeClips, first: int) -> None:
        self.made, self.first = made, first
        self.affinity = [round(value, 6) for value in made.affinity().tolist()]

    def write(self, clip: MadeClip, temporary: Path | None) -> list[Delivered]:
        """One entry per file, or per format that failed; one format that fails loses nothing else.

        temporary: a folder for files that are not saved, None for the host's own.
        """
        try:
            path = self._path(clip, temporary)
            return [*self._encode(clip, path), *self._attention(clip, path)]
        except PIAError as error:
            return [self.failure(clip, name, error) for name in self.made.request.settings.formats]

    def _path(self, clip: MadeClip, temporary: Path | None) -> Path:
        if temporary is not None:
            return temporary / f"{clip.number:05}-{clip.seed}"
        return clip_path(self.made.p, clip.number, self.made.request.clips, clip.seed, clip.frames[0])

    def _encode(self, clip: MadeClip, path: Path) -> list[Delivered]:
        settings = self.made.request.settings
        options = ClipOptions(
            fps=settings.fps,
            loop_count=settings.loop_count,
            ping_pong=settings.ping_pong,
            interpolate=settings.interpolate,
            closed=settings.motion == "loop",
            infotext=clip.infotext if opts.enable_pnginfo else "",
            **quality_options(),
        )
        clips = self.made.request.clips
        result = encode_clip(
            clip.frames,
            path,
            settings.formats,
            options,
            on_format=lambda name: progress(f"encoding clip {clip.number + 1}/{clips} as {name.upper()}"),
        )
        files = []
        for name in ("interpolate", *settings.formats):
            if name in result.errors:
                files.append(self.failure(clip, name, result.errors[name]))
            for file in result:
                if file.format == name:
                    files.extend(self._delivered(clip, file))
        return files

    def _attention(self, clip: MadeClip, path: Path) -> list[Delivered]:
        """The heat clip of `attention_of` and its numbers, behind the clip's own files."""
        attention = self.made.attention.get(clip.number)
        if attention is None:
            return []
        try:
            maps = attention.maps()[: len(clip.frames)]
            result = write_attention(clip.frames, maps, attention.word, path, self.made.request.settings.fps)
        except (PIAError, OSError) as error:
            return [self.failure(clip, ATTENTION_CLIP, error)]
        files = [dataclasses.replace(file, format=name) for name, file in result.items()]
        return [delivered for file in files for delivered in self._delivered(clip, file)]

    def _delivered(self, clip: MadeClip, file: ClipFile) -> list[Delivered]:
        """One entry per file on disk: a clip as PNG is one file per frame."""
        numbers = {"fps": file.fps, "width": file.width, "height": file.height, "duration": file.duration}
        if len(file.paths) > 1:
            numbers["duration"] = 1 / file.fps
        return [
            Delivered(
                self.first + clip.number,
                file.format,
                clip.seed,
                self.affinity,
                file.mime,
                str(path),
                file.frames if len(file.paths) == 1 else 1,
                **numbers,
            )
            for path in file.paths
        ]

    def failure(self, clip: MadeClip, name: str, error: Exception) -> Delivered:
        """The entry of what failed: a format, or "upscale"."""
        return Delivered(self.first + clip.number, name, clip.seed, self.affinity, error=str(error))


def quality_options() -> dict[str, Any]:
    """The settings page's quality values, under the names of `ClipOptions`."""
    names = {"pia_gif_colors": "gif_colors", "pia_mp4_crf": "mp4_crf"}
    return {option: int(getattr(opts, name)) for name, option in names.items() if name in opts.data}
