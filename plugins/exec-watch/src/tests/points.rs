//! Where an exec is met, by the functions that a kernel has.

use oriel_sdk::BreakpointPlace;

use super::*;
use crate::points::{POINTS, Stage};
use crate::tests::forged::{TEXT, linux, symbol};

/// Where breakpoints are in memory, by the functions that a kernel has.
fn places(names: &[&str]) -> Result<Vec<u64>, Failure> {
    let mut kernel = linux("kernel_execve");
    for (name, at) in names.iter().zip(1..) {
        kernel.symbols.push(symbol(name, TEXT + 0x100 * at));
    }
    let guest = Forged::with(all(), kernel)?;
    let armed = guest.bench.engine.armed.breakpoints.values();
    let gpas = armed.map(|(_, place)| match place {
        BreakpointPlace::Gpa(gpa) => *gpa,
        BreakpointPlace::Gva(gva) => panic!("by the vCPU's tables: {gva:#x}"),
    });
    Ok(gpas.collect())
}

/// Where the nth of them is.
const fn gpa(nth: u64) -> u64 {
    0x5000 + 0x100 * nth
}

#[test]
fn each_function_of_the_table_is_met_and_its_exec_told_of() -> Result<(), Failure> {
    for point in &POINTS {
        let mut guest = Forged::with(all(), linux(point.name))?;
        let said = format!("execs are met in {}", point.name);
        assert!(guest.bench.engine.log[0].1.starts_with(&said));
        assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
        assert!(
            line(&guest).starts_with("path=\"/bin/ls\" file="),
            "{}",
            point.name
        );
    }
    Ok(())
}

#[test]
fn the_best_of_several_is_taken_whole_with_all_its_clones() -> Result<(), Failure> {
    let all: Vec<&str> = POINTS.iter().rev().map(|point| point.name).collect();
    assert_eq!(places(&all)?, [gpa(5)]);
    let clones = ["bprm_execve.constprop.0", "begin_new_exec", "bprm_execve"];
    assert_eq!(places(&clones)?, [gpa(1), gpa(3)]);
    assert_eq!(
        places(&["bprm_execve.isra.0", "bprm_execve.isra.0.cold"])?,
        [gpa(1)]
    );
    Ok(())
}

#[test]
fn a_function_that_was_split_is_not_taken_unless_others_call_it_as_a_whole() -> Result<(), Failure>
{
    assert_eq!(places(&["bprm_execve.part.0", "begin_new_exec"])?, [gpa(2)]);
    let split = ["bprm_execve", "bprm_execve.part.0", "begin_new_exec"];
    assert_eq!(places(&split)?, [gpa(3)]);
    assert_eq!(
        places(&["begin_new_exec", "begin_new_exec.part.0"])?,
        [gpa(1)]
    );
    Ok(())
}

#[test]
fn a_script_is_one_exec_and_its_interpreter_is_none() -> Result<(), Failure> {
    for point in POINTS.iter().filter(|point| point.stage == Stage::EachFile) {
        let mut guest = Forged::with(all(), linux(point.name))?;
        let script = Asked {
            path: "/root/script",
            file: &["root", "script"],
            ..Asked::default()
        };
        guest.run(&script);
        guest.run(&Asked {
            interp: Some("/bin/sh"),
            file: &["bin", "sh"],
            ..script
        });
        assert_eq!(guest.bench.engine.counters["execs"], 1);
        let told = guest.bench.engine.log.iter();
        let told = told.filter(|(_, line)| line.starts_with("exec "));
        assert_eq!(told.count(), 1);
    }
    Ok(())
}

#[test]
fn where_only_the_last_file_is_met_a_script_has_its_own_path_and_not_that_file()
-> Result<(), Failure> {
    for point in POINTS.iter().filter(|point| point.stage == Stage::Chosen) {
        let mut guest = Forged::with(all(), linux(point.name))?;
        guest.run(&Asked {
            path: "/root/script",
            interp: Some("/bin/sh"),
            ..Asked::default()
        });
        let told = "path=\"/root/script\" file=\"unknown\" interpreter=\"/bin/sh\"";
        assert!(line(&guest).starts_with(told), "{}", line(&guest));
        assert_eq!(guest.bench.engine.counters["execs"], 1);
    }
    Ok(())
}

#[test]
fn once_the_old_memory_is_gone_the_arguments_are_in_the_vcpus_own() -> Result<(), Failure> {
    let mut guest = Forged::with(all(), linux("setup_new_exec"))?;
    let binprm = guest.binprm(&Asked::default())?;
    guest.put(binprm + 16, 0)?;
    guest.hit(binprm);
    assert!(line(&guest).contains("arguments=[unknown]"));
    guest
        .bench
        .engine
        .memory
        .map(forged::CR3, forged::ARGUMENTS, 0x9000);
    guest.hit(binprm);
    assert!(
        line(&guest).contains("arguments=[\"ls\", \"-l\"]"),
        "{}",
        line(&guest)
    );
    Ok(())
}
