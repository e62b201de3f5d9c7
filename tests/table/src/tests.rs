//! The table on the bench.

use oriel_sdk::msr::{Verdict, Write};
use oriel_sdk::testing::Bench;
use oriel_sdk::{Config, Failure};

use crate::{Table, answer::Answer, rule::Rule};

const STAR: u32 = 0xC000_0081;

fn bench(rules: &[&str]) -> Result<Bench<Table>, Failure> {
    let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
    Bench::new(Config::new().with("rules", rules))
}

#[test]
fn the_first_rule_that_fits_answers_and_one_that_is_spent_does_not() -> Result<(), Failure> {
    let mut bench = bench(&[
        "msr of 0xc0000081 once = continue",
        "msr of 0xc0000081 once = replace 0x77",
        "msr = deny",
    ])?;
    let mut write = |msr| bench.raise(0, Write::new(msr, 1, 2));
    assert_eq!(write(STAR), Some(Verdict::Continue));
    assert_eq!(write(0x10), Some(Verdict::Deny));
    assert_eq!(write(STAR), Some(Verdict::Replace(0x77)));
    assert_eq!(write(STAR), Some(Verdict::Deny));
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_with_the_rule() {
    for (text, said) in [
        ("msr deny", "there is no ="),
        ("mrs = deny", "no kind"),
        ("msr sometimes = deny", "`sometimes`"),
        ("msr of star = deny", "`of`"),
        ("msr = refuse", "a verdict"),
        ("msr = replace", "a verdict"),
        ("msr = deny or emulate zz", "a verdict"),
        ("msr = emulate 01", "no such verdict"),
        ("singlestep = skip", "no such verdict"),
        ("reset = deny", "no such verdict"),
    ] {
        let failure = Rule::parse(text).expect_err(text);
        let words = failure.as_str();
        assert!(words.contains(said) && words.contains(text), "{words}");
    }
}

#[test]
fn verdicts_are_read_with_what_belongs_to_them() {
    assert_eq!(
        Answer::parse(" emulate 01ff"),
        Some(Answer::Emulate(vec![1, 0xff]))
    );
    let Some(Answer::Inject(fault)) = Answer::parse("inject 13") else {
        panic!("it is a verdict");
    };
    assert_eq!((fault.vector, fault.error_code), (13, Some(0)));
    assert_eq!(Answer::parse("emulate 012"), None);
}
