#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A reload changes the address and not the port: nobody's request is lost, goma is no stranger to itself, another program still is one."""
import threading

from lib.goma import *

time_limit(180)
six = os.path.exists("/proc/net/if_inet6") and "00000000000000000000000000000001" in read("/proc/net/if_inet6")
origin = Origin()
port = free_port()
goma = Goma([route("/", origin)], entryPoints={"web": {"address": f"127.0.0.1:{port}"}}, workers=2)
goma.address = ("127.0.0.1", port)
turns = [f"0.0.0.0:{port}", f"127.0.0.1:{port}", f"0.0.0.0:{port}"]
turns += [f"[::]:{port}", f":{port}", f"127.0.0.1:{port}", f"[::]:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}"] if six else []
short = Load(goma.address, threads=4, keepalive=False)
keep = Load(goma.address, threads=2)


def move(address, **more):
    goma.configure([route("/", origin)], entryPoints={"web": {"address": address}, **more})
    code, out = goma.reload()
    return same(code, 0, f"to {address}") or note(out)


for address in turns:
    mark = short.total
    expect(wait_for(lambda: short.total > mark + 100), f"clients come and go before {address}")
    move(address)
mark = short.total
expect(wait_for(lambda: short.total > mark + 100), "clients come and go after it")
short.stop()
keep.stop()
same((short.failures[:3], keep.failures[:3]), ([], []), "no request failed")
note(f"{short.total} connections, {keep.total} requests on kept ones")
move(f"0.0.0.0:{port}")
early = goma.client()                                # connected, and says nothing yet
move(f"127.0.0.1:{port}")
same(early.get("/").status, 200, "who was connected before the change and speaks after it is served")
if six:
    move(f"[::1]:{port}")
    expect(wait_for(lambda: not goma.canary()), "[::1] alone: IPv4 clients are refused")
    move(f"0.0.0.0:{port}")
    expect(wait_for(goma.canary), "and served again")
    stranger = socket.socket(socket.AF_INET6)
    stranger.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    stranger.bind(("::", 0))
    stranger.listen()
    move(f"0.0.0.0:{stranger.getsockname()[1]}")
    goma.configure([route("/", origin)], entryPoints={"web": {"address": f"[::]:{stranger.getsockname()[1]}"}})
    code, out = goma.reload()
    expect(code == 1 and "in use" in out and f"process {os.getpid()}" in out, "the part that a stranger has is refused, with its holder", out)
    move(f"127.0.0.1:{port}")
    stranger.close()
other = socket.create_server(("127.0.0.1", 0), reuse_port=True)
goma.configure([route("/", origin)], entryPoints={"web": {"address": f"0.0.0.0:{other.getsockname()[1]}"}})
code, out = goma.reload()
expect(code == 1 and f"process {os.getpid()}" in out, "another program that shares its port is a stranger", out)
expect(goma.canary(), "and nothing has changed")

move("unix:web.sock")
goma.address = goma.path("web.sock")
move("unix:" + goma.path("web.sock"))
expect(goma.canary() and goma.canary(), "the same path spelt in another way serves on")
goma.address = ("127.0.0.1", port)
move(f"127.0.0.1:{port}")
expect(not os.path.exists(goma.path("web.sock")), "a path that goes is removed")

answer = threading.Event()
backend = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
backend.bind(("127.0.0.1", 0))
asked = []


def serve():
    while True:
        data, who = backend.recvfrom(2000)
        asked.append(data)
        answer.wait(PATIENCE)
        backend.sendto(data.upper(), who)


threading.Thread(target=serve, daemon=True).start()
udp_port = refused_port()
target = f"127.0.0.1:{backend.getsockname()[1]}"


def forward(address):
    return {"forwards": [{"protocol": "udp", "port": udp_port, "address": address, "target": target}]}


move(f"127.0.0.1:{port}", passThrough=forward("127.0.0.1"))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(PATIENCE)
client.connect(("127.0.0.1", udp_port))
client.send(b"first")
expect(wait_for(lambda: asked), "a datagram is with its target")
move(f"127.0.0.1:{port}", passThrough=forward("0.0.0.0"))
answer.set()
same(client.recv(100), b"FIRST", "its answer comes after the address has changed")
client.send(b"second")
same(client.recv(100), b"SECOND", "and the next is served by the new one")
