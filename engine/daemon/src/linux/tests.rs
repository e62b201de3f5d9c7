//! Answers of a forged guest.

use oriel_guest::{
    Index,
    forge::{FORMS, Forged},
};
use serde_json::json;

use super::*;

/// `init`, `kthreadd`, a shell of user 1000 that runs, and a module.
pub(crate) fn some() -> Forged {
    let mut forged = Forged::new(0x20_0000);
    let first = forged.init_task();
    let init = forged.process(1, "init", first);
    forged.process(2, "kthreadd", first);
    let shell = forged.process(700, "sh", init);
    forged.thread(shell, 701, "\u{1b}[2Jworker");
    forged.give(shell, 1000);
    forged.run(shell);
    forged.module("veth", None);
    forged
}

pub(crate) fn asked(forged: &Forged, question: &Question) -> Result<Json, Unknown> {
    let sights = [forged.sight()];
    let index = Index::build(forged.memory(), &sights)?;
    answer(question, &index.guest(forged.memory()), &sights)
}

fn symbols(which: Which) -> Question {
    let module = None;
    Question::Symbols { which, module }
}

#[test]
fn info_says_what_is_known_and_how_and_what_is_not_and_why() {
    let info = asked(&some(), &Question::Info).unwrap();
    assert_eq!(info["release"], "9.9.9-forged");
    assert_eq!(info["kernel"]["source"], "lstar");
    assert_eq!(info["kernel"]["start"], "0xffffffff81200000");
    assert_eq!(info["slide"]["value"], "0x200000");
    assert_eq!(info["areas"]["text"]["source"], "kallsyms");
    assert_eq!(info["modules"]["count"], 1);
    assert_eq!(info["vcpus"][0]["current"]["value"]["name"], "sh");
    let plain = Forged::with(0, FORMS[1], false);
    let info = asked(&plain, &Question::Info).unwrap();
    assert_eq!(info["types"]["unknown"], "no-types");
    let why = info["types"]["why"].as_str().unwrap();
    assert!(why.contains("CONFIG_DEBUG_INFO_BTF"), "{why}");
    assert_eq!(info["modules"]["unknown"], "no-types");
}

#[test]
fn symbols_are_found_by_name_by_beginning_and_by_address() {
    let forged = some();
    let read = forged.at(0x1000);
    let expected =
        json!([{ "name": "__x64_sys_read", "address": format!("{read:#x}"), "kind": "T" }]);
    for which in [
        Which::Named("__x64_sys_read".to_owned()),
        Which::Starting("__x64_sys_r".to_owned()),
    ] {
        let found = asked(&forged, &symbols(which)).unwrap();
        assert_eq!(
            (&found["symbols"], &found["source"]),
            (&expected, &json!("kallsyms"))
        );
    }
    let all = asked(&forged, &symbols(Which::All)).unwrap();
    assert!(all["symbols"].as_array().is_some_and(|all| all.len() > 600));
    let variants = asked(&forged, &symbols(Which::Variants("do_exit".to_owned())));
    assert_eq!(variants.unwrap()["symbols"][0]["name"], "do_exit.isra.0");
    let at = asked(&forged, &Question::At { address: read + 5 }).unwrap();
    assert_eq!(
        (&at["symbol"]["name"], &at["offset"]),
        (&json!("__x64_sys_read"), &json!("0x5"))
    );
}

