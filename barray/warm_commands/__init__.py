"""Commands while `barray up` keeps a Ray warm: forked from a process that has imported everything, 0.9 s sooner.

`server` imports once and waits; `client`, which is all that the `barray` command itself loads, hands it a command with
its terminal, passes on signals and ends as the command does. `origin` says what the two must have in common. On any
doubt the command runs in its own process as if there were no server.
"""
