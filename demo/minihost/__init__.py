"""minihost: a small stand-in for the AUTOMATIC1111 WebUI, for tests and the demo. Not a product.

It runs the extension's own scripts/pia.py on a machine without the WebUI, over the genuine LDM UNet and VAE and the
genuine k-diffusion samplers, and is held to what was recorded of v1.10.1. It leaves out what the extension does not
meet: styles, the settings page, upscalers with models, other samplers than k-diffusion's and DDIM, half precision, low
memory.

    host = start(data_dir, extensions=[repository])
    host.img2img(init_images=[host.base64(picture)], steps=4, alwayson_scripts={...})       # the API's answer as a dict
    host.launch(port=7860)                                                                 # the page
"""

from .host import Host, HostResponseError, start

__all__ = ["Host", "HostResponseError", "start"]
