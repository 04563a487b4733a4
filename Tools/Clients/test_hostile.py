"""What nobody should send to a server that runs a real model: it answers or refuses, and stays up."""

import base64
import io
import socket

import pytest
import requests
from PIL import Image

from conftest import KEY

HEADERS = {"Authorization": f"Bearer {KEY}"}
EXTREMES = ["-1", "0", "9223372036854775807", "9223372036854775808", "1e308", "1e400", "5e-324", "-0.0", '"7"', "[]"]
CHAT = '{"messages":[{"role":"user","content":"x"}],"logprobs":true,"max_tokens":2,%s}'
ROUTES = {
    "/generate": (
        '{"inputs":"x","parameters":{"max_new_tokens":2,%s}}',
        "best_of temperature repetition_penalty frequency_penalty top_k top_p typical_p max_new_tokens truncate seed"
        " top_n_tokens",
    ),
    "/v1/chat/completions": (
        CHAT, "max_tokens max_completion_tokens temperature top_p seed n top_logprobs frequency_penalty presence_penalty"
    ),
    "/v1/completions": (
        '{"prompt":"x","max_tokens":2,%s}',
        "max_tokens temperature top_p seed n logprobs frequency_penalty presence_penalty repetition_penalty",
    ),
}


def post(server, path, body, **more):
    return requests.post(
        f"{server}{path}", data=body, headers={**HEADERS, "Content-Type": "application/json"}, timeout=120, **more
    )


@pytest.mark.parametrize("path", ROUTES)
def test_extreme_numbers(server, path):
    template, fields = ROUTES[path]
    for field in fields.split():
        frame = template.replace(f'"{field}":2,', "")
        for value in EXTREMES:
            reply = post(server, path, frame % f'"{field}":{value}')
            assert reply.status_code in (200, 422), (field, value, reply.text)
            if reply.status_code == 422:
                assert field.removeprefix("max_completion_").removeprefix("max_") in reply.text, (field, value, reply.text)
    assert requests.get(f"{server}/health", timeout=10).status_code == 200


def picture(mode, size, kind="PNG"):
    data = io.BytesIO()
    Image.new(mode, size).save(data, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(data.getvalue()).decode()


@pytest.mark.parametrize(
    "mode, size, kind",
    [("RGB", (1, 1), "PNG"), ("RGB", (1, 500), "PNG"), ("L", (500, 1), "JPEG"), ("CMYK", (3, 3), "JPEG"),
     ("I;16", (5, 5), "PNG"), ("P", (2, 2), "GIF"), ("RGBA", (9, 3), "WEBP"), ("1", (8, 8), "PNG")],
)
def test_odd_pictures_are_answered(server, mode, size, kind):
    body = {"inputs": f"![]({picture(mode, size, kind)})x", "parameters": {"max_new_tokens": 2}}
    assert requests.post(f"{server}/generate", json=body, headers=HEADERS, timeout=60).status_code == 200


def test_broken_pictures_tell_nothing_of_the_inside(server):
    whole = base64.b64decode(picture("RGB", (64, 64)).partition(",")[2])
    bomb = bytearray(whole)
    bomb[16:24] = (50_000).to_bytes(4) * 2
    for data in (b"", b"\0" * 99, whole[: len(whole) // 2], bytes(bomb), b"GIF89a", b"\xff\xd8\xff\xe0", b"<svg/>"):
        uri = "data:image/png;base64," + (base64.b64encode(data).decode() or "AA==")
        body = {"inputs": f"![]({uri})x", "parameters": {"max_new_tokens": 2}}
        reply = requests.post(f"{server}/generate", json=body, headers=HEADERS, timeout=60)
        assert reply.status_code == 422
        assert not any(word in reply.text for word in ("0x", "/", "Swift", "Sources", "Optional")), reply.text


def test_unclosed_grammars_are_refused(server):
    for grammar in (
        {"type": "regex", "value": "(" * 100_000}, {"type": "regex", "value": "(a{0,1000}){0,1000}"},
        {"type": "json", "value": {"properties": {"a": {"$ref": "#/properties/a"}}}},
        {"type": "json", "value": {"properties": {"a": {"pattern": "(a+)+\\1"}}}}, {"type": "none", "value": 1},
    ):
        body = {"inputs": "x", "parameters": {"max_new_tokens": 2, "grammar": grammar}}
        assert requests.post(f"{server}/generate", json=body, headers=HEADERS, timeout=10).status_code == 400


@pytest.mark.parametrize("path, text", [("flood", "exceeds maximum"), ("drip", "took too long")])
def test_hosts_that_never_end_are_given_up(pictures, server, path, text):
    reply = post(server, "/generate", '{"inputs":"![](%s/%s)"}' % (pictures[0], path))
    assert reply.status_code == 422
    assert text in reply.text
    assert reply.elapsed.total_seconds() < 12


def test_heads_that_never_end_are_cut_off(server):
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(10)
        client.sendall(b"GET /health HTTP/1.1\r\n")
        sent, answer = 0, b""
        try:
            while sent < 64 << 20:
                client.sendall(b"x: " + b"y" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
        try:
            answer = client.recv(100)
        except OSError:
            pass
    assert sent < 8 << 20
    assert answer == b"" or b" 431 " in answer