#[test]
fn questions_are_sent_as_they_are_read() {
    let module = Some("tun".to_owned());
    for (question, text) in [
        (Question::Hidden, r#"{"ask":"hidden"}"#),
        (symbols(Which::All), r#"{"ask":"symbols"}"#),
        (
            symbols(Which::Starting("do_".to_owned())),
            r#"{"ask":"symbols","which":{"starting":"do_"}}"#,
        ),
        (
            Question::At {
                address: 0xffff_ffff_8100_0000,
            },
            r#"{"ask":"at","address":"0xffffffff81000000"}"#,
        ),
        (
            Question::Type {
                path: "x.y".to_owned(),
                module,
            },
            r#"{"ask":"type","path":"x.y","module":"tun"}"#,
        ),
        (
            Question::Syscalls { compat: false },
            r#"{"ask":"syscalls"}"#,
        ),
    ] {
        let read: Question = serde_json::from_str(text).unwrap();
        assert_eq!(read, question);
        let sent = serde_json::to_string(&question).unwrap();
        assert_eq!(serde_json::from_str::<Question>(&sent).unwrap(), question);
    }
    for text in [
        r#"{"ask":"nix"}"#,
        r#"{"ask":"at"}"#,
        r#"{"ask":"at","address":7}"#,
        r#"{"ask":"type","path":"x","more":1}"#,
    ] {
        assert!(serde_json::from_str::<Question>(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_not_there_is_said_in_words() {
    let forged = some();
    let words = |question: &Question| asked(&forged, question).unwrap_err().to_string();
    let module = Some("tun".to_owned());
    for (question, word) in [
        (
            symbols(Which::Named("do_exit".to_owned())),
            "no symbol do_exit",
        ),
        (symbols(Which::Variants("nix".to_owned())), "no symbol nix"),
        (
            Question::At { address: 0x1000 },
            "neither in the kernel's image nor in a module",
        ),
        (
            Question::Type {
                path: "nix".to_owned(),
                module: None,
            },
            "no type nix",
        ),
        (
            Question::Type {
                path: "task_struct.nix".to_owned(),
                module: None,
            },
            "task_struct.nix",
        ),
        (
            Question::Type {
                path: "x".to_owned(),
                module,
            },
            "no module tun is loaded",
        ),
    ] {
        let words = words(&question);
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_beginning_that_nothing_has_is_an_empty_answer() {
    let none = asked(&some(), &symbols(Which::Starting("nix".to_owned()))).unwrap();
    assert_eq!(none["symbols"], json!([]));
}

#[test]
fn tasks_come_with_the_vcpus_that_run_them_and_words_of_64_bits_as_text() {
    let forged = some();
    let tasks = asked(&forged, &Question::Tasks).unwrap();
    let pids: Vec<_> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["pid"])
        .collect();
    assert_eq!(pids, [1, 2, 700]);
    let shell = &tasks["tasks"][2];
    assert_eq!(shell["vcpus"], json!([0]));
    assert_eq!(shell["credentials"]["uid"], 1000);
    assert_eq!(shell["credentials"]["permitted"], "0x1ffffffffff");
    assert_eq!(shell["cr3"], "0x10000");
    assert_eq!(tasks["tasks"][0]["vcpus"], json!([]));
    let threads = asked(&forged, &Question::Threads).unwrap();
    assert_eq!(threads["tasks"].as_array().unwrap().len(), 4);
}

#[test]
fn a_process_runs_where_one_of_its_threads_does() {
    let mut forged = some();
    let process = forged.process(800, "many", forged.init_task());
    let thread = forged.thread(process, 801, "one");
    forged.run(thread);
    let vcpus = |question: &Question, pid: u32| {
        let answer = asked(&forged, question).unwrap();
        let mut tasks = answer["tasks"].as_array().unwrap().iter();
        tasks.find(|task| task["pid"] == pid).unwrap()["vcpus"].clone()
    };
    assert_eq!(vcpus(&Question::Tasks, 800), json!([0]));
    assert_eq!(vcpus(&Question::Threads, 800), json!([]));
    assert_eq!(vcpus(&Question::Threads, 801), json!([0]));
}

#[test]
fn who_is_taken_out_of_the_list_is_hidden() {
    let mut forged = some();
    let nobody = asked(&forged, &Question::Hidden).unwrap();
    assert_eq!(
        (&nobody["hidden"], &nobody["list"]),
        (&json!([]), &json!("whole"))
    );
    let rootkit = forged.process(666, "rootkit", forged.init_task());
    forged.hide(rootkit);
    let hidden = asked(&forged, &Question::Hidden).unwrap();
    assert_eq!(hidden["hidden"][0]["pid"], 666);
    assert_eq!(hidden["hidden"][0]["numbered"], true);
}

#[test]
fn entries_say_whose_code_they_lead_into() {
    let forged = some();
    let before = asked(&forged, &Question::Syscalls { compat: false }).unwrap();
    assert_eq!(before["calls"][1]["symbol"], "__x64_sys_write");
    assert_eq!(before["calls"][1]["in_text"], true);
    // The table is in the constants, 8 bytes an entry.
    let table = forged.at(0x20_1000);
    forged.word(table, 0xffff_ffff_c000_0010);
    forged.word(table + 8, forged.at(0x40_0000));
    let after = asked(&forged, &Question::Syscalls { compat: false }).unwrap();
    let calls = &after["calls"];
    assert_eq!(
        (&calls[0]["module"], &calls[0]["in_text"]),
        (&json!("veth"), &json!(false))
    );
    assert_eq!(
        (&calls[1]["module"], &calls[1]["in_image"]),
        (&Json::Null, &json!(true))
    );
    let gates = asked(&forged, &Question::Interrupts).unwrap();
    let gate = &gates["tables"][0]["gates"][0];
    assert_eq!(
        (&gate["number"], &gate["symbol"]),
        (&json!(14), &json!("asm_exc_page_fault"))
    );
    assert_eq!(gates["tables"][0]["vcpus"], json!([0]));
}
