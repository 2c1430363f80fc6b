"""The server: on this machine alone unless a host is named, with a folder of its own that goes when it ends."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from cyclopts import Parameter

from gridless.data.optional import optional
from gridless.demo.limits import UPLOAD_BYTES

PORT, HOST = 7860, "127.0.0.1"
WAITING = 24  # questions in the queue; more are turned away
VISITORS = 64  # whose readings are kept
HERE = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; object-src 'none'"


class OnlyHere:
    """Tells browsers to fetch nothing from elsewhere."""

    def __init__(self, app: Callable):
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                rules = [(b"content-security-policy", HERE.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", ()), *rules]}
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)


@contextmanager
def served(host: str = HOST, port: int | None = PORT, share: bool = False) -> Iterator[Any]:
    """The page while it is served; its `local_url` says where. Raises ImportError without gradio, OSError where the port is
    taken. `share` asks gradio for a public address; nothing else does."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    before, folder = os.environ.get("GRADIO_TEMP_DIR"), tempfile.mkdtemp(prefix="gridless-demo-")
    os.environ["GRADIO_TEMP_DIR"] = folder  # before gradio is imported
    blocks = None
    try:
        optional("gradio", "the demo page", "demo")
        from starlette.middleware import Middleware

        from gridless.demo.look import CSS, SCRIPT, theme
        from gridless.demo.page import page

        blocks = page()
        blocks.queue(max_size=WAITING, default_concurrency_limit=2, api_open=False)
        blocks.launch(
            server_name=host, server_port=port, share=share, prevent_thread_lock=True, quiet=True, show_error=False,
            inbrowser=False, max_file_size=UPLOAD_BYTES, state_session_capacity=VISITORS, enable_monitoring=False,
            ssr_mode=False, mcp_server=False, pwa=False, run_history=False, footer_links=[], theme=theme(), css=CSS,
            js=SCRIPT, app_kwargs={"middleware": [Middleware(OnlyHere)]},
        )  # fmt: skip
        yield blocks
    finally:
        if blocks is not None:
            with suppress(Exception):
                blocks.close(verbose=False)
        shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


def demo(
    *,
    port: Annotated[int, Parameter(help="Of the page.")] = PORT,
    host: Annotated[str, Parameter(help="Who may ask: 127.0.0.1 this machine alone, 0.0.0.0 others too.")] = HOST,
    share: Annotated[bool, Parameter(negative="", help="Also a public address, by gradio's servers.")] = False,
) -> None:
    """A page to try the models that ship in a browser: photos, readings on a map, a look inside. Until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with served(host, port, share) as blocks:
        print(f"gridless: {blocks.local_url} (Ctrl-C ends it)", flush=True)
        if blocks.share_url:
            print(f"gridless: {blocks.share_url} is open to everybody who knows it", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
