"""Run by the WebUI before it starts: installs what is missing, and nothing else."""

import launch

NEEDED = {"imageio_ffmpeg": "imageio-ffmpeg"}

for module, package in NEEDED.items():
    if not launch.is_installed(module):
        launch.run_pip(f"install {package}", f"{package} for PIA")
