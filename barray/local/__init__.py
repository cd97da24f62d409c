"""What a run needs of this machine: Ray, running sessions, gateways, caches, warm commands."""
