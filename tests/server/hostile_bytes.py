"""Bytes that are no HTTP, or hardly: broken framing, broken forms, and garbage on websockets."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

from tests.server.hostile_requests import API, Case, request

__all__ = ["CASES"]


def framing() -> Iterator[Case]:
    """Break the rules of HTTP itself."""
    post = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    for name, rest in {
        "no size": b"xyz\r\n{}\r\n0\r\n\r\n",
        "negative size": b"-5\r\n{}\r\n0\r\n\r\n",
        "too short": b"1\r\n{}\r\n0\r\n\r\n",
        "huge size": b"FFFFFFFFFFFFFFFFFF\r\n{}\r\n",
        "extension": b"2;a=b\r\n{}\r\n0\r\n\r\n",
        "trailer": b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
        "nothing": b"0\r\n\r\n",
        "bare line feeds": b"2\n{}\n0\n\n",
    }.items():
        yield Case(f"chunk: {name}", chunked + rest, is_whole=False)
    yield Case("chunk: endless", chunked + b"5\r\nabc", is_whole=False)
    for name, lines in {
        "both lengths": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "negative length": b"Content-Length: -1\r\n\r\n{}",
        "plus length": b"Content-Length: +2\r\n\r\n{}",
        "long length": b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        "body over the limit": b"Content-Length: 99999999999\r\n\r\n{}",
        "missing body": b"Content-Length: 500\r\n\r\n{}",
        "twice chunked": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "odd encoding": b"Transfer-Encoding: odd\r\n\r\n",
        "expects and waits": b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    }.items():
        yield Case(f"length: {name}", post + lines, is_whole=False)
    whole = f"http://localhost{API}/jobs"
    for name, sent in {
        "0.9": b"GET /\r\n",
        "0.9 with a path": f"GET {API}/jobs\r\n\r\n".encode(),
        "1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
        "2.0": b"GET / HTTP/2.0\r\n\r\n",
        "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "odd": b"GET / HTTQ/1.1\r\n\r\n",
        "no version": b"GET /\r\nHost: localhost\r\n\r\n",
        "absolute": f"GET {whole} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        "absolute elsewhere": b"GET http://evil.example/api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "authority": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "nothing": b"\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "zeros": b"\0" * 5000,
        "high bytes": b"\xff" * 5000,
        "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "bare line feeds": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
        "no method": b" /healthz HTTP/1.1\r\n\r\n",
        "bytes in the path": b"GET /api/v1/jobs/\xff\xfe\xed\xa0\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "bytes in the query": b"GET /api/v1/jobs?text=\xff\xed\xa0\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "space in the path": b"GET /api/v1/jobs/a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "smuggled": post + b"Content-Length: 0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    }.items():
        yield Case(f"line: {name}", sent, is_whole=False)


def forms() -> Iterator[Case]:
    """Send broken forms."""
    file = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n'
    for name, body in {
        "no start": b"hello",
        "no end": b"--q\r\n" + file + b"\r\nhello",
        "only an end": b"--q--\r\n",
        "nothing inside": b"--q\r\n",
        "no headers": b"--q\r\n\r\nhello\r\n--q--\r\n",
        "no disposition": b"--q\r\nX: y\r\n\r\nhello\r\n--q--\r\n",
        "broken header": b"--q\r\nno colon\r\n\r\nhello\r\n--q--\r\n",
        "header with nul": b"--q\r\nX: \0\r\n\r\nx\r\n--q--\r\n",
        "bytes in the name": b"--q\r\n" + file.replace(b"a.png", b"\xff\xfe") + b"\r\nx\r\n--q--\r\n",
        "odd name": b"--q\r\nContent-Disposition: form-data; name*=odd''%ff\r\n\r\nx\r\n--q--\r\n",
        "traversal": file.replace(b"a.png", b"../../../../etc/passwd").join([b"--q\r\n", b"\r\nx\r\n--q--\r\n"]),
        "odd length": b"--q\r\n" + file + b"Content-Length: abc\r\n\r\nx\r\n--q--\r\n",
        "negative length": b"--q\r\n" + file + b"Content-Length: -5\r\n\r\nx\r\n--q--\r\n",
        "long length": b"--q\r\n" + file + b"Content-Length: 5000\r\n\r\nx\r\n--q--\r\n",
        "short length": b"--q\r\n" + file + b"Content-Length: 1\r\n\r\nxxxxxx\r\n--q--\r\n",
        "odd encoding": b"--q\r\n" + file + b"Content-Transfer-Encoding: odd\r\n\r\nx\r\n--q--\r\n",
        "base64": b"--q\r\n" + file + b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n--q--\r\n",
        "gzip": b"--q\r\n" + file + b"Content-Encoding: gzip\r\n\r\nx\r\n--q--\r\n",
        "nested": b"--q\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n--r\r\n\r\nx\r\n--r--\r\n--q--\r\n",
        "nested without a limit": b"--q\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n--q--\r\n",
        "many headers": b"--q\r\n"
        + b"".join(b"X-%d: y\r\n" % number for number in range(3000))
        + b"\r\nx\r\n--q--\r\n",
        "long header": b"--q\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--q--\r\n",
        "many parts": b'--q\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' * 500 + b"--q--\r\n",
        "charset": b'--q\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"x" * 500 + b"\r\n--q--\r\n",
        "cut png": b"--q\r\n" + file + b"\r\n\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\r\n--q--\r\n",
    }.items():
        yield Case(f"form: {name}", request("POST", f"{API}/assets", body, type_="multipart/form-data; boundary=q"))
    for type_ in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=q",
        "multipart/",
        "multipart/form-data; boundary=" + "x" * 200,
        'multipart/form-data; boundary="',
        "text/plain",
    ):
        yield Case(
            f"form of type {type_[:40]}", request("POST", f"{API}/assets", b"--q\r\n\r\nx\r\n--q--\r\n", type_=type_)
        )


def sockets() -> Iterator[Case]:
    """Upgrade to a websocket, rightly or wrongly, and send garbage."""
    key = base64.b64encode(b"0123456789abcdef")
    right = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n"
    )
    start = f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\n".encode()

    def frame(first: int, content: bytes) -> bytes:
        return bytes([first, 0x80 | len(content), 0, 0, 0, 0]) + content

    for name, sent in {
        "garbage": b"\xff" * 500,
        "no mask": b"\x81\x02{}",
        "reserved bits": frame(0xF1, b"{}"),
        "odd opcode": frame(0x83, b"{}"),
        "no utf-8": frame(0x81, b"\xff\xfe"),
        "huge": b"\x81\xff" + struct.pack(">Q", 2**62) + b"\0\0\0\0",
        "negative": b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
        "long ping": b"\x89\xfe\x01\x00\0\0\0\0" + b"x" * 256,
        "goes on with nothing": frame(0x80, b"x"),
        "never whole": frame(0x01, b"{"),
        "odd close": frame(0x88, b"\x00"),
        "close with a bad code": frame(0x88, struct.pack(">H", 1)),
        "pings": frame(0x89, b"x") * 1000,
        "binary": frame(0x82, b"\0" * 50),
        "closes at once": frame(0x88, b""),
        "http": b"GET / HTTP/1.1\r\n\r\n",
    }.items():
        yield Case(f"socket: {name}", start + right + b"\r\n" + sent, is_whole=False)
    for name, lines in {
        "no key": right.replace(b"Sec-WebSocket-Key: " + key + b"\r\n", b""),
        "bad key": right.replace(key, b"!!"),
        "old version": right.replace(b"13", b"7"),
        "no upgrade": b"",
        "other upgrade": right.replace(b": websocket", b": odd"),
        "foreign page": right + b"Origin: http://evil.example\r\n",
    }.items():
        yield Case(f"handshake: {name}", start + lines + b"\r\n")


CASES = [*framing(), *forms(), *sockets()]
