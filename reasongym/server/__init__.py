"""An environment behind HTTP and WebSocket, in the protocol of OpenEnv's clients; needs the extra `server`.

    python -m reasongym serve ReasonGymText-bAbI-qa2-v0 --port 8000 --episodes episodes.jsonl

`settings` says what may be set, `wire` what goes over the line, `sessions` who plays what, `http` and `websocket` how they are
spoken to, `guards` what is refused before it is read, `command` starts it.
"""
