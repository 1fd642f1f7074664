#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gRPC's own client and server with goma between them: every kind of call, metadata, errors, deadlines, cancelling."""
import os
os.environ.update(GRPC_VERBOSITY="NONE", GRPC_ENABLE_FORK_SUPPORT="0", no_proxy="*")
import sys
import threading
from concurrent import futures
from lib.goma import *
from lib.h2peer import H2Client, H2Origin
from lib.tls import Authority, client_context
try:
    import grpc
except ImportError:                                     # another Python than the distribution's comes first
    sys.path.append("/usr/lib/python3/dist-packages")
    import grpc

cancelled = threading.Event()
begun = threading.Event()
METADATA = (("x-mine", "kept"), ("x-bytes-bin", bytes(range(256))))


# --- the service ----------------------------------------------------------------------------------------------------

def unary(request, context):
    given = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", given.get("x-mine", "none")),))
    context.set_trailing_metadata((("x-trailing-bin", given.get("x-bytes-bin", b"")), ("x-via", given.get("x-forwarded-host", ""))))
    return request[::-1]


def collect(requests, context):
    return b",".join(requests)


def spread(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def chat(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: 100% ä")


def fail_late(request, context):
    yield b"something"
    context.abort(grpc.StatusCode.DATA_LOSS, "gone")


def hang(request, context):
    context.add_callback(cancelled.set)
    begun.set()
    cancelled.wait(30 * SLOW)
    return b"too late"


def hang_after(request, context):
    context.add_callback(cancelled.set)
    yield b"first"
    cancelled.wait(30 * SLOW)


KINDS = {"unary": grpc.unary_unary_rpc_method_handler(unary), "collect": grpc.stream_unary_rpc_method_handler(collect),
         "spread": grpc.unary_stream_rpc_method_handler(spread), "chat": grpc.stream_stream_rpc_method_handler(chat),
         "fail": grpc.unary_unary_rpc_method_handler(fail), "failLate": grpc.unary_stream_rpc_method_handler(fail_late),
         "hang": grpc.unary_unary_rpc_method_handler(hang), "hangAfter": grpc.unary_stream_rpc_method_handler(hang_after)}


def serve(credentials=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=(("grpc.max_receive_message_length", -1),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Service", KINDS),))
    port = server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


# --- the gateway ----------------------------------------------------------------------------------------------------

goma = Goma(start=False, workers=1)
ca = Authority(goma.path("tls"))
certificate = ca.issue("site", ["a.test", "b.test", "c.test"])
pem = [open(path, "rb").read() for path in (certificate[1], certificate[0], ca.certificate)]
plain_server, plain_port = serve()
sealed_server, sealed_port = serve(grpc.ssl_server_credentials([(pem[0], pem[1])]))
gate = threading.Event()


def half_answer(stream):
    stream.read()
    stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
    stream.send(b"\0\0\0\0\5ab")
    gate.wait(PATIENCE)
    stream.abort(2)


broken, mute = H2Origin(half_answer), H2Origin(lambda stream: stream.wait(lambda: stream.gone(), 30 * SLOW))
ROUTES = [route("/", f"http://127.0.0.1:{plain_port}", name="h2c", hosts=["a.test"], backendProtocol="h2c"),
          route("/", f"https://127.0.0.1:{sealed_port}", name="tls", hosts=["b.test"], security={"tls": {"insecureSkipVerify": True}}),
          route("/down", f"http://127.0.0.1:{refused_port()}", name="down", backendProtocol="h2c"),
          route("/broken", broken.url, name="broken", backendProtocol="h2c"), route("/mute", mute.url, name="mute", backendProtocol="h2c"),
          *(route(f"/says{status}", name=f"says{status}", middlewares=[f"says{status}"]) for status in (401, 403, 429, 418))]
SAYS = [middleware(f"says{status}", "respond", {"status": status, "body": "no entry"}) for status in (401, 403, 429, 418)]
goma.configure(ROUTES, SAYS, entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}, "webSecure": {"address": "127.0.0.2:0"}},
               tls={"default": {"cert": certificate[0], "key": certificate[1]}}, log={"level": "info"}, timeouts={"read": 1, "body": 1, "write": 1})
goma.start()
plain, secure = (parse_address(listener["address"]) for listener in goma.status()["listeners"])
channels = []


def channel(host, sealed):
    address, options = "ipv4:%s:%d" % (secure if sealed else plain), [("grpc.max_receive_message_length", -1)]
    if sealed:
        made = grpc.secure_channel(address, grpc.ssl_channel_credentials(pem[2]), options + [("grpc.ssl_target_name_override", host)])
    else:
        made = grpc.insecure_channel(address, options + [("grpc.default_authority", host)])
    channels.append(made)
    return made


def call(made, kind, method):
    return getattr(made, kind)("/t.Service/" + method)


def error_of(function):
    try:
        got = function()
        return ("no error", got)
    except grpc.RpcError as error:
        return error.code().name, error.details()


def calls(host, sealed, say):
    made = channel(host, sealed)
    answer, done = call(made, "unary_unary", "unary").with_call(b"abc", metadata=METADATA, timeout=PATIENCE)
    initial, trailing = dict(done.initial_metadata()), dict(done.trailing_metadata())
    same((answer, done.code()), (b"cba", grpc.StatusCode.OK), say("unary"))
    same((initial.get("x-initial"), trailing.get("x-trailing-bin")), ("kept", bytes(range(256))), say("metadata both ways, binary too"))
    big = os.urandom(3_000_000)
    expect(call(made, "unary_unary", "unary")(big, timeout=3 * PATIENCE) == big[::-1], say("a large message"))
    same(call(made, "stream_unary", "collect")(iter([b"a", b"b", b"", b"c"]), timeout=PATIENCE), b"a,b,,c", say("client streaming"))
    same(list(call(made, "unary_stream", "spread")(b"200", timeout=PATIENCE)), [b"%d" % n for n in range(200)], say("server streaming"))
    same(list(call(made, "unary_stream", "spread")(b"0", timeout=PATIENCE)), [], say("a stream of nothing"))

    said, heard = [threading.Event() for _ in range(3)], []

    def talk():
        for number in range(3):
            yield b"word %d" % number
            said[number].wait(PATIENCE)

    for number, word in enumerate(call(made, "stream_stream", "chat")(talk(), timeout=PATIENCE)):
        heard.append(word)
        said[number].set()
    same(heard, [b"WORD 0", b"WORD 1", b"WORD 2"], say("both streaming, word by word"))

    same(error_of(lambda: call(made, "unary_unary", "fail")(b"", timeout=PATIENCE)), ("FAILED_PRECONDITION", "not so: 100% ä"), say("an error of the service"))
    same(error_of(lambda: list(call(made, "unary_stream", "failLate")(b"", timeout=PATIENCE))), ("DATA_LOSS", "gone"), say("an error after a message"))
    same(error_of(lambda: call(made, "unary_unary", "nothing")(b"", timeout=PATIENCE))[0], "UNIMPLEMENTED", say("a method that does not exist"))

    for clear in (cancelled, begun):
        clear.clear()
    running = call(made, "unary_unary", "hang").future(b"", timeout=30 * SLOW)
    expect(begun.wait(PATIENCE), say("a call hangs"))
    running.cancel()
    expect(cancelled.wait(PATIENCE), say("cancelling it reaches the service"))
    cancelled.clear()
    stream = call(made, "unary_stream", "hangAfter")(b"", timeout=30 * SLOW)
    same(next(stream), b"first", say("a stream begins"))
    stream.cancel()
    expect(cancelled.wait(PATIENCE), say("cancelling it reaches the service too"))
    cancelled.clear()
    same(error_of(lambda: call(made, "unary_unary", "hang")(b"", timeout=0.3))[0], "DEADLINE_EXCEEDED", say("a deadline passes"))
    expect(cancelled.wait(PATIENCE), say("and the service hears it"))


for host, sealed in (("a.test", False), ("a.test", True), ("b.test", False), ("b.test", True)):
    way = f"{'TLS' if sealed else 'h2c'} -> {'h2c' if host == 'a.test' else 'TLS'}"
    attempt(way, calls, host, sealed, lambda text, way=way: f"{way}: {text}")

# --- errors that the gateway makes ----------------------------------------------------------------------------------

made = channel("c.test", False)


def refusal(path):
    return error_of(lambda: made.unary_unary(path)(b"", timeout=PATIENCE))


same(refusal("/t.Service/unary"), ("UNIMPLEMENTED", "404 page not found"), "no route")
same(refusal("/down/x"), ("UNAVAILABLE", "502 Bad Gateway"), "a backend that is down")
same([refusal(f"/says{s}/x") for s in (401, 403, 429, 418)],
     [("UNAUTHENTICATED", "no entry"), ("PERMISSION_DENIED", "no entry"), ("UNAVAILABLE", "no entry"), ("UNKNOWN", "no entry")],
     "answers of middlewares, by the documented mapping")
expect(wait_for(lambda: re.search(r"url=/down/x .*status=502 .*grpc_status=14 .*end=backend-connect", goma.output)), "the log has both statuses")
expect(wait_for(lambda: re.search(r"url=/t.Service/fail .*status=200 .*grpc_status=9 ", goma.output)), "and the service's own")

client = H2Client(plain)
GRPC = {"content-type": "application/grpc", "te": "trailers"}
stream = client.ask("POST", "/down/x", GRPC, body=b"\0\0\0\0\0")
same((stream.status, stream["content-type"], stream["grpc-status"], len(stream.body), stream.complete), (200, "application/grpc", "14", 0, True),
     "on the wire: 200, application/grpc, the status, no content")
stream = client.ask("POST", "/down/x", {"content-type": "application/json"}, body=b"{}")
same((stream.status, stream["grpc-status"]), (502, None), "what is no call gets HTTP's words")
stream = client.ask("POST", "/mute/x", {**GRPC, "grpc-timeout": "300m"}, body=b"\0\0\0\0\0")
same((stream.status, stream["grpc-status"], stream["grpc-message"]), (200, "4", "deadline exceeded"), "grpc-timeout: the gateway ends the call")
expect(wait_for(lambda: mute.last.gone()), "and resets the backend's stream")
stream = client.open("POST", "/broken/x", GRPC, end=False)
stream.send(b"\0\0\0\0\0", end=True)
stream.wait(lambda: len(stream.body) == 7)
gate.set()
stream.finished()
same((bytes(stream.body), stream.trailers.get("grpc-status"), stream.complete), (b"\0\0\0\0\5ab", "14", True), "a backend that breaks off: the trailers say so")

stop = [made.close() for made in channels]
client.close()
plain_server.stop(0).wait(PATIENCE)
sealed_server.stop(0).wait(PATIENCE)
