"""minihost against a real WebUI checkout: every name that it offers exists there, with the same parameters, defaults and fields.

    PIA_WEBUI_DIR=/path/to/stable-diffusion-webui python -m pytest -m host tests/host/test_contract.py

Only source text of the WebUI is read (ast); nothing of it is imported.
"""
from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

MINIHOST = Path(__file__).resolve().parents[2] / "demo" / "minihost"
# minihost's own modules that hold a part of a public one; all other modules whose name starts with "_" are its own affair.
PART_OF = {"_script_api": "scripts", "_processing_base": "processing", "_processing_loop": "processing", "_processing_txt2img": "processing",
           "_processing_result": "processing", "_processing_latents": "processing", "_processing_img2img": "processing", "_filenames": "images"}
ORDER = ("process", "init", "apply_unet", "reload_model_weights", "before_process_batch", "parse_extra_network_prompts", "process_batch",
         "setup_conds",
         "apply_alpha_schedule_override", "sample", "post_sample", "postprocess_batch", "postprocess_batch_list", "postprocess_image",
         "postprocess_maskoverlay", "postprocess_image_after_composite", "postprocess")
PROCESSING = ("StableDiffusionProcessing", "StableDiffusionProcessingTxt2Img", "StableDiffusionProcessingImg2Img")


@pytest.fixture(scope="module")
def webui() -> Path:
    folder = os.environ.get("PIA_WEBUI_DIR")
    assert folder, "PIA_WEBUI_DIR must name a WebUI checkout (git checkout v1.10.1)"
    assert (Path(folder) / "modules" / "processing.py").is_file(), f"{folder} is no WebUI checkout"
    return Path(folder)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"))


def public_modules() -> list[tuple[str, Path]]:
    """(name of the module in the WebUI, file of minihost)."""
    found = []
    for path in sorted((MINIHOST / "modules").rglob("*.py")):
        name = path.relative_to(MINIHOST / "modules").with_suffix("").as_posix()
        if not name.startswith("_") and not name.endswith("__init__"):
            found.append((name, path))
        elif name in PART_OF:
            found.append((PART_OF[name], path))
    return found


def top_level(module: ast.Module) -> dict[str, ast.AST]:
    """Names that a module defines, assigns or imports at its top level (also inside `if` and `try`)."""
    names: dict[str, ast.AST] = {}

    def visit(nodes):
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                names[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    names.update((name.id, node) for name in ast.walk(target) if isinstance(name, ast.Name))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names.update(((alias.asname or alias.name).split(".")[0], node) for alias in node.names)
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                visit(node.body)
                visit(getattr(node, "orelse", []))
    visit(module.body)
    return names


def parameters(function: ast.FunctionDef) -> list[str]:
    """The parameters as text, without annotations: names, order, kinds and defaults."""
    function = ast.parse(ast.unparse(function)).body[0]
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    args = function.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults

    def shown(arg, default):
        return arg.arg if default is None else f"{arg.arg}={ast.unparse(default)}"

    out = [shown(arg, default) for arg, default in zip(positional, defaults)]
    out += [f"*{args.vararg.arg}"] if args.vararg else []
    out += [f"{shown(arg, default)} (keyword)" for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    return out + ([f"**{args.kwarg.arg}"] if args.kwarg else [])


def members(node: ast.ClassDef) -> dict[str, ast.AST]:
    found = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            found.setdefault(item.name, item)
        elif isinstance(item, (ast.Assign, ast.AnnAssign)):
            for target in item.targets if isinstance(item, ast.Assign) else [item.target]:
                if isinstance(target, ast.Name):
                    found[target.id] = item
    return found


def attributes(node: ast.ClassDef) -> set[str]:
    """Everything that the class says of `self.x`."""
    return {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name)
            and item.value.id == "self"}


def bases_of(node: ast.ClassDef, names: dict[str, ast.AST]) -> list[ast.ClassDef]:
    found = [node]
    for base in node.bases:
        other = names.get(base.id) if isinstance(base, ast.Name) else None
        if isinstance(other, ast.ClassDef) and other is not node:
            found += bases_of(other, names)
    return found


def public(names):
    return [name for name in names if not name.startswith("_")]


def dataclass_fields(node: ast.ClassDef) -> list[tuple[str, str, str]]:
    return [(item.target.id, ast.unparse(item.annotation), ast.unparse(item.value) if item.value else "") for item in node.body
            if isinstance(item, ast.AnnAssign)]


def same_default(ours: ast.AST, theirs: ast.AST) -> bool:
    """False only when both are plain constants and differ."""
    values = []
    for node in (ours, theirs):
        try:
            values.append(ast.literal_eval(node))
        except (ValueError, TypeError):
            return True
    return values[0] == values[1]


def class_differences(name: str, ours: ast.ClassDef, theirs: ast.ClassDef, their_names) -> list[str]:
    family = bases_of(theirs, their_names)
    their_members = {key: value for node in reversed(family) for key, value in members(node).items()}
    known = set(their_members).union(*(attributes(node) for node in family))
    out = []
    for key, item in members(ours).items():
        if key.startswith("_") and key != "__init__":
            continue
        other = their_members.get(key)
        if key not in known and key != "__init__":
            out.append(f"{name}.{key} does not exist")
        elif isinstance(item, ast.FunctionDef) and isinstance(other, ast.FunctionDef) and parameters(item) != parameters(other):
            out.append(f"{name}.{key}{parameters(item)} is {parameters(other)}")
        elif isinstance(item, ast.Assign) and isinstance(other, ast.Assign) and not same_default(item.value, other.value):
            out.append(f"{name}.{key} = {ast.unparse(item.value)} is {ast.unparse(other.value)}")
    stored = {item.attr for item in ast.walk(ours) if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name)
              and item.value.id == "self" and isinstance(item.ctx, ast.Store)}
    out += [f"{name}.{key} is set here and unknown there" for key in public(stored - known)]
    return out


