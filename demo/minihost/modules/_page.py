"""Serves the page with the API, in the WebUI's order: page, gradio's server, progress, API, extensions' routes."""
import contextlib


def launch(demo, flags, port, server_name, extension_folders):
    """Start gradio's server in a thread; (FastAPI application, address)."""
    from modules import progress, ui

    if not flags.no_gradio_queue:
        demo.queue(64)
    auth = [tuple(pair.split(":", 1)) for pair in (flags.gradio_auth or "").split(",") if pair] or None
    app, url, _ = demo.launch(
        server_name=server_name, server_port=port, auth=auth, inbrowser=False, prevent_thread_lock=True, quiet=True, share=False,
        allowed_paths=[*flags.gradio_allowed_path, *extension_folders], show_api=False, app_kwargs={"docs_url": "/docs", "redoc_url": "/redoc"},
        root_path=f"/{flags.subpath}" if flags.subpath else "")
    app.user_middleware = [entry for entry in app.user_middleware if entry.cls.__name__ != "CORSMiddleware"]
    app.middleware_stack = None                        # built anew, with what the API adds
    progress.setup_progress_api(app)
    ui.setup_ui_api(app)
    return app, url


def wait():
    """Until the server is told to stop ("stop" or "restart"), or Ctrl+C."""
    from modules import shared

    with contextlib.suppress(KeyboardInterrupt):
        while shared.state.wait_for_server_command(timeout=5) is None:
            pass
    shared.demo.close()
