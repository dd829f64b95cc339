"""Where no hop is asked to lead: the same spellings as in `crates/connectors/src/hops.rs`."""

from __future__ import annotations

import pytest

from dataflow.hops import rules


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "0xa9fea9fe",
        "0xA9.254.169.254",
        "2852039166",
        "169.254.43518",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        # What IDNA makes ASCII of, and what old resolvers leave out.
        "１６９.２５４.１６９.２５４",
        "169。254。169。254",
        "ⓜetadata.google.internal",
        "meta\u00addata",
        "169.254.169.254 x",
    ],
)
def test_no_spelling_leads_to_where_clouds_hand_out_credentials(host):
    assert not rules.may_be_asked_for(host)


@pytest.mark.parametrize("host", ["10.0.0.5", "db.internal", "[fd00::5]", "db1.example.org.", "x0x1", "::1"])
def test_other_hosts_may_be_asked_for(host):
    assert rules.may_be_asked_for(host)
