"""Takes the recording of a running host: python -m tests.scenarios.record --webui URL [--out FILE] [--only NAME].

The host must have the extension, the probe (tests/scenarios/probe) and the miniature, and be started with --api. The
file holds what an extension can see of it, and nothing of the host itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from lib_pia.host.contract import NEEDED

from . import cases
from .client import AnswerError, Host
from .pictures import opened

RECORDED = Path(__file__).parent / "recorded" / "v1.10.1.json"
SAMPLING = ("sigmas", "unet", "post_sample", "create_sampler", "sample", "sample_img2img")
LEFT_OUT = ("job_timestamp", "version", "sd_model_hash", "comments")  # of `info`: when, and which host
SETUP: dict[str, Any] = {}  # what `p` is at the first request's setup; others keep only what differs


def answer_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The API's answer without bytes: what each picture is, and `info`."""
    images = [opened(text) if len(text) > 100 else text for text in answer["images"]]
    info = {key: value for key, value in answer["info"].items() if key not in LEFT_OUT}
    info["infotexts"] = [
        text and re.sub(r', Version: [^,\n]+|, Lora hashes: (?:"[^"]*"|[^,\n]+)', "", text)
        for text in info["infotexts"]
    ]
    if len(set(map(str, info["infotexts"]))) == 1:
        info["infotexts"] = [info["infotexts"][0], len(info["infotexts"])]
    keep = ("prompt", "negative_prompt", "infotexts", "index_of_first_image", "all_seeds", "width", "height")
    shown = [
        image if isinstance(image, str) else f"{image.format} {image.mode} {image.size[0]}x{image.size[1]}"
        for image in images
    ]
    return {"images": shown, "info": {key: info[key] for key in keep if key in info}, "keys": sorted(answer["info"])}


def error_of(error: AnswerError) -> dict[str, Any]:
    body = error.body
    if isinstance(body, dict):
        body = {key: _without_places(value) for key, value in body.items()}
        if isinstance(body.get("detail"), list):  # pydantic's list of complaints, whose words differ between versions
            body["detail"] = [complaint.get("loc") for complaint in body["detail"]]
    return {"status": error.status, "body": body}


def _without_places(value: Any) -> Any:
    return re.sub(r"0x[0-9a-f]+|/\S+", "...", value) if isinstance(value, str) else value


def without_ours(value: Any) -> Any:
    """Without what the extension itself adds: the recording is of the host, and stays true when a setting is added."""
    if isinstance(value, dict):
        return {key: without_ours(one) for key, one in value.items() if key != "pia" and not key.startswith("PIA ")}
    if isinstance(value, list):
        return [without_ours(one) for one in value if one != "pia"]
    return re.sub(r", PIA [^:,]+: [^,\n]+", "", value) if isinstance(value, str) else value


def rows_of(events: list) -> list[Any]:
    """Per UNet call: equal rows of x, equal rows of the text, time, number of tokens."""
    return [[d["x"], d["context"], d["t"], d["tokens"]] for kind, d, *_ in events if kind == "unet"]


def sampling_of(events: list) -> dict[str, Any]:
    out: dict[str, Any] = {"calls": rows_of(events)}
    for kind, details, *_ in events:
        if kind in ("sigmas", "sample", "sample_img2img", "post_sample"):
            out[kind] = details
    return out


def hooks_of(events: list) -> list[Any]:
    """The order of everything, with what changed of `p`; neither numbers of the sampler nor rows."""
    numbers = ("unet", "cfg_denoiser", "cfg_denoised", "sigmas")
    out: list[Any] = []
    for kind, details, *changed in events:
        small = {} if kind in (*numbers, *SAMPLING) else details
        out.append([kind, small, *[one for one in changed if one]])
    return out


def events_of(case: cases.Case, events: list) -> Any:
    for _, _, *changed in events:
        for one in changed:
            one.get("extra_generation_params", {}).pop("Lora hashes", None)
    if events and events[0][0] == "setup":
        now = events[0][2]
        if not SETUP:
            SETUP.update(now)
        else:
            every = dict.fromkeys(SETUP, "(missing)") | now
            events[0][2] = {key: value for key, value in every.items() if SETUP.get(key, ...) != value}
    if case.keep == "rows":
        return {"calls": rows_of(events)}
    if case.keep == "sampling":
        return sampling_of(events)
    if case.keep == "hooks":
        return hooks_of(events)
    return [[kind, details, *[one for one in rest if one]] for kind, details, *rest in events]


def ask(host: Host, case: cases.Case) -> dict[str, Any]:
    """One request's entry in the recording."""
    number = host.probed()["number"]
    out: dict[str, Any] = {}
    try:
        answer = host.generate(case.tab, case.body())
        out["answer"] = answer_of(answer)
        if case.keep != "all" and case.keep != "answer":
            out["answer"] = {"images": out["answer"]["images"]}
    except AnswerError as error:
        out["refused"] = error_of(error)
    seen = host.probed()
    if case.keep != "answer" and seen["number"] != number:
        out["events"] = events_of(case, seen["events"])
    return without_ours(out)


def names() -> dict[str, list[str]]:
    every = {module: list(wanted) for module, wanted in NEEDED.items()}
    for module, more in cases.MORE_NAMES.items():
        every[module] = list(dict.fromkeys([*every.get(module, []), *more]))
    return every


