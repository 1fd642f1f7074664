#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that people use, through goma: curl, nghttp, h2load, openssl, python3-websockets and Chromium. What is not
installed is skipped; gRPC has a play of its own."""
import asyncio
import http.server
import logging
import shutil
import ssl
import subprocess
import sys
import threading
from urllib.parse import unquote
from lib.goma import *
from lib.tls import Authority
try:
    import websockets
except ImportError:                                     # another Python than the distribution's comes first
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import websockets
    except ImportError:
        websockets = None

BIG = os.urandom(1 << 20)
PAGE = """<!doctype html><title>page</title><script>
const tell = (what, text) => fetch("/told/" + what + "?" + encodeURIComponent(text));
fetch("/text").then(r => r.text()).then(t => { tell("fetch", t); tell("protocol", performance.getEntriesByType("resource")[0].nextHopProtocol); });
fetch("/echo", {method: "POST", body: "x".repeat(300000)}).then(r => r.text()).then(t => tell("post", t.length));
const events = new EventSource("/events"); let seen = 0;
events.onmessage = e => { if (++seen == 3) { events.close(); tell("events", e.data); } };
const socket = new WebSocket(location.protocol.replace("http", "ws") + "//" + location.host + "/ws"); socket.onopen = () => socket.send("from the page");
socket.onmessage = e => tell("socket", e.data);
</script>"""


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        Site.seen.append(self.path)
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(3):
                event = b"data: event %d\n\n" % number
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        kind, body = ("text/html", PAGE.encode()) if self.path == "/page" else ("application/octet-stream", BIG) if self.path == "/big" else ("text/plain", b"hello")
        self.say(kind, body)

    def do_POST(self):
        self.say("application/octet-stream", self.rfile.read(int(self.headers["Content-Length"])))

    def say(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Sites(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 1024


site = Sites(("127.0.0.1", 0), Site)
threading.Thread(target=site.serve_forever, daemon=True).start()


async def answer(socket, *_):
    async for message in socket:
        await socket.send(message)


def in_loop(work):
    """Runs a coroutine in the background loop; its result."""
    return asyncio.run_coroutine_threadsafe(work, background).result(3 * PATIENCE)


logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
background = asyncio.new_event_loop()
threading.Thread(target=background.run_forever, daemon=True).start()
echo_url = "http://127.0.0.1:1"
if websockets:
    async def serve():
        return await websockets.serve(answer, "127.0.0.1", 0, max_size=None)
    server = in_loop(serve())
    echo_url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]

goma = Goma(start=False)
ca = Authority(goma.path("tls"))
certificate, visitor = ca.issue("site", ["a.test"]), ca.issue("visitor", subject="/O=Test/CN=visitor")
goma.configure([route("/ws", echo_url), route("/", f"http://127.0.0.1:{site.server_address[1]}"), route("/said", middlewares=["said"]),
                route("/", f"http://127.0.0.1:{site.server_address[1]}", name="members", hosts=["members.test"],
                      tls={"clientAuth": {"clientCA": ca.certificate, "required": True}})],
               [middleware("said", "respond", {"body": "said"})], entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}},
               tls={"default": {"cert": certificate[0], "key": certificate[1]}}, log={"level": "error"},
               networking={"transport": {"idleConnTimeout": 1}})
goma.start()
plain, secure = (parse_address(listener["address"]) for listener in goma.status()["listeners"])
PLAIN, SECURE = "http://127.0.0.1:%d" % plain[1], "https://a.test:%d" % secure[1]


def run(*command, timeout=6 * PATIENCE, text=None):
    """(exit code, output as bytes, errors as text)"""
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as error:
        return None, error.stdout or b"", str(error)


def have(program):
    if shutil.which(program):
        return True
    skip(program, "not installed")
    return False


# --- curl -----------------------------------------------------------------------------------------------------------

if have("curl"):
    with open(goma.path("upload"), "wb") as file:
        file.write(BIG)
    curl = ("curl", "-sS", "--noproxy", "*", "--cacert", ca.certificate, "--resolve", "a.test:%d:%s" % (secure[1], secure[0]))
    for name, options, base, version in (("HTTP/1.1", ["--http1.1"], PLAIN, "1.1"), ("HTTP/1.0", ["--http1.0"], PLAIN, "1.1"),
                                         ("h2c", ["--http2-prior-knowledge"], PLAIN, "2"), ("h2c by upgrade", ["--http2"], PLAIN, "1.1"),
                                         ("TLS and HTTP/1.1", ["--http1.1"], SECURE, "1.1"), ("TLS and HTTP/2", ["--http2"], SECURE, "2")):
        code, out, err = run(*curl, *options, "-w", "%{http_version}", base + "/text")
        same((code, out.decode()), (0, "hello" + version), f"curl, {name}") or note(err)
        code, out, err = run(*curl, *options, base + "/big")
        expect((code, out) == (0, BIG), f"curl, {name}: a megabyte down", (code, len(out), err))
        code, out, err = run(*curl, *options, "--data-binary", "@" + goma.path("upload"), base + "/echo")
        expect((code, out) == (0, BIG), f"curl, {name}: a megabyte up and down", (code, len(out), err))
        code, out, err = run(*curl, *options, "-I", base + "/big")
        expect(code == 0 and b"ontent-" in out.replace(b"Content-L", b"content-L"), f"curl, {name}: HEAD", (code, out, err))
        code, out, err = run(*curl, *options, *[base + "/text"] * 20)
        if name != "h2c":               # curl 7.88 fails its second request there, with every server
            same((code, out), (0, b"hello" * 20), f"curl, {name}: twenty on one connection") or note(err)
    code, out, err = run(*curl, "--http2", "--parallel", *[SECURE + "/big"] * 8, "-w", "")
    expect((code, len(out)) == (0, 8 << 20), "curl, eight megabytes in parallel streams", (code, len(out), err))

# --- nghttp2's tools ------------------------------------------------------------------------------------------------

if have("nghttp"):
    for base, options in ((PLAIN, []), (f"https://127.0.0.2:{secure[1]}", ["--no-verify-peer"])):
        code, out, err = run("nghttp", *options, "-n", "-s", base + "/text", base + "/big")
        expect(code == 0 and b"200" in out and b"/big" in out, f"nghttp, {base.partition(':')[0]}", (code, out, err))
if have("h2load"):
    for base, options in ((PLAIN, []), (f"https://127.0.0.2:{secure[1]}", []), (f"https://127.0.0.2:{secure[1]}", ["--h1"])):
        amount = ("-n", "10000" if LONG or base != PLAIN else "2000", "-c", "20", "-m", "10") if not options else ("-n", "1000", "-c", "10", "-m", "1")
        code, out, err = run("h2load", *amount, *options, base + "/said")
        found = re.search(rb"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
        same(found and tuple(map(int, found.groups())), (int(amount[1]), 0, 0), f"h2load {' '.join(options)}, {base.partition(':')[0]}: none failed") or note(out.decode() + err)

# --- openssl --------------------------------------------------------------------------------------------------------

if have("openssl"):
    def s_client(host, *options):
        request = f"GET /text HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        return run("openssl", "s_client", "-connect", "%s:%d" % secure, "-servername", host, "-CAfile", ca.certificate, "-ign_eof", *options, text=request)[1].decode("utf-8", "replace")

    for version in ("-tls1_3", "-tls1_2"):
        ticket = goma.path("ticket" + version)
        first = s_client("a.test", version, "-sess_out", ticket)
        expect("Verify return code: 0" in first and "hello" in first and "New, " in first, f"openssl s_client {version}: verified and answered", first[-600:])
        again = s_client("a.test", version, "-sess_in", ticket)
        expect("Reused, " in again and "hello" in again, f"openssl s_client {version}: its ticket is taken", again[-600:])
    shown = s_client("members.test", "-cert", visitor[0], "-key", visitor[1])
    expect("hello" in shown, "openssl s_client with a certificate is let in", shown[-600:])
    expect("hello" not in s_client("members.test"), "and not without")

# --- python3-websockets ---------------------------------------------------------------------------------------------

trust = ssl.create_default_context(cafile=ca.certificate)


async def talk(url, **options):
    async with websockets.connect(url, max_size=None, **options) as socket:
        got = []
        for message in ("text ä", b"bytes", "x" * 1_000_000, os.urandom(300_000)):
            await socket.send(message)
            got.append(await socket.recv() == message)
        await (await socket.ping())
        return got


if websockets:
    url = "ws://127.0.0.1:%d/ws" % plain[1]
    same(attempt("ws", in_loop, talk(url)), [True] * 4, "python3-websockets, ws: texts, bytes, compression, ping")
    same(attempt("wss", in_loop, talk("wss://a.test:%d/ws" % secure[1], ssl=trust, server_hostname="a.test", host=secure[0], port=secure[1])), [True] * 4, "python3-websockets, wss")
else:
    skip("python3-websockets", "not installed")

# --- Chromium -------------------------------------------------------------------------------------------------------

def told(what):
    """What the page has told the site of this, else None."""
    return next((unquote(path.partition("?")[2]) for path in Site.seen if path.startswith(f"/told/{what}?")), None)


if websockets and have("chromium"):
    for base, protocol in ((f"https://127.0.0.2:{secure[1]}", "h2"), (PLAIN, "http/1.1"))[:2 if LONG else 1]:
        Site.seen.clear()
        with open(goma.path("chromium.out"), "wb") as file:
            browser = subprocess.Popen(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--no-proxy-server",
                                        "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                                        "--disable-sync", "--user-data-dir=" + goma.path("chromium-" + protocol.replace("/", "")), base + "/page"],
                                       stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        try:
            wait_for(lambda: "/page" in Site.seen or browser.poll() is not None, 4 * PATIENCE)
            if "/page" not in Site.seen:
                skip(f"Chromium, {protocol}", "it does not run here: " + read(goma.path("chromium.out")).strip()[-200:].replace("\n", " "))
                continue
            way = base.partition(":")[0]
            wait_for(lambda: all(map(told, ("fetch", "post", "protocol", "events", "socket"))), 4 * PATIENCE)
            same((told("fetch"), told("post"), told("protocol")), ("hello", "300000", protocol), f"Chromium, {way}: a page that fetches and posts")
            same(told("events"), "event 2", f"Chromium, {way}: its EventSource gets every event")
            same(told("socket"), "from the page", f"Chromium, {way}: its WebSocket echoes")
        finally:
            send_signal(-browser.pid, signal.SIGKILL)
            browser.wait()

if websockets:
    server.close()
site.shutdown()
site.server_close()
