use super::{shape::Part, *};
use crate::{answer::Unknown, forge::Blob};

fn parse(blob: &Blob) -> Types {
    Types::parse(blob.bytes()).unwrap()
}

/// A task as kernels have one, in small.
fn tasks() -> Types {
    let mut blob = Blob::default();
    let int = blob.int("int", 4);
    let long = blob.int("long unsigned int", 8);
    let byte = blob.int("char", 1);
    let index = blob.int("__ARRAY_SIZE_TYPE__", 4);
    let pid = blob.add("pid_t", Blob::TYPEDEF << 24, int, &[]);
    let pgd = blob.add("pgd_t", Blob::TYPEDEF << 24, long, &[]);
    let to_pgd = blob.add("", Blob::PTR << 24, pgd, &[]);
    let mm = blob.composite(
        "mm_struct",
        Blob::STRUCT,
        24,
        &[("users", int, 0), ("pgd", to_pgd, 128)],
    );
    let constant = blob.add("", Blob::CONST << 24, mm, &[]);
    let to_mm = blob.add("", Blob::PTR << 24, constant, &[]);
    let comm = blob.add("", Blob::ARRAY << 24, 0, &[byte, index, 16]);
    let pair = blob.composite(
        "pair",
        Blob::STRUCT,
        16,
        &[("base", long, 0), ("size", int, 64)],
    );
    let pairs = blob.add("", Blob::ARRAY << 24, 0, &[pair, index, 3]);
    let inner = blob.composite("", Blob::UNION, 8, &[("thread", long, 0), ("code", int, 0)]);
    let outer = blob.composite("", Blob::STRUCT, 8, &[("", inner, 0)]);
    let state = blob.add("", Blob::VOLATILE << 24, int, &[]);
    blob.composite(
        "task_struct",
        Blob::STRUCT | Blob::FLAG,
        128,
        &[
            ("state", state, 0),
            // Three bits from the third on, then one behind it.
            ("policy", int, 3 << 24 | (32 + 2)),
            ("no_child", int, 1 << 24 | (32 + 9)),
            ("mm", to_mm, 64),
            ("", outer, 128),
            ("pid", pid, 192),
            ("comm", comm, 256),
            ("mem", pairs, 384),
        ],
    );
    // What another file calls by the same name comes first, and has nothing.
    blob.add("task_struct", Blob::FORWARD << 24, 0, &[]);
    parse(&blob)
}

#[test]
fn paths_lead_through_pointers_anonymous_members_and_arrays() {
    let types = tasks();
    let place = |path: &str| {
        let field = types.field(path).unwrap();
        (field.hops, field.offset, field.size)
    };
    assert_eq!(place("task_struct.pid"), (vec![], 24, 4));
    assert_eq!(place("struct task_struct.comm"), (vec![], 32, 16));
    assert_eq!(place("task_struct.comm[3]"), (vec![], 35, 1));
    assert_eq!(place("task_struct.mm.pgd"), (vec![8], 16, 8));
    assert_eq!(place("task_struct.mm.pgd[2]"), (vec![8, 16], 16, 8));
    assert_eq!(place("task_struct.code"), (vec![], 16, 4));
    assert_eq!(place("task_struct.mem[2].size"), (vec![], 88, 4));
    assert_eq!(place("task_struct.mem"), (vec![], 48, 48));
    assert_eq!(place("task_struct"), (vec![], 0, 128));
}

#[test]
fn paths_that_lead_nowhere_say_which() {
    let types = tasks();
    for path in [
        "task_struct.pit",
        "task_struct.pid.x",
        "task_struct.comm[x]",
        "task_struct.mm.pgd.x",
    ] {
        assert_eq!(types.field(path), Err(Unknown::Member(path.to_owned())));
    }
    assert_eq!(
        types.field("tusk.pid"),
        Err(Unknown::Type("tusk".to_owned()))
    );
    assert_eq!(
        types.offset("task_struct.mm.pgd"),
        Err(Unknown::Member("task_struct.mm.pgd".to_owned()))
    );
    assert_eq!(types.find("union task_struct"), None);
}

