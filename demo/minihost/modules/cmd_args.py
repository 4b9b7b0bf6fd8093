"""The command-line flags that minihost understands."""
import argparse
import os

from modules.paths_internal import _absolute, data_path, models_path, script_path, sd_default_config, sd_model_file

parser = argparse.ArgumentParser()

_SWITCHES = """no-half no-half-vae medvram medvram-sdxl lowvram lowram disable-nan-check listen hide-ui-dir-config freeze-settings
gradio-debug disable-safe-unpickle api api-log nowebui no-gradio-queue no-hashing no-download-sd-model api-server-stop
disable-all-extensions disable-extra-extensions skip-load-model-at-start unix-filenames-sanitization no-prompt-history
upcast-sampling do-not-download-clip share enable-console-prompts ui-debug-mode autolaunch"""
for _name in _SWITCHES.split():
    parser.add_argument(f"--{_name}", action="store_true")

_VALUES = {
    "data-dir": (_absolute, script_path), "models-dir": (_absolute, None), "config": (_absolute, sd_default_config),
    "ckpt": (_absolute, sd_model_file), "ckpt-dir": (_absolute, None), "vae-dir": (_absolute, None), "vae-path": (_absolute, None),
    "embeddings-dir": (_absolute, os.path.join(data_path, "embeddings")),
    "hypernetwork-dir": (_absolute, os.path.join(models_path, "hypernetworks")),
    "localizations-dir": (_absolute, os.path.join(script_path, "localizations")),
    "precision": (str, "autocast"), "port": (int, None), "server-name": (str, None), "device-id": (str, None),
    "ui-config-file": (str, os.path.join(data_path, "ui-config.json")),
    "ui-settings-file": (str, os.path.join(data_path, "config.json")),
    "freeze-settings-in-sections": (str, None), "freeze-specific-settings": (str, None), "gradio-auth": (str, None),
    "gradio-auth-path": (_absolute, None), "theme": (str, None), "api-auth": (str, None), "tls-keyfile": (str, None),
    "tls-certfile": (str, None), "subpath": (str, None), "timeout-keep-alive": (int, 30), "filenames-max-length": (int, 128),
}
for _name, (_type, _default) in _VALUES.items():
    parser.add_argument(f"--{_name}", type=_type, default=_default)

parser.add_argument("--gradio-allowed-path", action="append", default=[data_path])
parser.add_argument("--minihost-extension", type=_absolute, action="append", default=[])
parser.add_argument("--styles-file", action="append", default=[])
parser.add_argument("--use-cpu", nargs="+", default=[], type=str.lower)
# the built-in Lora extension adds this one in the WebUI
parser.add_argument("--lora-dir", type=_absolute, default=os.path.join(models_path, "Lora"))
