"""What must survive the death of every process of a run, written down as it goes: a journal, and who may write it."""