@pytest.mark.parametrize("name,path", public_modules(), ids=lambda value: value if isinstance(value, str) else value.stem)
def test_names_and_signatures_exist_in_the_webui(webui, name, path):
    real = webui / "modules" / f"{name}.py"
    assert real.is_file(), f"the WebUI has no modules/{name}.py"
    ours, theirs, out = top_level(tree(path)), top_level(tree(real)), []
    for key in public(ours):
        node, other = ours[key], theirs.get(key)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue                                    # what minihost imports is not offered, unless it is in the list below
        if other is None:
            out.append(f"{key} does not exist")
        elif isinstance(node, ast.FunctionDef) and isinstance(other, ast.FunctionDef) and parameters(node) != parameters(other):
            out.append(f"{key}{parameters(node)} is {parameters(other)}")
        elif isinstance(node, ast.ClassDef) and isinstance(other, ast.ClassDef):
            out += class_differences(key, node, other, theirs)
        elif isinstance(node, ast.Assign) and isinstance(other, ast.Assign) and not same_default(node.value, other.value):
            out.append(f"{key} = {ast.unparse(node.value)} is {ast.unparse(other.value)}")
    assert not out, "\n".join(out)


@pytest.mark.parametrize("name", PROCESSING)
def test_processing_classes_have_the_same_fields(webui, name):
    ours = next(top_level(tree(path))[name] for _, path in public_modules() if name in top_level(tree(path))
                and isinstance(top_level(tree(path))[name], ast.ClassDef))
    theirs = top_level(tree(webui / "modules" / "processing.py"))[name]
    assert dataclass_fields(ours) == dataclass_fields(theirs)


def hook_order(path: Path, function: str) -> list[str]:
    """Names of the methods that `function` calls on `p` and `p.scripts`, in the order of the text."""
    node = top_level(tree(path))[function]
    calls = [(item.lineno, item.col_offset, item.func.attr) for item in ast.walk(node) if isinstance(item, ast.Call)
             and isinstance(item.func, ast.Attribute) and ast.unparse(item.func.value) in ("p", "p.scripts", "_hooks(p)", "sd_models", "sd_unet")]
    return [name for *_, name in sorted(calls)]


def test_one_generation_has_the_same_order(webui):
    file = MINIHOST / "modules" / "_processing_loop.py"
    parts = {name: hook_order(file, name) for name in ("_sample", "_finish_picture", "_make_batch", "process_images_inner")}
    theirs = hook_order(webui / "modules" / "processing.py", "process_images_inner")
    wanted = list(ORDER)
    batch = parts["_sample"] + parts["_make_batch"] + parts["_finish_picture"]      # in the order that _make_batch calls them
    flat = []
    for name in parts["process_images_inner"]:
        flat.append(name)
        if name == "reload_model_weights":              # _make_batch stands after it
            flat += batch
    assert [name for name in theirs if name in wanted] == wanted
    assert [name for name in flat if name in wanted] == wanted


