//! What both sides tell of themselves before the sign-in: a banner, capabilities, and the types that data may have.

use dataflow_model::TestError;

use super::{
    super::link::Link,
    bytes::{Bytes, Unread, write_counted},
    packet::Session,
};

/// AL32UTF8.
const UTF_8: u16 = 873;
/// Fields as 19c has them: later ones have more, which is nothing that is asked for here.
const FIELDS: u8 = 13;
/// Oldest that is taken: 12.1.
const OLDEST_FIELDS: u8 = 7;
/// Where it stands among the capabilities.
const PLACE_OF_FIELDS: usize = 7;

/// What a client can do, by its place among the capabilities of its build: SQL of version 6; the sign-ins O5LOGON and O7LOGON with long names and
/// passwords; fields; defines; bit vectors, the end of a call and indicators; the session's properties; versions of types, calls, formats; locators;
/// words of two bytes; results in pieces; functions.
const ABILITIES: [(usize, u8); 20] = [
    (0, 6),
    (4, 8 | 2 | 32 | 64 | 0x80),
    (PLACE_OF_FIELDS, FIELDS),
    (8, 1),
    (9, 1),
    (15, 0x20 | 0x01 | 0x08),
    (16, 0x10 | 0x80),
    (17, 3),
    (18, 7),
    (19, 3),
    (21, 1),
    (23, 0x01 | 0x02 | 0x40 | 0x08 | 0x80 | 0x04),
    (26, 0x04),
    (27, 1),
    (31, 0x10),
    (34, 12),
    (37, 0x10 | 0x20 | 0x80 | 0x08),
    (39, 8),
    (40, 0x04),
    (42, 0x01 | 0x04),
];
const ABILITIES_LENGTH: usize = 55;
/// Those of its run: as 8.1 has them, and texts of 32 KiB.
const AT_RUN_TIME: [u8; 11] = [2, 0, 0, 0, 0, 0, 0x01 | 0x04, 0, 0, 0, 0];

/// Types of data that are written as everybody writes them: first and last of each range.
const UNIVERSAL: [(u16, u16); 52] = [
    (1, 1),
    (8, 8),
    (10, 11),
    (23, 26),
    (28, 33),
    (39, 41),
    (96, 96),
    (100, 102),
    (106, 106),
    (109, 109),
    (111, 115),
    (117, 117),
    (119, 120),
    (146, 146),
    (178, 183),
    (185, 190),
    (198, 198),
    (208, 208),
    (231, 231),
    (233, 233),
    (252, 252),
    (290, 294),
    (298, 313),
    (315, 323),
    (327, 329),
    (331, 331),
    (333, 346),
    (348, 349),
    (354, 355),
    (359, 359),
    (363, 363),
    (380, 391),
    (393, 401),
    (404, 407),
    (413, 427),
    (429, 433),
    (449, 450),
    (454, 463),
    (466, 486),
    (490, 496),
    (498, 502),
    (509, 510),
    (513, 514),
    (516, 543),
    (560, 560),
    (563, 565),
    (572, 576),
    (578, 585),
    (590, 605),
    (611, 616),
    (622, 632),
    (636, 640),
];
/// Those that are taken for another type, or are written as Oracle does (10).
const CONVERTED: [(u16, u16, u16); 31] = [
    (2, 2, 10),
    (12, 12, 10),
    (27, 27, 10),
    (3, 2, 10),
    (4, 2, 10),
    (5, 1, 1),
    (6, 2, 10),
    (7, 2, 10),
    (9, 1, 1),
    (15, 1, 1),
    (68, 2, 10),
    (91, 2, 10),
    (94, 1, 1),
    (95, 23, 1),
    (97, 96, 1),
    (104, 11, 1),
    (108, 109, 1),
    (110, 111, 1),
    (116, 102, 1),
    (152, 2, 10),
    (153, 2, 10),
    (154, 2, 10),
    (155, 1, 1),
    (156, 12, 10),
    (172, 2, 10),
    (184, 12, 10),
    (195, 112, 1),
    (196, 113, 1),
    (197, 114, 1),
    (232, 231, 1),
    (241, 109, 1),
];

/// Messages of TTC.
const PROTOCOL: u8 = 1;
const DATA_TYPES: u8 = 2;

pub(super) async fn agree(session: &mut Session, wire: &mut Link<'_>) -> Result<(), TestError> {
    // From version 6 of it on, no older one; then who asks.
    session.say(wire, b"\x01\x06\0dataflow\0").await?;
    session.fields = session.hear(wire, protocol).await?.min(FIELDS);
    if session.fields < OLDEST_FIELDS {
        return Err(crate::causes::protocol_too_old("Oracle (12.1)"));
    }
    session.say(wire, &types(session.fields)).await?;
    session.hear(wire, types_taken).await
}

/// Which fields the server's messages have.
fn protocol(bytes: &[u8]) -> Result<u8, Unread> {
    let mut rest = Bytes(bytes);
    if rest.byte()? != PROTOCOL {
        return Err(Unread::Bent);
    }
    // Its version and a 0, then a banner that ends with one.
    rest.take(2)?;
    while rest.byte()? != 0 {}
    // Character set and flags, then elements of five bytes.
    rest.take(3)?;
    let elements = usize::from(rest.u16_le()?);
    rest.take(elements * 5)?;
    let own = usize::from(rest.u16()?);
    rest.take(own)?;
    let abilities = rest.counted()?;
    rest.counted()?;
    abilities.get(PLACE_OF_FIELDS).copied().ok_or(Unread::Bent)
}

fn types(fields: u8) -> Vec<u8> {
    let mut abilities = [0; ABILITIES_LENGTH];
    for (place, value) in ABILITIES {
        if let Some(ability) = abilities.get_mut(place) {
            *ability = if place == PLACE_OF_FIELDS { fields } else { value };
        }
    }
    let mut out = vec![DATA_TYPES];
    out.extend_from_slice(&UTF_8.to_le_bytes());
    out.extend_from_slice(&UTF_8.to_le_bytes());
    // Characters have several bytes, and lengths are converted.
    out.push(0x01 | 0x02);
    write_counted(&mut out, &abilities);
    write_counted(&mut out, &AT_RUN_TIME);
    let universal = UNIVERSAL.iter().flat_map(|(first, last)| (*first..=*last).map(|kind| (kind, kind, 1)));
    for (kind, taken_for, written) in universal.chain(CONVERTED) {
        for word in [kind, taken_for, written, 0] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    out.extend_from_slice(&[0, 0]);
    out
}

fn types_taken(bytes: &[u8]) -> Result<(), Unread> {
    let mut rest = Bytes(bytes);
    if rest.byte()? != DATA_TYPES {
        return Err(Unread::Bent);
    }
    while rest.u16()? != 0 {
        if rest.u16()? != 0 {
            rest.take(4)?;
        }
    }
    Ok(())
}
