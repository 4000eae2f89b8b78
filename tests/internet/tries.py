"""Tries many ways out of a sandbox at a time. Reads a JSON list of tries from a file, prints a JSON list of results."""

import json
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SECONDS = 2


def curl(attempt):
    command = ["curl", "-sS", "-m", str(attempt.get("seconds", SECONDS)), "-w", "\n%{http_code}"]
    if not attempt.get("trustsSystemOnly"):
        # Debian's curl trusts the system's folder of authorities too
        command += ["--cacert", "/tmp/trusted.pem", "--capath", "/nonexistent"]
    done = subprocess.run([*command, *attempt.get("args", []), attempt["url"]], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    result = {"ok": done.returncode == 0, "status": int(status or 0), "body": body[:20000]}
    if done.returncode != 0:
        result["error"] = done.stderr.strip()[:300]
    try:
        result["address"] = json.loads(body)["address"]
    except (ValueError, KeyError, TypeError):
        pass
    return result


def place(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def tcp(attempt):
    """An echo, as a proxy may accept a connection that it then refuses."""
    with socket.create_connection(place(attempt["tcp"]), timeout=SECONDS) as connection:
        connection.sendall(b"ping\n")
        body = connection.recv(100)
        if not body:
            raise OSError("closed without an answer")
        return {"ok": True, "body": body.decode("latin1")}


def udp(attempt):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(SECONDS)
        sender.sendto(attempt.get("text", "ping").encode(), place(attempt["udp"]))
        return {"ok": True, "body": sender.recv(1000).decode("latin1")}


def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode("latin1") for label in name.strip(".").split("."))
    return struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def dns(attempt):
    message = query(attempt["dns"], attempt.get("kind", 1))
    server = (attempt.get("server", "169.254.53.53"), 53)
    if attempt.get("overTcp"):
        with socket.create_connection(server, timeout=SECONDS) as connection:
            connection.sendall(struct.pack(">H", len(message)) + message)
            answer = connection.recv(4096)[2:]
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SECONDS)
            sender.sendto(message, server)
            answer = sender.recv(4096)
    if len(answer) < 12:
        raise OSError("no answer")
    flags, count = struct.unpack(">H", answer[2:4])[0], struct.unpack(">H", answer[6:8])[0]
    code = CODES.get(flags & 15, str(flags & 15))
    addresses = [socket.inet_ntoa(answer[-4:])] if count and attempt.get("kind", 1) == 1 else []
    return {"ok": code == "NOERROR" and count > 0, "body": code, "addresses": addresses}


def attempt(each):
    for name, act in {"url": curl, "tcp": tcp, "udp": udp, "dns": dns}.items():
        if name in each:
            try:
                return act(each)
            except OSError as error:
                return {"ok": False, "error": str(error) or type(error).__name__}
    return {"ok": False, "error": f"unknown: {each}"}


with open(sys.argv[1]) as file:
    tries = json.load(file)
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(attempt, tries))))
