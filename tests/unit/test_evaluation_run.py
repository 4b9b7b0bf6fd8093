"""`run`: no clip is lost and none is made twice, whatever ends it; a failure is one sentence and the rest goes on."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lib_pia.evaluation.answer import frames_of
from lib_pia.evaluation.bench import BenchClip
from lib_pia.evaluation.cli import main
from lib_pia.evaluation.errors import EvaluationError
from lib_pia.evaluation.run import Run, seed_of, size_of
from lib_pia.evaluation.run_folder import RunFolder
from lib_pia.evaluation.run_options import RunOptions

from .evaluation_toys import FRAMES, METHOD, FakeWebUI, apng, write_bench

ROOT = Path(__file__).resolve().parents[2]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def run(tmp_path, *urls, said=None, **options):
    method = tmp_path / "bench" / "method.yaml"
    said = [] if said is None else said
    return Run(
        RunOptions(tmp_path / "bench", tmp_path / "out", tuple(urls), str(method), **{"patience": 0.3, **options}),
        said.append,
    )()


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "bench").mkdir()
    write_bench(tmp_path / "bench")
    return tmp_path


def test_every_clip_is_kept_with_its_settings(bench):
    with FakeWebUI() as host:
        outcome = run(bench, host.url)
    assert outcome.is_complete and outcome.made == 4 and outcome.kept == 0
    folder = RunFolder(bench / "out")
    clips = {clip.name: clip for clip in folder.finished()}
    assert list(clips) == ["one/1-1", "one/1-2", "one/2-1", "one/2-2"]
    clip = clips["one/2-1"]
    assert clip.file.read_bytes() == apng(1000) and frames_of(clip.file).shape == (FRAMES, 8, 8, 3)
    assert clip.picture.read_bytes() == (bench / "bench" / "img" / "one" / "2.png").read_bytes()
    record = clip.record
    assert (record["prompt"], record["negative"], record["seed"]) == ("one 2 does 1", "bad", 1000)
    assert record["infotext"] == "one 2 does 1\nSeed: 1000" and record["checkpoint"] == "one.safetensors [abc]"
    assert (
        record["request"]["width"] == 16
        and record["request"]["height"] == 24
        and record["request"]["init_images"] == ["(the picture)"]
    )
    assert folder.described()["method"] == "Fake" and not list((bench / "out").rglob(".pia-*"))


def test_a_second_run_makes_nothing_again_but_what_changed(bench):
    with FakeWebUI() as host:
        run(bench, host.url)
        assert run(bench, host.url).kept == 4 and len(host.requests) == 4
        table = bench / "bench" / "models.yaml"
        table.write_text(table.read_text().replace("trigger: ''", "trigger: magic"))
        said = []
        outcome = run(bench, host.url, said=said)
        assert outcome.made == 4 and host.requests[-1]["prompt"].startswith("magic, one") and "made again" in said[0]


def test_killed_between_clip_and_record(bench):
    with FakeWebUI() as host:
        run(bench, host.url)
        clips = bench / "out" / "clips" / "one"
        (clips / "1-2.json").unlink()  # killed after the clip, before its record
        (clips / ".pia-aaaa.png").write_bytes(b"half")  # killed while it wrote
        (clips / "2-2.png").unlink()
        outcome = run(bench, host.url)
    assert (outcome.made, outcome.kept) == (2, 2)
    assert sorted(file.name for file in clips.iterdir()) == [
        f"{n}.{kind}" for n in ("1-1", "1-2", "2-1", "2-2") for kind in ("json", "png")
    ]


def test_kill_9_loses_and_doubles_no_clip(bench):
    """A real process, killed in the middle of the second clip."""
    asked = threading.Event()

    def slow(body):
        if len(host.requests) == 2:
            asked.set()
            time.sleep(1)
        return FakeWebUI.clip(body)

    with FakeWebUI(handle=slow) as host:
        command = [
            sys.executable,
            "-m",
            "lib_pia.evaluation",
            "run",
            "--bench",
            str(bench / "bench"),
            "--out",
            str(bench / "out"),
            "--method",
            str(bench / "bench" / "method.yaml"),
            "--url",
            host.url,
        ]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert [clip.name for clip in RunFolder(bench / "out").finished()] == ["one/1-1"]
        finished = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
        )
    assert finished.returncode == 0 and "4 clips" in finished.stdout and "(3 new)" in finished.stdout
    assert "4/4" in finished.stderr and "<" in finished.stderr  # tqdm: [elapsed<remaining
    assert len({clip.record["seed"] for clip in RunFolder(bench / "out").finished()}) == 4
    seeds = [request["seed"] for request in host.requests]
    assert len(seeds) == 5 and len(set(seeds)) == 4  # only the interrupted clip was asked for twice


def test_ctrl_c_keeps_what_is_finished(bench):
    def slow(body):
        if len(host.requests) == 2:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            raise ConnectionError  # nobody listens any more
        return FakeWebUI.clip(body)

    with FakeWebUI(handle=slow) as host:
        command = [
            sys.executable,
            "-m",
            "lib_pia.evaluation",
            "run",
            "--bench",
            str(bench / "bench"),
            "--out",
            str(bench / "out"),
            "--method",
            str(bench / "bench" / "method.yaml"),
            "--url",
            host.url,
        ]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        )
        said = process.communicate(timeout=180)[1]
    assert process.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
    assert [clip.name for clip in RunFolder(bench / "out").finished()] == ["one/1-1"]


def test_a_server_that_dies_gives_its_clips_to_the_others(bench):
    def die(body):
        time.sleep(0.05)
        if len(dying.requests) == 1:
            return FakeWebUI.clip(body)
        threading.Thread(target=dying.stop).start()
        raise ConnectionError

    def steady(body):
        time.sleep(0.2)
        return FakeWebUI.clip(body)

    said = []
    with FakeWebUI(handle=steady) as host:
        dying = FakeWebUI(handle=die)
        outcome = run(bench, host.url, dying.url, said=said)
    assert outcome.is_complete and outcome.made == 4 and len(dying.requests) == 2
    assert any("does not answer any more" in sentence and dying.url in sentence for sentence in said)
    seeds = [clip.record["seed"] for clip in RunFolder(bench / "out").finished()]
    assert sorted(seeds) == [0, 100, 1000, 1100]


def test_a_server_that_comes_back_goes_on(bench):
    def once(body):
        if len(host.requests) == 2:
            raise ConnectionError
        return FakeWebUI.clip(body)

    with FakeWebUI(handle=once) as host:
        outcome = run(bench, host.url, patience=20)
    assert outcome.is_complete and outcome.made == 4


def test_a_clip_that_ends_servers_is_given_up_and_the_rest_goes_on(bench):
    def never(body):
        if body["seed"] == 100:
            raise ConnectionError
        return FakeWebUI.clip(body)

    with FakeWebUI(handle=never) as host:
        outcome = run(bench, host.url, patience=20)
    assert (
        outcome.made == 3 and list(outcome.failed) == ["one/1-2"] and "stopped answering" in outcome.failed["one/1-2"]
    )


def test_all_servers_gone_is_said_and_what_is_finished_stays(bench, capsys):
    def die(body):
        if len(host.requests) == 2:
            threading.Thread(target=host.stop).start()
            raise ConnectionError
        return FakeWebUI.clip(body)

    host = FakeWebUI(handle=die)
    code = main(
        [
            "run",
            "--bench",
            str(bench / "bench"),
            "--out",
            str(bench / "out"),
            "--method",
            str(bench / "bench" / "method.yaml"),
            "--url",
            host.url,
            "--patience",
            "0.2",
        ]
    )
    assert code == 1 and "3 clips were not made" in capsys.readouterr().err
    assert [clip.name for clip in RunFolder(bench / "out").finished()] == ["one/1-1"]


def test_each_server_keeps_its_model(tmp_path):
    """Loading a checkpoint takes long: with two models and two servers nobody changes it."""
    (tmp_path / "bench").mkdir()
    write_bench(tmp_path / "bench", ("one", "two"), pictures=3)
    slow = threading.Barrier(2, timeout=20)

    def together(body):
        slow.wait()
        return FakeWebUI.clip(body)

    both = ("one.safetensors", "two.safetensors")
    with FakeWebUI(both, handle=together) as a, FakeWebUI(both, handle=together) as b:
        assert run(tmp_path, a.url, b.url).made == 12
    for host in (a, b):
        assert len({request["override_settings"]["sd_model_checkpoint"] for request in host.requests}) == 1


def test_first_use_writes_the_table_and_asks_for_what_is_missing(tmp_path):
    (tmp_path / "bench").mkdir()
    write_bench(tmp_path / "bench", ("one", "two"))
    with FakeWebUI() as host:
        with pytest.raises(
            EvaluationError, match="models.yaml was written; give the checkpoint of two .* There are: one.safetensors"
        ):
            run(tmp_path, host.url)
        said = []
        outcome = run(tmp_path, host.url, said=said)  # not edited: the rest is made
    assert outcome.made == 4 and outcome.missing == ["two"] and not outcome.is_complete
    assert "No WebUI has the checkpoint 'two.safetensors'" in said[0] and "4 clips" in said[0]


def test_a_model_that_only_one_server_has(tmp_path):
    (tmp_path / "bench").mkdir()
    write_bench(tmp_path / "bench", ("one", "two"))
    with FakeWebUI(("one.safetensors",)) as a, FakeWebUI(("two.safetensors",)) as b:
        assert run(tmp_path, a.url, b.url).made == 8
        assert len(a.requests) == len(b.requests) == 4


@pytest.mark.parametrize(
    "answer, why",
    [
        ((422, {"detail": "PIA setting fps is 0; it must be from 1 to 60."}), "PIA setting fps is 0"),
        ((500, {"error": "OutOfMemoryError", "detail": "", "errors": "CUDA out of memory"}), "CUDA out of memory"),
        ((200, {"images": []}), "no images"),
        ((200, {"images": ["%%%"]}), "not base64"),
        ((200, {"images": ["QUJD"]}), "cannot be read"),
        ((200, {}), "no images"),
    ],
)
def test_a_refused_request_is_said_and_the_rest_goes_on(bench, answer, why):
    def refuse(body):
        return answer if body["seed"] == 100 else FakeWebUI.clip(body)

    with FakeWebUI(handle=refuse) as host:
        outcome = run(bench, host.url)
    assert outcome.made == 3 and list(outcome.failed) == ["one/1-2"] and why in outcome.failed["one/1-2"]


def test_an_answer_that_is_no_clip_of_the_right_model_and_length_is_refused(bench):
    def wrong(body):
        status, answer = FakeWebUI.clip(body)
        if body["seed"] == 0:
            answer["info"] = json.dumps({"sd_model_name": "another"})
        elif body["seed"] == 100:
            answer["images"] = [encoded(apng(1, FRAMES + 1))]
        elif body["seed"] == 1000:
            answer["images"] = [encoded(apng(1, 1))] * FRAMES
        return status, answer

    with FakeWebUI(handle=wrong) as host:
        failed = run(bench, host.url).failed
    assert "checkpoint another instead of one" in failed["one/1-1"] and f"{FRAMES + 1} frames" in failed["one/1-2"]
    assert "nothing was animated" in failed["one/2-1"] and len(failed) == 3


def test_stills_become_a_lossless_clip(bench):
    (bench / "bench" / "method.yaml").write_text(yaml.safe_dump({**METHOD, "answer": "clip and stills", "fps": 8}))
    singles = [apng(seed, 1) for seed in range(FRAMES)]

    def stills(body):
        status, answer = FakeWebUI.clip(body)
        return status, {**answer, "images": [*answer["images"], *map(encoded, singles)]}

    with FakeWebUI(handle=stills) as host:
        assert run(bench, host.url).made == 4
    clip = next(RunFolder(bench / "out").finished())
    wanted = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in singles])
    assert (frames_of(clip.file) == wanted).all() and clip.record["fps"] == 8


def test_a_wrong_picture_is_said_and_the_rest_goes_on(bench):
    (bench / "bench" / "img" / "one" / "1.png").write_bytes(b"not a picture")
    with FakeWebUI() as host:
        outcome = run(bench, host.url)
    assert (
        outcome.made == 2
        and list(outcome.failed) == ["one/1-1", "one/1-2"]
        and "cannot be read" in outcome.failed["one/1-1"]
    )


def test_a_webui_without_the_extension_is_left_out(bench):
    said = []
    with FakeWebUI() as good, FakeWebUI(scripts=("seed",)) as bare:
        with pytest.raises(EvaluationError, match=r"no extension Animate \(PIA\) in img2img"):
            run(bench, bare.url)
        assert run(bench, bare.url, good.url, said=said).made == 4 and bare.requests == []
    assert "no extension" in said[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9", "http://", "nonsense://x"])
def test_no_server_is_one_sentence(bench, url, capsys):
    assert main(["run", "--bench", str(bench / "bench"), "--out", str(bench / "out"), "--url", url]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and url.split("//")[-1] in said


def test_a_folder_of_another_run_is_refused(bench):
    with FakeWebUI() as host:
        run(bench, host.url)
        method = bench / "bench" / "method.yaml"
        method.write_text(method.read_text().replace("Fake", "Other"))
        with pytest.raises(EvaluationError, match="holds a run of method 'Fake'"):
            run(bench, host.url)
        assert len(host.requests) == 4


def test_a_password_in_the_address_is_not_written_down(bench):
    with FakeWebUI() as host:
        run(bench, host.url.replace("http://", "http://user:secret@"))
    assert not [file for file in (bench / "out").rglob("*.json") if "secret" in file.read_text()]


def test_sizes_and_seeds():
    def png(width, height):
        buffer = io.BytesIO()
        Image.new("RGB", (width, height)).save(buffer, "PNG")
        return buffer.getvalue()

    assert size_of(png(512, 512), 512) == (512, 512) and size_of(png(1024, 768), 512) == (512, 384)
    assert size_of(png(100, 61), 512) == (96, 56) and size_of(png(900, 4), 512) == (512, 8)
    seeds = [seed_of(BenchClip("m", p, n, Path(), ""), 5) for p in range(1, 6) for n in range(1, 4)]
    assert (
        seeds[0] == 5 and min(b - a for a, b in zip(seeds, seeds[1:])) >= 32
    )  # the longest clip's seeds follow each other
