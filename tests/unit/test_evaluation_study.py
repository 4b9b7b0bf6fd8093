"""`study` and `tally`: nothing names a method, and only this study's answers are counted."""

import json
import re

import numpy as np
import pytest

from lib_pia.evaluation.cli import main

from .evaluation_toys import make_run

NAMES = [("m", picture, prompt) for picture in (1, 2) for prompt in (1, 2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / name, f"Method-{name}", NAMES, seed) for seed, name in enumerate("xyz")]


def study(runs, out, *options):
    return main(["study", *(part for run in runs for part in ("--run", str(run))), "--out", str(out), *options])


@pytest.fixture
def made(runs, tmp_path):
    assert study(runs, tmp_path / "study.html", "--questions", "3", "--seed", "1") == 0
    return tmp_path, json.loads((tmp_path / "study.key.json").read_text())


def shown(page):
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


def answers(folder, key, name, choose, **changes):
    """A participant's file; choose(order) gives the place of the clip that is preferred."""
    given = {
        "study": key["study"],
        "participant": name,
        "answers": [{"text": choose(q["order"]), "image": 0} for q in key["questions"]],
        **changes,
    }
    (folder / f"{name}.json").write_text(json.dumps(given))
    return str(folder / f"{name}.json")


def test_the_page_is_one_file_that_tells_no_names(made):
    folder, key = made
    page = (folder / "study.html").read_text()
    assert "Method-" not in page and "http" not in page and "infotext" not in page
    data = shown(page)
    assert len(data["questions"]) == 3 and all(len(question["clips"]) == 3 for question in data["questions"])
    assert set(data) == {"study", "questions"} and set(data["questions"][0]) == {"prompt", "picture", "clips"}
    assert all(sorted(question["order"]) == [0, 1, 2] for question in key["questions"])
    assert len({question["clip"] for question in key["questions"]}) == 3
    assert data["questions"][0]["clips"][0].startswith("data:video/mp4;base64,")


def test_the_order_says_which_clip_is_whose(made, runs):
    """The clips of the page, decoded, against the runs' own frames."""
    import base64

    from lib_pia.evaluation.answer import frames_of
    from lib_pia.evaluation.run_folder import RunFolder

    folder, key = made
    data = shown((folder / "study.html").read_text())
    for question, told in zip(data["questions"], key["questions"]):
        for address, number in zip(question["clips"], told["order"]):
            frames = frames_of(base64.b64decode(address.partition(",")[2])).astype(float)
            clips = [next(c for c in RunFolder(run).finished() if c.name == told["clip"]) for run in runs]
            errors = [np.abs(frames - frames_of(clip.file)).mean() for clip in clips]
            assert int(np.argmin(errors)) == number


def test_the_same_seed_gives_the_same_study_and_another_one_another(runs, tmp_path):
    ids = []
    for seed in ("1", "1", "2"):
        study(runs, tmp_path / "s.html", "--questions", "3", "--seed", seed)
        ids.append(json.loads((tmp_path / "s.key.json").read_text())["study"])
    assert ids[0] == ids[1] != ids[2]


def test_a_prompt_cannot_leave_its_script(tmp_path):
    runs = [make_run(tmp_path / name, name, NAMES[:1], prompt="</script><b>") for name in ("a", "b")]
    assert study(runs, tmp_path / "s.html") == 0
    page = (tmp_path / "s.html").read_text()
    assert page.count("</script>") == 1 and shown(page)["questions"][0]["prompt"].startswith("</script>")


def test_tally(made, capsys):
    folder, key = made
    files = [
        answers(folder, key, f"p{n}", lambda order, mine=mine: order.index(mine)) for n, mine in enumerate((2, 2, 2, 0))
    ]
    assert main(["tally", *files, "--key", str(folder / "study.key.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("Method-z") and "0.750 [0.468, 0.911]" in lines[3]  # 9 of 12
    assert "0.250 [0.089, 0.532]" in lines[1] and "0.000 [0.000, 0.242]" in lines[2]
    assert "4 participants, 12 answers per question" in lines[4] and "0.670" in lines[5] and "0.525" in lines[5]
    first = [sum(q["order"][0] == n for q in key["questions"]) * 4 / 12 for n in range(3)]
    assert [f"{share:.3f}" in line for share, line in zip(first, lines[1:4])] == [True] * 3


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"study": "other"}, "answers of the study 'other'"),
        ({"answers": []}, "does not have 3 answers"),
        ({"answers": [{"text": 3, "image": 0}] * 3}, "answers question 1 with 3"),
        ({"answers": [{"image": 0}] * 3}, "with None"),
        ({"answers": [{"text": True, "image": 0}] * 3}, "with True"),
    ],
)
def test_answers_that_do_not_belong_are_refused_whole(made, capsys, changes, said):
    folder, key = made
    good, bad = answers(folder, key, "good", lambda order: 0), answers(folder, key, "bad", lambda order: 0, **changes)
    assert main(["tally", good, bad, "--key", str(folder / "study.key.json")]) == 0
    captured = capsys.readouterr()
    assert said in captured.err and "It is left out." in captured.err and "1 participants, 3 answers" in captured.out
    assert main(["tally", bad, "--key", str(folder / "study.key.json")]) == 1
    assert "None of the 1 files" in capsys.readouterr().err


def test_nobody_is_counted_twice(made, capsys):
    folder, key = made
    file = answers(folder, key, "p", lambda order: 0)
    assert main(["tally", file, file, "--key", str(folder / "study.key.json")]) == 0
    captured = capsys.readouterr()
    assert "counted already" in captured.err and "1 participants" in captured.out


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_wrong_key_is_one_sentence(made, capsys, content):
    folder, key = made
    file = answers(folder, key, "p", lambda order: 0)
    wrong = folder / "wrong.json"
    if content is not None:
        wrong.write_text(content)
    assert main(["tally", file, "--key", str(wrong)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_study_needs_two_runs_with_clips_in_common(runs, tmp_path, capsys):
    assert study(runs[:1], tmp_path / "s.html") == 1
    assert "two or more runs" in capsys.readouterr().err
    lonely = make_run(tmp_path / "lonely", "Lonely", [("other", 1, 1)])
    assert study([runs[0], lonely], tmp_path / "s.html") == 1
    assert "0 clips in common" in capsys.readouterr().err
    assert study(runs, tmp_path / "s.html", "--questions", "9") == 0
    assert "only 4 clips in common" in capsys.readouterr().err