#[test]
fn bit_fields_are_bits_of_the_word_at_their_offset() {
    let types = tasks();
    let field = types.field("task_struct.policy").unwrap();
    assert_eq!(
        (field.offset, field.bits),
        (4, Some(Bits { shift: 2, width: 3 }))
    );
    assert_eq!(field.bits.unwrap().of(0b11 | 0b101 << 2 | 1 << 6), 0b101);
    let next = types.field("task_struct.no_child").unwrap();
    assert_eq!(
        (next.offset, next.size, next.bits),
        (5, 1, Some(Bits { shift: 1, width: 1 }))
    );
}

#[test]
fn bit_fields_of_the_older_form_are_integers_of_few_bits() {
    let mut blob = Blob::default();
    let three = blob.add("unsigned int", Blob::INT << 24, 4, &[3]);
    let whole = blob.int("unsigned int", 4);
    blob.composite(
        "old",
        Blob::STRUCT,
        8,
        &[("few", three, 5), ("all", whole, 32)],
    );
    let types = parse(&blob);
    let few = types.field("old.few").unwrap();
    assert_eq!(
        (few.offset, few.bits),
        (0, Some(Bits { shift: 5, width: 3 }))
    );
    assert_eq!(types.field("old.all").unwrap().bits, None);
}

#[test]
fn a_modules_types_go_on_where_the_kernels_end() {
    let base = Arc::new(tasks());
    let task = base.find("task_struct").unwrap();
    let mut blob = Blob::upon(u32::try_from(base.len()).unwrap(), base.strings_length());
    let to_task = blob.add("", Blob::PTR << 24, task, &[]);
    blob.composite(
        "owner",
        Blob::STRUCT,
        16,
        &[("count", 1, 0), ("task", to_task, 64)],
    );
    let types = Types::split(blob.bytes(), Arc::clone(&base)).unwrap();
    assert_eq!(types.len(), base.len() + 2);
    let pid = types.field("owner.task.pid").unwrap();
    assert_eq!((pid.hops, pid.offset), (vec![8], 24));
    assert_eq!(
        types.field("task_struct.pid"),
        base.field("task_struct.pid")
    );
    assert_eq!(types.spelling(to_task), "struct task_struct *");
    assert!(base.find("owner").is_none());
}

#[test]
fn types_are_spelled_as_in_c() {
    let mut blob = Blob::default();
    let int = blob.int("int", 4);
    let row = blob.add("", Blob::ARRAY << 24, 0, &[int, int, 4]);
    let table = blob.add("", Blob::ARRAY << 24, 0, &[row, int, 2]);
    let constant = blob.add("", Blob::CONST << 24, int, &[]);
    let pointer = blob.add("", Blob::PTR << 24, constant, &[]);
    let twice = blob.add("", Blob::PTR << 24, pointer, &[]);
    let prototype = blob.add("", Blob::PROTOTYPE << 24, 0, &[]);
    let function = blob.add("", Blob::PTR << 24, prototype, &[]);
    let types = parse(&blob);
    let spelled = [table, twice, function, 0, 99].map(|id| types.spelling(id));
    assert_eq!(
        spelled,
        ["int[2][4]", "const int **", "void (*)()", "void", "?"]
    );
}

#[test]
fn a_type_is_laid_out_with_the_members_of_its_anonymous_ones() {
    let shape = tasks().shape("task_struct").unwrap();
    let names: Vec<_> = shape
        .parts
        .iter()
        .map(|part| match part {
            Part::Member { name, offset, .. } => (name.as_str(), *offset),
            Part::Value { name, .. } => panic!("{name} is a value"),
        })
        .collect();
    let expected = [
        ("state", 0),
        ("policy", 4),
        ("no_child", 5),
        ("mm", 8),
        ("thread", 16),
        ("code", 16),
        ("pid", 24),
        ("comm", 32),
        ("mem", 48),
    ];
    assert_eq!(names, expected);
}

