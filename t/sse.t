#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Event streams and long polls: every event at once, and no timeout of the gateway cuts who waits for news."""
import threading
from lib.goma import *
from lib.h2peer import H2Client, H2Origin

go, for_all, gone = threading.Event(), threading.Event(), threading.Event()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def feed(connection):
    """/events: one event per go; /raw the same until close; /poll: an answer after go; /firehose: as fast as it goes."""
    while head := connection.head():
        raw = head.target == "/raw"
        if head.target == "/poll":
            go.wait(30 * SLOW)
            connection.send(Reply(200, body="news").encode("GET"))
            continue
        if head.target == "/plain":
            connection.send(Reply(200, body="plain").encode("GET"))
            continue
        connection.send(HEAD + (b"Connection: close\r\n\r\n" if raw else b"Transfer-Encoding: chunked\r\n\r\n"))
        if head.target == "/firehose":
            while not gone.is_set():
                connection.send(chunk(b"data: " + b"x" * 4000 + b"\n\n"))
            return
        for number in range(3):
            event = b"data: %d\n\n" % number
            connection.send(event if raw else chunk(event))
            if number < 2:
                go.wait(30 * SLOW)
                if not for_all.is_set():
                    go.clear()
        if raw:
            return
        connection.send(b"0\r\n\r\n")


origin = Origin(script=feed)
SHORT = {"read": 1, "write": 1, "idle": 1, "body": 1, "header": 1}



def feed_h2(stream):
    """The same over HTTP/2: one event, another when told."""
    stream.send_headers([(":status", "200"), ("content-type", "text/event-stream")])
    stream.send(b"data: 0\n\n")
    for_all.wait(30 * SLOW)
    stream.send(b"data: 1\n\n", end=True)


modern = H2Origin(feed_h2)
goma = Goma([route("/", origin), route("/h2", modern.url, backendProtocol="h2c")], workers=1, timeouts=SHORT, log={"level": "info"},
            entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}})


def subscribe(target, accept="text/event-stream", version="HTTP/1.1"):
    client = goma.client()
    client.request("GET", target, {"Accept": accept}, version=version, read=False)
    return client, Response(client.until(b"\r\n\r\n"))


# The first event of each arrives while the backend holds the next one back; then nothing for longer than every timeout.
cases = {"/events": "text/event-stream", "/events?any": "*/*", "/raw": "text/event-stream"}
for target, accept in cases.items():
    path = target.partition("?")[0]
    client, head = subscribe(path, accept)
    same((head.status, head["content-type"]), (200, "text/event-stream"), f"{target}: the head arrives at once")
    same(client.until(b"\n\n").rpartition(b"data")[2], b": 0", f"{target}: the first event arrives while the next is held back")
    go.set()
    same(client.until(b"\n\n").rpartition(b"data")[2], b": 1", f"{target}: the second one too")
    go.set()
    same(client.until(b"\n\n").rpartition(b"data")[2], b": 2", f"{target}: and the last")
    client.close()

old, head = subscribe("/events", version="HTTP/1.0")
same((head["transfer-encoding"], old.until(b"\n\n")), (None, b"data: 0"), "HTTP/1.0 gets the events without chunks")

multiplexed = H2Client(goma.address)
streams = [multiplexed.open("GET", target, {"accept": "text/event-stream"}) for target in ("/events", "/h2", "/poll")]
expect(streams[0].wait(lambda: streams[0].text == "data: 0\n\n"), "HTTP/2: the first event arrives while the next is held back", streams[0])
expect(streams[1].wait(lambda: streams[1].text == "data: 0\n\n"), "HTTP/2 on both sides: too", streams[1])
mixed, head = subscribe("/h2")
same(mixed.until(b"\n\n").rpartition(b"data")[2], b": 0", "HTTP/2 to the backend only: too")
quiet, head = subscribe("/events")
quiet.until(b"\n\n")
poll = goma.client()
poll.request("GET", "/poll", read=False)
posted = goma.client()
posted.request("POST", "/poll", body=b"question", read=False)
began = time.monotonic()
probe = goma.client()                                   # a connection that idles is closed: the clock of the timeouts
probe.get("/plain")
expect(probe.is_closed(), "an idle connection is closed meanwhile")
again = goma.client()
again.send("GET / HTTP/1.1\r\n")
same(again.outcome(), 408, "and a head that does not end is refused")
expect(time.monotonic() - began > 1.8, "so more than the longest timeout has passed")
for kind, client in (("an event stream", quiet), ("a long poll", poll), ("a long poll by POST", posted), ("a stream to HTTP/1.0", old), ("a stream from HTTP/2", mixed)):
    client.sock.setblocking(False)
    try:
        got = client.sock.recv(1)
    except BlockingIOError:
        got = "open"
    client.sock.settimeout(PATIENCE)
    same(got, "open", f"{kind} is still open")
same([s.over for s in streams], [False] * 3, "streams and a poll over HTTP/2 are still open")
for_all.set()
go.set()
same([bytes(s.finished().body)[-9:] for s in streams], [b"data: 2\n\n", b"data: 1\n\n", b"news"], "and end well")
multiplexed.close()
mixed.close()
same((poll.response().text, posted.response().text), ("news", "news"), "the long polls are answered")
same(quiet.until(b"\n\n").rpartition(b"data")[2], b": 1", "the stream goes on")
quiet.close()
old.close()
poll.close()
posted.close()

# A reader that stops is cut by the write timeout, because bytes wait for it; one that reads slowly is not.
stuck = goma.client(receive_buffer=4096)
stuck.request("GET", "/firehose", read=False)
slow = goma.client(receive_buffer=4096)
slow.request("GET", "/firehose", read=False)
began, alive = time.monotonic(), True
while time.monotonic() - began < 2.5:
    try:
        alive = bool(slow.sock.recv(20000)) and alive
    except OSError:
        alive = False
    time.sleep(0.1)
expect(alive, "a slow reader of an endless stream lives on")
expect(wait_for(lambda: re.search(r"url=/firehose.* end=client-timeout", goma.output)), "one that stopped reading is cut by timeouts.write")
gone.set()
