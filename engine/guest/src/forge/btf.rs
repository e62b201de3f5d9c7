//! Descriptions of types, put together by hand.

use crate::btf::TypeId;

/// Types in the making: each that is added gets the next number.
#[derive(Clone, Debug)]
pub struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_string: u32,
    count: u32,
}

/// The numbers of the kinds (Linux, `include/uapi/linux/btf.h`).
#[expect(missing_docs, reason = "the names are those of the header")]
impl Blob {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FORWARD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const PROTOTYPE: u32 = 13;
    pub const ENUM64: u32 = 19;
    /// Members say how many bits they have.
    pub const FLAG: u32 = 1 << 31;
}

impl Default for Blob {
    fn default() -> Self {
        Self::upon(0, 0)
    }
}

impl Blob {
    /// Types that build upon so many others, with so many bytes of strings.
    pub fn upon(count: u32, strings: u32) -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            first_string: strings,
            count,
        }
    }

    /// The offset of a string; 0 for none.
    pub fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.first_string + length(&self.strings);
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    /// One more, with its words behind the first three; its number.
    pub fn add(&mut self, name: &str, info: u32, size: u32, behind: &[u32]) -> TypeId {
        let name = self.name(name);
        for word in [&[name, info, size], behind].concat() {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    /// An integer of so many bytes.
    pub fn int(&mut self, name: &str, size: u32) -> TypeId {
        self.add(name, Self::INT << 24, size, &[size * 8])
    }

    /// A pointer to this.
    pub fn pointer(&mut self, to: TypeId) -> TypeId {
        self.add("", Self::PTR << 24, to, &[])
    }

    /// So many of this.
    pub fn array(&mut self, of: TypeId, count: u32) -> TypeId {
        self.add("", Self::ARRAY << 24, 0, &[of, of, count])
    }

    /// A structure or union. Members are a name, a type and the word that says where: bits, and
    /// with the flag the width of a bit-field above them.
    pub fn composite(
        &mut self,
        name: &str,
        kind: u32,
        size: u32,
        members: &[(&str, TypeId, u32)],
    ) -> TypeId {
        let words = members
            .iter()
            .flat_map(|(name, id, place)| [self.name(name), *id, *place]);
        let words: Vec<_> = words.collect();
        let info = (kind & !Self::FLAG) << 24 | kind & Self::FLAG;
        self.add(name, info | length(members), size, &words)
    }

    /// A structure whose members are at these bytes.
    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        let members = members.iter().map(|(name, id, at)| (*name, *id, at * 8));
        let members: Vec<_> = members.collect();
        self.composite(name, Self::STRUCT, size, &members)
    }

    /// How many there are, with those that it builds upon.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// All of it, as it lies in a kernel.
    pub fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (length(&self.types), length(&self.strings));
        let head = [24, 0, types, types, strings];
        let head = head.into_iter().flat_map(u32::to_le_bytes);
        let magic = crate::btf::MAGIC.into_iter().chain([0]);
        let all = magic.chain(head).chain(self.types.iter().copied());
        all.chain(self.strings.iter().copied()).collect()
    }
}

fn length<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).expect("a test's types are few")
}