def test_options_have_the_same_defaults(webui, host):
    real = {}
    for node in ast.walk(tree(webui / "modules" / "shared_options.py")):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Call):
                    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):        # OptionInfo(...).info(...).link(...)
                        value = value.func.value
                    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "OptionInfo":
                        infotext = next((word.value.value for word in value.keywords if word.arg == "infotext"), None)
                        real[key.value] = (value.args[0], infotext)
    out = []
    from modules.shared_options import options_templates
    for key, info in options_templates.items():
        if key.startswith("pia") or info.section[1] == "PIA":
            continue
        if key not in real:
            out.append(f"{key} does not exist")
            continue
        default, infotext = real[key]
        try:
            default = ast.literal_eval(default)
        except ValueError:
            continue                                    # a path or a flag
        if default != info.default:
            out.append(f"{key}: {info.default!r} is {default!r}")
        if infotext != info.infotext:
            out.append(f"{key}: infotext {info.infotext!r} is {infotext!r}")
    assert not out, "\n".join(out)


def strings(path: Path) -> set[str]:
    return {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_routes_exist_in_the_webui(webui):
    for file in ("modules/api/api.py", "modules/progress.py", "modules/ui.py"):
        routes = {text for text in strings(MINIHOST / file) if re.fullmatch(r"/(sdapi|internal)/[\w/-]+", text)}
        assert routes <= strings(webui / file), file


def test_flags_exist_in_the_webui(webui, host):
    from modules import cmd_args

    sources = [webui / "modules" / "cmd_args.py", webui / "modules" / "paths_internal.py", webui / "extensions-builtin" / "Lora" / "preload.py"]
    known = set().union(*map(strings, sources))
    ours = {option for action in cmd_args.parser._actions for option in action.option_strings if option.startswith("--")}
    assert ours - known - {"--help", "--minihost-extension", "--pia-dir"} == set()


def test_samplers_and_schedulers_are_the_webuis(webui, host):
    from modules import sd_samplers, sd_schedulers

    listed = [name for file, key in (("sd_samplers_kdiffusion", "samplers_k_diffusion"), ("sd_samplers_timesteps", "samplers_timesteps"),
                                     ("sd_samplers_lcm", "samplers_lcm"))
              for name in [ast.literal_eval(row.elts[0]) for row in top_level(tree(webui / "modules" / f"{file}.py"))[key].value.elts]]
    assert [sampler.name for sampler in sd_samplers.all_samplers] == listed
    rows = top_level(tree(webui / "modules" / "sd_schedulers.py"))["schedulers"].value.elts
    assert [(s.name, s.label) for s in sd_schedulers.schedulers] == [tuple(ast.literal_eval(arg) for arg in row.args[:2]) for row in rows]


def functions_of(folder: Path) -> set[str]:
    files = [folder / "script.js", *(folder / "javascript").glob("*.js")]
    return {name for file in files for name in re.findall(r"^(?:async )?function (\w+)\(", file.read_text(encoding="utf8"), re.MULTILINE)}


def test_javascript_helpers_exist_in_the_webui(webui):
    assert {name for name in functions_of(MINIHOST) if not name.startswith("mh")} <= functions_of(webui)


def test_element_ids_exist_in_the_webui(webui, host):
    """Ids of the page without those of the extension and of the settings."""
    patterns = {"setting_.+", "refresh_.+", "settings_.+"}
    for path in [*(webui / "modules").rglob("*.py")]:
        text = path.read_text(encoding="utf8")
        for one in re.findall(r"""elem_id\s*=\s*f?["']([^"']+)["']""", text):
            patterns.add(re.sub(r"\\\{[^}]*\\\}", r"\\w+", re.escape(one)))
        for one in re.findall(r"""elem_id\(["']([^"']+)["']\)""", text):          # ScriptBuiltinUI puts the tab before it
            patterns.add(f"(txt2img|img2img)_{re.escape(one)}")
    known = re.compile("|".join(pattern for pattern in patterns if len(pattern.replace(r"\w+", "")) > 3))
    from modules import ui

    try:
        page = ui.create_ui()
        ids = {component["props"].get("elem_id") for component in page.config["components"]} - {None}
    finally:
        host._serve_api()
    ours = {name for name in ids if not re.search(r"script_\w*(xyz|prompts)|input-accordion|pia", name)}
    assert len(ours) > 60
    assert sorted(name for name in ours if not known.fullmatch(name)) == []
