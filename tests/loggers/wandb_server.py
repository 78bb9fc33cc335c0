"""A stand-in for wandb's server on the loopback device: runs, and a sweep with given parameters."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "p", "name": "cyclegan", "entity": {"id": "e", "name": "me"}}


class WandbServer:
    """Answer what `wandb agent` and the runs that it starts ask for, and store what they send.

    Args:
        sweep: configuration of the sweep, as YAML.
        commands: of the agent: `{"type": "run", "run_id": ..., "args": ...}`, one after the other.
    """

    def __init__(self, sweep: str = "", *commands: dict[str, Any]) -> None:
        self.sweep = sweep
        self.commands = list(commands)
        self.runs: dict[str, dict[str, Any]] = {}
        """What each run says about itself, by its id."""
        self.sent: dict[str, list[dict[str, Any]]] = {}
        """The bodies of each run's stream: lines of its files, and its exit code."""

    def __enter__(self) -> "WandbServer":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Print nothing."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # wandb ends without closing its connections
                    self.close_connection = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = {}
                if self.path == "/graphql":
                    asked = json.loads(body)
                    (name,) = re.findall(r"(?:query|mutation) (\w+)", asked["query"])
                    answer = {"data": outer.answer(name, asked.get("variables") or {})}
                elif self.path.endswith("/file_stream"):
                    outer.sent.setdefault(self.path.split("/")[-2], []).append(json.loads(body))
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST  # noqa: N815 (the base class's names)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a query of GraphQL."""
        match name:
            case "RunResumeStatus":
                return {"model": {**PROJECT, "bucket": self._resumed(asked["name"])}}
            case "UpsertBucket":
                known = self.runs.setdefault(asked["name"], {})
                is_new = not known
                known |= {key: value for key, value in asked.items() if value is not None}
                run = {"id": "b", "name": asked["name"], "project": PROJECT, "config": "{}"}
                return {"upsertBucket": {"bucket": run, "inserted": is_new}}
            case "CreateRunFiles":
                files = [{"name": file, "uploadUrl": f"{self.url}/upload"} for file in asked["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "SweepWithRuns":
                return {"project": {"sweep": {"id": "s", "config": self.sweep, "runs": {"edges": []}}}}
            case "CreateAgent":
                return {"createAgent": {"agent": {"id": "agent"}}}
            case "Heartbeat":
                is_idle = not json.loads(asked["runState"])
                commands = [self.commands.pop(0)] if self.commands and is_idle else []
                return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}
            case "ArtifactType":
                return {"project": {"artifact": None}}
            case "CreateArtifact":
                sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
                return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
            case "Viewer":
                return {"viewer": {"id": "u", "username": "me", "entity": "me", "teams": {"edges": []}, "flags": "{}"}}
        return {}

    def _resumed(self, run_id: str) -> dict[str, Any] | None:
        if run_id not in self.sent:
            return None
        rows, summary = self.lines(run_id, "wandb-history.jsonl"), self.lines(run_id, "wandb-summary.json")
        return {
            "id": "b", "name": run_id, "config": "{}", "wandbConfig": '{"t": 1}', "tags": [],
            "summaryMetrics": json.dumps(summary[-1]),
            "historyLineCount": len(rows), "historyTail": json.dumps([json.dumps(rows[-1])]),
            "logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]",
        }  # fmt: skip

    def lines(self, run_id: str, file: str) -> list[dict[str, Any]]:
        """Return the lines of a file that a run has sent."""
        parts = [body.get("files", {}).get(file, {}).get("content", []) for body in self.sent[run_id]]
        return [json.loads(line) for part in parts for line in part]

    def ends(self, run_id: str) -> list[tuple[int, bool]]:
        """Return the exit codes that a run sent, and whether it was then marked as preempting."""
        found, is_preempting = [], False
        for body in self.sent[run_id]:
            is_preempting = is_preempting or body.get("preempting", False)
            if body.get("complete"):
                found.append((body["exitcode"], is_preempting))
                is_preempting = False
        return found
