use super::*;

/// A component of empty sections with these numbers; 0 is a custom section named `x`.
fn component(sections: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for &id in sections {
        bytes.extend_from_slice(if id == 0 { &[0, 2, 1, b'x'] } else { &[0, 0] });
        let at = bytes.len() - 2;
        if id != 0 {
            bytes[at] = id;
        }
    }
    bytes
}

fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(1 + name.len() + data.len()).unwrap();
    let name_length = u8::try_from(name.len()).unwrap();
    [&[0, length, name_length], name.as_bytes(), data].concat()
}

#[test]
fn sections_are_found_where_they_are() {
    let bytes = [
        component(&[7, 0]),
        custom(MANIFEST, b"{}"),
        custom(SIGNATURE, b"sig"),
    ]
    .concat();
    let sections = Sections::read(&bytes).unwrap();
    assert_eq!(sections.manifest().unwrap(), Some(&b"{}"[..]));
    assert!(sections.is_signed());
    assert_eq!(
        sections.content().len(),
        bytes.len() - custom(SIGNATURE, b"sig").len()
    );
    assert_eq!(sections.bare(), component(&[7, 0]));
}

#[test]
fn a_section_of_another_number_is_not_custom() {
    let mut bytes = [component(&[]), custom(MANIFEST, b"{}")].concat();
    bytes[PREAMBLE] = 1;
    assert_eq!(Sections::read(&bytes).unwrap().manifest().unwrap(), None);
}

#[test]
fn a_length_that_points_outside_is_cut_off() {
    for tail in [
        &[7][..],
        &[7, 5, 1],
        &[7, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[7, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
    ] {
        let bytes = [&component(&[])[..], tail].concat();
        let error = Sections::read(&bytes).unwrap_err();
        assert!(
            matches!(
                error,
                LoadError::CutOff {
                    section: 7,
                    at: PREAMBLE
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_name_that_points_outside_names_nothing() {
    let bytes = [&component(&[])[..], &[0, 2, 200, b'x']].concat();
    assert!(!Sections::read(&bytes).unwrap().is_signed());
}
