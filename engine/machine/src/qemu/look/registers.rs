//! Every vCPU's registers in what QEMU's monitor answers to `info registers -a`. Owns how that text
//! is cut up; the lines of segments are [`segments`]'s.

use oriel_protocol::x86::Special;

use crate::qemu::segments;

/// More vCPUs than QEMU has.
const MOST: usize = 4096;

/// Each vCPU with its index; none: the text says not everything, or makes no sense.
pub(super) fn all(text: &str) -> Option<Vec<(u32, Special)>> {
    let pieces = text.split("CPU#").skip(1).take(MOST);
    let all: Option<Vec<_>> = pieces.map(one).collect();
    all.filter(|all| !all.is_empty())
}

fn one(piece: &str) -> Option<(u32, Special)> {
    let index = piece.lines().next()?.trim().parse().ok()?;
    let mut special = Special::default();
    segments::read(piece, &mut special)?;
    special.cr0 = word(piece, "CR0=")?;
    special.cr2 = word(piece, "CR2=")?;
    special.cr3 = word(piece, "CR3=")?;
    special.cr4 = word(piece, "CR4=")?;
    special.efer = word(piece, "EFER=")?;
    Some((index, special))
}

/// The number behind this.
fn word(text: &str, name: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let digits = words.find_map(|word| word.strip_prefix(name))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::segments::tests::TEXT;

    const EFER: &str = "EFER=0000000000000d01\r\n";

    /// Two vCPUs, as QEMU writes them.
    fn two() -> String {
        let second = TEXT
            .replace("CPU#0", "CPU#1")
            .replace("CR3=000000000a810000", "CR3=000000000a820000");
        format!("{TEXT}{EFER}{second}{EFER}")
    }

    #[test]
    fn each_vcpu_has_its_own() {
        let all = all(&two()).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|(index, special)| (*index, special.cr3))
            .collect();
        assert_eq!(seen, [(0, 0x0a81_0000), (1, 0x0a82_0000)]);
        let (_, first) = all[0];
        assert_eq!((first.cr0, first.cr4), (0x8005_0033, 0x6b0));
        assert_eq!((first.efer, first.cr2), (0xd01, 0x42_ee70));
        assert_eq!(first.gs.base, 0xffff_8f22_0f60_0000);
    }

    #[test]
    fn a_text_that_is_cut_short_or_damaged_is_nothing() {
        let whole = two();
        let lines: Vec<_> = whole.lines().collect();
        let second = lines.iter().position(|line| *line == "CPU#1").unwrap();
        for end in (0..lines.len()).filter(|end| !(second - 1..=second).contains(end)) {
            assert_eq!(all(&lines[..end].join("\n")), None, "{end}");
        }
        let first = all(&lines[..second].join("\n")).unwrap();
        assert_eq!(first.len(), 1, "there it ends as a text of one vCPU does");
        assert_eq!(all(&whole.replace("CR3=", "CR3=x")), None);
        assert_eq!(all(&whole.replace("CPU#1", "CPU#one")), None);
        assert_eq!(all("unknown command: 'info registers -a'"), None);
    }
}