#[test]
fn enumerations_have_values_with_their_sign() {
    let mut blob = Blob::default();
    let names = [blob.name("MINUS"), blob.name("HUGE")];
    blob.add(
        "signs",
        Blob::ENUM << 24 | Blob::FLAG | 1,
        4,
        &[names[0], u32::MAX],
    );
    blob.add("longs", Blob::ENUM64 << 24 | 1, 8, &[names[1], 1, 2]);
    let types = parse(&blob);
    let value = |name: &str| types.shape(name).unwrap().parts.pop();
    let made = |name: &str, value| {
        Some(Part::Value {
            name: name.to_owned(),
            value,
        })
    };
    assert_eq!(value("signs"), made("MINUS", -1));
    assert_eq!(value("longs"), made("HUGE", 0x2_0000_0001));
}

#[test]
fn types_that_lead_in_circles_end() {
    let mut blob = Blob::default();
    let looped = blob.add("loop", Blob::TYPEDEF << 24, 2, &[]);
    blob.add("pool", Blob::TYPEDEF << 24, looped, &[]);
    let pointer = blob.add("", Blob::PTR << 24, 4, &[]);
    blob.add("", Blob::ARRAY << 24, 0, &[pointer, 1, u32::MAX]);
    // Twice itself without a name: what is in it doubles with each look.
    let knot = blob.count() + 1;
    blob.composite("", Blob::STRUCT, 8, &[("", knot, 0), ("", knot, 0)]);
    let types = parse(&blob);
    assert_eq!(types.plain(looped), None);
    assert_eq!(types.size(looped), None);
    assert!(types.field("loop.x").is_err());
    assert!(types.spelling(pointer).len() < 1000);
    assert!(types.member(knot, "x").is_none());
    assert!(types.shape_of(knot).parts.len() <= 1 << 17);
}

#[test]
fn bytes_that_do_not_hold_together_are_refused_with_the_reason() {
    let bytes = tasks().bytes;
    assert_eq!(Types::parse(Vec::new()).unwrap_err(), Malformed::Magic);
    let mut other = bytes.clone();
    other[0] = 0xeb;
    assert_eq!(Types::parse(other).unwrap_err(), Malformed::Magic);
    let cut = bytes[..bytes.len() - 1].to_vec();
    assert_eq!(
        Types::parse(cut).unwrap_err(),
        Malformed::Outside("strings")
    );
    let mut unknown = bytes.clone();
    unknown[24 + 7] = 31;
    assert_eq!(
        Types::parse(unknown).unwrap_err(),
        Malformed::Kind { index: 1 }
    );
    let mut unclosed = bytes;
    *unclosed.last_mut().unwrap() = b'x';
    assert_eq!(
        Types::parse(unclosed).unwrap_err(),
        Malformed::Outside("strings")
    );
}

#[test]
fn a_longer_head_is_passed_over() {
    let mut blob = Blob::default();
    blob.int("int", 4);
    let mut bytes = blob.bytes();
    bytes[4..8].copy_from_slice(&32u32.to_le_bytes());
    bytes.splice(24..24, [7; 8]);
    assert_eq!(Types::parse(bytes).unwrap().size(1), Some(4));
}

proptest::proptest! {
    #[test]
    fn any_damage_is_refused_or_read_to_an_end(
        changes in proptest::collection::vec((0usize..2000, proptest::num::u8::ANY), 1..20),
    ) {
        let mut bytes = tasks().bytes;
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(types) = Types::parse(bytes) {
            for id in 0..40 {
                types.shape_of(id);
            }
            let _ = types.field("task_struct.mm.pgd");
            let _ = types.field("task_struct.mem[1].base");
        }
    }
}
