"""Secrets stand in no text that went over a Redaction, and in no log that it guards."""

from __future__ import annotations

import logging

import pytest

from barray.data_sources.fetching.redaction import Redaction


def test_all_forms_of_a_secret_are_hidden_the_longest_first() -> None:
    redaction = Redaction("abc", "abc+/def@", "")
    assert redaction.hidden("abc abc+/def@ abc%2B%2Fdef%40 ab") == "*** *** *** ab"
    redaction.add("xyz")
    assert redaction.hidden("abcxyz") == "******"


def test_a_guarded_logger_says_no_secret_as_long_as_the_owner_lives(caplog: pytest.LogCaptureFixture) -> None:
    class Owner:
        pass

    owner, logger = Owner(), logging.getLogger("tests.redaction")
    Redaction("canary", "42").guard(["tests.redaction"], owner)
    try:
        raise ValueError("a canary")
    except ValueError:
        logger.exception("%s and %d, %r", "canary", 42, {"token": "canary"})
    assert "*** and ***, {'token': '***'}" in caplog.text
    assert "ValueError: a ***" in caplog.text
    assert "canary" not in caplog.text
    del owner
    assert not logger.filters
