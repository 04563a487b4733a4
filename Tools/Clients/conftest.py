"""A running server, its address and pictures to send it."""

import base64
import functools
import http.server
import io
import os
import re
import subprocess
import threading
import time

import pytest
from PIL import Image

KEY = "client-test-key"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of small pictures on a loopback web server: (address, folder)."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, color in [("red.png", (220, 40, 30)), ("blue.jpg", (20, 60, 200))]:
        Image.new("RGB", (96, 64), color).save(folder / name)
    handler = functools.partial(Pictures, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()


class Pictures(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and bodies that never end: `/flood` at once, `/drip` by the byte."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path not in ("/flood", "/drip"):
            return super().do_GET()
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * (65536 if self.path == "/flood" else 1))
                time.sleep(0 if self.path == "/flood" else 0.2)
        except OSError:
            pass


@pytest.fixture(scope="session")
def red(pictures):
    return f"{pictures[0]}/red.png"


@pytest.fixture(scope="session")
def blue_uri(pictures):
    data = (pictures[1] / "blue.jpg").read_bytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


@pytest.fixture(scope="session")
def server(pictures, tmp_path_factory):
    """The address of a server with one API key that may fetch from the pictures' host."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# for the client tests\n{KEY}\n")
    process = subprocess.Popen(
        [
            os.environ["IDEFIX"], "serve", os.environ["IDEFIX_TEST_MODEL"], "--port", "0",
            "--api-key-file", str(keys), "--allow-url-host", pictures[0].removeprefix("http://"),
            "--log-level", "warning",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if found := re.search(r"http://[^ /]+", line):
            break
    else:
        pytest.fail("the server did not start")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield found.group(0)
    process.terminate()
    assert process.wait(timeout=90) == 0
