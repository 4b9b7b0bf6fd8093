"""`python dev.py bench engine`: what PIA costs in the UNet, as ratios measured in one run on one thread of the CPU (or
on a GPU).

The UNet and the PIA model have SD1.5's full width and random weights (times do not depend on the values); 16 frames
with guidance, so 32 rows. (a) PIA forward / the same UNet without PIA on the same rows, beside the ratio of their
multiply-adds; (b) PIA forward / diffusers' UNetMotionModel of the same shape; (c) peak memory, each in a process of its
own. Rounds alternate; the table shows medians of each round's ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib_pia.injection import inject
from lib_pia.model import SD15_CHANNELS, PIAModel
from tests.tiny_models import build_unet

FRAMES, ROWS, TOKENS, CONTEXT = 16, 32, 77, 768


def randomise(module: torch.nn.Module) -> None:
    for p in module.parameters():
        p.data.normal_(0, 0.02)


class Engine:
    """Full-width UNet with PIA injected (`pia`) and as it is (`plain`)."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.unet = build_unet(width=320, context_dim=CONTEXT).to(device, dtype)
        self.unet.dtype = dtype
        self.model = PIAModel().eval().requires_grad_(False).to(device, dtype)
        for module in (self.unet, self.model):
            randomise(module)

    def calls(self, pixels: int, device: str, dtype: torch.dtype) -> dict:
        side = pixels // 8
        make = {"device": device, "dtype": dtype}
        x, context = torch.randn(ROWS, 4, side, side, **make), torch.randn(ROWS, TOKENS, CONTEXT, **make)
        condition, t = torch.randn(FRAMES, 5, side, side, **make), torch.full((ROWS,), 501, device=device)

        def plain():
            return self.unet(x, t, context=context)

        def pia():
            with inject(self.unet, self.model, condition):
                return self.unet(x, t, context=context)

        return {"plain": plain, "pia": pia}


def diffusers_call(device: str, dtype: torch.dtype):
    """pixels -> a call of diffusers' UNetMotionModel (PIAPipeline's network: 9 input channels) on the same rows."""
    from diffusers import UNetMotionModel

    net = (
        UNetMotionModel(
            sample_size=64,
            in_channels=9,
            block_out_channels=SD15_CHANNELS,
            cross_attention_dim=CONTEXT,
            num_attention_heads=8,
            motion_num_attention_heads=8,
            use_motion_mid_block=False,
        )
        .eval()
        .requires_grad_(False)
        .to(device, dtype)
    )
    randomise(net)

    def call(pixels: int):
        side = pixels // 8
        x = torch.randn(ROWS // FRAMES, 9, FRAMES, side, side, device=device, dtype=dtype)
        context = torch.randn(ROWS, TOKENS, CONTEXT, device=device, dtype=dtype)
        return lambda: net(x, 501, encoder_hidden_states=context).sample

    return call


def seconds(call, device: str) -> float:
    """CPU seconds of this thread, or GPU wall seconds."""
    if device == "cpu":
        start = time.thread_time()
        call()
        return time.thread_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def multiply_adds(call) -> float:
    with (
        torch.enable_grad(),
        FlopCounterMode(display=False) as counter,
    ):  # the counter does not know the in-place product of no_grad
        call()
    return counter.get_total_flops() / 2


def peak_of(kind: str, pixels: int) -> float:
    """Peak memory in GB of one forward, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.engine", "--peak", kind, "--pixels", str(pixels)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def measure_peak(kind: str, pixels: int) -> None:
    cpu = ("cpu", torch.float32)
    call = diffusers_call(*cpu)(pixels) if kind == "diffusers" else Engine(*cpu).calls(pixels, *cpu)[kind]
    weights = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM starts again from here
    call()
    peak = (
        int(
            next(
                line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
            ).split()[1]
        )
        * 1024
    )
    print(json.dumps([peak / 2**30, (peak - weights) / 2**30]))


def bench(pixels: list[int], rounds: int, device: str) -> None:
    dtype = torch.float32 if device == "cpu" else torch.float16
    engine, diffusers = Engine(device, dtype), diffusers_call(device, dtype)
    name = str(dtype).removeprefix("torch.")
    print(
        f"{FRAMES} frames with guidance ({ROWS} rows), full SD1.5 width, {name} on {device}, {rounds} rounds, "
        "medians (min..max)"
    )
    for side in pixels:
        calls = {**engine.calls(side, device, dtype), "diffusers": diffusers(side)}
        counted = multiply_adds(calls["pia"]) / multiply_adds(calls["plain"])
        calls["diffusers"]()
        times = [{kind: seconds(call, device) for kind, call in calls.items()} for _ in range(rounds)]
        took = {kind: statistics.median(t[kind] for t in times) for kind in calls}
        to_plain = [t["pia"] / t["plain"] for t in times]
        print(f"\n{side} px, seconds a forward: " + ", ".join(f"{kind} {value:.2f}" for kind, value in took.items()))
        of_count = statistics.median(to_plain) / counted
        print(
            f"  PIA / plain      {spread(to_plain)}; counted multiply-adds {counted:.3f}, so {of_count:.3f} x the count"
        )
        print(f"  PIA / diffusers  {spread([t['pia'] / t['diffusers'] for t in times])}", flush=True)
    if device == "cpu":
        del engine, diffusers, calls
        for kind in ("plain", "pia", "diffusers"):
            peak, above = peak_of(kind, pixels[-1])
            print(
                f"  peak memory at {pixels[-1]} px, {kind:9}  {peak:.2f} GiB, {above:.2f} GiB above the weights",
                flush=True,
            )
    else:
        print(f"25 steps: {25 * took['pia']:.1f} s")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}..{max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=("plain", "pia", "diffusers"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.peak:
        measure_peak(args.peak, args.pixels[0])
    else:
        bench(args.pixels or ([64, 128] if device == "cpu" else [512]), args.rounds, device)


if __name__ == "__main__":
    main()
