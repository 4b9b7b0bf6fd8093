"""The documents say what is true: every error sentence, every setting, every file that they point at."""

import re

import pytest

from lib_pia.settings_fields import FIELDS
from tests.error_texts import DOCUMENTS, ROOT, listing, sentences, with_list

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path, training", DOCUMENTS, ids=["ERRORS", "TRAINING"])
def test_every_error_text_is_in_its_document(path, training):
    text = path.read_text(encoding="utf-8")
    assert text == with_list(text, training), "run: python -m tests.error_texts"
    assert len(listing(training)) > 1000


def test_the_list_finds_new_sentences(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        'def f(n):\n    raise SettingsError(f"Clip {n} is odd; "\n                        "make it even.")\n'
    )
    assert sentences(file) == ["Clip … is odd; make it even."]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_is_in_the_table(field):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{field.name}`"))
    assert field.label in row or field.name == "enabled"
    for choice in field.choices:
        assert f"`{choice}`" in row or str(choice) in row


def test_links_lead_to_files():
    documents = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    for path in [*documents, *sorted((ROOT / "docs").glob("*.md"))]:
        document = path.name
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{document} points at {target}"
