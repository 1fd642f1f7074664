#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients and backends that leave, reset, stall or babble at any moment, while the gateway reloads: whatever is answered whole is
right, nothing crashes, nothing leaks."""
import random
import threading
from lib.goma import *

SECONDS = 60 if LONG else 4
seed = int(os.environ.get("GOMA_SEED", time.time_ns() % 1_000_000))
note(f"seed {seed}")
done = threading.Event()
wrong, answered, crooked = [], [0], [0]
lock = threading.Lock()


def script(connection):
    rng = random.Random(seed + connection.number)
    while head := connection.head():
        fate = rng.random()
        if fate < 0.05:
            return connection.reset()
        if fate < 0.10:
            return None
        body = b""
        if "content-length" in head:
            size = int(head["content-length"])
            if fate < 0.15:
                connection.send(Reply(413, body="early").encode(head.method))
                return None
            body = connection.exactly(size)
            if len(body) < size:
                return None
        elif "transfer-encoding" in head:
            connection.chunked_into(head)
            body = head.body
        text = (head.target.encode() + b"|" + body)
        if fate < 0.20:
            data = Reply(200, body=text).encode(head.method)
            connection.send(data[:rng.randrange(len(data))])
            return None
        if fate < 0.25:
            connection.send(rng.randbytes(200))
            return None
        if fate < 0.35:
            connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if fate < 0.60:
            cut = sorted(rng.sample(range(len(text)), min(3, len(text))))
            pieces = [text[a:b] for a, b in zip([0, *cut], [*cut, len(text)])]
            data = Reply(200, chunks=pieces, trailers=[("X-T", "1")]).encode(head.method)
        else:
            data = Reply(200, body=text, close=fate > 0.95).encode(head.method)
        at = 0
        while at < len(data):
            step = rng.choice([1, 10, 1000, 100000])
            connection.send(data[at:at + step])
            at += step
        if fate > 0.95:
            return None


origin = Origin(script=script)
goma = Goma([route("/", origin), route("/fixed", origin, middlewares=["fixed"]), route("/auth", origin, middlewares=["auth"])],
            [middleware("fixed", "respond", {"body": "fixed"}), middleware("auth", "forwardAuth", {"authUrl": origin.url, "timeout": "1s"})],
            log={"level": "off"}, networking={"transport": {"maxConnsPerHost": 6}, "queue": 20, "queueTimeout": 1, "connectTimeout": 1})


def check(rng, client, method, target, body):
    reply = client.response(method)
    with lock:
        answered[0] += 1
    if reply.status == 200 and reply.complete and method != "HEAD" and not target.startswith("/auth"):
        want = b"fixed" if target.startswith("/fixed") else target.encode() + b"|" + body
        if reply.body != want:
            wrong.append(f"{method} {target}: {reply.body[:60]!r}, wanted {want[:60]!r}")


def visit(rng):
    client = goma.client(timeout=15 * SLOW)
    try:
        for _ in range(rng.randrange(1, 6)):
            todo, stream = [], b""
            for _ in range(rng.choice([1, 1, 1, 4])):
                method = rng.choice(["GET", "GET", "HEAD", "POST", "PUT"])
                target = f"{rng.choice(['', '', '/fixed', '/auth'])}/{rng.randrange(10 ** 9)}"
                body = rng.randbytes(rng.choice([0, 5, 3000, 200000])) if method in ("POST", "PUT") else b""
                fields = [("Host", "a.test")]
                if method in ("POST", "PUT"):
                    chunked = rng.random() < 0.4
                    fields.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", len(body)))
                    wire = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n" if chunked else body
                    stream += encode(method, target, fields, wire)
                else:
                    stream += encode(method, target, fields)
                todo.append((method, target, body))
            fate = rng.random()
            if fate < 0.15:
                client.send(stream[:rng.randrange(len(stream))])
                return client.reset() if fate < 0.07 else None
            if fate < 0.20:
                client.send(rng.randbytes(100))
            client.send(stream)
            if fate < 0.30:
                return client.reset() if fate < 0.25 else None
            for one in todo:
                check(rng, client, *one)
        return None
    except (OSError, Closed, ValueError):
        crooked[0] += 1         # cut off, which is what such clients and backends ask for
        return None
    finally:
        client.close()


def visitor(number):
    rng = random.Random(seed * 100 + number)
    while not done.is_set():
        try:
            visit(rng)
        except Timeout as error:
            wrong.append(f"hangs: {error}")
            return


threads = [threading.Thread(target=visitor, args=(n,), daemon=True) for n in range(8)]
for thread in threads:
    thread.start()
deadline, reloads = time.monotonic() + SECONDS, 0
while time.monotonic() < deadline:
    if goma.reload()[0]:
        expect(False, "reload")
    reloads += 1
    done.wait(0.2)
done.set()
for thread in threads:
    thread.join(20 * SLOW)
note(f"{answered[0]} answers, {crooked[0]} cut off, {reloads} reloads, {origin.connections} backend connections")
same(wrong[:5], [], "every whole answer is the right one and nobody hangs")
expect(answered[0] > 100, "there were answers", answered[0])
expect(goma.get("/fixed/x").text == "fixed", "a canary passes")
