"""A child that looks like llama.cpp's server to operate/embedded.py; given "broken", it dies before it answers."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

KEY = "SO8T_LLAMACPP_KEY"
LABELS = {"ALLOW": 1, "ESCALATE": 2, "DENY": 3}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {os.environ[KEY]}":
            self.send_error(401)
        elif self.path == "/tokenize":
            self._answer({"tokens": [LABELS.get(asked["content"].strip(), 9)]})
        elif self.path == "/v1/embeddings":
            self._answer({"data": [{"embedding": [1.0, 0.0]} for _ in asked["input"]]})
        else:
            likely = [{"id": number, "logprob": -0.01 if number == 1 else -9.0} for number in LABELS.values()]
            told = {"completion_probabilities": [{"top_logprobs": likely}]}
            self._answer(told | {"content": "はい。", "tokens_predicted": 2, "stop_type": "eos"})

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    if sys.argv[1:] == ["broken"]:
        sys.exit("no memory for it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)
