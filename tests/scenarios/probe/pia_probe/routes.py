"""/pia-probe/...: what was recorded, which host this is, its contract with extensions, and the state of its model."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from typing import Any

from fastapi import Body, FastAPI

from . import run


def add(_: Any, app: FastAPI) -> None:
    for path, answer in (("record", record), ("host", host), ("state", state)):
        app.add_api_route(f"/pia-probe/{path}", answer, methods=["GET"])
    app.add_api_route("/pia-probe/contract", contract, methods=["POST"])


def record() -> dict[str, Any]:
    """The events of the last request that the probe was switched on in."""
    return run.last


def host() -> dict[str, Any]:
    """Which host this is, and where its models are."""
    import torch
    from modules import paths, shared

    launch = importlib.import_module("launch")
    commit = getattr(launch, "commit_hash", lambda: "")()
    return {
        "tag": launch.git_tag(),
        "commit": commit if isinstance(commit, str) else "",
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "models": str(paths.models_path),
        "data": str(paths.data_path),
        "checkpoint": shared.sd_model.sd_checkpoint_info.name_for_extra,
    }


def state() -> dict[str, Any]:
    """Everything that must be after a generation what it was before it."""
    import torch
    from modules import shared

    model = shared.sd_model
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    unet = model.model.diffusion_model
    hooks = [n for n, m in unet.named_modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]
    # what the host itself keeps in a layer (LoRA's network_...) comes and goes with its own loading
    own = {name: sorted(key for key in vars(m) if not key.startswith("network_")) for name, m in unet.named_modules()}
    return {
        "weights": digest.hexdigest(),
        "alphas": hashlib.sha256(model.alphas_cumprod.cpu().numpy().tobytes()).hexdigest(),
        "hooks": hooks,
        "replaced": sorted(key for key, value in vars(model).items() if callable(value)),
        "attributes": hashlib.sha256(repr(sorted(own.items())).encode()).hexdigest(),
        "blocks": [len(block) for block in (*unet.input_blocks, *unet.output_blocks)],
        "job_count": shared.state.job_count,
    }


def contract(names: dict[str, list[str]] = Body(...)) -> dict[str, Any]:  # noqa: B008
    """What each name of each module of the host is: for a function or class its parameters' names, else its type."""
    out: dict[str, Any] = {}
    for module_name, wanted in names.items():
        module = importlib.import_module(module_name)
        for name in wanted:
            value: Any = module
            for part in name.split("."):
                value = getattr(value, part, None) if value is not None else None
            out[f"{module_name}.{name}"] = _described(value)
    return out


def _described(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return type(value).__name__
    if not callable(value):
        return type(value).__name__
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return "callable"
    return [("*" * {"VAR_POSITIONAL": 1, "VAR_KEYWORD": 2}.get(p.kind.name, 0)) + p.name for p in parameters]
