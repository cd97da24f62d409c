"""Ray actors and tasks: thin shells around the pure core, and the one place where they are wrapped."""