def entry(value: Any) -> Any:
    """A list of a route by its names, an object by its keys."""
    if isinstance(value, list):
        return [item["name"] for item in value]
    return sorted(value) if isinstance(value, dict) else value


def still_parts(host: Host) -> dict[str, Any]:
    """What does not depend on a request."""
    options = host.get("/sdapi/v1/options")
    infotext = (
        cases.BASE["prompt"]
        + "\nNegative prompt: blurry\nSteps: 3, Sampler: Euler, CFG scale: 7.0, Seed: 1, Size: 64x64, PIA enabled: True"
    )
    scripts = [script for script in host.get("/sdapi/v1/script-info") if script["name"] == cases.TITLE.lower()]
    ids = {part["props"].get("elem_id") for part in host.get("/config")["components"]}
    return {
        "options": {name: options.get(name, "missing") for name in cases.OPTIONS},
        "gets": {path: entry(host.get(path)) for path in cases.GETS},
        "script-info": [{**script, "args": [sorted(arg) for arg in script["args"][:3]]} for script in scripts],
        "contract": host.post("/pia-probe/contract", names()),
        "ids": {name: name in ids for name in cases.PAGE_IDS},
        "infotext": without_ours(host.post("/sdapi/v1/png-info", image=_with_infotext(infotext))),
    }


def _with_infotext(infotext: str) -> str:
    import base64
    import io

    from PIL.PngImagePlugin import PngInfo

    from .pictures import picture

    text, buffer = PngInfo(), io.BytesIO()
    text.add_text("parameters", infotext)
    picture().save(buffer, "PNG", pnginfo=text)
    return base64.b64encode(buffer.getvalue()).decode()


PAGE_SCRIPT = """async (names) => {
    const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
    const kinds = {};
    for (const name of names) {
        let value;
        try { value = (0, eval)(name); } catch (error) { value = undefined; }
        kinds[name] = typeof value === "function" ? value.length : typeof value;
    }
    const calls = {onUiUpdate: 0, onAfterUiUpdate: 0, onUiTabChange: 0};
    onUiUpdate(() => { calls.onUiUpdate += 1; });
    onAfterUiUpdate(() => { calls.onAfterUiUpdate += 1; });
    onUiTabChange(() => { calls.onUiTabChange += 1; });
    await wait(1);
    const counted = {};
    const during = async (what, act) => {
        const before = {...calls};
        await act();
        counted[what] = Object.fromEntries(Object.keys(calls).map((name) => [name, calls[name] > before[name]]));
    };
    const node = document.createElement("div");
    gradioApp().appendChild(node);
    await wait(1);
    await during("one mutation", async () => { node.textContent = "a"; await wait(1); });
    await during("a mutation every 40 ms", async () => {
        for (let i = 0; i < 40; i += 1) { node.textContent = String(i); await wait(0.04); }
    });
    await wait(1);
    await during("nothing", () => wait(1));
    node.remove();
    await wait(1);
    await during("another tab", async () => {
        gradioApp().querySelectorAll("#tabs > .tab-nav > button")[1].click();
        await wait(1);
    });
    return {kinds, counted};
}"""


def page_of(url: str) -> dict[str, Any]:
    """Names that the page's scripts offer, and when its callbacks are called."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("PIA_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.route("**/*", lambda route: route.continue_() if "://127.0.0.1" in route.request.url else route.abort())
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_selector("#txt2img_prompt textarea")
        page.wait_for_function("Object.keys(opts).length > 0")
        page.wait_for_timeout(2000)
        seen = page.evaluate(PAGE_SCRIPT, cases.PAGE_NAMES)
        browser.close()
    return seen


def take(host: Host, only: str = "", real: bool = True) -> dict[str, Any]:
    """The whole recording of `host`; `only` requests whose name holds that, `real` those that minihost lacks too."""
    SETUP.clear()
    out: dict[str, Any] = {
        "host": {key: host.get("/pia-probe/host")[key] for key in ("tag", "commit", "python", "torch")}
    }
    out["requests"] = {}
    for name, case in cases.REQUESTS.items():
        if (only and only not in name and name != "txt2img") or (case.real and not real):
            continue
        out["requests"][name] = ask(host, case)
    if not only:
        out.update(still_parts(host))
    return out


def written(recording: dict[str, Any]) -> str:
    """JSON, one line per request and per part."""
    lines = []
    for key, value in recording.items():
        if key in ("requests", "contract"):
            inner = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios.record", description=__doc__.splitlines()[0])
    parser.add_argument("--webui", required=True, help="address of a running host")
    parser.add_argument("--out", type=Path, default=RECORDED)
    parser.add_argument("--only", default="", help="requests whose name holds this")
    parser.add_argument("--still", action="store_true", help="renew only what no request asks for: contract, ids ...")
    args = parser.parse_args()
    if args.still:
        recording = json.loads(args.out.read_text(encoding="utf-8")) | still_parts(Host(args.webui))
    else:
        recording = take(Host(args.webui), args.only)
    if not args.only:
        recording["page"] = page_of(args.webui)
    args.out.write_text(written(recording), encoding="utf-8")
    sys.stdout.write(f"{args.out}: {len(recording['requests'])} requests, {args.out.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
