"""Put the miniature into a WebUI: `python -m demo.miniature.webui WEBUI_FOLDER` copies the weights and writes the text
encoder's folder.

Afterwards the WebUI lists the checkpoint `miniature`, its personalised versions as Lora (`<lora:miniature_outline:1>`),
and the PIA model.
"""

import argparse
import json
import lzma
import shutil
import sys
from pathlib import Path

from .lora import PERSONALISED
from .net import MODELS, WIDTH, text_config, text_width
from .tokenizer import END, MERGES, START, Tokenizer

TEXT_FOLDER = "models/miniature_clip"  # named in miniature.yaml, relative to the WebUI's folder


def write_text_folder(folder: Path, width: int = WIDTH) -> None:
    """config.json and the tokenizer's files, from which transformers builds the text encoder without a network."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
    config = {"model_type": "clip_text_model", "architectures": ["CLIPTextModel"], **text_config(width), **ids}
    start, end = "<|startoftext|>", "<|endoftext|>"
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    tokenizer = {
        "tokenizer_class": "CLIPTokenizer",
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        **special,
    }
    files = {"config": config, "tokenizer_config": tokenizer, "special_tokens_map": special}
    files["vocab"] = Tokenizer().id | {start: START, end: END}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    merges = lzma.decompress(MERGES.read_bytes()).decode()
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")


def install(webui: Path, models: Path = MODELS) -> list[Path]:
    """Copy what `models` holds to where the WebUI looks for it; gives the files written."""
    places = {
        "miniature.safetensors": "Stable-diffusion",
        "miniature.yaml": "Stable-diffusion",
        "miniature_pia.safetensors": "PIA",
    }
    places |= {f"miniature_{name}.safetensors": "Lora" for name in PERSONALISED}
    written = []
    for name, place in places.items():
        if (models / name).exists():
            (webui / "models" / place).mkdir(parents=True, exist_ok=True)
            written.append(Path(shutil.copyfile(models / name, webui / "models" / place / name)))
    write_text_folder(webui / TEXT_FOLDER, text_width(models / "miniature.safetensors"))
    return [*written, webui / TEXT_FOLDER]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.miniature.webui", description="Put the miniature into a WebUI."
    )
    parser.add_argument("webui", type=Path, help="the WebUI's folder (the one with webui.py)")
    webui = parser.parse_args(arguments).webui
    if not (webui / "webui.py").exists():
        parser.error(f"{webui} is no WebUI (it has no webui.py); give the folder with webui.py in it.")
    for path in install(webui):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
