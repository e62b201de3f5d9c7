//! Random scenarios for the scripted policy, as TOML; and what it does natively.
//!
//! Owns the guests. Whoever runs one in another way compares.

use std::fmt::Write as _;

use oriel_scripted::Scripted;
use oriel_sdk::testing::{Bench, Played, scenario::Expect};
use oriel_sdk::{Config, Failure};
use proptest::{prelude::*, sample::select, test_runner::TestRng};
use proptest::{strategy::ValueTree as _, test_runner::RngAlgorithm, test_runner::TestRunner};

use crate::scenario;

/// The vCPU that the other one waits for, where the policy is to be swapped.
pub const WAITED_FOR: u32 = 1;

/// What there is in memory and in the page tables: words, a list, a text, an INT3, and pages that are
/// mapped elsewhere, by other rights, or not at all.
const GUEST: &str = "
vcpus = 2

[[memory]]
gpa = 0x5000
words = [1, 2, 3, 4, 5, 6, 7, 8]

[[memory]]
gpa = 0x6000
words = [0x6010, 0, 0x6020, 0, 0x6000]

[[memory]]
gpa = 0x9000
text = \"swapper/0\\u0000kthreadd\\u0000systemd\\u0000\"

[[memory]]
gpa = 0x3000
hex = 'cc'

[[map]]
gva = '0xffffffff81000000'
gpa = 0x5000
size = 0x2000

[[map]]
gva = '0xffffffff81002000'
gpa = 0x9000
rights = 'r'
user = true

[[map]]
cr3 = 0x8000
gva = '0xffffffff81000000'
gpa = 0x6000
";

/// What is read back at the end.
const REPORTS: [&str; 22] = [
    "report = 'register'\nregister = 'rax'",
    "report = 'register'\nregister = 'rbx'",
    "report = 'register'\nregister = 'rcx'",
    "report = 'register'\nregister = 'rsi'",
    "report = 'register'\nregister = 'r8'",
    "report = 'register'\nregister = 'r9'",
    "report = 'register'\nregister = 'r15'",
    "report = 'register'\nregister = 'rip'",
    "report = 'register'\nregister = 'cr0'",
    "report = 'register'\nregister = 'cr2'",
    "report = 'register'\nregister = 'cr4'",
    "report = 'register'\nregister = 'efer'",
    "report = 'msr'\nmsr = 'lstar'",
    "report = 'msr'\nmsr = 'star'",
    "report = 'msr'\nmsr = 'sfmask'",
    "report = 'msr'\nmsr = 0x8b",
    "report = 'memory'\ngpa = 0x5000",
    "report = 'memory'\ngpa = 0x5008",
    "report = 'memory'\ngpa = 0x6000",
    "report = 'memory'\ngpa = 0x8000",
    "report = 'memory'\ngpa = 0x9000",
    "report = 'faults'",
];

/// A scenario that may have its policy swapped in the middle.
#[derive(Clone, Debug)]
pub struct Script {
    first: Vec<String>,
    /// What comes after the swap; none: there is none.
    second: Option<Vec<String>>,
}

/// All scripts.
pub fn scripts() -> impl Strategy<Value = Script> {
    let steps = || prop::collection::vec(step(), 1..7);
    (steps(), prop::option::weighted(0.3, steps()))
        .prop_map(|(first, second)| Script { first, second })
}

/// So many scripts, the same each time for the same seed.
pub fn some(count: usize, seed: u64) -> Vec<Script> {
    let mut runner = runner(seed, 1);
    let one = |_| scripts().new_tree(&mut runner).expect("a script").current();
    (0..count).map(one).collect()
}

/// What tries so many cases of this seed.
pub fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

impl Script {
    /// Whether it waits in the middle.
    pub fn swaps(&self) -> bool {
        self.second.is_some()
    }

    /// The same steps without a swap, which a scenario cannot ask for by itself.
    #[must_use]
    pub fn unswapped(mut self) -> Self {
        self.first.extend(self.second.take().into_iter().flatten());
        self
    }

    /// As TOML, expecting these of its steps that can be expected of.
    pub fn text(&self, expected: impl Fn(usize) -> Option<Expect>) -> String {
        let mut text = format!("name = 'scripted'\n{GUEST}");
        let mut at = 0;
        let mut put = |body: &str, expect: bool| {
            let wanted = expected(at).filter(|_| expect);
            let wanted = wanted.map_or(String::new(), |expect| words(&expect));
            at += 1;
            // Writing into a String cannot fail.
            let _ = write!(text, "\n[[step]]\n{body}\n{wanted}");
        };
        let once = |body: &str| !body.contains("repeat");
        self.first.iter().for_each(|body| put(body, once(body)));
        if let Some(second) = &self.second {
            put("wait-for = 'swapped'", false);
            second.iter().for_each(|body| put(body, once(body)));
        }
        REPORTS.iter().for_each(|body| put(body, true));
        put("finish = 0", false);
        put("vcpu = 1\nevent = 'msr'\nmsr = 0x8b\nvalue = 0", false);
        put("vcpu = 1\nsignal = 'swapped'", false);
        text
    }

    /// The text that expects something, whatever it is, of every step: so what comes of it is noted.
    pub fn noting(&self) -> String {
        self.text(|_| {
            Some(Expect {
                verdict: None,
                value: Some(0),
            })
        })
    }

