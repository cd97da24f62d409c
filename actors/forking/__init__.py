"""Forking instead of starting: a process imports everything once, then forks what others of its user ask it for.

    handshake        what the asking process says; all that a launcher loads of the core
    request, become  what the server reads, and how a forked process turns into what was asked for
    server           accepts, checks, forks, reaps, and bids farewell
    private_folder   where sockets may lie
    workers/         Ray's workers by it; commands are forked in `barray.warm_commands`

Modules import each other by relative names: a launcher runs once a worker and loads them as the package `forking`,
without `barray` above it, whose import would take ten times as long as all it does.
"""
