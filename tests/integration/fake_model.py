"""A model on a real socket, in the three dialects that the agents' programs speak: it asks for one shell command, then ends.

It answers as much as a program needs that runs without a person: a stream with one call of the program's own shell tool, and
after the call's result a stream with one sentence. Which dialect is spoken follows from the address that is asked.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from tests.callers import PATIENCE
from tests.integration.listener import Listener
from tests.integration.raw_http import Channel, PeerGoneError, Reply, Request, read_request

LAST_WORD = "I have nothing more to do."
_SHELLS = {
    "Bash": "command",
    "bash": "command",
    "shell_command": "command",
    "exec_command": "cmd",
    "run_shell_command": "command",
}
"""The shell tools' names, and the argument that holds the command line."""

_USAGE = {"input_tokens": 1, "output_tokens": 1}
_Json = dict[str, Any]


class _Call(NamedTuple):
    """A call of a tool that the model asks for."""

    id: str
    tool: str
    arguments: _Json


class _Dialect(Protocol):
    def tools(self, body: _Json) -> list[str]:
        """The names of the tools that the program offers."""
        ...

    def results(self, body: _Json) -> list[str]:
        """What the program says became of the calls so far."""
        ...

    def call(self, call: _Call) -> Iterator[_Json]:
        """The events that ask for a call."""
        ...

    def say(self, text: str) -> Iterator[_Json]:
        """The events that say a sentence and end the turn."""
        ...


class _Messages:
    """Anthropic's ``/v1/messages``."""

    def tools(self, body: _Json) -> list[str]:
        return [tool["name"] for tool in body.get("tools", ())]

    def results(self, body: _Json) -> list[str]:
        blocks = (
            block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
        )
        return [json.dumps(block["content"]) for block in blocks if block["type"] == "tool_result"]

    def call(self, call: _Call) -> Iterator[_Json]:
        start = {"type": "tool_use", "id": call.id, "name": call.tool, "input": {}}
        return self._turn(start, {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}, "tool_use")

    def say(self, text: str) -> Iterator[_Json]:
        return self._turn({"type": "text", "text": ""}, {"type": "text_delta", "text": text}, "end_turn")

    def _turn(self, block: _Json, delta: _Json, reason: str) -> Iterator[_Json]:
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "fake", "content": [], "usage": _USAGE}
        yield {"type": "message_start", "message": message}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": _USAGE}
        yield {"type": "message_stop"}


class _Responses:
    """OpenAI's ``/v1/responses``."""

    def tools(self, body: _Json) -> list[str]:
        return [tool.get("name", "") for tool in body.get("tools", ())]

    def results(self, body: _Json) -> list[str]:
        return [json.dumps(item["output"]) for item in body["input"] if item["type"] == "function_call_output"]

    def call(self, call: _Call) -> Iterator[_Json]:
        named = {"call_id": call.id, "name": call.tool, "arguments": json.dumps(call.arguments)}
        return self._turn({"type": "function_call", "id": "fc_1", "status": "completed", **named})

    def say(self, text: str) -> Iterator[_Json]:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return self._turn({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content})

    def _turn(self, item: _Json) -> Iterator[_Json]:
        response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
        yield {"type": "response.created", "response": response}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        usage = {**_USAGE, "total_tokens": 2}
        yield {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [item], "usage": usage},
        }


class _Contents:
    """Google's ``:streamGenerateContent``."""

    def tools(self, body: _Json) -> list[str]:
        return [function["name"] for tool in body.get("tools", ()) for function in tool.get("functionDeclarations", ())]

    def results(self, body: _Json) -> list[str]:
        parts = (part for content in body["contents"] for part in content["parts"])
        return [json.dumps(part["functionResponse"]["response"]) for part in parts if "functionResponse" in part]

    def call(self, call: _Call) -> Iterator[_Json]:
        return self._turn({"functionCall": {"id": call.id, "name": call.tool, "args": call.arguments}})

    def say(self, text: str) -> Iterator[_Json]:
        return self._turn({"text": text})

    def _turn(self, part: _Json) -> Iterator[_Json]:
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        content = {"role": "model", "parts": [part]}
        yield {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}


_DIALECTS: dict[str, _Dialect] = {
    "/messages": _Messages(),
    "/responses": _Responses(),
    ":streamGenerateContent": _Contents(),
}


class FakeModel:
    """Answers until it is closed.

    Args:
        command: the command line that it asks for.
        times: how often it asks for it, each time after the result of the call before.

    Attributes:
        url: its address.
        results: what the program said became of the calls so far, one text each.

    """

    def __init__(self, command: str, times: int = 1) -> None:
        self._command = command
        self._times = times
        self._channels: list[Channel] = []
        self._listener = Listener(socket.create_server(("127.0.0.1", 0)), self._accepted)
        self.url = f"http://127.0.0.1:{self._listener.port}"
        self.results: list[str] = []
        self._listener.start()

    def close(self) -> None:
        """End all connections."""
        self._listener.close()
        for channel in self._channels:
            channel.finish()
        self._listener.join(PATIENCE)

    def _accepted(self, connection: socket.socket) -> None:
        self._channels.append(Channel(connection))
        self._listener.spawn(self._serve, self._channels[-1])

    def _serve(self, channel: Channel) -> None:
        with contextlib.suppress(PeerGoneError):
            while True:
                channel.send(self._answer(read_request(channel)).encode())

    def _answer(self, request: Request) -> Reply:
        dialect = next((found for end, found in _DIALECTS.items() if request.path.endswith(end)), None)
        if request.method != "POST" or dialect is None:
            return Reply(404, b"{}", (("Content-Type", "application/json"),))
        return _streamed(self._turn(dialect, json.loads(request.body)))

    def _turn(self, dialect: _Dialect, body: _Json) -> Iterator[_Json]:
        results = dialect.results(body)
        # Besides the conversation, programs ask small questions: for a title, say.
        self.results = max(self.results, results, key=len)
        shell = next((name for name in dialect.tools(body) if name in _SHELLS), None)
        if shell is None or len(results) >= self._times:
            return dialect.say(LAST_WORD)
        return dialect.call(
            _Call(f"call_{len(results)}", shell, {_SHELLS[shell]: self._command, "description": "Leave a trace"})
        )


def _streamed(events: Iterator[_Json]) -> Reply:
    """The events as a stream; Google's have no names."""
    lines = [(f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return Reply(200, "".join(lines).encode(), (("Content-Type", "text/event-stream"),))