    /// Plays it natively; and swaps the policy, if it waits for that.
    ///
    /// # Errors
    /// The policy does not begin.
    pub fn natively(&self) -> Result<(Played, Bench<Scripted>), Failure> {
        let mut bench = Bench::<Scripted>::new(Config::new())?;
        let played = bench.play_with(&scenario(&self.noting()), |bench, cue| {
            if self.swaps() && cue.vcpu == WAITED_FOR {
                assert!(bench.swap(0).is_ok(), "it is swapped");
            }
        })?;
        Ok((played, bench))
    }

    /// The text that expects what came of it natively.
    pub fn expecting(&self, played: &Played) -> String {
        self.text(|at| {
            let mut outcomes = played.outcomes.iter().filter(|outcome| outcome.step == at);
            let outcome = outcomes.next()?;
            let expect = Expect {
                verdict: Some(outcome.verdict.unwrap_or_default()),
                value: outcome.value,
            };
            outcomes.next().is_none().then_some(expect)
        })
    }
}

fn words(expect: &Expect) -> String {
    let verdict = expect
        .verdict
        .map(|it| format!("verdict = '{}'", it.name()));
    let value = expect.value.map(|it| format!("value = '{it:#x}'"));
    let words: Vec<_> = verdict.into_iter().chain(value).collect();
    format!("expect = {{ {} }}\n", words.join(", "))
}

fn step() -> impl Strategy<Value = String> {
    let what = prop_oneof![
        8 => (msr(), value()).prop_map(|(msr, value)| format!("event = 'msr'\nmsr = {msr}\nvalue = '{value:#x}'")),
        2 => msr().prop_map(|msr| format!("event = 'msr-read'\nmsr = {msr}")),
        2 => cr(),
        2 => select(vec![0_u64, 1, 7, 0xd, 0x4000_0000, 0x8000_0001, 0x9999])
            .prop_map(|function| format!("event = 'cpuid'\nfunction = {function}")),
        4 => page(),
        1 => (any::<u16>(), 0..9_u64).prop_map(|(number, a)| format!(
            "event = 'hypercall'\nnumber = {number}\na = {a}\nb = 7\nc = 3"
        )),
        1 => (0x5e..0x72_u64, any::<bool>(), 0..256_u64).prop_map(|(port, write, value)| format!(
            "event = 'pio'\nport = {port}\nwrite = {write}\nvalue = {value}"
        )),
        2 => select(vec![0x3000_u64, 0x7000, 0x7100, 0x7108, 0x7200, 0x7201])
            .prop_map(|ip| format!("event = 'singlestep'\nip = {ip:#x}")),
        1 => Just("event = 'breakpoint'\nip = 0x3000".to_owned()),
        1 => select(vec![0_u64, 1, 3, 6, 7, 16, 19]).prop_map(|vector| format!("event = 'trap'\nvector = {vector}")),
        1 => (1..200_u64).prop_map(|value| format!(
            "event = 'mmio'\ngpa = 0xfed00000\nwrite = true\nvalue = {value}"
        )),
    ];
    let whole = (
        what,
        select(vec![
            "",
            "",
            "",
            "repeat = 2\n",
            "repeat = 3\n",
            "cpl = 3\n",
            "cpl = 0\n",
        ]),
    );
    whole.prop_map(|(what, more)| format!("{more}{what}"))
}

fn msr() -> impl Strategy<Value = &'static str> {
    select(vec![
        "'lstar'",
        "'star'",
        "'cstar'",
        "'sfmask'",
        "0x8b",
        "'kernel-gs-base'",
    ])
}

/// A deed, and with what: small numbers, bits anywhere, and what no register takes.
fn value() -> impl Strategy<Value = u64> {
    let with = prop_oneof![0..64_u64, 0..0x1_0000_u64, any::<u64>()];
    (0..256_u64, with).prop_map(|(deed, with)| with << 8 | deed)
}

fn cr() -> impl Strategy<Value = String> {
    let values = vec![
        (4_u64, 0x4_06a0_u64),
        (4, 0x14_06a0),
        (4, 0x34_06a0),
        (4, 0),
        (0, 0x8005_0033),
        (0, 0x8004_0033),
        (3, 0x8000),
    ];
    select(values).prop_map(|(cr, value)| format!("event = 'cr'\ncr = {cr}\nvalue = {value:#x}"))
}

fn page() -> impl Strategy<Value = String> {
    let access = select(vec!["read", "write", "execute"]);
    let places = vec![
        "gva = 0x5000",
        "gva = 0x5008",
        "gpa = 0x5ff8",
        "gva = 0x8000",
        "gva = 0x9010",
        "gva = '0xffffffff81000ff0'",
        "gva = '0xffffffff81002000'",
        "gva = '0xffffffffdead0000'",
    ];
    let sizes = select(vec![1_u64, 2, 4, 8]);
    (access, select(places), sizes, any::<u32>()).prop_map(|(access, place, size, value)| {
        let keys = match access {
            "write" => format!("size = {size}\nvalue = {value}\n"),
            "read" => format!("size = {size}\n"),
            _ => String::new(),
        };
        // Code is fetched by its virtual address.
        let place = if access == "execute" {
            place.replace("gpa", "gva")
        } else {
            place.to_owned()
        };
        format!("event = 'page'\naccess = '{access}'\n{keys}{place}")
    })
}
