//! Tables of symbols in every layout, as a kernel's build writes them.

use oriel_protocol::Gva;

use crate::kallsyms::Layout;

/// A symbol: the letter of its kind, its name, its address.
pub type Entry = (u8, String, Gva);

/// What a kernel's build would put where.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// How addresses are written.
    pub layout: Layout,
    /// They are behind the tokens.
    pub behind: bool,
    /// The order by name is between markers and tokens.
    pub sequence: bool,
    /// What labels are aligned to.
    pub align: usize,
}

/// The forms of 5.4, of 6.2, of 6.5, of one CPU, of 6.15, of 7.0, and two without a base.
pub const FORMS: [Form; 8] = [
    form(Layout::PercpuAbsolute, false, false, 8),
    form(Layout::PercpuAbsolute, false, true, 8),
    form(Layout::PercpuAbsolute, true, false, 8),
    form(Layout::Relative, false, false, 8),
    form(Layout::Relative, true, false, 4),
    form(Layout::SelfRelative, true, false, 4),
    form(Layout::Absolute, false, false, 8),
    form(Layout::Absolute, true, false, 8),
];

const fn form(layout: Layout, behind: bool, sequence: bool, align: usize) -> Form {
    Form {
        layout,
        behind,
        sequence,
        align,
    }
}

/// What all filling symbols begin with: a token of its own.
const COMMON: &str = "symbol_";
const COMMON_TOKEN: u8 = 1;

impl Form {
    /// The table of these symbols, which are in order. `start` is where its first byte will be, on
    /// a multiple of 8, and `base` the lowest address of the image.
    pub fn table(self, symbols: &[Entry], start: Gva, base: Gva) -> Vec<u8> {
        let mut table = Table {
            bytes: Vec::new(),
            form: self,
            start,
            base,
        };
        if !self.behind {
            table.addresses(symbols);
        }
        table.names(symbols);
        if self.sequence {
            let numbers = (0u32..).take(symbols.len()).map(u32::to_be_bytes);
            table.add(numbers.flat_map(|[_, rest @ ..]| rest));
        }
        table.tokens();
        if self.behind {
            table.addresses(symbols);
        }
        table.label();
        table.bytes
    }
}

struct Table {
    bytes: Vec<u8>,
    form: Form,
    start: Gva,
    base: Gva,
}

impl Table {
    fn label(&mut self) {
        let length = self.bytes.len().next_multiple_of(self.form.align);
        self.bytes.resize(length, 0);
    }

    fn add(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.label();
        self.bytes.extend(bytes);
    }

    fn names(&mut self, symbols: &[Entry]) {
        self.add(number(symbols.len()).to_le_bytes());
        let (mut names, mut markers) = (Vec::new(), Vec::new());
        for (index, (kind, name, _)) in symbols.iter().enumerate() {
            if index % 256 == 0 {
                markers.extend(number(names.len()).to_le_bytes());
            }
            let text = name.replace(COMMON, char::from(COMMON_TOKEN).to_string().as_str());
            names.extend(length(text.len() + 1));
            names.push(*kind);
            names.extend(text.bytes());
        }
        self.add(names);
        self.add(markers);
    }

    fn tokens(&mut self) {
        let (mut table, mut index) = (Vec::new(), Vec::new());
        for token in 0..=u8::MAX {
            let begin = u16::try_from(table.len()).expect("256 short strings");
            index.extend(begin.to_le_bytes());
            match token {
                COMMON_TOKEN => table.extend(COMMON.bytes()),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' => table.push(token),
                _ => {}
            }
            table.push(0);
        }
        self.add(table);
        self.add(index);
    }

    fn addresses(&mut self, symbols: &[Entry]) {
        self.label();
        for (_, _, address) in symbols {
            let here = self.start + self.bytes.len() as u64;
            match self.form.layout {
                Layout::Absolute => self.bytes.extend(address.to_le_bytes()),
                Layout::PercpuAbsolute if *address < self.base => self.low(*address),
                Layout::PercpuAbsolute => self.low(!address.wrapping_sub(self.base)),
                Layout::Relative => self.low(address.wrapping_sub(self.base)),
                Layout::SelfRelative => self.low(address.wrapping_sub(here)),
            }
        }
        if matches!(self.form.layout, Layout::PercpuAbsolute | Layout::Relative) {
            self.add(self.base.to_le_bytes());
        }
    }

    /// The lower half of a word.
    fn low(&mut self, word: u64) {
        self.bytes.extend(&word.to_le_bytes()[..4]);
    }
}

/// A name's length: two bytes from 128 on.
fn length(tokens: usize) -> Vec<u8> {
    let [low, high, ..] = number(tokens).to_le_bytes();
    match tokens {
        0..0x80 => vec![low],
        _ => vec![low | 0x80, high << 1 | low >> 7],
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).expect("a test's tables are small")
}
