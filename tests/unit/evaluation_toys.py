"""For the tests of the evaluation: small runs and benches, and a pretended WebUI, which fails as each test wishes."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import yaml
from PIL import Image

from lib_pia.evaluation.answer import Answer
from lib_pia.evaluation.bench import BenchClip
from lib_pia.evaluation.run_folder import RunFolder

FRAMES = 4


def apng(seed: int, frames: int = FRAMES) -> bytes:
    """A small clip whose pixels follow from the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(frame) for frame in pixels]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PNG", save_all=True, append_images=pictures[1:], duration=125, loop=0)
    return buffer.getvalue()


class FakeWebUI:
    """`checkpoints`: titles. `scripts`: of both tabs. `handle(body)`: (status, JSON), or ConnectionError."""

    def __init__(self, checkpoints=("one.safetensors",), scripts=("animate (pia)",), handle=None) -> None:
        self.checkpoints, self.scripts, self.handle = list(checkpoints), list(scripts), handle or self.clip
        self.requests: list[dict] = []
        self._lock = threading.Lock()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                if self.path == "/sdapi/v1/scripts":
                    self.reply(200, {"txt2img": host.scripts, "img2img": host.scripts})
                elif self.path == "/sdapi/v1/sd-models":
                    self.reply(
                        200,
                        [
                            {"title": f"{name} [abc]", "model_name": name.split(".")[0], "filename": f"/models/{name}"}
                            for name in host.checkpoints
                        ],
                    )
                else:
                    self.reply(404, {"detail": "Not Found"})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with host._lock:
                    host.requests.append(body)
                try:
                    status, answer = host.handle(body)
                except ConnectionError:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.reply(status, answer)

            def reply(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def clip(body: dict) -> tuple[int, dict]:
        model = body["override_settings"]["sd_model_checkpoint"].split(".")[0]
        info = {"sd_model_name": model, "infotexts": [f"{body['prompt']}\nSeed: {body['seed']}"]}
        return 200, {"images": [base64.b64encode(apng(body["seed"])).decode()], "info": json.dumps(info)}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


METHOD = {
    "name": "Fake",
    "endpoint": "img2img",
    "needs": ["Animate (PIA)"],
    "answer": "clip",
    "frames": FRAMES,
    "request": {
        "init_images": ["{picture}"],
        "prompt": "{prompt}",
        "negative_prompt": "{negative}",
        "seed": "{seed}",
        "width": "{width}",
        "height": "{height}",
    },
}


def write_bench(folder, models=("one",), pictures=2, prompts=2):
    """AnimateBench's layout with random pictures, and a method; returns the method's file."""
    for number, model in enumerate(models):
        (folder / "img" / model).mkdir(parents=True)
        (folder / "configs").mkdir(exist_ok=True)
        for picture in range(1, pictures + 1):
            pixels = np.random.default_rng([number, picture]).integers(0, 256, (24, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "img" / model / f"{picture}.png")
        lists = [
            [f"{model} {picture} does {prompt}" for prompt in range(1, prompts + 1)]
            for picture in range(1, pictures + 1)
        ]
        config = {
            "base": "x",
            "prompts": lists,
            "n_prompt": ["bad"] * pictures,
            "generate": {"db_path": f"models/{model}.safetensors"},
            "validation_data": {"input_name": model, "validation_input_path": "img"},
        }
        (folder / "configs" / f"{model}.yaml").write_text(yaml.safe_dump(config))
    file = folder / "method.yaml"
    file.write_text(yaml.safe_dump(METHOD))
    return file


def make_run(folder, method, names=(("m", 1, 1), ("m", 1, 2)), seed=0, prompt="red star"):
    """A finished run of small clips."""
    picture = folder.parent / "picture.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(picture)
    run = RunFolder(folder)
    run.begin({"method": method, "bench": "b", "settings": {}})
    for number, (model, index, prompt_number) in enumerate(names):
        stills = np.random.default_rng([seed, number]).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        clip = BenchClip(model, index, prompt_number, picture, f"{prompt} {prompt_number}")
        run.save(clip, Answer(None, "apng", stills, {}), {"fingerprint": "x", "seed": 0}, 8)
    return folder
