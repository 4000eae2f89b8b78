"""Holds connections open, each with traffic several times a second, until a file appears.

Reads a JSON object of names to places from a file: `{"http": host}` is a stream of events from port 80,
`{"https": host}` one from port 443 over TLS, `{"echo": "address:port"}` an echo. Prints a line of JSON for what happens:
`{"open": name}`, `{"cut": name}`, and `{"alive": [...]}` at the end. A connection is never opened a second time.
"""

import json
import os
import socket
import ssl
import sys
import time

STOP, SECONDS = sys.argv[2], 5


def say(event, name):
    print(json.dumps({event: name}), flush=True)


def http(host, connection):
    """An answer of many events: later requests on a connection would be decided by the rules of their time."""
    connection.sendall(f"GET /events/3000?everyMs=100 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = b""
    while b"data:" not in head:
        head += more(connection)
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(f"answered {head[:30]}")
    return lambda: more(connection)


def more(connection):
    data = connection.recv(65536)
    if not data:
        raise OSError("closed")
    return data


def echo(connection):
    def ask():
        connection.sendall(b"ping\n")
        more(connection)

    return ask


def open_one(place):
    if "echo" in place:
        host, _, port = place["echo"].rpartition(":")
        return echo(socket.create_connection((host, int(port)), timeout=SECONDS))
    if "http" in place:
        return http(place["http"], socket.create_connection((place["http"], 80), timeout=SECONDS))
    host = place["https"]
    plain = socket.create_connection((host, 443), timeout=SECONDS)
    return http(host, ssl.create_default_context(cafile="/tmp/trusted.pem").wrap_socket(plain, server_hostname=host))


with open(sys.argv[1]) as file:
    asks = {name: open_one(place) for name, place in json.load(file).items()}
for name, ask in asks.items():
    ask()
    say("open", name)
while not os.path.exists(STOP):
    for name in list(asks):
        try:
            asks[name]()
        except OSError:
            del asks[name]
            say("cut", name)
    time.sleep(0.1)
say("alive", list(asks))
