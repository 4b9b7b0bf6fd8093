"""contract.PAGE_...: what javascript/ uses of the host's page, nothing more, nothing less."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {file.name: file.read_text(encoding="utf-8") for file in sorted((ROOT / "javascript").glob("*.js"))}
ALL = "\n".join(SOURCES.values())
CODE = re.sub(r"/\*.*?\*/|//[^\n]*", "", ALL, flags=re.DOTALL)
OF_BROWSERS = {"devicePixelRatio", "pia", "fetch"}  # of window


def listed(name):
    """A tuple of contract.py, which itself can only be imported beside a host."""
    tree = ast.parse((ROOT / "lib_pia/host/contract.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == name]
    return set(ast.literal_eval(assigned[0].value))


def test_functions():
    used = set(re.findall(r"\b(gradioApp|on(?:Ui|After|Options)\w+|updateInput|uiElement\w+|get_ui\w+)\(", CODE))
    assert used == listed("PAGE_FUNCTIONS")


def test_variables():
    assert set(re.findall(r"\bwindow\.(\w+)", CODE)) - OF_BROWSERS == listed("PAGE_VARIABLES")


def test_elements():
    used = set(re.findall(r"getElementById\([\"`]([^\"`]+)[\"`]\)", CODE))
    selectors = re.findall(r"querySelector(?:All)?\([\"`]([^\"`]*)", CODE)
    used |= {name for text in selectors for name in re.findall(r"#([\w${}.]+)", text)}
    used |= set(re.findall(r"`(\$\{panel\.tab\}_gallery|html_info_\$\{panel\.tab\})`", CODE))
    names = {name.replace("${panel.tab}", "TAB") for name in used if "_pia_" not in name and name != "${tab}"}
    assert names == listed("PAGE_ELEMENTS")
