"""Prompt styles from styles.csv (name, prompt, negative_prompt)."""
import csv
import os
import typing


class PromptStyle(typing.NamedTuple):
    name: str
    prompt: str | None
    negative_prompt: str | None
    path: str | None = None


def merge_prompts(style_prompt: str, prompt: str) -> str:
    """The style around the prompt where it says {prompt}, else behind it."""
    if "{prompt}" in style_prompt:
        return style_prompt.replace("{prompt}", prompt)
    return ", ".join(part for part in (prompt.strip(), style_prompt.strip()) if part)


def apply_styles_to_prompt(prompt, styles):
    for style in styles:
        prompt = merge_prompts(style, prompt)
    return prompt


class StyleDatabase:
    def __init__(self, paths: list[str]):
        self.paths = paths
        self.no_style = PromptStyle(name="None", prompt="", negative_prompt="")
        self.styles = {}
        self.reload()

    def reload(self):
        self.styles.clear()
        for path in self.paths:
            if os.path.isfile(path):
                with open(path, encoding="utf-8-sig", newline="") as file:
                    for row in csv.DictReader(file):
                        style = PromptStyle(row["name"], row.get("prompt") or "", row.get("negative_prompt") or "", path)
                        self.styles[style.name] = style

    def get_style_prompts(self, styles):
        return [self.styles.get(name, self.no_style).prompt for name in styles]

    def get_negative_style_prompts(self, styles):
        return [self.styles.get(name, self.no_style).negative_prompt for name in styles]

    def apply_styles_to_prompt(self, prompt, styles):
        return apply_styles_to_prompt(prompt, self.get_style_prompts(styles))

    def apply_negative_styles_to_prompt(self, prompt, styles):
        return apply_styles_to_prompt(prompt, self.get_negative_style_prompts(styles))

    def extract_styles_from_prompt(self, prompt, negative_prompt):
        return [], prompt, negative_prompt          # minihost leaves pasted prompts as they are
