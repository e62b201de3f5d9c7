//! The names of types as C writes them. Owns the text; bounded like every walk over types.

use super::{Kind, LONGEST, TypeId, Types};

impl Types {
    /// What a declaration of this type says: `struct mm_struct *`, `char[16]`, `unsigned int`.
    pub fn spelling(&self, id: TypeId) -> String {
        self.spell(id, LONGEST)
    }

    fn spell(&self, id: TypeId, left: usize) -> String {
        let Some(record) = self.record(id) else {
            return if id == 0 { "void" } else { "?" }.to_owned();
        };
        let Some(left) = left.checked_sub(1) else {
            return "…".to_owned();
        };
        let of = || self.spell(record.size_or_type, left);
        let name = self.string(record.name);
        match record.kind {
            Kind::Pointer => pointer(&of()),
            Kind::Array => self.array(id, left),
            Kind::Structure => tagged("struct", name),
            Kind::Union => tagged("union", name),
            Kind::Forward => tagged(if record.flag { "union" } else { "struct" }, name),
            Kind::Enumeration | Kind::LongEnumeration => tagged("enum", name),
            Kind::Volatile => format!("volatile {}", of()),
            Kind::Const => format!("const {}", of()),
            Kind::Restrict | Kind::TypeTag => of(),
            Kind::Prototype => format!("{} ()", of()),
            Kind::Integer
            | Kind::Float
            | Kind::Typedef
            | Kind::Function
            | Kind::Variable
            | Kind::Section
            | Kind::DeclarationTag => name.to_owned(),
        }
    }

    fn array(&self, id: TypeId, left: usize) -> String {
        let array = self.record(id).and_then(|record| record.array());
        array.map_or_else(String::new, |array| {
            let element = self.spell(array.element, left);
            // The outer length comes first.
            let at = element.find('[').unwrap_or(element.len());
            format!("{}[{}]{}", &element[..at], array.count, &element[at..])
        })
    }
}

fn tagged(word: &str, name: &str) -> String {
    let name = if name.is_empty() { "(anonymous)" } else { name };
    format!("{word} {name}")
}

fn pointer(to: &str) -> String {
    match to.strip_suffix(" ()") {
        Some(answer) => format!("{answer} (*)()"),
        None if to.ends_with('*') => format!("{to}*"),
        None => format!("{to} *"),
    }
}
