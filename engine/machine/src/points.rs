//! The debug registers of a VM as something that can run out: which points have room, and words
//! for one that has none. Encodes nothing; that is each machine's own.

use oriel_protocol::HardwarePoint;

use crate::ArmError;

/// The wanted points, each once, in the order of wanting.
///
/// # Errors
/// [`ArmError::Full`] if they are more than a processor has registers for; it names those that
/// have none, and those that have: the ones `armed` so far go first.
pub(crate) fn fit(
    wanted: &[HardwarePoint],
    armed: &[HardwarePoint],
) -> Result<Vec<HardwarePoint>, ArmError> {
    let mut points: Vec<HardwarePoint> = Vec::new();
    for point in wanted {
        if !points.contains(point) {
            points.push(*point);
        }
    }
    if points.len() <= HardwarePoint::MOST {
        return Ok(points);
    }
    points.sort_by_key(|point| !armed.contains(point));
    let (there, without) = points.split_at(HardwarePoint::MOST);
    let named = |points: &[HardwarePoint]| points.iter().map(words).collect::<Vec<_>>().join(", ");
    Err(ArmError::Full {
        what: named(without),
        taken: format!(
            "a processor watches {} addresses, which are {}; clear one first",
            HardwarePoint::MOST,
            named(there)
        ),
    })
}

/// The point as messages name it.
pub(crate) fn words(point: &HardwarePoint) -> String {
    let (gva, length) = (point.gva(), point.length());
    match point.access() {
        HardwarePoint::READ_WRITE => format!("a watch for access to {length} bytes at {gva:#x}"),
        _ if point.executes() => format!("a hardware breakpoint at {gva:#x}"),
        _ => format!("a watch for writes to {length} bytes at {gva:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::Access;

    use super::*;

    fn code(gva: u64) -> HardwarePoint {
        HardwarePoint::execute(gva).unwrap()
    }

    #[test]
    fn the_same_point_takes_one_register() {
        let wanted = [code(1), code(2), code(1), code(2), code(1)];
        assert_eq!(fit(&wanted, &[]).unwrap(), [code(1), code(2)]);
    }

    #[test]
    fn a_fifth_is_refused_and_the_four_that_are_there_are_named() {
        let armed = [code(0x11), code(0x22), code(0x33), code(0x44)];
        assert!(fit(&armed, &[]).is_ok());
        let watch = HardwarePoint::new(0x50, 8, Access::WRITE).unwrap();
        let wanted = [&[watch], &armed[..]].concat();
        let error = fit(&wanted, &armed).unwrap_err().to_string();
        let (first, rest) = error.split_once(": ").unwrap();
        assert_eq!(
            first,
            "there is no room for a watch for writes to 8 bytes at 0x50"
        );
        for there in ["0x11", "0x22", "0x33", "0x44"] {
            assert!(rest.contains(there), "{error}");
        }
    }
}
