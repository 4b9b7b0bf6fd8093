"""The extension's side of the WebUI: the only package that imports `modules` or gradio."""
