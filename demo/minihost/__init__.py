"""minihost: a small stand-in for the AUTOMATIC1111 WebUI, for tests and the demo. Not a product.

It runs the extension's own scripts/pia.py on a machine without the WebUI, over the genuine LDM UNet and VAE and the genuine
k-diffusion samplers. Its behaviour is held to what was recorded of v1.10.1. It leaves out what the extension does not meet:
most samplers that are not k-diffusion's, styles, the settings page, upscalers, half precision, low-memory modes.

    from demo.minihost import start
    host = start(data_dir, extensions=[repository])
    host.img2img(init_images=[host.base64(picture)], steps=4, alwayson_scripts={...})       # the API's answer as a dict
    host.launch(port=7860)                                                                 # the page
"""
from __future__ import annotations

from pathlib import Path

from .host import Host, HostResponseError

__all__ = ["Host", "HostResponseError", "start"]


def start(data_dir: str | Path, extensions: list[str | Path] = (), flags: list[str] = ()) -> Host:
    """Boot the host in this process (once), with the API and without the page.

    `data_dir` holds models/, outputs/, extensions/ as in the WebUI; `extensions` are folders to load besides those in it; `flags` are
    command-line flags of the WebUI.
    """
    return Host.start(Path(data_dir).resolve(), [Path(folder).resolve() for folder in extensions], list(flags))
