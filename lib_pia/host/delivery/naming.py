"""Where a clip's files go, and what they are called: the host's own folders and patterns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modules import images
from modules.shared import opts
from PIL import Image

from lib_pia.errors import HostError
from lib_pia.lending import lent

SUBFOLDER = "PIA"
SUFFIX_BYTES = 24  # room in a file name for "-<number>", "-<frame>" and the suffix
MAX_NAME_BYTES = 255  # of the usual file systems; statvfs says it exactly where there is one
TRIES = 500  # of a sequence number, as the host's save_image


def clip_path(p: Any, clip: int, clips: int, seed: int, frame: Image.Image) -> Path:
    """The absolute path of a clip's files without suffix, in a folder that exists. Raises HostError where it cannot be
    made.

    `p` is the processing object of the generation, `frame` the clip's first frame.
    """
    prompt = p.all_prompts[min(clip * p.batch_size, len(p.all_prompts) - 1)]
    # the host's patterns count pictures; here a clip is one picture of a batch of one
    with lent(p, batch_size=1, n_iter=clips, iteration=clip, batch_index=0):
        names = images.FilenameGenerator(p, seed, prompt, frame)
        folder = Path(_base_folder(p)).absolute()
        if opts.save_to_dirs:
            folder = folder / _shortened(
                names.apply(opts.directories_filename_pattern or "[prompt_words]").strip(" ").rstrip("\\/"), 0
            )
        pattern = opts.samples_filename_pattern or ("[seed]" if opts.save_to_dirs else "[seed]-[prompt_spaces]")
        decoration = names.apply(pattern)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _free_path(folder, decoration)
    except OSError as error:
        raise HostError(
            f"The folder {folder} for the clip cannot be used ({error.strerror or error}); check Settings > Paths "
            "for saving, "
            "and the disk."
        ) from error


def _base_folder(p: Any) -> str:
    """The tab's output folder with PIA/ in it; a folder chosen for this generation (img2img's batch tab) as it is."""
    own = {opts.outdir_samples, opts.outdir_img2img_samples, opts.outdir_txt2img_samples}
    return os.path.join(p.outpath_samples, SUBFOLDER) if p.outpath_samples in own else p.outpath_samples


def _free_path(folder: Path, decoration: str) -> Path:
    taken = {name.rsplit(".", 1)[0] for name in os.listdir(folder)}
    limit = os.statvfs(folder).f_namemax if hasattr(os, "statvfs") else MAX_NAME_BYTES
    if opts.save_images_add_number or not decoration:
        number = images.get_next_sequence_number(str(folder), "")
        for i in range(TRIES):
            name = _shortened(f"{number + i:05}" + (f"-{decoration}" if decoration else ""), limit)
            if name not in taken:
                return folder / name
    name = _shortened(decoration, limit)
    count = 0
    while opts.save_images_replace_action != "Replace" and (name if not count else f"{name}-{count}") in taken:
        count += 1
    return folder / (name if not count else f"{name}-{count}")


def _shortened(name: str, limit: int) -> str:
    """`name` cut to what a file name may hold, in bytes: the host cuts characters, and a long non-Latin prompt is too
    long for it."""
    room = (limit or MAX_NAME_BYTES) - SUFFIX_BYTES
    return name.encode()[:room].decode(errors="ignore").rstrip(" .") if len(name.encode()) > room else name
