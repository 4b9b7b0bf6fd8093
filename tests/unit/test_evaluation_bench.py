"""What is read of AnimateBench, of models.yaml and of a method, and what is said of the rest."""

import pytest
import yaml

from lib_pia.evaluation.bench import read_bench
from lib_pia.evaluation.errors import EvaluationError
from lib_pia.evaluation.method import load_method, shipped
from lib_pia.evaluation.models_table import ModelEntry, read_table, write_table

from .evaluation_toys import METHOD, write_bench


def config_of(folder, model="one"):
    return folder / "configs" / f"{model}.yaml"


def change(folder, **values):
    file = config_of(folder)
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **values}))


def test_the_layout_is_read(tmp_path):
    write_bench(tmp_path, ("one", "two"), pictures=5, prompts=3)
    bench = read_bench(tmp_path)
    assert len(bench.clips) == 30 and bench.models == ["one", "two"] and bench.notes == []
    clip = bench.clips[7]
    assert (clip.name, clip.prompt, clip.negative) == ("one/3-2", "one 3 does 2", "bad")
    assert clip.picture_file == tmp_path / "img" / "one" / "3.png"
    assert bench.checkpoints == {"one": "one.safetensors", "two": "two.safetensors"}


@pytest.mark.parametrize(
    "data",
    [
        {"input_name": "one", "validation_input_path": "img"},
        {"input_name": [1, 2]},
        {"input_name": ["1.png", "2.png"], "validation_input_path": "example/one"},
        {"validation_input_path": "img/one"},
        {},
        None,
    ],
)
def test_pictures_are_found_however_they_are_named(tmp_path, data):
    write_bench(tmp_path)
    change(tmp_path, validation_data=data)
    assert [clip.picture_file.name for clip in read_bench(tmp_path).clips] == ["1.png", "1.png", "2.png", "2.png"]


def test_one_picture_by_name(tmp_path):
    write_bench(tmp_path)
    change(
        tmp_path,
        prompts=["a", "b"],
        validation_data={"input_name": "2", "validation_input_path": "img/one"},
        n_prompt="bad",
    )
    clips = read_bench(tmp_path).clips
    assert [(clip.picture_file.name, clip.prompt, clip.negative) for clip in clips] == [
        ("2.png", "a", "bad"),
        ("2.png", "b", "bad"),
    ]


def test_ten_comes_after_two(tmp_path):
    write_bench(tmp_path, pictures=10, prompts=1)
    assert [clip.picture for clip in read_bench(tmp_path).clips] == list(range(1, 11))


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "cannot be read"),
        ("[1]", "not a table"),
        ("prompts: []", "no prompts"),
        ("prompts: [[a]]\nvalidation_data: {input_name: nobody}", "no picture"),
    ],
)
def test_a_config_that_cannot_be_used_is_said_and_the_rest_goes_on(tmp_path, text, said):
    write_bench(tmp_path)
    (tmp_path / "configs" / "broken.yaml").write_text(text)
    if "nobody" in text:  # no folder img/broken, and img itself has no pictures
        assert not list((tmp_path / "img").glob("*.png"))
    bench = read_bench(tmp_path)
    assert len(bench.clips) == 4
    assert len(bench.notes) == 1 and bench.notes[0].startswith("configs/broken.yaml: ") and said in bench.notes[0]


def test_what_was_not_understood_is_said(tmp_path):
    write_bench(tmp_path)
    change(tmp_path, surprise=1, prompts=[["a", 3], ["b"], ["c"]], n_prompt=["x", "y"])
    notes = " ".join(read_bench(tmp_path).notes)
    for part in (
        "surprise was not understood",
        "picture 1 are not all texts",
        "3 lists of prompts for 2 pictures",
        "n_prompt holds 2",
    ):
        assert part in notes


def test_a_folder_without_configs_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="no configs"):
        read_bench(tmp_path)


def test_the_table_of_models(tmp_path):
    file = tmp_path / "models.yaml"
    write_table(file, ["one", "two"], {"one": "one.safetensors"})
    assert read_table(file, ["one", "two", "new"]) == {
        "one": ModelEntry("one.safetensors"),
        "two": ModelEntry(),
        "new": ModelEntry(),
    }
    file.write_text("one: {checkpoint: a, trigger: 'magic,', lora: '<lora:x:1>'}\ntwo: b.safetensors\n")
    entries = read_table(file, ["one", "two"])
    assert entries["one"].prompt("a cat") == "magic, a cat <lora:x:1>" and entries["two"] == ModelEntry("b.safetensors")
    assert entries["two"].prompt("a cat") == "a cat"


@pytest.mark.parametrize("text", ["{", "[1]", "one: {checkpoint: a, vae: b}", "one: [a]"])
def test_a_wrong_table_is_refused(tmp_path, text):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(EvaluationError, match="models.yaml"):
        read_table(tmp_path / "models.yaml", ["one"])


def test_placeholders_keep_their_type_and_texts_are_not_filled_twice(tmp_path):
    (tmp_path / "m.yaml").write_text(
        yaml.safe_dump({**METHOD, "request": {"a": ["{picture}"], "p": "x {prompt} y", "s": {"n": "{seed}"}}})
    )
    filled = load_method(str(tmp_path / "m.yaml")).fill({"picture": "AAAA", "prompt": "{seed} {curly}", "seed": 7})
    assert filled == {"a": ["AAAA"], "p": "x {seed} {curly} y", "s": {"n": 7}}


def test_the_shipped_methods_are_sound():
    assert shipped() == ["animatediff_controlnet_ipadapter", "pia"]
    pia, baseline = (load_method(name) for name in ("pia", "animatediff_controlnet_ipadapter"))
    values = {"picture": "P", "prompt": "p", "negative": "n", "seed": 1, "width": 2, "height": 3}
    assert pia.fill(values)["init_images"] == ["P"] and pia.needs == ("Animate (PIA)",)
    scripts = baseline.fill(values)["alwayson_scripts"]
    assert [unit.get("image") for unit in scripts["ControlNet"]["args"]] == ["P", "P", None]
    assert scripts["AnimateDiff"]["args"][0]["closed_loop"] == "N"  # YAML takes a bare N for false


@pytest.mark.parametrize(
    "change, said",
    [
        ({"surprise": 1}, "surprise"),
        ({"answer": "gif"}, "answer"),
        ({"endpoint": "x"}, "endpoint"),
        ({"request": {"prompt": "{prompt} {foo}"}}, "foo"),
        ({"request": {"seed": 1}}, "prompt"),
        ({"request": None}, "no request"),
    ],
)
def test_a_wrong_method_is_refused(tmp_path, change, said):
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**METHOD, **change}))
    with pytest.raises(EvaluationError, match=said):
        load_method(str(tmp_path / "m.yaml"))
    with pytest.raises(EvaluationError, match="animatediff_controlnet_ipadapter, pia"):
        load_method("nothing")
