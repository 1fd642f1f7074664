#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS pass-through: the server name chooses the target, nothing is decrypted, what is no hello is refused or goes to the default."""
import ssl
import threading

from lib.goma import *

directory = tempfile.mkdtemp(prefix="goma-t-")
key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                "-days", "2", "-subj", "/CN=pass.test"], check=True, capture_output=True)


class Target:
    """Greets over TLS with its name, or plainly."""

    def __init__(self, name, tls=True):
        self.name, self.tls = name, tls
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.text = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            sock, _ = self.listening.accept()
            threading.Thread(target=self.greet, args=(sock,), daemon=True).start()

    def greet(self, sock):
        try:
            sock.settimeout(PATIENCE)
            if self.tls:
                sock = self.context.wrap_socket(sock, server_side=True)
            data = sock.recv(100)
            sock.sendall(self.name.encode() + b":" + data)
        except OSError:
            pass
        sock.close()


a, wild, deep, plain = Target("a"), Target("wild"), Target("deep"), Target("plain", tls=False)
sni = [{"hosts": ["a.example.com"], "targets": [a.text]}, {"hosts": ["*.example.com"], "targets": [wild.text]},
       {"hosts": ["*.deep.example.com"], "targets": [deep.text]}]
base = {"protocol": "tcp", "port": 0}
goma = Goma([route("/", Origin())], workers=1, monitoring={"enableMetrics": True}, entryPoints={"web": {"address": "127.0.0.1:0"}, "passThrough": {"forwards": [
    {**base, "address": "127.0.1.1", "target": plain.text, "sni": sni}, {**base, "address": "127.0.1.2", "sni": sni}]}})
ports = {e["text"]: parse_address(e["address"][4:]) for e in goma.status()["listeners"] if e["text"].startswith("tcp:")}
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


def greet(name, number=1):
    sock = socket.create_connection(ports[f"tcp:127.0.1.{number}:0"], PATIENCE)
    try:
        secure = context.wrap_socket(sock, server_hostname=name)
        secure.sendall(b"hi")
        return secure.recv(100).decode()
    except (OSError, ssl.SSLError) as error:
        return type(error).__name__


def rest_of(sock):
    """What comes until the end; unread bytes of ours make the end a reset."""
    try:
        return sock.recv(100)
    except ConnectionResetError:
        return b""


def error(number, reason):
    return goma.metrics().get(f'goma_pass_through_errors_total{{forward="127.0.1.{number}:0",protocol="tcp",reason="{reason}"}}', 0)


same([greet(n) for n in ("a.example.com", "A.EXAMPLE.com", "b.example.com", "x.y.example.com", "x.deep.example.com")],
     ["a:hi", "a:hi", "wild:hi", "wild:hi", "deep:hi"], "exact names, then the longest suffix")
expect(wait_for(lambda: "server_name=b.example.com" in goma.output), "the log has the name")
host, port = ports["tcp:127.0.1.1:0"]
run = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "a.example.com", "-quiet"], input="hello", capture_output=True,
                     text=True, timeout=PATIENCE)
expect("a:hello" in run.stdout, "openssl s_client -servername", run.stdout + run.stderr)
sock = socket.create_connection((host, port), PATIENCE)
sock.sendall(b"hello")
same(sock.recv(100), b"plain:hello", "what is not TLS goes to the default target")
expect(greet("other.test", 2) in ("ConnectionResetError", "SSLEOFError", "SSLError", "SSLZeroReturnError"), "a name that nobody serves, without a default")
expect(error(2, "no-target") >= 1.0, "is refused and counted", goma.metrics())
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
hello = context.wrap_bio(incoming, outgoing, server_hostname="a.example.com")
try:
    hello.do_handshake()
except ssl.SSLWantReadError:
    pass
record = outgoing.read()
pieces = b"".join(b"\x16\x03\x01" + len(record[i:i + 50]).to_bytes(2, "big") + record[i:i + 50] for i in range(5, len(record), 50))
sock = socket.create_connection(ports["tcp:127.0.1.2:0"], PATIENCE)
for at in range(0, len(pieces), 33):
    sock.sendall(pieces[at:at + 33])
    wait_for(lambda: False, 0.005)
same(sock.recv(1), b"\x16", "a hello in many records and pieces finds its target")
sock = socket.create_connection(ports["tcp:127.0.1.2:0"], PATIENCE)
sock.sendall(record[:20])
sock.shutdown(socket.SHUT_WR)
same(rest_of(sock), b"", "half a hello and the end: closed")
expect(wait_for(lambda: error(2, "hello-timeout") == 1.0), "and counted")
sock = socket.create_connection(ports["tcp:127.0.1.1:0"], PATIENCE)
sock.sendall(b"\x16\x03\x01\0\0")
same(rest_of(sock), b"", "a broken hello: closed, never the default")
expect(error(1, "bad-hello") == 1.0, "and counted")
shutil.rmtree(directory)
