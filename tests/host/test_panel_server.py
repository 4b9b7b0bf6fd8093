"""What the panel's JavaScript asks the server for: who may ask, what is missing, a picture's origin, frames."""

import io
import json
from types import SimpleNamespace

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

INFOTEXT = (
    "a sun, (masterpiece:1.2), sks toy <lora:sunny:0.8>\nNegative prompt: dark\n"
    "Steps: 4, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, Model hash: 1234567890, Model: elsewhere"
)


# ---- access


def client(api_auth, page):
    from lib_pia.host.panel.access import guard

    app = FastAPI()
    app.add_api_route("/", lambda: "in", dependencies=[Depends(guard(api_auth, page=page))])
    return TestClient(app)


def page_key():
    from lib_pia.host.panel.access import PAGE_HEADER, PAGE_KEY

    return {PAGE_HEADER: PAGE_KEY}


@pytest.mark.parametrize("page", [False, True])
def test_with_api_auth_passwords_and_the_page_get_in(host, page):
    guarded = client("a:b,c:d:e", page)
    assert guarded.get("/", auth=("a", "b")).status_code == guarded.get("/", auth=("c", "d:e")).status_code == 200
    assert guarded.get("/", headers=page_key()).status_code == 200
    for refused in (
        guarded.get("/"),
        guarded.get("/", auth=("a", "x")),
        guarded.get("/", auth=("x", "b")),
        guarded.get("/", headers={"Authorization": "Basic !!"}),
        guarded.get("/", headers={"X-PIA-Page": "x"}),
    ):
        assert refused.status_code == 401


def test_without_api_auth_only_the_page_gets_to_its_own_routes(host):
    assert client(None, False).get("/").status_code == 200
    assert client(None, True).get("/").status_code == 401
    assert client(None, True).get("/", auth=("", "")).status_code == 401
    assert client(None, True).get("/", headers=page_key()).status_code == 200


def test_the_page_is_given_its_key(host):
    from lib_pia.host.panel.access import PAGE_KEY
    from lib_pia.host.panel.notices import notice_html

    assert PAGE_KEY in notice_html()


# ---- what is missing


def status(host, model=""):
    return host.client.get("/pia/v1/status", params={"model": model}, headers=page_key()).json()


def test_nothing_is_said_where_all_is_well(host):
    answer = status(host)
    assert (answer["model_missing"], answer["model"], answer["checkpoint"]) == (False, None, None)


def test_a_missing_model_is_said(host, tmp_path):
    from lib_pia.host.panel.notices import notice_html

    with host.options(pia_model_dir=str(tmp_path / "<none>")):
        answer = status(host)
        assert answer["model_missing"] and str(tmp_path) in answer["model"]
        assert "&lt;none&gt;" in notice_html()


def test_a_wrong_file_is_said_and_noticed_when_it_changes(host, tmp_path, models):
    wrong = tmp_path / "motion.safetensors"
    wrong.write_bytes(b"no model")
    with host.options(pia_model_dir=str(tmp_path)):
        assert "motion.safetensors" in status(host, "motion.safetensors")["model"]
        assert status(host)["model_missing"]
        wrong.write_bytes((models.folder / "PIA" / models.pia()).read_bytes())
        assert status(host, "motion.safetensors")["model"] is None


def test_another_family_of_checkpoint_is_said(host, models):
    name = models.sdxl()
    with host.options(sd_model_checkpoint=name):
        assert "SDXL" in status(host)["checkpoint"]


# ---- the picture's origin


def origin(host, **body):
    return host.client.post("/pia/v1/origin", json=body, headers=page_key())


def picture(infotext):
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text("parameters", infotext)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=text)
    return "data:image/png;base64," + __import__("base64").b64encode(buffer.getvalue()).decode()


def test_words_that_the_prompt_lacks_are_found_in_the_pictures_infotext(host):
    answer = origin(host, picture=picture(INFOTEXT), prompt="A (Sun:1.1) rises").json()
    assert answer["infotext"] == INFOTEXT
    assert answer["missing"] == ["<lora:sunny:0.8>", "(masterpiece:1.2)", "sks toy"]
    assert "elsewhere" in answer["checkpoint"] and "style transfer" in answer["checkpoint"]


