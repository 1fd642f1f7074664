# SPDX-License-Identifier: Apache-2.0
"""Certificates made for a test, and clients that speak TLS.

    ca = Authority(goma.directory)
    ca.issue("site", ["site.test", "*.site.test"])       # site.crt and site.key in the directory
    client = TlsClient(address, "www.site.test")         # a Client; .session, .certificate
"""
import os
import socket
import ssl
import subprocess

from .wire import PATIENCE, Client

SERVER_EXTENSIONS = "basicConstraints=critical,CA:false\nextendedKeyUsage=serverAuth,clientAuth\n"


def openssl(*arguments, text=None, timeout=PATIENCE):
    """Runs openssl; what it printed, both streams. Raises when it fails."""
    done = subprocess.run(["openssl", *arguments], input=text or "", capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")
    return done.stdout + done.stderr


class Authority:
    """A certificate authority in a directory; NAME.crt and NAME.key are its own."""

    def __init__(self, directory, name="ca", issuer=None):
        self.directory, self.name, self.issuer = directory, name, issuer
        os.makedirs(directory, exist_ok=True)
        self.serial = 100
        self.make(name, f"/CN=Test {name}", "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n", issuer or self, 30, "ec")

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def certificate(self):
        return self.path(self.name + ".crt")

    def make(self, name, subject, extensions, signer, days, kind):
        key, request, made = self.path(name + ".key"), self.path(name + ".csr"), self.path(name + ".crt")
        if kind == "ec":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as file:
            file.write(extensions)
        signer.serial += 1
        sign = ["-signkey", key] if signer.name == name else ["-CA", signer.certificate, "-CAkey", signer.path(signer.name + ".key")]
        openssl("x509", "-req", "-in", request, *sign, "-set_serial", str(signer.serial), "-days", str(days), "-extfile", self.path(name + ".ext"),
                "-out", made + ".new")
        os.rename(made + ".new", made)
        os.remove(request)
        os.remove(self.path(name + ".ext"))
        return made, key

    def issue(self, name, hosts=(), days=30, kind="ec", subject=None, extensions=""):
        """A certificate for hosts, signed by this authority: (certificate file, key file)."""
        alternative = "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts) + "\n" if hosts else ""
        return self.make(name, subject or f"/CN={name}", SERVER_EXTENSIONS + alternative + extensions, self, days, kind)


def client_context(authority=None, certificate=None, version=None, alpn=None):
    """authority: a file to verify by; certificate: (file, key file) to show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = authority is not None
    context.verify_mode = ssl.CERT_REQUIRED if authority else ssl.CERT_NONE
    if authority:
        context.load_verify_locations(authority)
    if certificate:
        context.load_cert_chain(*certificate)
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class TlsClient(Client):
    """A client behind a TLS handshake. session: one of an earlier connection to resume (same context)."""

    def __init__(self, address, name=None, context=None, session=None, timeout=PATIENCE, **options):
        super().__init__(address, timeout=timeout, **options)
        self.sock = (context or client_context()).wrap_socket(self.sock, server_hostname=name, session=session)
        self.host = name or "a.test"

    @property
    def session(self):
        return self.sock.session

    @property
    def resumed(self):
        return self.sock.session_reused

    def common_name(self):
        """Of the server's certificate, verified or not."""
        text = ssl.DER_cert_to_PEM_cert(self.sock.getpeercert(True))
        return openssl("x509", "-noout", "-subject", "-nameopt", "multiline", text=text).split("commonName")[1].split("=")[1].split("\n")[0].strip()


def refused(function, *arguments, **options):
    """The name of the TLS error that function ends with, or "" when it succeeds: "TLSV13_ALERT_CERTIFICATE_REQUIRED"."""
    try:
        function(*arguments, **options)
        return ""
    except ssl.SSLError as error:
        return (error.reason or str(error)).upper().replace(" ", "_")
    except (ConnectionError, socket.timeout) as error:
        return type(error).__name__
