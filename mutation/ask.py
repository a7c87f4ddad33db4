"""Asks `mutation.preloaded` to run tests and ends with their status; standard library only, to start quickly."""

import json
import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    server.sendall(json.dumps(sys.argv[2:]).encode())
    sys.exit(json.loads(server.recv(16) or b"71"))