def test_nothing_is_missing_from_the_same_prompt(host):
    answer = origin(host, infotext=INFOTEXT, prompt="a sun, masterpiece, [sks toy], <lora:sunny:0.3>").json()
    assert answer["missing"] == []


def test_the_same_checkpoint_is_no_news(host):
    info = host.sd_models.model_data.sd_model.sd_checkpoint_info
    text = INFOTEXT.replace("1234567890", str(info.shorthash or "")).replace("elsewhere", info.name_for_extra)
    assert origin(host, infotext=text, prompt="").json()["checkpoint"] is None


def test_a_picture_without_infotext_has_nothing_to_tell(host):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    text = __import__("base64").b64encode(buffer.getvalue()).decode()
    assert origin(host, picture=text, prompt="").json() == {"infotext": "", "missing": [], "checkpoint": None}


@pytest.mark.parametrize(
    "body",
    [{"picture": "data:image/png;base64,AAAA"}, {"picture": "%%%"}, {}, {"infotext": 3}, {"infotext": "x" * 200_000}],
)
def test_what_is_no_picture_gets_a_sentence(host, body):
    answer = origin(host, **body)
    assert answer.status_code == 422 and answer.json()["detail"].endswith(".")


@pytest.mark.parametrize(
    "of_picture, prompt, missing",
    [
        ("((smile, open mouth:1.2)), 1girl", "1girl", ["smile", "open mouth"]),
        ("cat", "catfish", ["cat"]),
        ("a \\(b\\)", "x", ["a \\(b\\)"]),
        ("one AND two", "two", ["one"]),
        ("<lora:a:1>", "<lora:ab:1>", ["<lora:a:1>"]),
        ("", "x", []),
    ],
)
def test_missing_words(host, of_picture, prompt, missing):
    from lib_pia.host.panel.prompt_hints import missing_words

    assert missing_words(of_picture, prompt) == missing


# ---- frames of a clip


@pytest.fixture
def clip(host, tmp_path):
    """A clip of three colours in the list of last clips, as GIF only."""
    from lib_pia.host.delivery.recent_clips import recent
    from lib_pia.video import ClipOptions, encode_clip

    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    files = encode_clip(
        [Image.new("RGB", (16, 16), colour) for colour in colours],
        tmp_path / "clip",
        ["gif"],
        ClipOptions(infotext=INFOTEXT),
    )
    kept = recent.add(
        "img2img", INFOTEXT, [{"path": str(file.paths[0]), "format": file.format} for file in files], None, None
    )
    yield SimpleNamespace(id=kept.id, colours=colours)
    recent.clear()


def test_a_frame_comes_as_png_with_the_clips_infotext(host, clip):
    from lib_pia.host.panel.player import frame_of

    for number, colour in enumerate(clip.colours):
        answer = host.client.get(f"/pia/v1/frame/{clip.id}/{number}", headers=page_key())
        shown = Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((8, 8))
        assert all(abs(a - b) < 12 for a, b in zip(shown, colour))
        assert frame_of(clip.id, number).info["parameters"] == INFOTEXT


@pytest.mark.parametrize("number, clip_id", [(3, None), (0, 9999)])
def test_frames_and_clips_that_are_not_there_get_a_sentence(host, clip, number, clip_id):
    answer = host.client.get(f"/pia/v1/frame/{clip_id or clip.id}/{number}", headers=page_key())
    assert answer.status_code == 422 and "Clip" in json.dumps(answer.json())


def test_sending_fetches_the_frame_or_says_why_not(host, clip):
    from lib_pia.host.panel.player import _fetched

    image, infotext, done = _fetched(f"{clip.id}:1")
    assert (image.size, infotext, done) == ((16, 16), INFOTEXT, f"{clip.id}:1")
    assert "not in the list" in _fetched("9999:0")[2]
    assert "No frame" in _fetched("")[2]
