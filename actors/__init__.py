"""Ray actors and tasks: thin shells around the pure core, and the one place where they are wrapped."""

from barray.actors.forking.late_modules import load_late

load_late()
