#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A name that moves is followed under steady traffic, and a name service that fails takes nothing away."""
import threading
from lib.dns import NameServer
from lib.goma import *
from lib.h2peer import H2Origin

gate = threading.Event()


def named(name):
    return lambda request: (gate.wait(PATIENCE) if "hold" in request.target else None, Reply(200, body=name))[1]


def held(name):
    return lambda stream: (gate.wait(PATIENCE) if "hold" in stream.target else None, stream.reply(200, [], name.encode()))


one = Origin(named("one"))
two, three = [Origin(named(n), host=h, port=one.port) for n, h in (("two", "127.0.0.2"), ("three", "127.0.0.3"))]
four = H2Origin(held("four"))
port = four.port
six = H2Origin(held("six"), host="127.0.0.2", port=port)
MOODS = ("broken", "absent", "empty", "silent")
dns = NameServer({"a.test": ["127.0.0.1"], **{f"{m}.test": ["127.0.0.1"] for m in MOODS}, "h2.test": ["127.0.0.1"], "many.test": ["127.0.0.1", "127.0.0.2"], "raw.test": ["127.0.0.1"]})
forward = free_port()
raw = [{"protocol": "tcp/udp", "port": forward, "address": "127.0.0.1", "target": f"raw.test:{one.port}"}]
goma = Goma([route("/", f"http://a.test:{one.port}", "main"), route("/many", f"http://many.test:{one.port}", "many"),
             *[route(f"/{m}", f"http://{m}.test:{one.port}", m) for m in MOODS], route("/h2", f"http://h2.test:{port}", "h2", backendProtocol="h2c")],
            workers=1, monitoring={"enableMetrics": True}, networking={"dnsCache": {"ttl": 1, "resolver": [dns.address]}},
            entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": raw}})
client = goma.client()
answers = []
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(1)


def echo(host, name):
    """Answers datagrams with its name."""
    def run():
        while True:
            sock.sendto(name, sock.recvfrom(2048)[1])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, one.port))
    threading.Thread(target=run, daemon=True).start()


def datagram():
    datagrams.sendto(b"x", ("127.0.0.1", forward))
    try:
        return datagrams.recv(2048)
    except socket.timeout:
        return None


def ask(target="/", n=1):
    for _ in range(n):
        answers.append(client.get(target).text)
    return answers[-n:]


def stale(name):
    return goma.metrics().get(f'goma_backend_addresses_stale{{backend="{name}.test:{one.port}"}}', 0)


same(ask(n=5), ["one"] * 5, "a name is served")
same(one.connections, 1, "by one kept connection")
late = goma.client()
late.request("GET", "/hold", read=False)
expect(one.wait(lambda o: o.last.target == "/hold"), "a request is under way")
dns.zone["a.test"] = ["127.0.0.2"]
expect(wait_for(lambda: ask() == ["two"]), "the name moves, and requests follow")
same(ask(n=20), ["two"] * 20, "all of them")
gate.set()
same(late.response().text, "one", "what was under way is finished")
expect(one.wait(lambda o: not o.open), "and no connection to the old address is kept")
expect(goma.told('"the addresses of a backend have changed".*a.test.*addresses=127.0.0.2'), "the log says so")
gate.clear()

# A name service that fails, knows nothing, or is silent.
for mood in MOODS:
    ask(f"/{mood}")
    dns.zone[f"{mood}.test"] = {"empty": [], "absent": None}.get(mood, mood)
expect(wait_for(lambda: [stale(m) for m in MOODS] == [1] * 4, 2 * PATIENCE), "a metric says that the addresses are the last ones known")
one.drop()
wait_for(lambda: not one.open)
for mood in MOODS:
    same(ask(f"/{mood}", 3), ["one"] * 3, f"{mood}: they serve on, also for new connections")
    expect(goma.told(f"its last addresses serve on.*{mood}"), f"{mood}: the log says so")
    dns.zone[f"{mood}.test"] = ["127.0.0.2"]
for mood in MOODS:
    expect(wait_for(lambda: ask(f"/{mood}") == ["two"], 2 * PATIENCE), f"{mood}: until there is an answer again")
expect(wait_for(lambda: [stale(m) for m in MOODS] == [0] * 4), "the metric says that too")
expect(goma.told("can be looked up again"), "and the log")
same(set(answers), {"one", "two"}, "no request failed")

# Several addresses.
expect(wait_for(lambda: set(ask("/many", 4)) == {"one", "two"}), "several addresses share the requests")
dns.zone["many.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
expect(wait_for(lambda: "three" in ask("/many", 3)), "one more gets its share, though kept connections would do")
wait_for(lambda: len(set(ask("/many", 3))) == 3)
got = ask("/many", 30)
same({name: got.count(name) for name in ("one", "two", "three")}, {"one": 10, "two": 10, "three": 10}, "which is an equal one")
dns.zone["many.test"] = ["127.0.0.3"]
expect(wait_for(lambda: set(ask("/many", 4)) == {"three"}), "those that go get none")
dns.zone["many.test"] = ["127.0.0.3", "127.0.0.9"]
expect(wait_for(lambda: "many.test" in goma.told("changed.*127.0.0.9")), "an address where nobody listens")
same(set(ask("/many", 30)), {"three"}, "costs no request")

# HTTP/2: the streams of a connection end on it.
same(ask("/h2", 2), ["four"] * 2, "an HTTP/2 backend")
late.request("GET", "/h2/hold", read=False)
wait_for(lambda: len(four.requests) == 3)
dns.zone["h2.test"] = ["127.0.0.2"]
expect(wait_for(lambda: ask("/h2") == ["six"]), "moves, and requests follow")
gate.set()
same(late.response().text, "four", "the stream that was under way ends where it began")
expect(wait_for(lambda: all(side.closed for side in four.sides)), "and its connection is closed")

# A pass-through port.
echo("127.0.0.1", b"one")
echo("127.0.0.2", b"two")
expect(wait_for(lambda: datagram() == b"one"), "a session of datagrams")
direct = Client(("127.0.0.1", forward))
same(direct.get("/").text, "one", "a pass-through port")
dns.zone["raw.test"] = ["127.0.0.2"]
expect(wait_for(lambda: datagram() == b"two"), "is led to the new address while it goes on")
expect(wait_for(lambda: Client(("127.0.0.1", forward)).get("/").text == "two"), "follows with new connections")
same(direct.get("/").text, "one", "those that there are go on")
